#include "engine/postgres/postgres_proof.h"

#include <charconv>
#include <filesystem>

#include <fmt/format.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "codec/go_json.h"
#include "net/subprocess.h"
#include "repo/journal.h"

namespace salvor {
namespace {

namespace fs = std::filesystem;
using postgres::Connection;
using postgres::ConnectionMode;
using postgres::LocalServer;

constexpr std::string_view kSandboxPrefix = "salvor-verify-";

void append_field(std::string& out, std::string_view name, std::string_view text) {
  out += out.ends_with('{') ? "" : ",";
  append_json_string(out, name);
  out += ":";
  append_json_string(out, text);
}

// Process numbers in names of sandboxes whose process has ended.
bool is_left_over(const std::string& name) {
  if (!name.starts_with(kSandboxPrefix)) {
    return false;
  }
  int pid = 0;
  const char* begin = name.data() + kSandboxPrefix.size();
  const auto [end, error] = std::from_chars(begin, name.data() + name.size(), pid);
  return error == std::errc() && *end == '-' && pid > 0 && ::kill(pid, 0) != 0 && errno == ESRCH;
}

// Whether that user may enter the directory; yes, where it cannot be tried out.
bool may_enter(const fs::path& directory, const std::pair<uid_t, gid_t>& user) {
  constexpr int kNo = 1;  // of test; setpriv ends with more when it fails itself
  try {
    Subprocess test({.arguments = {"setpriv", fmt::format("--reuid={}", user.first),
                                   fmt::format("--regid={}", user.second), "--clear-groups", "--",
                                   "test", "-x", directory.string()}});
    const ExitState ended = test.wait();
    return ended.signal != 0 || ended.status != kNo;
  } catch (const Error&) {
    return true;
  }
}

// What the system's tables of users and groups say of one; what is in it lives in `room`.
template <class Entry, class Lookup, class Key>
std::optional<Entry> account(const Lookup& lookup, const Key& key, std::string& room) {
  constexpr size_t kRoom = 65536;
  room.assign(kRoom, '\0');
  Entry entry{};
  Entry* found = nullptr;
  const bool known = lookup(key, &entry, room.data(), room.size(), &found) == 0 && found != nullptr;
  return known ? std::optional(entry) : std::nullopt;
}

std::string user_name(uid_t user) {
  std::string room;
  const auto known = account<passwd>(::getpwuid_r, user, room);
  return known ? known->pw_name : std::to_string(user);
}

}  // namespace

bool Proof::proven() const {
  return failure.empty() &&
         std::all_of(checks.begin(), checks.end(), [](const ProofCheck& c) { return c.passed; });
}

Proof prove_recovery(const Context& context, Repository& repository, const WalArchive& archive,
                     const RecoveryPlan& plan, ProofOptions options) {
  Proof proof{.system_identifier = plan.backup.facts.system_identifier,
              .snapshot = plan.backup.snapshot.id,
              .target = options.restore.recovery.display(),
              .at = context.clock.now(),
              .program_version = options.program_version};
  require_passage(fs::path(options.restore.target).parent_path(),
                  cluster_owner(context, repository, plan.backup.snapshot.snapshot.tree));
  if (!options.restore.tablespaces_in.empty()) {
    make_passable(options.restore.tablespaces_in);
  }
  options.restore.after = AfterRecovery::kPromote;
  options.restore.copy = true;
  options.restore.inspect = [&](const LocalServer& server, const std::string& binaries) {
    const MonotonicTime begun = context.clock.monotonic();
    Connection main(context, server.target(), ConnectionMode::kSql);
    proof.position =
        postgres::Lsn::parse(main.run(context, "SELECT pg_current_wal_lsn()").text(0, 0)).value();
    proof.server_version = main.run(context, "SHOW server_version").text(0, 0);
    proof.checks = inspect_server(context, server,
                                  {.binaries = binaries,
                                   .superuser = options.restore.superuser,
                                   .amcheck = options.amcheck,
                                   .count_rows = options.count_rows,
                                   .assertions = options.assertions});
    proof.checks_seconds = std::chrono::duration<double>(context.clock.monotonic() - begun).count();
  };
  try {
    PostgresRestorer restorer(repository, archive);
    const PostgresRestoreResult result = restorer.run(context, plan, options.restore);
    proof.files_seconds = result.files_time.count();
    proof.recovery_seconds = result.recovery_time.count();
    proof.bytes = result.restored_bytes;
    constexpr std::string_view kWords = "at log time ";
    const size_t at = result.last_transaction.find(kWords);
    proof.reached = at == std::string::npos ? postgres::format_utc(plan.backup.facts.stop_time)
                                            : result.last_transaction.substr(at + kWords.size());
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kCancelled || error.code() == ErrorCode::kUnreachable ||
        error.code() == ErrorCode::kUsage) {
      throw;
    }
    proof.failure = error.message();
  }
  return proof;
}

