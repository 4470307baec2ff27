#include <fmt/format.h>

#include "base/format.h"
#include "cli/application/protected_application.h"
#include "cli/application/status_text.h"
#include "cli/commands.h"
#include "cli/output/table.h"
#include "cli/output/text.h"
#include "cli/repository/snapshot_options.h"
#include "codec/run_record_codec.h"
#include "model/duration_text.h"
#include "protect/time_text.h"

namespace salvor::cli {
namespace {

constexpr size_t kErrorColumns = 60;

struct Options {
  ConfigurationOptions configuration;
  std::optional<std::string> id;
  std::string kind;
  std::string source;
  std::optional<Duration> since;
  uint64_t limit = 30;
  bool offline = false;
};

Assurance color_of(RunOutcome outcome) {
  switch (outcome) {
    case RunOutcome::kSucceeded:
      return Assurance::kProven;
    case RunOutcome::kIncomplete:
    case RunOutcome::kInterrupted:
      return Assurance::kUnproven;
    case RunOutcome::kFailed:
    case RunOutcome::kMissed:
      return Assurance::kBreached;
  }
  return Assurance::kUnknown;
}

std::string result_text(const RunRecord& run) {
  if (!run.error.empty()) {
    std::string text = printable(run.error);
    return text.size() > kErrorColumns ? truncate_to_width(text, kErrorColumns) : text;
  }
  std::string text;
  if (!run.snapshot.empty()) {
    text = run.snapshot.substr(0, 8);
  }
  if (run.added_bytes > 0) {
    text += fmt::format("{}{} added", text.empty() ? "" : ", ", format_bytes(run.added_bytes));
  }
  if (!run.checks.empty()) {
    size_t passed = 0;
    for (const CheckResult& check : run.checks) {
      passed += check.passed ? 1 : 0;
    }
    text += fmt::format("{}{} of {} checks passed", text.empty() ? "" : ", ", passed,
                        run.checks.size());
  }
  return text;
}

void print_table(Session& session, const std::vector<RunRecord>& runs, WallTime now) {
  Table table;
  table.add_column("Started");
  table.add_column("Run");
  table.add_column("What");
  table.add_column("Of");
  table.add_column("Outcome");
  table.add_column("Took", Table::Align::kRight);
  table.add_column("Result");
  for (const RunRecord& run : runs) {
    table.add_row(
        {instant_text(run.started, now), run.id.substr(0, 8), std::string(name_of(run.kind)),
         printable(run.subject), std::string(name_of(run.outcome)),
         run.outcome == RunOutcome::kMissed
             ? ""
             : duration_text(std::chrono::duration<double>(run.finished - run.started).count()),
         result_text(run)});
  }
  table.add_footer(fmt::format("{} runs", runs.size()));
  session.terminal.print(table.text());
}

void print_run(Session& session, const RunRecord& run, WallTime now) {
  Terminal& terminal = session.terminal;
  const bool color = terminal.out_is_terminal() && terminal.color();
  terminal.print_line(
      fmt::format("{} of {}: {}", name_of(run.kind), printable(run.subject),
                  colored(std::string(name_of(run.outcome)), color_of(run.outcome), color)));
  const auto line = [&](const char* what, const std::string& value) {
    if (!value.empty()) {
      terminal.print_line(fmt::format("  {:<11} {}", what, printable(value)));
    }
  };
  const auto time = [&](const char* what, const std::optional<WallTime>& at) {
    line(what, at && *at != WallTime{} ? instant_text(*at, now) : "");
  };
  line("run", run.id);
  time("due", run.due);
  time("started", run.started);
  time("finished", run.finished);
  line("by", run.who);
  line("repository", run.repository);
  line("snapshot", run.snapshot);
  time("data of", run.captured);
  time("reached", run.reached);
  line("read", run.read_bytes > 0 ? format_bytes(run.read_bytes) : "");
  line("added", run.added_bytes > 0 ? format_bytes(run.added_bytes) : "");
  line("items", run.items > 0 ? std::to_string(run.items) : "");
  line("scenario", run.scenario);
  line("recovery", run.rto_seconds ? duration_text(*run.rto_seconds) : "");
  line("lost", run.rpo_seconds ? duration_text(*run.rpo_seconds) : "");
  line("error", run.error);
  line("next", run.hint);
  for (const CheckResult& check : run.checks) {
    terminal.print_line(
        fmt::format("  {}  {}{}{}",
                    colored(check.passed ? "ok  " : "FAIL",
                            check.passed ? Assurance::kProven : Assurance::kBreached, color),
                    printable(check.name), check.value.empty() ? "" : ": " + printable(check.value),
                    check.expected.empty() ? "" : " (expected " + printable(check.expected) + ")"));
  }
  for (const auto& [name, value] : run.facts) {
    line(name.c_str(), value);
  }
}

RunQuery query_of(const Options& options, WallTime now) {
  RunQuery query{.subject = options.source, .limit = options.limit};
  if (!options.kind.empty()) {
    query.kind = run_kind(options.kind);
  }
  if (options.since) {
    query.from = now - *options.since;
  }
  return query;
}

// As many as the query wants of this application, though others share the repository.
std::vector<RunRecord> newest_runs(Catalog& catalog, const Application& application,
                                   RunQuery query) {
  constexpr size_t kMore = 8;
  const size_t wanted = query.limit;
  for (;; query.limit = std::max(query.limit, query.limit * kMore)) {
    std::vector<RunRecord> runs = catalog.runs(query);
    const bool all = runs.size() < query.limit;
    std::erase_if(runs, [&](const RunRecord& each) { return !belongs_to(each, application); });
    if (all || runs.size() >= wanted) {
      runs.resize(std::min(runs.size(), wanted));
      return runs;
    }
  }
}

int show_one(const Options& options, Session& session, Catalog& catalog, WallTime now) {
  std::vector<RunRecord> found = catalog.runs({});
  std::erase_if(found, [&](const RunRecord& run) { return !run.id.starts_with(*options.id); });
  if (found.size() != 1) {
    throw Error(found.empty() ? ErrorCode::kNotFound : ErrorCode::kUsage,
                found.empty() ? "there is no run " + printable(*options.id)
                              : printable(*options.id) + " is the beginning of several runs",
                "`salvor runs` lists them.");
  }
  if (session.terminal.json()) {
    JsonWriter json;
    session.terminal.print_json(json.raw(encode_run_record(found[0])));
  } else {
    print_run(session, found[0], now);
  }
  return 0;
}

int run(const Options& options, Session& session) {
  ProtectedApplication application(session, options.configuration);
  const WallTime now = session.context.clock.now();
  if (!options.offline) {
    const Survey found = application.take_survey(session.context, std::chrono::minutes(1), false);
    for (const auto& [source, facts] : found.facts) {
      if (!facts.unreachable.empty()) {
        session.terminal.warn(
            "the repository of " + printable(source) + " cannot be asked: " + facts.unreachable,
            "Shown is what this machine knows.");
      }
    }
  }
  if (options.id) {
    return show_one(options, session, application.catalog(), now);
  }
  const std::vector<RunRecord> runs =
      newest_runs(application.catalog(), application.application(), query_of(options, now));
  if (session.terminal.json()) {
    JsonWriter json;
    json.begin_message("runs").key("runs").begin_array();
    for (const RunRecord& each : runs) {
      json.raw(encode_run_record(each));
    }
    session.terminal.print_json(json.end_array().end_object());
  } else {
    print_table(session, runs, now);
  }
  return 0;
}

}  // namespace

CommandSpec runs_command() {
  auto options = std::make_shared<Options>();
  std::vector<std::string> kinds;
  for (const RunKind kind :
       {RunKind::kBackup, RunKind::kVerify, RunKind::kRestore, RunKind::kDrill, RunKind::kPlan,
        RunKind::kCheck, RunKind::kRetention, RunKind::kCopy}) {
    kinds.emplace_back(name_of(kind));
  }
  CommandSpec command{
      .name = "runs",
      .summary = "Show what was run, and how it ended",
      .description =
          "Lists backups, restore tests, drills, restores and so on, newest first, of all machines "
          "that use the repositories. With the beginning of a run's id: all that is written down "
          "about it.",
      .positionals = {{.name = "run", .target = &options->id, .help = "the beginning of an id"}},
      .options = {{.long_name = "kind",
                   .value_name = "kind",
                   .help = "only runs of this kind",
                   .target = &options->kind,
                   .choices = std::move(kinds)},
                  {.long_name = "source",
                   .value_name = "name",
                   .help = "only runs of this source, plan or drill",
                   .target = &options->source},
                  {.long_name = "since",
                   .value_name = "duration",
                   .help = "only of so long",
                   .target = &options->since},
                  {.long_name = "limit",
                   .value_name = "n",
                   .help = "show at most so many",
                   .target = &options->limit,
                   .default_text = "30"},
                  {.long_name = "offline",
                   .help = "ask no repository; only what this machine has seen",
                   .target = &options->offline}},
      .examples = {{"salvor runs --kind verify", "What was proven when"},
                   {"salvor runs 1a2b3c4d", "All about one run"}},
      .exit_codes = {{0, "success"},
                     {1, "an error"},
                     {24, "there is no such run"},
                     {64, "wrong usage, or a configuration with mistakes"}},
      .run = [options](Session& session) { return run(*options, session); },
  };
  add_options(command.options, configuration_option_table(options->configuration));
  return command;
}

}  // namespace salvor::cli
