#include "cli/stores/postgres_store.h"

#include <algorithm>
#include <filesystem>

#include <fmt/format.h>

#include "base/format.h"
#include "cli/output/backup_report.h"
#include "cli/postgres/recovery_options.h"
#include "cli/stores/postgres_points.h"
#include "cli/stores/postgres_probe.h"
#include "cli/stores/postgres_sandbox.h"
#include "cli/stores/set_aside.h"
#include "connector/postgres/physical_source.h"
#include "engine/postgres/earlier_backup.h"
#include "engine/postgres/postgres_inspect.h"
#include "engine/postgres/wal_verify.h"
#include "engine/reading/tree_walk.h"

namespace salvor::cli {
namespace {

namespace fs = std::filesystem;

// The WAL that makes the backup consistent is in the snapshot: without it nothing of it starts.
std::string check_wal_inside(const Context& context, const Repository& repository,
                             const BlobId& root, const postgres::BackupFacts& facts) {
  BlobReader reader(repository);
  const Tree tree = reader.load_tree(context, find_subfolder(context, reader, root, "/pg_wal"));
  const WalInside inside = wal_inside(tree, facts);
  if (!inside.missing.empty()) {
    throw Error(ErrorCode::kDamaged, "WAL segment " + inside.missing + " is not in the snapshot");
  }
  return fmt::format("{} to {}, {} segments", facts.start.text(), facts.stop.text(),
                     inside.segments);
}

class PostgresStore final : public Store {
 public:
  PostgresStore(const StoreSite& site, const SourceSpec& source) : site_(site), source_(source) {}

  [[nodiscard]] const SourceSpec& spec() const override { return source_; }
  [[nodiscard]] TextMap outputs() const override;
  [[nodiscard]] std::vector<CheckResult> check(const Context& context) override {
    return check_server(site_, context, source_);
  }
  [[nodiscard]] RunRecord back_up(const Context& context, const BackupOrder& order) override;
  [[nodiscard]] std::vector<RecoveryRange> ranges(const Context& context) override;
  [[nodiscard]] RestoreOutcome restore(const Context& context, const RestoreOrder& order) override;
  [[nodiscard]] std::string would_destroy(const Context& context,
                                          const RestoreOrder& order) override;
  [[nodiscard]] std::string in_the_way(const Context& context, const RestoreOrder& order) override;
  void put_back(const Context& context, const RestoreOutcome& outcome,
                const RestoreOrder& order) override;
  void discard_old(const Context& context, const RestoreOutcome& outcome) override;
  [[nodiscard]] std::unique_ptr<SandboxedStore> open_sandbox(const Context& context,
                                                             const SandboxSpec& sandbox,
                                                             const RestoreOrder& order) override {
    return open_postgres_sandbox(site_, context, source_, sandbox, order);
  }
  [[nodiscard]] std::vector<ProbeResult> probe(const Context& context) override {
    return probe_postgres(site_, context, source_);
  }

 private:
  [[nodiscard]] BackupResult take(SourceRepository& at, const BackupOrder& order, bool full,
                                  RunRecord& record);
  [[nodiscard]] std::string target_directory(const RestoreOrder& order) const;
  [[nodiscard]] PostgresRestoreOptions restore_options(const RestoreOrder& order) const;