std::string format_proof(const Proof& proof) {
  std::string out = "{";
  out += "\"version\":1";
  append_field(out, "kind", "postgresql");
  append_field(out, "system", std::to_string(proof.system_identifier));
  append_field(out, "snapshot", proof.snapshot.hex());
  append_field(out, "target", proof.target);
  append_field(out, "reached", proof.reached);
  append_field(out, "position", proof.position.text());
  append_field(out, "server", proof.server_version);
  append_field(out, "time", postgres::format_utc(proof.at));
  append_field(out, "program", proof.program_version);
  out += fmt::format(
      ",\"proven\":{},\"bytes\":{},\"seconds\":{{\"files\":{:.3f},\"recovery\":{:.3f},\"checks\":"
      "{:.3f}}}",
      proof.proven(), proof.bytes, proof.files_seconds, proof.recovery_seconds,
      proof.checks_seconds);
  append_field(out, "failure", proof.failure);
  out += ",\"checks\":[";
  for (const ProofCheck& done : proof.checks) {
    out += out.ends_with('[') ? "{" : ",{";
    append_field(out, "name", one_line(done.name));
    out += fmt::format(",\"passed\":{}", done.passed);
    append_field(out, "value", done.value);
    out += "}";
  }
  return out + "]}";
}

void record_proof(const Context& context, const Repository& repository, const Proof& proof) {
  std::string stamp = postgres::format_utc(proof.at);
  std::erase_if(stamp, [](char c) { return c == ':'; });
  const Journal journal(repository, "postgresql-" + std::to_string(proof.system_identifier),
                        "proofs");
  static_cast<void>(journal.put(context, stamp + "-" + proof.snapshot.short_hex(),
                                as_bytes(format_proof(proof))));
}

void make_passable(const std::string& directory) {
  const mode_t mode = ::geteuid() == 0 ? S_IRWXU | S_IXGRP | S_IXOTH : S_IRWXU;
  fs::path made;
  for (const fs::path& part : fs::absolute(directory).lexically_normal()) {
    made /= part;
    if (::mkdir(made.c_str(), mode) == 0) {
      ::chmod(made.c_str(), mode);  // what the umask took away
    } else if (errno != EEXIST) {
      const Error failed = Error::from_errno(errno, "cannot make the directory " + made.string());
      // A wrong place (a file in the way) says nothing of what should come there.
      throw failed.code() == ErrorCode::kFailed
          ? Error(ErrorCode::kPermission, failed.message(), failed.hint())
          : failed;
    }
  }
}

std::pair<uid_t, gid_t> cluster_owner(const Context& context, const Repository& repository,
                                      const BlobId& data_directory) {
  try {
    const Tree tree = BlobReader(repository).load_tree(context, data_directory);
    if (const Node* const file = tree.find("PG_VERSION")) {
      std::string room;
      const auto user = account<passwd>(::getpwnam_r, file->user.c_str(), room);
      const uid_t uid = user ? user->pw_uid : file->uid;
      const auto named = account<group>(::getgrnam_r, file->group.c_str(), room);
      return {uid, named ? named->gr_gid : file->gid};
    }
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kDamaged && error.code() != ErrorCode::kNotFound) {
      throw;
    }
  }
  return {};  // the restore says what is missing
}

void require_passage(const std::string& path, const std::pair<uid_t, gid_t>& user) {
  if (::geteuid() != 0 || user.first == 0 || may_enter(path, user)) {
    return;
  }
  fs::path closed;
  for (const fs::path& part : fs::path(path)) {
    closed /= part;
    if (!may_enter(closed, user)) {
      break;
    }
  }
  throw Error(ErrorCode::kPermission,
              fmt::format("the server runs as {}, who cannot get to the sandbox {}: {} is closed",
                          user_name(user.first), path, closed.string()),
              fmt::format("Run: chmod o+x {}; or give the sandbox another directory in the "
                          "configuration (sandboxes: default: directory).",
                          closed.string()));
}

Sandbox::Sandbox(const std::string& parent) {
  std::error_code ignored;
  for (const fs::directory_entry& entry : fs::directory_iterator(parent, ignored)) {
    struct stat status{};
    if (is_left_over(entry.path().filename().string()) &&
        ::lstat(entry.path().c_str(), &status) == 0 && S_ISDIR(status.st_mode) &&
        status.st_uid == ::geteuid()) {
      fs::remove_all(entry.path(), ignored);
    }
  }
  std::string name =
      parent + "/" + std::string(kSandboxPrefix) + std::to_string(::getpid()) + "-XXXXXX";
  if (::mkdtemp(name.data()) == nullptr) {
    throw Error::from_errno(errno, "cannot make a sandbox in " + parent);
  }
  path_ = name;
  // The server's user must get to what root restores; its own directories are closed.
  const fs::perms enter = fs::perms::group_exec | fs::perms::others_exec;
  fs::permissions(path_, fs::perms::owner_all | (::geteuid() == 0 ? enter : fs::perms::none));
}

Sandbox::~Sandbox() {
  if (kept_) {
    return;
  }
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

}  // namespace salvor
