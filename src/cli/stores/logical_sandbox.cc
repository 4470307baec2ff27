#include "cli/stores/logical_sandbox.h"

#include <filesystem>
#include <sstream>

#include <fmt/format.h>
#include <pwd.h>
#include <unistd.h>

#include "base/format.h"
#include "cli/stores/logical_store.h"
#include "cli/stores/sandbox_server.h"
#include "connector/postgres/logical/client_tools.h"
#include "engine/postgres/database_load.h"
#include "engine/postgres/postgres_proof.h"

namespace salvor::cli {
namespace {

namespace fs = std::filesystem;
using postgres::Connection;
using postgres::ConnectionMode;

constexpr unsigned kJobs = 2;
// No role of anybody's database, so that the roles of the backup can be made beside it.
constexpr const char* kSuperuser = "salvor_sandbox";
constexpr std::string_view kExists = "42710";

// Whom the server runs as when we are root, which it refuses to be.
std::pair<uid_t, gid_t> server_user() {
  if (::geteuid() != 0) {
    return {::geteuid(), ::getegid()};
  }
  const passwd* const found = ::getpwnam("postgres");
  if (found == nullptr) {
    throw Error(ErrorCode::kNotFound, "this machine has no user postgres to run a server as",
                "Install the PostgreSQL server, or run this as another user than root.");
  }
  return {found->pw_uid, found->pw_gid};
}

class LogicalSandbox final : public SandboxedStore {
 public:
  LogicalSandbox(const StoreSite& site, const SourceSpec& source, const SandboxSpec& sandbox)
      : site_(site),
        source_(source),
        sandbox_(sandbox_parent(sandbox)),
        data_(sandbox_.path() + "/data"),
        server_(source, {.data = data_,
                         .isolated = !sandbox.network,
                         .superuser = kSuperuser,
                         .database = [this] { return database_; }}) {}

  [[nodiscard]] TextMap outputs() const override { return server_.outputs(); }
  [[nodiscard]] RestoreOutcome restored() const override { return restored_; }
  [[nodiscard]] std::vector<CheckResult> check(const Context& context) override {
    std::vector<CheckResult> checks = server_.check(context);
    checks.insert(checks.begin(), restored_.checks.begin(), restored_.checks.end());
    return checks;
  }
  std::string break_it(const Context& context, const std::string& scenario) override {
    const std::string done = server_.break_it(context, scenario);
    damaged_ = scenario == "corruption" || scenario == "loss" || scenario == "ransomware";
    return done;
  }
  [[nodiscard]] KeptStore leave(const Context& context) override {
    KeptStore kept = server_.leave(context);
    sandbox_.keep();
    return kept;
  }
  [[nodiscard]] RestoreOutcome recover(const Context& context, const RestoreOrder& order) override;

 private:
  void make_cluster(const Context& context, const DumpView& dump);
  void make_roles(const Context& context, const DumpView& dump);
  [[nodiscard]] bool serves(const Context& context) const;

