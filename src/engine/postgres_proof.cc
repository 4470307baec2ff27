#include "engine/postgres_proof.h"

#include <charconv>
#include <filesystem>

#include <fmt/format.h>
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
using postgres::ResultSet;

constexpr std::string_view kSandboxPrefix = "salvor-verify-";
constexpr size_t kValueLimit = 300;

std::string one_line(std::string text) {
  for (char& c : text) {
    c = c == '\n' || c == '\r' || c == '\t' ? ' ' : c;
  }
  return text.size() > kValueLimit ? text.substr(0, kValueLimit) + "..." : text;
}

std::string quote_name(const std::string& name) {
  return Connection::quote_identifier(name);
}

// Runs `body`; what it throws is a check that failed, but for being stopped.
template <class Body>
ProofCheck check(std::string name, Body body) {
  ProofCheck result{.name = std::move(name)};
  try {
    result.value = body();
    result.passed = true;
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kCancelled) {
      throw;
    }
    result.value = one_line(error.message());
  }
  return result;
}

// Reads every row of every table: what cannot be read is not a backup.
std::string count_rows(const Context& context, const LocalServer& server,
                       const std::string& database) {
  Connection connection(context, server.target(database), ConnectionMode::kSql);
  const ResultSet tables = connection.run(
      context,
      "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
      "WHERE c.relkind IN ('r', 'm') AND n.nspname !~ '^pg_toast' ORDER BY 1, 2");
  uint64_t rows = 0;
  for (size_t i = 0; i < tables.rows.size(); ++i) {
    const std::string count =
        connection
            .run(context, "SELECT count(*) FROM ONLY " + quote_name(tables.text(i, 0)) + "." +
                              quote_name(tables.text(i, 1)))
            .text(0, 0);
    uint64_t number = 0;
    std::from_chars(count.data(), count.data() + count.size(), number);
    rows += number;
  }
  return fmt::format("{} tables, {} rows", tables.rows.size(), rows);
}

std::string assert_true(const Context& context, const LocalServer& server,
                        const Assertion& assertion) {
  Connection connection(context, server.target(assertion.database), ConnectionMode::kSql);
  static_cast<void>(connection.run(context, "BEGIN READ ONLY"));
  const ResultSet answer = connection.run(context, assertion.statement);
  if (answer.rows.size() != 1 || answer.rows[0].size() != 1) {
    throw Error(ErrorCode::kFailed, fmt::format("it gave {} rows of {} columns, not one value",
                                                answer.rows.size(), answer.columns.size()));
  }
  const std::string value = answer.rows[0][0].value_or("NULL");
  if (value != "t" && value != "true") {
    throw Error(ErrorCode::kFailed, "it gave " + value);
  }
  return "true";
}

std::string amcheck(const std::string& program, const LocalServer& server,
                    const std::string& database, const std::string& superuser) {
  const std::string& target = server.target().target;
  const size_t begin = target.find('\'') + 1;
  const std::string folder = target.substr(begin, target.find('\'', begin) - begin);
  Subprocess run({.arguments = {"sh", "-c", "exec \"$@\" 2>&1", "sh", program, "-h", folder, "-p",
                                "5432", "-U", superuser, "--no-password", "--install-missing",
                                "--heapallindexed", "--parent-check", "-d", database}});
  std::string output;
  std::string piece(4096, '\0');
  while (const size_t got = run.read(std::as_writable_bytes(std::span(piece)))) {
    output.append(piece, 0, output.size() < kValueLimit ? got : 0);
  }
  if (!run.wait().success()) {
    throw Error(ErrorCode::kDamaged, output.empty() ? "it failed" : output);
  }
  return "no damage found";
}

void look_into(const Context& context, const LocalServer& server, const std::string& binaries,
               const ProofOptions& options, Proof& proof) {
  Connection main(context, server.target(), ConnectionMode::kSql);
  proof.position =
      postgres::Lsn::parse(main.run(context, "SELECT pg_current_wal_lsn()").text(0, 0)).value();
  proof.server_version = main.run(context, "SHOW server_version").text(0, 0);
  const ResultSet names =
      main.run(context, "SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate");
  const std::string program = binaries + "/pg_amcheck";
  const bool has_amcheck = ::access(program.c_str(), X_OK) == 0;
  const bool has_extension =
      main.run(context, "SELECT count(*) FROM pg_available_extensions WHERE name = 'amcheck'")
          .text(0, 0) != "0";
  for (size_t row = 0; row < names.rows.size(); ++row) {
    const std::string& database = names.text(row, 0);
    if (options.count_rows) {
      proof.checks.push_back(
          check("rows " + database, [&] { return count_rows(context, server, database); }));
    }
    if (options.amcheck && has_amcheck && has_extension) {
      proof.checks.push_back(check("pg_amcheck " + database, [&] {
        return amcheck(program, server, database, options.restore.superuser);
      }));
    }
  }
  for (const Assertion& assertion : options.assertions) {
    proof.checks.push_back(
        check(assertion.statement, [&] { return assert_true(context, server, assertion); }));
  }
}

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
  options.restore.after = AfterRecovery::kPromote;
  options.restore.copy = true;
  options.restore.inspect = [&](const LocalServer& server, const std::string& binaries) {
    const MonotonicTime begun = context.clock.monotonic();
    look_into(context, server, binaries, options, proof);
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
  fs::permissions(path_, ::geteuid() == 0 ? static_cast<fs::perms>(0711) : fs::perms::owner_all);
}

Sandbox::~Sandbox() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

}  // namespace salvor