  const StoreSite& site_;
  const SourceSpec& source_;
};

TextMap PostgresStore::outputs() const {
  TextMap outputs;
  for (const auto& [name, setting] :
       {std::pair("url", "url"), std::pair("directory", "data-directory")}) {
    if (const std::string value = source_.settings.text(setting); !value.empty()) {
      outputs.emplace_back(name, value);
    }
  }
  return outputs;
}

BackupResult PostgresStore::take(SourceRepository& at, const BackupOrder& order, bool full,
                                 RunRecord& record) {
  Terminal& terminal = site_.session.terminal;
  postgres::PhysicalSource source(at.context(),
                                  {.target = source_target(site_, source_),
                                   .label = order.label.empty() ? "salvor" : order.label});
  terminal.message(fmt::format("backing up PostgreSQL {} at {}, cluster {}",
                               source.server_version(), source.display(),
                               source.system_identifier()));
  BackupOptions backup = backup_options(site_, at.session(), source_, order);
  backup.write.confirm_lock = [&at](const Context& under) { at.opened().confirm_lock(under); };
  const auto earlier =
      find_earlier_backup(at.context(), at.repository(), source.system_identifier());
  if (earlier) {
    postgres::EarlierBackup upon = earlier->describe();
    upon.full = full;
    source.build_upon(upon, [&terminal](const std::string& text) { terminal.message(text); });
    backup.parent = earlier->backup.snapshot;
    backup.detection.by_source = true;
  }
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
  const postgres::BackupFacts& facts = source.facts();
  record.captured = facts.stop_time;
  for (const auto& [name, value] :
       {std::pair("system", std::to_string(facts.system_identifier)),
        std::pair("version", facts.version),
        std::pair("timeline", std::to_string(facts.timeline.value)),
        std::pair("start", facts.start.text()), std::pair("lsn", facts.stop.text())}) {
    std::erase_if(record.facts, [&](const auto& fact) { return fact.first == name; });
    record.facts.emplace_back(name, value);
  }
  if (order.dry_run) {
    return result;
  }
  // The source has compared every file with the server's manifest; otherwise it had thrown.
  record.checks.push_back({.name = "server's manifest",
                           .passed = true,
                           .value = "sizes and checksums of all files are as the server said"});
  record.checks.push_back({.name = "page checksums",
                           .passed = !facts.damaged,
                           .value = facts.damaged             ? "pages with wrong checksums"
                                    : source.page_checksums() ? "all good"
                                                              : "the cluster has none"});
  record.checks.push_back(checked(at.context(), "WAL from start to stop", [&] {
    return check_wal_inside(at.context(), at.repository(), result.tree, facts);
  }));
  return result;
}

RunRecord PostgresStore::back_up(const Context& context, const BackupOrder& order) {
  RunRecord record = begin_record(site_, context, RunKind::kBackup, source_);
  SourceRepository at(site_, context, source_,
                      {.lock = LockMode::kShared, .no_lock = NoLock::kIgnored});
  at.repository().load_index(at.context());
  BackupResult result;
  try {
    result = take(at, order, order.full, record);
  } catch (const postgres::EarlierUnreadable& error) {
    site_.session.terminal.warn("the last backup cannot be built upon: " + error.message(),
                                "A full one is made instead. Run `salvor check` as well.");
    record.checks.clear();
    result = take(at, order, true, record);
  }
  if (order.dry_run) {
    record.outcome = RunOutcome::kSucceeded;
    record.finished = context.clock.now();
  } else {
    finish_backup(at.context(), at.repository(), result, record);
  }
  return record;
}

std::vector<RecoveryRange> PostgresStore::ranges(const Context& context) {
  const auto at = open_reader(site_, context, source_);
  return ranges_of(context, postgres_points(site_, context, at->repository(), source_));
}

std::string PostgresStore::target_directory(const RestoreOrder& order) const {
  std::string directory = order.target.has("directory") ? order.target.text("directory")
                                                        : source_.settings.text("data-directory");
  if (directory.empty()) {
    throw Error(ErrorCode::kUsage,
                "where " + source_.name + " has its data directory is not configured",
                "Say where to restore to (--target), or set data-directory of the source.");
  }
  return fs::absolute(directory).lexically_normal().string();
}

std::string PostgresStore::would_destroy(const Context&, const RestoreOrder& order) {
  const std::string directory = target_directory(order);
  std::error_code error;
  if (!fs::exists(directory) || fs::is_empty(directory, error)) {
    return "";
  }
  return order.old_data == OldData::kMoveAside
             ? "the cluster in " + printable(directory) + " is replaced (and kept beside it)"
             : "the cluster in " + printable(directory) +
                   " and all that was written to it since is lost";
}

std::string PostgresStore::in_the_way(const Context&, const RestoreOrder& order) {
  try {
    require_stopped(target_directory(order));
    return {};
  } catch (const Error& running) {
    return running.message();
  }
}

PostgresRestoreOptions PostgresStore::restore_options(const RestoreOrder& order) const {
  PostgresRestoreOptions options = common_options(source_, order);
  options.target = target_directory(order);
  options.existing = order.old_data == OldData::kMoveAside   ? ExistingCluster::kMoveAside
                     : order.old_data == OldData::kOverwrite ? ExistingCluster::kOverwrite
                                                             : ExistingCluster::kRefuse;
  const std::string own = source_.settings.text("data-directory");
  options.copy = !own.empty() && order.target.has("directory") &&
                 fs::absolute(own).lexically_normal() != fs::path(options.target);
  if (options.copy) {
    options.tablespaces_in = options.target + ".tablespaces";
  }
  return options;
}

RestoreOutcome PostgresStore::restore(const Context& context, const RestoreOrder& order) {
  if (!order.selection.empty()) {
    throw Error(ErrorCode::kUsage, "a physical backup is restored as a whole",
                "`salvor postgres undelete` brings single rows back from it.");
  }
  PostgresRestoreOptions options = restore_options(order);
  SourceRepository at(site_, context, source_, {.lock = LockMode::kShared});
  const auto [points, chosen] =
      choose_recovery(site_, at.context(), at.repository(), source_, order);
  options.recovery = chosen.target;
  options.on_step(describe_plan(chosen.plan));
  RestoreOutcome outcome;
  outcome.snapshot = chosen.plan.backup.snapshot.id.hex();
  outcome.reached = chosen.reached;
  if (order.dry_run) {
    return outcome;
  }
  at.repository().load_index(at.context());
  const RestoreNote note(site_.application.state_directory, order.key, context.clock.now());
  options.aside = note.suffix();
  if (options.existing == ExistingCluster::kMoveAside) {
    note.begin();
  }
  std::vector<MovedData> moved;
  options.on_moved = [&moved](const std::string& from, const std::string& to) {
    moved.push_back({from, to});
  };
  PostgresRestorer restorer(at.repository(), *points.archive);
  PostgresRestoreResult result;
  try {
    result = run_under_lock(at.session(), at.opened(),
                            [&] { return restorer.run(at.context(), chosen.plan, options); });
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kCancelled) {
      throw;
    }
    put_moved_back(moved);
    note.end();
    if (moved.empty()) {
      throw;
    }
    throw Error(error.code(), error.message(),
                "The old data is back in its place. " + error.hint());
  }
  note.end();
  outcome.restored_bytes = result.restored_bytes;
  outcome.written_bytes = result.written_bytes;
  outcome.old_data = result.moved_aside;
  if (order.on_bytes) {
    order.on_bytes(result.restored_bytes, result.restored_bytes);
  }
  outcome.checks.push_back({.name = "recovered, promoted and opened",
                            .passed = true,
                            .value = fmt::format("{} databases", result.databases),
                            .expected = {},
                            .seconds = result.recovery_time.count()});
  outcome.facts = {{"timeline", std::to_string(result.timeline.value)},
                   {"restore-seconds", fmt::format("{:.3f}", result.files_time.count())},
                   {"log-seconds", fmt::format("{:.3f}", result.recovery_time.count())},
                   {"directory", options.target},
                   {"archiving", options.copy ? "off" : "as before"}};
  if (!result.stopped.empty()) {
    outcome.facts.emplace_back("stopped", result.stopped);
  }
  add_moved(outcome.facts, moved);
  return outcome;
}

void PostgresStore::put_back(const Context&, const RestoreOutcome& outcome, const RestoreOrder&) {
  const std::vector<MovedData> moved = moved_in(outcome.facts);
  for (const MovedData& one : moved) {
    require_stopped(one.place);
  }
  put_moved_back(moved);
}

void PostgresStore::discard_old(const Context&, const RestoreOutcome& outcome) {
  discard_moved(moved_in(outcome.facts));
}

}  // namespace

