#include <array>

#include <fmt/format.h>

#include "base/format.h"
#include "cli/application/protected_application.h"
#include "cli/application/status_text.h"
#include "cli/commands.h"
#include "cli/repository/snapshot_options.h"
#include "protect/key_figures.h"

namespace salvor::cli {
namespace {

constexpr int kUnproven = 30;
constexpr int kBreached = 31;
constexpr int kUnknown = 32;

struct Options {
  ConfigurationOptions configuration;
  bool figures = false;
  bool offline = false;
  Duration patience = std::chrono::seconds(60);
};

int status_of(Assurance state) {
  switch (state) {
    case Assurance::kProven:
      return 0;
    case Assurance::kUnproven:
      return kUnproven;
    case Assurance::kBreached:
      return kBreached;
    case Assurance::kUnknown:
      return kUnknown;
  }
  return kUnknown;
}

TextStyle style_of(const Terminal& terminal) {
  // Without a terminal nobody turns the paper: one line a store.
  return {.columns = terminal.out_is_terminal() ? terminal.columns() : 200,
          .color = terminal.out_is_terminal() && terminal.color()};
}

int show_figures(Session& session, const Application& application, const Survey& found) {
  const WallTime now = session.context.clock.now();
  std::vector<SourceFigures> all;
  for (const auto& [source, facts] : found.facts) {
    if (!facts.unreachable.empty()) {
      session.terminal.warn(
          "the repository of " + printable(source) + " cannot be asked: " + facts.unreachable,
          "Counted is what this machine knows.");
    }
  }
  for (const SourceSpec& source : application.sources) {
    SourceFigures& figures = all.emplace_back();
    figures.source = source.name;
    figures.promises = promises_of(application, source, now);
    for (const int days : {7, 30, 90}) {
      figures.periods.push_back(key_figures(figures.promises, found.facts.at(source.name).runs,
                                            std::chrono::days(days), now));
    }
  }
  if (session.terminal.json()) {
    session.terminal.print_json(figures_json(all));
  } else {
    session.terminal.print(figures_text(all, style_of(session.terminal)));
  }
  return 0;
}

int run(const Options& options, Session& session) {
  const auto patience = std::chrono::ceil<std::chrono::seconds>(options.patience);
  if (patience.count() <= 0) {
    throw Error(ErrorCode::kUsage, "--patience must be longer than nothing");
  }
  ProtectedApplication application(session, options.configuration);
  const Survey found = application.take_survey(session.context, patience, options.offline);
  if (options.figures) {
    return show_figures(session, application.application(), found);
  }
  const StatusReport report = assess_status(application.application(), found.facts, found.drills,
                                            session.context.clock.now());
  if (session.terminal.json()) {
    session.terminal.print_json(status_json(report));
  } else {
    session.terminal.print(status_text(report, style_of(session.terminal)));
  }
  return status_of(report.state);
}

}  // namespace

CommandSpec status_command() {
  auto options = std::make_shared<Options>();
  CommandSpec command{
      .name = "status",
      .summary = "Say whether the application could be recovered right now",
      .description =
          "Says to when everything could be recovered, and when that was proven last; then for "
          "each store what would be lost against the objective (RPO), how long a recovery takes "
          "against the objective (RTO; with ~ a forecast from measured rates), how many copies "
          "there are (copies-kinds-off-site-immutable-errors, as in 3-2-1-1-0), and when it was "
          "and will be proven. Below, what is wrong and what to do.\n\n"
          "A store is proven when a restore of it was looked into, that proof still stands, and "
          "its objectives are met; unproven when nobody ever restored it; unknown when its "
          "repository cannot be reached or the proof is too old; breached when an objective is "
          "not met or the last proof failed. The exit status says the same of the worst store.\n\n"
          "With a repository that cannot be reached, what this machine saw last is shown.",
      .options = {{.long_name = "figures",
                   .help = "show key figures of the last 7, 30 and 90 days instead",
                   .target = &options->figures},
                  {.long_name = "offline",
                   .help = "ask no repository; only what this machine has seen",
                   .target = &options->offline},
                  {.long_name = "patience",
                   .value_name = "duration",
                   .help = "how long a repository may take to answer",
                   .target = &options->patience,
                   .default_text = "1m"}},
      .examples = {{"salvor status", "Could we recover right now?"},
                   {"salvor status --json", "For monitoring"},
                   {"salvor status --figures", "Success rate, times and losses"}},
      .exit_codes = {{0, "proven: everything is within its objectives"},
                     {1, "an error"},
                     {kUnproven, "unproven: some store was never restored"},
                     {kBreached, "breached: an objective is not met, or the last proof failed"},
                     {kUnknown, "unknown: a repository cannot be reached, or a proof is too old"},
                     {64, "wrong usage, or a configuration with mistakes"},
                     {130, "interrupted"}},
      .run = [options](Session& session) { return run(*options, session); },
  };
  add_options(command.options, configuration_option_table(options->configuration));
  return command;
}

}  // namespace salvor::cli