  const StoreSite& site_;
  const SourceSpec& source_;
  Sandbox sandbox_;
  const std::string data_;
  std::string database_ = "postgres";
  SandboxServer server_;
  bool damaged_ = false;  // the cluster's own files: a new one is made
  RestoreOutcome restored_;
};

void LogicalSandbox::make_cluster(const Context& context, const DumpView& dump) {
  server_.drop();
  fs::remove_all(data_);
  const auto owner = server_user();
  require_passage(sandbox_.path(), owner);
  fs::create_directory(data_);
  fs::permissions(data_, fs::perms::owner_all);
  if (::geteuid() == 0 && ::lchown(data_.c_str(), owner.first, owner.second) != 0) {
    throw Error::from_errno(errno, "cannot give away " + data_);
  }
  const std::string binaries =
      postgres::find_binaries(source_.settings.text("binaries"),
                              static_cast<unsigned>(dump.manifest().server_version) / 10000);
  std::vector<std::string> words;
  if (::geteuid() == 0) {
    words = {"setpriv", fmt::format("--reuid={}", owner.first),
             fmt::format("--regid={}", owner.second), "--clear-groups", "--"};
  }
  for (const std::string& word :
       {binaries + "/initdb", std::string("-D"), data_, std::string("-U"), std::string(kSuperuser),
        std::string("-A"), std::string("trust"), std::string("--no-sync"),
        std::string("--encoding=UTF8"), std::string("--locale=C")}) {
    words.push_back(word);
  }
  static_cast<void>(postgres::run_tool(
      context, {.program = words.front(), .arguments = {words.begin() + 1, words.end()}}));
  server_.start(context);
  make_roles(context, dump);
  damaged_ = false;
}

// The roles that objects belong to and are granted to. What is there already stays as it is; where
// roles were not backed up, the load says which it misses.
void LogicalSandbox::make_roles(const Context& context, const DumpView& dump) {
  std::istringstream lines(dump.text(context, "/schema/roles.sql").value_or(""));
  Connection connection(context, server_.server().target(), ConnectionMode::kSql);
  std::string statement;
  for (std::string line; std::getline(lines, line);) {
    if (statement.empty() && (line.empty() || line.starts_with("--") || line.starts_with("\\"))) {
      continue;
    }
    statement += line + "\n";
    if (!line.ends_with(';')) {
      continue;
    }
    try {
      if (!statement.starts_with("CREATE TABLESPACE")) {
        static_cast<void>(connection.run(context, statement));
      }
    } catch (const postgres::ServerError& error) {
      if (error.state() != kExists) {
        site_.session.terminal.warn("a role's setting was left out: " + error.message());
      }
    }
    statement.clear();
  }
}

bool LogicalSandbox::serves(const Context& context) const {
  if (!server_.started() || damaged_) {
    return false;
  }
  try {
    const Connection connection(context, server_.server().target(), ConnectionMode::kSql);
    return true;
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kCancelled) {
      throw;
    }
    return false;
  }
}

RestoreOutcome LogicalSandbox::recover(const Context& context, const RestoreOrder& order) {
  SourceRepository at(site_, context, source_, {.lock = LockMode::kShared});
  const std::vector<StoredSnapshot> snapshots =
      logical_snapshots(site_, at.context(), at.repository(), source_);
  const StoredSnapshot& snapshot =
      choose_snapshot(snapshots, order.moment, order.base, captured_by_dump, source_.name);
  at.repository().load_index(at.context());
  const DumpView dump(at.context(), at.repository(), snapshot);
  const MonotonicTime begun = context.clock.monotonic();
  if (!serves(at.context())) {
    make_cluster(at.context(), dump);
  }
  database_ = dump.manifest().database.name;
  DatabaseLoadOptions options;
  options.server = server_.server().target();
  options.database = database_;
  options.jobs = kJobs;
  options.client_programs = client_programs_of(source_);
  options.on_step = order.on_step;
  DatabaseLoader loader(dump, options);
  static_cast<void>(loader.examine(at.context()));
  const DatabaseLoadResult result =
      run_under_lock(at.session(), at.opened(), [&] { return loader.run(at.context()); });
  for (const std::string& warning : result.warnings) {
    site_.session.terminal.warn(warning);
  }
  RestoreOutcome outcome;
  outcome.snapshot = snapshot.id.hex();
  outcome.reached = dump.manifest().time;
  const auto& summary = snapshot.snapshot.summary;
  outcome.restored_bytes = summary ? summary->total_bytes_processed : 0;
  outcome.written_bytes = outcome.restored_bytes;
  if (!result.kept_as.empty()) {
    drop_database(at.context(), options.server, database_, result.kept_as);
  }
  outcome.checks.push_back(
      {.name = "rows as backed up",
       .passed = true,
       .value = fmt::format("{} rows of {} tables counted", result.rows, result.tables)});
  const double seconds = std::chrono::duration<double>(context.clock.monotonic() - begun).count();
  outcome.facts = {{"restore-seconds", fmt::format("{:.3f}", seconds)}, {"log-seconds", "0"}};
  server_.remember(at.context());
  restored_ = outcome;
  return outcome;
}

}  // namespace

std::unique_ptr<SandboxedStore> open_logical_sandbox(const StoreSite& site, const Context& context,
                                                     const SourceSpec& source,
                                                     const SandboxSpec& sandbox,
                                                     const RestoreOrder& order) {
  auto made = std::make_unique<LogicalSandbox>(site, source, sandbox);
  static_cast<void>(made->recover(context, order));
  return made;
}

}  // namespace salvor::cli