postgres::ConnectionTarget source_target(const StoreSite& site, const SourceSpec& source) {
  return {resolve_text(source.settings.text("url"), site.secrets)};
}

std::string source_database(const StoreSite& site, const SourceSpec& source) {
  const std::string named = postgres::named_database(source_target(site, source));
  return named.empty() ? "postgres" : named;
}

std::vector<CheckResult> check_server(const StoreSite& site, const Context& context,
                                      const SourceSpec& source) {
  const postgres::ConnectionTarget target = source_target(site, source);
  std::vector<CheckResult> checks;
  checks.push_back(checked(context, "server answers", [&] {
    postgres::Connection connection(context, target, postgres::ConnectionMode::kSql);
    return "PostgreSQL " + connection.show(context, "server_version");
  }));
  for (const std::string& assertion : source.assertions) {
    checks.push_back(checked(context, assertion, [&] {
      assert_true(context, target, assertion);
      return std::string("true");
    }));
  }
  return checks;
}

PostgresRestoreOptions common_options(const SourceSpec& source, const RestoreOrder& order) {
  PostgresRestoreOptions options;
  options.binaries = source.settings.text("binaries");
  options.superuser = source.settings.text("superuser", "postgres");
  options.program = own_path();
  options.on_step = [tell = order.on_step](const std::string& step) {
    if (tell) {
      tell(step);
    }
  };
  return options;
}

std::unique_ptr<Store> make_postgres_store(const StoreSite& site, const SourceSpec& source) {
  return std::make_unique<PostgresStore>(site, source);
}

}  // namespace salvor::cli
