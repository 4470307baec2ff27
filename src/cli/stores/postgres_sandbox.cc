#include "cli/stores/postgres_sandbox.h"

#include <algorithm>
#include <filesystem>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/format.h"
#include "cli/stores/postgres_points.h"
#include "connector/postgres/control_file.h"
#include "engine/postgres/postgres_inspect.h"
#include "engine/postgres/postgres_proof.h"

namespace salvor::cli {
namespace {

namespace fs = std::filesystem;
using postgres::Connection;
using postgres::ConnectionMode;
using postgres::ResultSet;

constexpr size_t kPage = 8192;
constexpr std::chrono::seconds kStartLimit{120};
// Of each file that ransomware takes: enough to make it worthless, and quick with large ones.
constexpr uint64_t kEncrypted = uint64_t{1} << 20;

std::pair<uid_t, gid_t> owner_of(const std::string& path) {
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0) {
    throw Error::from_errno(errno, "cannot look at " + path);
  }
  return {status.st_uid, status.st_gid};
}

void write_noise(const Context& context, const std::string& path, uint64_t at, uint64_t bytes) {
  const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!file) {
    throw Error::from_errno(errno, "cannot damage " + path);
  }
  Buffer noise;
  noise.resize(bytes);
  context.random.fill({noise.data(), noise.size()});
  pwrite_full(file.get(), noise.view(), at, path);
}

