#include "cli/stores/logical_store.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <unistd.h>

#include "base/format.h"
#include "cli/output/backup_report.h"
#include "cli/stores/logical_probe.h"
#include "cli/stores/logical_sandbox.h"
#include "cli/stores/postgres_store.h"
#include "connector/postgres/logical/dump_source.h"
#include "engine/postgres/database_load.h"
#include "engine/postgres/dump_check.h"
#include "engine/postgres/table_load.h"

namespace salvor::cli {
namespace {

using postgres::Connection;
using postgres::ConnectionMode;
using postgres::ConnectionTarget;

constexpr unsigned kJobs = 2;
constexpr size_t kPieceBytes = size_t{4} << 20;  // that each reader fills
constexpr const char* kMovedDatabase = "moved database ";
constexpr const char* kMovedTables = "moved tables of ";
constexpr const char* kTarget = "target-url";  // fact: the reference that the order named
constexpr const char* kKeptSnapshot = "snapshot ";
constexpr std::chrono::hours kTablesKept{7 * 24};

std::string fact(const TextMap& facts, std::string_view prefix, std::string* name = nullptr) {
  for (const auto& [key, value] : facts) {
    if (key.starts_with(prefix)) {
      if (name != nullptr) {
        *name = key.substr(prefix.size());
      }
      return value;
    }
  }
  return "";
}

class LogicalStore final : public Store {
 public:
  LogicalStore(const StoreSite& site, const SourceSpec& source) : site_(site), source_(source) {
    if (source.settings.list("databases").size() > 1) {
      throw Error(
          ErrorCode::kUsage, "source " + printable(source.name) + " names several databases",
          "A logical backup is one instant of one database: give each a source of its own.");
    }
  }

  [[nodiscard]] const SourceSpec& spec() const override { return source_; }
  [[nodiscard]] TextMap outputs() const override {
    const std::string url = source_.settings.text("url");
    return url.empty() ? TextMap{} : TextMap{{"url", url}};
  }
  [[nodiscard]] std::vector<CheckResult> check(const Context& context) override {
    return check_server(site_, context, source_);
  }
  [[nodiscard]] RunRecord back_up(const Context& context, const BackupOrder& order) override;
  [[nodiscard]] std::vector<RecoveryRange> ranges(const Context& context) override;
  [[nodiscard]] RestoreOutcome restore(const Context& context, const RestoreOrder& order) override;
  [[nodiscard]] std::string would_destroy(const Context& context,
                                          const RestoreOrder& order) override;
  void put_back(const Context& context, const RestoreOutcome& outcome,
                const RestoreOrder& order) override;
  void discard_old(const Context& context, const RestoreOutcome& outcome) override;
  [[nodiscard]] std::unique_ptr<SandboxedStore> open_sandbox(const Context& context,
                                                             const SandboxSpec& sandbox,
                                                             const RestoreOrder& order) override {
    return open_logical_sandbox(site_, context, source_, sandbox, order);
  }
  [[nodiscard]] std::vector<ProbeResult> probe(const Context& context) override {
    return probe_logical(site_, context, source_);
  }

 private:
  [[nodiscard]] ConnectionTarget own_target() const;
  [[nodiscard]] ConnectionTarget target_of(const Settings& target) const;
  [[nodiscard]] postgres::DumpOptions dump_options(const BackupOptions& backup) const;
  [[nodiscard]] DumpView choose(SourceRepository& at, const RestoreOrder& order) const;
  [[nodiscard]] DatabaseLoadOptions database_options(const RestoreOrder& order,
                                                     const DumpView& dump) const;
  [[nodiscard]] TableLoadOptions table_options(const RestoreOrder& order,
                                               const DumpView& dump) const;
  void load_database(SourceRepository& at, const DumpView& dump, const RestoreOrder& order,
                     RestoreOutcome& outcome) const;
  void load_tables(SourceRepository& at, const DumpView& dump, const RestoreOrder& order,
                   RestoreOutcome& outcome) const;
  [[nodiscard]] std::string keep_tables(SourceRepository& at, const TableLoadOptions& options,
                                        const std::vector<std::string>& tables,
                                        const RestoreOrder& order) const;

