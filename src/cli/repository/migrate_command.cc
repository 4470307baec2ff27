#include <algorithm>
#include <thread>

#include "cli/commands.h"
#include "cli/repository_access.h"
#include "engine/maintenance/checker.h"
#include "engine/maintenance/migrate.h"

namespace salvor::cli {
namespace {

struct Options {
  std::vector<std::string> names;
  bool force = false;
};

void list(Terminal& terminal, const std::vector<Migration>& migrations) {
  const bool any = std::any_of(migrations.begin(), migrations.end(),
                               [](const Migration& m) { return m.obstacle.empty(); });
  if (terminal.json()) {
    JsonWriter json;
    json.begin_array();
    for (const Migration& migration : migrations) {
      if (migration.obstacle.empty()) {
        json.begin_object().field("name", migration.name);
        json.field("description", migration.description).end_object();
      }
    }
    terminal.print_json(json.end_array());
    return;
  }
  terminal.print_line("available migrations:");
  for (const Migration& migration : migrations) {
    if (migration.obstacle.empty()) {
      terminal.print_line("  " + migration.name + "\t" + migration.description);
    }
  }
  if (!any) {
    terminal.print_line("no migrations found");
  }
}

void apply(const Migration& migration, Session& session, OpenedRepository& opened) {
  Terminal& terminal = session.terminal;
  terminal.print_summary("checking repository integrity...");
  CheckOptions check;
  check.threads = std::max(1U, std::thread::hardware_concurrency());
  const CheckReport report = Checker(opened.context, *opened.repository, check).run();
  if (!report.ok()) {
    throw Error(ErrorCode::kFailed,
                "the repository contains errors, so it is not migrated: " +
                    report.findings.front().object + " " + report.findings.front().what,
                "Run `salvor check` and repair it first.");
  }
  terminal.print_summary("applying migration " + migration.name + "...");
  upgrade_to_version_2(opened.context, *opened.repository,
                       [&opened] { opened.lock->confirm(opened.context); });
  terminal.print_summary("migration " + migration.name + ": success");
}

int run(const Options& options, Session& session) {
  OpenedRepository opened =
      open_repository(session, {.lock = LockMode::kExclusive, .no_lock = NoLock::kIgnored});
  const std::vector<Migration> migrations = list_migrations(*opened.repository);
  if (options.names.empty()) {
    list(session.terminal, migrations);
    return 0;
  }
  for (const std::string& name : options.names) {
    const auto migration = std::find_if(migrations.begin(), migrations.end(),
                                        [&](const Migration& m) { return m.name == name; });
    if (migration == migrations.end()) {
      session.terminal.warn("unknown migration " + name, "`salvor migrate` lists what there is.");
    } else if (!migration->obstacle.empty() && !options.force) {
      session.terminal.warn("migration " + name + " cannot be applied: " + migration->obstacle);
    } else {
      apply(*migration, session, opened);
    }
  }
  return 0;
}

}  // namespace

CommandSpec migrate_command() {
  auto options = std::make_shared<Options>();
  return {
      .name = "migrate",
      .summary = "Apply migrations",
      .description =
          "Lists the migrations that can be applied to the repository, or applies those that are "
          "named, after checking the repository.\n\n"
          "upgrade_repo_v2 turns a repository of version 1 into one of version 2, which compresses "
          "what is stored from then on; \"salvor prune --repack-uncompressed\" compresses the "
          "rest. "
          "restic before 0.14 cannot read version 2.",
      .positionals = {{.name = "migration name",
                       .target = &options->names,
                       .help = "migrations to apply",
                       .maximum = kUnlimited}},
      .options = {{.long_name = "force",
                   .short_name = 'f',
                   .help = "apply a migration a second time",
                   .target = &options->force}},
      .examples = {{"salvor migrate upgrade_repo_v2", "Switch to compression"}},
      .exit_codes = kRepositoryExitCodes,
      .run = [options](Session& session) { return run(*options, session); },
  };
}

}  // namespace salvor::cli