// A host in a connection URL's query.
std::string url_encoded(const std::string& text) {
  std::string out;
  for (const char c : text) {
    const bool plain = std::isalnum(static_cast<unsigned char>(c)) != 0 ||
                       std::string_view("-._~").find(c) != std::string_view::npos;
    out += plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return out;
}

struct VictimTable {
  std::string database;
  std::string schema;
  std::string name;
  std::string file;    // below the data directory
  std::string column;  // the last one

  [[nodiscard]] std::string quoted() const {
    return Connection::quote_identifier(schema) + "." + Connection::quote_identifier(name);
  }
  [[nodiscard]] std::string display() const {
    return printable(schema + "." + name) + " of " + printable(database);
  }
};

class PostgresSandbox final : public SandboxedStore {
 public:
  PostgresSandbox(const StoreSite& site, const SourceSpec& source, const SandboxSpec& sandbox)
      : site_(site),
        source_(source),
        isolated_(!sandbox.network),
        sandbox_(sandbox_parent(sandbox)),
        data_(sandbox_.path() + "/data") {}

  [[nodiscard]] TextMap outputs() const override;
  [[nodiscard]] RestoreOutcome restored() const override { return restored_; }
  [[nodiscard]] std::vector<CheckResult> check(const Context& context) override;
  std::string break_it(const Context& context, const std::string& scenario) override;
  [[nodiscard]] RestoreOutcome recover(const Context& context, const RestoreOrder& order) override;

 private:
  void start(const Context& context);
  void stop();
  [[nodiscard]] VictimTable largest_table(const Context& context);
  std::string corrupt(const Context& context);
  std::string encrypt(const Context& context);

  const StoreSite& site_;
  const SourceSpec& source_;
  const bool isolated_;
  const Sandbox sandbox_;
  const std::string data_;
  std::string binaries_;
  std::optional<ServerContent> content_;  // as it was restored, and to when:
  std::optional<WallTime> content_of_;
  std::string content_snapshot_;
  RestoreOutcome restored_;
  std::unique_ptr<postgres::RuntimeFolder> folder_;
  std::unique_ptr<postgres::LocalServer> server_;
};

void PostgresSandbox::start(const Context& context) {
  const postgres::ControlFile control =
      postgres::parse_control_file(read_file(data_ + "/global/pg_control", 1U << 20).view());
  const auto owner = owner_of(data_ + "/PG_VERSION");
  binaries_ = postgres::find_binaries(source_.settings.text("binaries"), control.major_version);
  folder_ = std::make_unique<postgres::RuntimeFolder>(owner);
  server_ = std::make_unique<postgres::LocalServer>(postgres::LocalServerOptions{
      .binaries = binaries_,
      .data = data_,
      .folder = folder_->path(),
      .owner = ::geteuid() == 0 ? std::optional(owner) : std::nullopt,
      .superuser = source_.settings.text("superuser", "postgres"),
      .settings = {{"shared_preload_libraries", ""}, {"archive_mode", "off"}},
      .no_network = isolated_});
  server_->wait_until_ready(context, kStartLimit);
}

void PostgresSandbox::stop() {
  if (server_) {
    server_->stop();
    server_.reset();
  }
}

RestoreOutcome PostgresSandbox::recover(const Context& context, const RestoreOrder& order) {
  server_.reset();  // at once, as it may be damaged
  PostgresRestoreOptions options = common_options(source_, order);
  options.target = data_;
  options.tablespaces_in = sandbox_.path() + "/tablespaces";
  options.copy = true;
  options.no_network = isolated_;
  options.settings = {{"shared_preload_libraries", ""}};
  options.existing =
      order.old_data == OldData::kMoveAside ? ExistingCluster::kMoveAside : ExistingCluster::kDelta;
  SourceRepository at(site_, context, source_, {.lock = LockMode::kShared});
  const PostgresPoints points = postgres_points(site_, at.context(), at.repository(), source_);
  const ChosenRecovery chosen =
      choose_recovery(at.context(), points, order.moment, order.base, source_.name);
  options.recovery = chosen.target;
  at.repository().load_index(at.context());
  PostgresRestorer restorer(at.repository(), *points.archive);
  const PostgresRestoreResult result = run_under_lock(
      at.session(), at.opened(), [&] { return restorer.run(at.context(), chosen.plan, options); });
  start(context);
  RestoreOutcome outcome;
  outcome.snapshot = chosen.plan.backup.snapshot.id.hex();
  outcome.reached = chosen.reached;
  outcome.restored_bytes = result.restored_bytes;
  outcome.written_bytes = result.written_bytes;
  outcome.old_data = result.moved_aside;
  outcome.facts = {{"timeline", std::to_string(result.timeline.value)},
                   {"restore-seconds", fmt::format("{:.3f}", result.files_time.count())},
                   {"log-seconds", fmt::format("{:.3f}", result.recovery_time.count())}};
  if (content_of_ != outcome.reached || content_snapshot_ != outcome.snapshot || !content_) {
    content_ = content_of(context, *server_);
    content_of_ = outcome.reached;
    content_snapshot_ = outcome.snapshot;
  }
  restored_ = outcome;
  return outcome;
}

TextMap PostgresSandbox::outputs() const {
  if (!folder_) {
    return {{"directory", data_}};
  }
  const std::string user = source_.settings.text("superuser", "postgres");
  return {{"url", "postgresql://" + url_encoded(user) + "@/" +
                      url_encoded(source_database(site_, source_)) +
                      "?host=" + url_encoded(folder_->path()) + "&port=5432"},
          {"directory", data_},
          {"socket", folder_->path()},
          {"port", "5432"}};
}

std::vector<CheckResult> PostgresSandbox::check(const Context& context) {
  if (!server_ || !server_->running()) {
    return {{.name = "server runs", .passed = false, .value = "it does not"}};
  }
  InspectOptions options{.binaries = binaries_,
                         .superuser = source_.settings.text("superuser", "postgres")};
  for (const std::string& statement : source_.assertions) {
    options.assertions.push_back({source_database(site_, source_), statement});
  }
  std::vector<CheckResult> checks;
  try {
    for (ProofCheck& found : inspect_server(context, *server_, options)) {
      checks.push_back(
          {.name = std::move(found.name), .passed = found.passed, .value = std::move(found.value)});
    }
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kCancelled) {
      throw;
    }
    return {{.name = "server runs", .passed = false, .value = one_line(error.message())}};
  }
  checks.push_back(checked(context, "rows and columns as restored", [&] {
    const ServerContent now = content_of(context, *server_);
    const std::string difference = now.difference(*content_);
    if (!difference.empty()) {
      throw Error(ErrorCode::kDamaged, difference);
    }
    return fmt::format("{} tables compared", now.rows.size());
  }));
  return checks;
}