  const StoreSite& site_;
  const SourceSpec& source_;
};

ConnectionTarget LogicalStore::own_target() const {
  ConnectionTarget target = source_target(site_, source_);
  if (const auto names = source_.settings.list("databases"); !names.empty()) {
    target.database = names.front();
  }
  return target;
}

ConnectionTarget LogicalStore::target_of(const Settings& target) const {
  if (target.has("directory")) {
    throw Error(ErrorCode::kUsage, "a logical backup is not restored into a directory",
                "Name a database: the target's `url` (env:TARGET_URL), or `database`.");
  }
  ConnectionTarget chosen = own_target();
  if (target.has("url")) {
    const std::string text = target.text("url");
    if (!SecretReference::parse(text)) {
      throw Error(ErrorCode::kUsage, "the target's URL is not a reference",
                  "It holds a password: say where it is (env:TARGET_URL, file:/etc/target-url).");
    }
    chosen = ConnectionTarget{resolve_text(text, site_.secrets)};
  }
  if (target.has("database")) {
    chosen.database = target.text("database");
    if (names_connection(chosen.database)) {
      throw Error(ErrorCode::kUsage, "the target's database is not a name but a connection",
                  "It may hold a password: give the target's `url` a reference to it "
                  "(env:TARGET_URL, file:/etc/target-url).");
    }
  }
  return chosen;
}

postgres::DumpOptions LogicalStore::dump_options(const BackupOptions& backup) const {
  postgres::DumpOptions options;
  options.session.target = own_target();
  options.choice.tables = source_.settings.list("tables");
  options.choice.exclude_tables = source_.settings.list("exclude-tables");
  options.client_programs = client_programs_of(source_);
  options.time = backup.time;
  options.uid = backup.uid;
  options.gid = backup.gid;
  return options;
}

RunRecord LogicalStore::back_up(const Context& context, const BackupOrder& order) {
  RunRecord record = begin_record(site_, context, RunKind::kBackup, source_);
  SourceRepository at(site_, context, source_,
                      {.lock = LockMode::kShared, .no_lock = NoLock::kIgnored});
  at.repository().load_index(at.context());
  BackupOptions backup = backup_options(site_, at.session(), source_, order);
  backup.read_concurrency = kJobs;
  backup.memory_bytes = (kJobs + 2) * kPieceBytes;
  backup.write.confirm_lock = [&at](const Context& under) { at.opened().confirm_lock(under); };
  postgres::DumpSource source(at.context(), dump_options(backup));
  site_.session.terminal.message(
      fmt::format("backing up database {}, PostgreSQL {}, {} tables", source.display(),
                  source.manifest().server_version / 10000, source.table_count()));
  Archiver archiver(at.repository());
  std::optional<BackupReport> report;
  if (site_.report) {
    report.emplace(at.session(), order.dry_run);
    report->begin(archiver.progress(), [&source] { return source.estimated_bytes(); });
  }
  const BackupResult result = run_under_lock(
      at.session(), at.opened(), [&] { return archiver.run(at.context(), source, backup); });
  if (report) {
    report->end(result);
  }
  const postgres::DumpManifest& manifest = source.manifest();
  record.captured = manifest.time;
  record.facts.emplace_back("database", manifest.database.name);
  record.facts.emplace_back("version", std::to_string(manifest.server_version / 10000));
  record.facts.emplace_back("lsn", manifest.wal_position);
  if (order.dry_run) {
    record.outcome = RunOutcome::kSucceeded;
    record.finished = context.clock.now();
    return record;
  }
  record.checks.push_back(checked(at.context(), "rows and files of all tables", [&] {
    StoredSnapshot stored;
    stored.id = *result.snapshot;
    stored.snapshot.tree = result.tree;
    return check_dump(at.context(), at.repository(),
                      DumpView(at.context(), at.repository(), stored));
  }));
  finish_backup(at.context(), at.repository(), result, record);
  return record;
}

std::vector<RecoveryRange> LogicalStore::ranges(const Context& context) {
  const auto at = open_reader(site_, context, source_);
  return snapshot_ranges(logical_snapshots(site_, context, at->repository(), source_),
                         captured_by_dump);
}

// Loads the index.
DumpView LogicalStore::choose(SourceRepository& at, const RestoreOrder& order) const {
  const std::vector<StoredSnapshot> snapshots =
      logical_snapshots(site_, at.context(), at.repository(), source_);
  const StoredSnapshot& snapshot =
      choose_snapshot(snapshots, order.moment, order.base, captured_by_dump, source_.name);
  at.repository().load_index(at.context());
  return {at.context(), at.repository(), snapshot};
}

DatabaseLoadOptions LogicalStore::database_options(const RestoreOrder& order,
                                                   const DumpView& dump) const {
  DatabaseLoadOptions options;
  options.server = target_of(order.target);
  options.database = options.server.database;
  if (options.database.empty()) {
    options.database = postgres::named_database(options.server);
  }
  if (options.database.empty()) {
    options.database = dump.manifest().database.name;
  }
  options.jobs = kJobs;
  options.client_programs = client_programs_of(source_);
  options.on_step = order.on_step;
  return options;
}

TableLoadOptions LogicalStore::table_options(const RestoreOrder& order,
                                             const DumpView& dump) const {
  TableLoadOptions options;
  options.target = target_of(order.target);
  if (options.target.database.empty() && postgres::named_database(options.target).empty()) {
    options.target.database = dump.manifest().database.name;
  }
  options.choice.tables = order.selection;
  options.client_programs = client_programs_of(source_);
  options.on_step = order.on_step;
  return options;
}

std::string LogicalStore::would_destroy(const Context& context, const RestoreOrder& order) {
  if (order.old_data == OldData::kRefuse) {
    return "";  // the restore itself says what is in its way
  }
  SourceRepository at(site_, context, source_, {.lock = LockMode::kShared});
  const DumpView dump = choose(at, order);
  const bool kept = order.old_data == OldData::kMoveAside;
  if (order.selection.empty()) {
    DatabaseLoader loader(dump, database_options(order, dump));
    const DatabaseImpact impact = loader.examine(at.context());
    if (!impact.exists) {
      return "";
    }
    return fmt::format(
        "database {} at {} ({} tables, about {} rows, {}) is replaced{}; {} "
        "connections to it are ended",
        printable(impact.database), impact.server, impact.tables, impact.rows,
        format_bytes(impact.bytes), kept ? " (and kept under another name)" : " and lost",
        impact.connections);
  }
  TableLoader loader(dump, table_options(order, dump));
  std::string text;
  for (const TableImpact& impact : loader.examine(at.context())) {
    if (impact.exists && impact.rows_now > 0) {
      text += (text.empty() ? "" : "; ") + fmt::format("the {} rows of table {} are replaced by {}",
                                                       impact.rows_now, printable(impact.target),
                                                       impact.table->rows);
    }
    for (const LivePartition& partition : impact.made_since) {
      if (partition.rows > 0) {
        text += (text.empty() ? "" : "; ") +
                fmt::format("the {} rows of partition {}, made since the backup, are removed",
                            partition.rows, printable(partition.display()));
      }
    }
  }
  return text.empty() ? text : text + (kept ? " (and backed up before)" : "");
}

RestoreOutcome LogicalStore::restore(const Context& context, const RestoreOrder& order) {
  SourceRepository at(site_, context, source_, {.lock = LockMode::kShared});
  const DumpView dump = choose(at, order);
  if (order.on_step) {
    order.on_step(fmt::format("backup {} of database {}", dump.stored().id.short_hex(),
                              printable(dump.manifest().database.name)));
  }
  RestoreOutcome outcome;
  outcome.snapshot = dump.stored().id.hex();
  outcome.reached = dump.manifest().time;
  if (order.target.has("url")) {
    outcome.facts.emplace_back(kTarget, order.target.text("url"));
  }
  const MonotonicTime begun = context.clock.monotonic();
  if (order.selection.empty()) {
    load_database(at, dump, order, outcome);
  } else {
    load_tables(at, dump, order, outcome);
  }
  if (order.on_step && !order.dry_run) {
    order.on_step("if the application is newer than this backup, run its migrations now");
  }
  outcome.facts.emplace_back(
      "restore-seconds",
      fmt::format("{:.3f}",
                  std::chrono::duration<double>(context.clock.monotonic() - begun).count()));
  outcome.facts.emplace_back("log-seconds", "0");
  if (order.on_bytes && !order.dry_run) {
    order.on_bytes(outcome.restored_bytes, outcome.restored_bytes);
  }
  return outcome;
}

void LogicalStore::load_database(SourceRepository& at, const DumpView& dump,
                                 const RestoreOrder& order, RestoreOutcome& outcome) const {
  const DatabaseLoadOptions options = database_options(order, dump);
  DatabaseLoader loader(dump, options);
  const DatabaseImpact impact = loader.examine(at.context());
  if (impact.exists && order.old_data == OldData::kRefuse) {
    throw Error(ErrorCode::kUsage,
                "database " + printable(impact.database) + " at " + impact.server + " is there",
                "Name another one, or let the old one be moved aside.");
  }
  if (order.dry_run) {
    return;
  }
  const DatabaseLoadResult result =
      run_under_lock(at.session(), at.opened(), [&] { return loader.run(at.context()); });
  for (const std::string& warning : result.warnings) {
    site_.session.terminal.warn(warning);
  }
  if (!result.kept_as.empty() && order.old_data == OldData::kOverwrite) {
    drop_database(at.context(), options.server, impact.database, result.kept_as);
  } else if (!result.kept_as.empty()) {
    outcome.old_data = "database " + result.kept_as;
    outcome.facts.emplace_back(kMovedDatabase + impact.database, result.kept_as);
  }
  const auto& summary = dump.stored().snapshot.summary;
  outcome.restored_bytes = summary ? summary->total_bytes_processed : 0;
  outcome.written_bytes = outcome.restored_bytes;
  outcome.checks.push_back(
      {.name = "rows as backed up",
       .passed = true,
       .value = fmt::format("{} rows of {} tables counted", result.rows, result.tables)});
}

void LogicalStore::load_tables(SourceRepository& at, const DumpView& dump,
                               const RestoreOrder& order, RestoreOutcome& outcome) const {
  const TableLoadOptions options = table_options(order, dump);
  TableLoader loader(dump, options);
  std::vector<std::string> replaced;
  for (const TableImpact& impact : loader.examine(at.context())) {
    for (const postgres::DumpPart& part : impact.table->parts) {
      outcome.restored_bytes += part.bytes;
    }
    if (impact.exists && impact.rows_now > 0) {
      replaced.push_back(impact.table->quoted());
    }
    for (const LivePartition& partition : impact.made_since) {
      if (partition.rows > 0) {
        replaced.push_back(partition.quoted());
      }
    }
  }
  if (!replaced.empty() && order.old_data == OldData::kRefuse) {
    throw Error(ErrorCode::kUsage, "table " + printable(replaced.front()) + " has rows",
                "Restore elsewhere, or let them be backed up before.");
  }
  if (order.dry_run) {
    return;
  }
  if (!replaced.empty() && order.old_data == OldData::kMoveAside) {
    const std::string kept = keep_tables(at, options, replaced, order);
    const std::string name = options.target.database.empty()
                                 ? postgres::named_database(options.target)
                                 : options.target.database;
    outcome.old_data = kKeptSnapshot + kept;
    outcome.facts.emplace_back(kMovedTables + name, outcome.old_data);
  }
  const TableLoadResult result =
      run_under_lock(at.session(), at.opened(), [&] { return loader.run(at.context()); });
  for (const std::string& warning : result.warnings) {
    site_.session.terminal.warn(warning);
  }
  outcome.written_bytes = outcome.restored_bytes;
  outcome.checks.push_back(
      {.name = "rows as backed up",
       .passed = true,
       .value = fmt::format("{} rows of {} tables counted", result.rows, result.tables)});
}

// A snapshot of these tables as they are now, with a label of its own and without the source's tag:
// it is no recovery point of the whole.
std::string LogicalStore::keep_tables(SourceRepository& at, const TableLoadOptions& options,
                                      const std::vector<std::string>& tables,
                                      const RestoreOrder& order) const {
  BackupOptions backup = backup_options(site_, at.session(), source_,
                                        {.label = "before-restore", .keep = kTablesKept});
  std::erase(backup.tags, source_tag(site_.application, source_));
  backup.read_concurrency = kJobs;
  backup.memory_bytes = (kJobs + 2) * kPieceBytes;
  backup.write.confirm_lock = [&at](const Context& under) { at.opened().confirm_lock(under); };
  postgres::DumpOptions dump = dump_options(backup);
  dump.session.target = options.target;
  dump.choice = {.schemas = {}, .exclude_schemas = {}, .tables = tables, .exclude_tables = {}};
  dump.schema = false;
  dump.large_objects = false;
  dump.roles = postgres::RolesChoice::kNone;
  postgres::DumpSource source(at.context(), dump);
  Archiver archiver(at.repository());
  const BackupResult result = run_under_lock(
      at.session(), at.opened(), [&] { return archiver.run(at.context(), source, backup); });
  if (order.on_step) {
    order.on_step("the rows that are there were backed up as snapshot " +
                  result.snapshot->short_hex());
  }
  return result.snapshot->hex();
}

void LogicalStore::put_back(const Context& context, const RestoreOutcome& outcome,
                            const RestoreOrder& order) {
  Settings where;
  if (const std::string url = fact(outcome.facts, kTarget); !url.empty()) {
    where.set("url", url);
  }
  std::string name;
  if (const std::string kept = fact(outcome.facts, kMovedDatabase, &name); !kept.empty()) {
    exchange_databases(context, target_of(where), name, kept);
    return;
  }
  const std::string kept = fact(outcome.facts, kMovedTables, &name);
  if (!kept.starts_with(kKeptSnapshot)) {
    return;
  }
  where.set("database", name);
  SourceRepository at(site_, context, source_, {.lock = LockMode::kShared});
  at.repository().load_index(at.context());
  const DumpView dump(at.context(), at.repository(),
                      find_snapshot(at.context(), at.repository(),
                                    kept.substr(std::string_view(kKeptSnapshot).size()), {}));
  TableLoadOptions options;
  options.target = target_of(where);
  for (const postgres::DumpTable& table : dump.manifest().tables) {
    options.choice.tables.push_back(table.quoted());
  }
  options.on_step = order.on_step;
  TableLoader loader(dump, options);
  static_cast<void>(loader.examine(at.context()));
  static_cast<void>(
      run_under_lock(at.session(), at.opened(), [&] { return loader.run(at.context()); }));
}

// Tables' old rows are a snapshot, which ends by its own date.
void LogicalStore::discard_old(const Context& context, const RestoreOutcome& outcome) {
  Settings where;
  if (const std::string url = fact(outcome.facts, kTarget); !url.empty()) {
    where.set("url", url);
  }
  std::string name;
  if (const std::string kept = fact(outcome.facts, kMovedDatabase, &name); !kept.empty()) {
    drop_database(context, target_of(where), name, kept);
  }
}

}  // namespace

std::vector<StoredSnapshot> logical_snapshots(const StoreSite& site, const Context& context,
                                              const Repository& repository,
                                              const SourceSpec& source) {
  const std::string tag = source_tag(site.application, source);
  std::vector<StoredSnapshot> found;
  for (StoredSnapshot& stored : select_snapshots(context, repository, {}, {}).snapshots) {
    const std::vector<std::string>& tags = stored.snapshot.tags;
    const auto has = [&tags](const std::string& wanted) {
      return std::find(tags.begin(), tags.end(), wanted) != tags.end();
    };
    if (has(postgres::kDumpTag) && has(tag)) {
      found.push_back(std::move(stored));
    }
  }
  std::sort(found.begin(), found.end(), [](const StoredSnapshot& a, const StoredSnapshot& b) {
    return captured_by_dump(a) < captured_by_dump(b);
  });
  return found;
}

WallTime captured_by_dump(const StoredSnapshot& stored) {
  const std::string_view prefix = postgres::kDumpTimeTag;
  for (const std::string& tag : stored.snapshot.tags) {
    if (tag.starts_with(prefix)) {
      if (const auto time = postgres::parse_utc(tag.substr(prefix.size()))) {
        return *time;
      }
    }
  }
  return stored.snapshot.time.wall();
}

bool names_connection(const std::string& target) {
  std::string text = target;
  std::erase(text, ' ');  // "password = x" is one, too
  // A database may be called "a=b"; what libpq takes for a connection has one of its words.
  static constexpr std::array<std::string_view, 8> kSigns{
      "://", "host=", "hostaddr=", "port=", "user=", "dbname=", "password=", "service="};
  return std::any_of(kSigns.begin(), kSigns.end(),
                     [&](std::string_view sign) { return text.find(sign) != std::string::npos; });
}

std::string client_programs_of(const SourceSpec& source) {
  const std::string folder = source.settings.text("binaries");
  return !folder.empty() && ::access((folder + "/pg_dump").c_str(), X_OK) == 0 ? folder : "";
}

std::unique_ptr<Store> make_logical_store(const StoreSite& site, const SourceSpec& source) {
  return std::make_unique<LogicalStore>(site, source);
}

}  // namespace salvor::cli
