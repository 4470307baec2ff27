#include <fmt/format.h>

#include "catalog/run_log.h"
#include "cli/application/protected_application.h"
#include "cli/commands.h"
#include "cli/repository/snapshot_options.h"

namespace salvor::cli {
namespace {

struct Options {
  ConfigurationOptions configuration;
};

int rebuild(const Options& options, Session& session) {
  ProtectedApplication application(session, options.configuration);
  Catalog& catalog = application.catalog();
  if (catalog.transient()) {
    throw Error(ErrorCode::kPermission, "there is no place for a catalog",
                "The warning above says why.");
  }
  catalog.clear();
  const Survey found = application.take_survey(session.context, std::chrono::hours(1), false);
  size_t dead = 0;
  for (const auto& [source, facts] : found.facts) {
    if (!facts.unreachable.empty()) {
      ++dead;
      session.terminal.warn("nothing of " + source + " could be read: " + facts.unreachable,
                            facts.hint);
    }
  }
  if (session.terminal.json()) {
    JsonWriter json;
    json.begin_message("catalog").field("path", catalog.path());
    json.field("runs", catalog.count_runs()).field("unreachable", dead);
    session.terminal.print_json(json.end_object());
  } else {
    session.terminal.print_summary(
        fmt::format("{} has {} runs and the recovery points of {} sources", catalog.path(),
                    catalog.count_runs(), found.facts.size() - dead));
  }
  return dead > 0 ? exit_status(ErrorCode::kIncomplete) : 0;
}

int show(const Options& options, Session& session) {
  ProtectedApplication application(session, options.configuration);
  Catalog& catalog = application.catalog();
  size_t unsent = 0;
  for (const RepositorySpec& repository : application.application().repositories) {
    unsent += catalog.unsent(repository.name).size();
  }
  if (session.terminal.json()) {
    JsonWriter json;
    json.begin_message("catalog").field("path", catalog.path());
    json.field("runs", catalog.count_runs()).field("unsent", unsent);
    session.terminal.print_json(json.end_object());
  } else {
    session.terminal.print_line(fmt::format("{}: {} runs, {} of them not in their repository yet",
                                            catalog.path(), catalog.count_runs(), unsent));
  }
  return 0;
}

}  // namespace

CommandSpec catalog_command() {
  CommandSpec group{
      .name = "catalog",
      .summary = "Look at or rebuild this machine's catalog of runs",
      .description =
          "The catalog is this machine's copy of what the repositories say about runs and recovery "
          "points. No backup and no restore needs it. A damaged one is set aside and a new one is "
          "begun by itself; only runs that no repository could take yet are nowhere else.",
  };
  auto shown = std::make_shared<Options>();
  CommandSpec show_spec{
      .name = "show",
      .summary = "Show where the catalog is and what it holds",
      .examples = {{"salvor catalog show", "Its file and its size in runs"}},
      .run = [shown](Session& session) { return show(*shown, session); },
  };
  auto rebuilt = std::make_shared<Options>();
  CommandSpec rebuild_spec{
      .name = "rebuild",
      .summary = "Make the catalog from the repositories again",
      .description = "Forgets all but the runs that no repository has yet, then reads all of them.",
      .examples = {{"salvor catalog rebuild", "On a new machine, or after damage"}},
      .exit_codes = {{0, "success"},
                     {1, "an error"},
                     {3, "a repository cannot be reached; the others were read"},
                     {64, "wrong usage, or a configuration with mistakes"}},
      .run = [rebuilt](Session& session) { return rebuild(*rebuilt, session); },
  };
  add_options(show_spec.options, configuration_option_table(shown->configuration));
  add_options(rebuild_spec.options, configuration_option_table(rebuilt->configuration));
  group.commands = {std::move(rebuild_spec), std::move(show_spec)};
  return group;
}

}  // namespace salvor::cli