VictimTable PostgresSandbox::largest_table(const Context& context) {
  VictimTable largest;
  uint64_t most = 0;
  for (const std::string& database : databases_of(context, *server_)) {
    Connection connection(context, server_->target(database), ConnectionMode::kSql);
    const ResultSet found = connection.run(
        context,
        "SELECT n.nspname, c.relname, pg_relation_size(c.oid), pg_relation_filepath(c.oid), "
        "(SELECT attname FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT "
        "attisdropped ORDER BY attnum DESC LIMIT 1) FROM pg_class c JOIN pg_namespace n ON n.oid = "
        "c.relnamespace WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname <> "
        "'information_schema' AND pg_relation_size(c.oid) > 0 ORDER BY 3 DESC LIMIT 1");
    if (found.rows.empty()) {
      continue;
    }
    const uint64_t size = std::stoull(found.text(0, 2));
    if (size > most) {
      most = size;
      largest = {database, found.text(0, 0), found.text(0, 1), found.text(0, 3),
                 found.rows[0][4].value_or("")};
    }
  }
  if (most == 0) {
    throw Error(ErrorCode::kUsage, "there is no table with rows in the sandbox to be broken");
  }
  return largest;
}

std::string PostgresSandbox::corrupt(const Context& context) {
  const VictimTable table = largest_table(context);
  stop();
  const std::string path = data_ + "/" + table.file;
  const uint64_t pages = fs::file_size(path) / kPage;
  const uint64_t page = pages / 2;
  write_noise(context, path, page * kPage, kPage);
  start(context);
  return fmt::format("page {} of {} was overwritten", page, table.display());
}

std::string PostgresSandbox::encrypt(const Context& context) {
  stop();
  uint64_t files = 0;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(data_)) {
    if (entry.is_regular_file() && !entry.is_symlink() && entry.file_size() > 0) {
      write_noise(context, entry.path(), 0, std::min<uint64_t>(entry.file_size(), kEncrypted));
      ++files;
    }
  }
  return fmt::format("{} files of the data directory were overwritten", files);
}

std::string PostgresSandbox::break_it(const Context& context, const std::string& scenario) {
  if (!server_) {
    throw Error(ErrorCode::kFailed, "the sandbox is broken already");
  }
  const auto run = [&](const VictimTable& table, const std::string& statement) {
    Connection connection(context, server_->target(table.database), ConnectionMode::kSql);
    // Whatever else refers to it.
    static_cast<void>(connection.run(context, "SET session_replication_role = replica"));
    static_cast<void>(connection.run(context, statement));
  };
  if (scenario == "deletion") {
    const VictimTable table = largest_table(context);
    run(table, "DELETE FROM " + table.quoted());
    return "all rows of " + table.display() + " were deleted";
  }
  if (scenario == "migration") {
    const VictimTable table = largest_table(context);
    run(table, "ALTER TABLE " + table.quoted() + " DROP COLUMN " +
                   Connection::quote_identifier(table.column) + " CASCADE");
    return "column " + printable(table.column) + " of " + table.display() + " was dropped";
  }
  if (scenario == "corruption") {
    return corrupt(context);
  }
  if (scenario == "ransomware") {
    return encrypt(context);
  }
  if (scenario == "loss") {
    server_.reset();
    for (const fs::directory_entry& entry : fs::directory_iterator(data_)) {
      fs::remove_all(entry.path());
    }
    return "the data directory was emptied";
  }
  throw Error(ErrorCode::kUsage, "PostgreSQL knows no scenario \"" + printable(scenario) + "\"",
              "It knows corruption, deletion, migration, loss and ransomware.");
}

}  // namespace

std::unique_ptr<SandboxedStore> open_postgres_sandbox(const StoreSite& site, const Context& context,
                                                      const SourceSpec& source,
                                                      const SandboxSpec& sandbox,
                                                      const RestoreOrder& order) {
  auto made = std::make_unique<PostgresSandbox>(site, source, sandbox);
  static_cast<void>(made->recover(context, order));
  return made;
}

}  // namespace salvor::cli
