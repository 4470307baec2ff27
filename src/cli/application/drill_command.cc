// drill: the recovery rehearsed in a sandbox, measured, signed.
#include <algorithm>

#include <fmt/format.h>

#include "base/format.h"
#include "cli/application/calendar_drill.h"
#include "cli/application/plan_session.h"
#include "cli/commands.h"
#include "cli/output/table.h"
#include "cli/secret_reader.h"
#include "config/leaf.h"
#include "evidence/evidence_keys.h"
#include "evidence/evidence_store.h"
#include "model/count_text.h"
#include "model/duration_text.h"
#include "protect/drill.h"
#include "protect/drill_area.h"
#include "protect/time_text.h"

namespace salvor::cli {
namespace {

struct Options {
  ConfigurationOptions configuration;
  std::string plan;
  std::vector<std::string> sources;
  std::string scenario;
  std::string sandbox;
  std::string drill;
  std::string id;
  std::optional<std::string> keep;
  bool all = false;
  bool no_evidence = false;
};

std::string program_name() {
  return std::string("salvor ") + SALVOR_VERSION;
}

SandboxSpec sandbox_of(const Application& application, const std::string& name) {
  if (!name.empty()) {
    if (const SandboxSpec* found = find_named(application.sandboxes, name)) {
      return *found;
    }
    throw Error(ErrorCode::kNotFound, "there is no sandbox \"" + printable(name) + "\"",
                "The configuration lists them under `sandboxes:`.");
  }
  if (!application.sandboxes.empty()) {
    return application.sandboxes.front();
  }
  return {.name = "default"};
}

unsigned older_percent(const Application& application, const std::vector<std::string>& sources) {
  unsigned percent = 0;
  for (const std::string& name : sources) {
    const SourceSpec* source = find_named(application.sources, name);
    const PolicySpec* policy =
        source == nullptr ? nullptr : find_named(application.policies, source->policy);
    percent = std::max(percent, policy == nullptr ? 0 : policy->verification.older_point_percent);
  }
  return percent;
}

// Longer than this nobody looks, and disks are full.
constexpr std::chrono::hours kLongestKeep{24 * 7};

std::chrono::seconds parse_keep(const std::string& text) {
  const auto keep = config::parse_period(text);
  if (!keep || *keep > kLongestKeep) {
    throw Error(ErrorCode::kUsage, "\"" + printable(text) + "\" is no time to keep a sandbox",
                "Write 2h or 3d; at most 7d.");
  }
  return *keep;
}

DrillOrder order_of(const PlanSession& plans, const Options& options, Random& random) {
  DrillOrder order;
  order.id = plan::RunFolder::new_id(random);
  order.program = program_name();
  order.scenario = options.scenario;
  std::string plan = options.plan;
  std::string sandbox = options.sandbox;
  if (!options.drill.empty()) {
    const DrillSpec* spec = find_named(plans.application().drills, options.drill);
    if (spec == nullptr) {
      throw Error(ErrorCode::kNotFound, "there is no drill \"" + printable(options.drill) + "\"",
                  "The configuration lists them under `drills:`.");
    }
    order.name = spec->name;
    plan = plan.empty() ? spec->plan : plan;
    order.scenario = order.scenario.empty() ? spec->scenario : order.scenario;
    sandbox = sandbox.empty() ? spec->sandbox : sandbox;
  }
  if (!plan.empty()) {
    if (!options.sources.empty()) {
      throw Error(ErrorCode::kUsage, "--source is for drills without a plan");
    }
    order.plan = plans.plan(plan);
    order.sources = order.plan->sources();
  }
  if (order.sources.empty()) {
    order.sources = options.sources.empty() ? plans.source_names() : options.sources;
  }
  order.sandbox = sandbox_of(plans.application(), sandbox);
  order.keep = options.keep ? parse_keep(*options.keep) : order.sandbox.keep;
  order.older_point_percent = older_percent(plans.application(), order.sources);
  return order;
}

std::string limit_text(const std::optional<double>& objective) {
  return objective ? " of " + duration_text(*objective) : "";
}

// When, counted from the disaster, and how long.
std::string step_times(const DrillReport& report, const DrillStep& step) {
  if (step.started == WallTime{} || step.finished < step.started) {
    return {};
  }
  const auto seconds = [](auto duration) {
    return std::chrono::duration<double>(duration).count();
  };
  std::string text = fmt::format("{:.1f} s", seconds(step.finished - step.started));
  if (report.declared != WallTime{} && step.finished >= report.declared) {
    text += fmt::format(", there {:.1f} s after the disaster",
                        seconds(step.finished - report.declared));
  }
  return text;
}

void print_steps(Terminal& terminal, const DrillReport& report) {
  size_t cut_off = 0;
  std::string open;
  for (const DrillStep& step : report.steps) {
    const std::string times = step_times(report, step);
    terminal.print_line(
        fmt::format("  step {}: {}{}{}", step.id, step.state, times.empty() ? "" : " in ", times));
    cut_off += step.network == "off" ? 1 : 0;
    if (step.network.starts_with("open")) {
      open += fmt::format("{}{} ({})", open.empty() ? "" : ", ", step.id,
                          printable(step.network.substr(step.network.find(' ') + 1)));
    }
  }
  if (cut_off > 0 || !open.empty()) {
    terminal.print_line(fmt::format("  network: {} cut off from it{}", counted(cut_off, "command"),
                                    open.empty() ? "" : "; with it: " + open));
  }
}

void print_kept(Terminal& terminal, const DrillReport& report, WallTime now) {
  if (report.kept.empty()) {
    return;
  }
  terminal.print_line("  sandboxes are kept until " + instant_text(report.kept_until, now) + ":");
  for (const std::string& line : report.kept) {
    terminal.print_line("    " + printable(line));
  }
  terminal.print_line("    away with them: salvor drill clean " + report.id.substr(0, 8));
}

void print_report(Session& session, const DrillReport& report) {
  Terminal& terminal = session.terminal;
  terminal.print_line(fmt::format("drill {} {}", report.id.substr(0, 8), name_of(report.outcome)));
  for (const DrillPoint& point : report.points) {
    terminal.print_line(fmt::format("  {}: snapshot {}{}{}", point.source,
                                    point.snapshot.substr(0, 8),
                                    point.older ? " (an older one)" : "",
                                    point.fault.empty() ? "" : ", " + printable(point.fault)));
  }
  print_steps(terminal, report);
  size_t passed = 0;
  for (const CheckResult& check : report.checks) {
    passed += check.passed ? 1 : 0;
    if (!check.passed) {
      terminal.print_line(fmt::format("  failed: {}: found {}, expected {}", printable(check.name),
                                      printable(check.value), printable(check.expected)));
    }
  }
  terminal.print_line(fmt::format("  {} of {} checks passed", passed, report.checks.size()));
  for (const DrillMeasure& measure : report.measures) {
    std::string line = "  " + (measure.source.empty() ? "application" : measure.source) + ":";
    if (measure.rto_seconds) {
      line += " recovered in " + duration_text(*measure.rto_seconds) +
              limit_text(measure.rto_objective_seconds);
    }
    if (measure.rpo_seconds) {
      line += std::string(measure.rto_seconds ? "," : "") + " would lose " +
              duration_text(*measure.rpo_seconds) + limit_text(measure.rpo_objective_seconds);
    }
    terminal.print_line(line + (measure.met ? "" : "  MISSED"));
  }
  for (const std::string& one : report.findings) {
    terminal.print_line("  finding: " + printable(one));
  }
  print_kept(terminal, report, session.context.clock.now());
}

double seconds_between(WallTime from, WallTime to) {
  return std::max(0.0, std::chrono::duration<double>(to - from).count());
}

void print_json(Session& session, const DrillReport& report) {
  JsonWriter json;
  json.begin_message("drill_report").field("id", report.id).field("plan", report.plan);
  json.field("outcome", std::string(name_of(report.outcome))).field("scenario", report.scenario);
  json.field("plan_hash", report.plan_hash).field("findings", report.findings);
  json.key("checks").begin_array();
  for (const CheckResult& check : report.checks) {
    json.begin_object().field("name", check.name).field("passed", check.passed);
    json.field("value", check.value).field("expected", check.expected).end_object();
  }
  json.end_array().key("measures").begin_array();
  for (const DrillMeasure& measure : report.measures) {
    json.begin_object().field("source", measure.source).field("met", measure.met);
    if (measure.rto_seconds) {
      json.field("rto_seconds", *measure.rto_seconds);
    }
    if (measure.rpo_seconds) {
      json.field("rpo_seconds", *measure.rpo_seconds);
    }
    json.end_object();
  }
  json.end_array().key("steps").begin_array();
  for (const DrillStep& step : report.steps) {
    json.begin_object().field("id", step.id).field("kind", step.kind).field("state", step.state);
    if (step.started != WallTime{}) {
      json.field("seconds", seconds_between(step.started, step.finished));
      json.field("seconds_after_disaster", seconds_between(report.declared, step.finished));
    }
    json.field("network", step.network).end_object();
  }
  json.end_array().field("kept", report.kept).key("points").begin_array();
  for (const DrillPoint& point : report.points) {
    json.begin_object().field("source", point.source).field("snapshot", point.snapshot);
    json.field("older", point.older).field("fault", point.fault).end_object();
  }
  session.terminal.print_json(json.end_array().end_object());
}

// Null: there is none.
const SourceSpec* first_source(const PlanSession& plans, const DrillOrder& order) {
  return order.sources.empty() ? nullptr
                               : find_named(plans.application().sources, order.sources[0]);
}

// A key that is made after a drill cannot have signed it: the first one is made before.
void prepare_evidence(PlanSession& plans, Session& session, const DrillOrder& order) {
  const SourceSpec* source = first_source(plans, order);
  if (source == nullptr) {
    return;
  }
  try {
    plans.with_repository(source->repository, [&](OpenedRepository& opened, Session& inner) {
      static_cast<void>(EvidenceKeys(*opened.repository, secret_reader(inner))
                            .signer(session.context, plans.people().who()));
    });
  } catch (const Error& error) {
    session.terminal.warn("evidence will not be kept: " + error.message(), error.hint());
  }
}

// Signed, into the repository of the first source; also when there was nothing to restore.
void keep_evidence(PlanSession& plans, Session& session, const DrillOrder& order,
                   const DrillReport& report) {
  const SourceSpec* source = first_source(plans, order);
  if (source == nullptr) {
    return;
  }
  const Context calm = session.context.with_stop({});
  try {
    plans.with_repository(source->repository, [&](OpenedRepository& opened, Session& inner) {
      const EvidenceKeys keys(*opened.repository, secret_reader(inner));
      const EvidenceStore store(*opened.repository);
      const Evidence kept = store.add(calm, report, keys.signer(calm, report.who));
      session.terminal.print_summary("evidence " + report.id.substr(0, 8) + " signed with key " +
                                     kept.key_id.substr(0, 16) +
                                     ": `salvor evidence report` shows it");
    });
  } catch (const Error& error) {
    session.terminal.warn("the evidence could not be kept: " + error.message(), error.hint());
  }
}

// The drill with its evidence; its records come back, the drill's own first.
std::pair<DrillReport, std::vector<RunRecord>> rehearse(PlanSession& plans, Session& session,
                                                        const Options& options) {
  const DrillOrder order = order_of(plans, options, session.context.random);
  const DrillTools tools{
      .application = plans.application(),
      .stores = plans.stores(),
      .folder = plans.folder(),
      .secrets = plans.secrets(),
      .observer = plans.tree(),
      .people = plans.people(),
      .say = [&](const std::string& text) { session.terminal.message(printable(text)); },
      .begin =
          [&](const plan::PlanRun& run) {
            plans.tree().begin(run.graph(), run.state(), run.id());
          }};
  if (!options.no_evidence) {
    prepare_evidence(plans, session, order);
  }
  DrillResult result = run_drill(session.context, tools, order);
  const DrillReport& report = result.report;
  plans.tree().close();
  if (session.terminal.json()) {
    print_json(session, report);
  } else {
    print_report(session, report);
  }
  if (!options.no_evidence && report.outcome != RunOutcome::kInterrupted) {
    keep_evidence(plans, session, order, report);
  }
  std::vector<RunRecord> records = drill_records(plans.application(), result);
  // One that ended before it had chosen a point has no repository yet to be recorded in.
  if (const SourceSpec* source = first_source(plans, order);
      source != nullptr && records.front().repository.empty()) {
    records.front().repository = source->repository;
  }
  return {std::move(result.report), std::move(records)};
}

int run_drill_command(const Options& options, Session& session) {
  PlanSession plans(session, options.configuration);
  const auto [report, records] = rehearse(plans, session, options);
  const Context calm = session.context.with_stop({});
  for (const RunRecord& record : records) {
    plans.write_down(calm, record);
  }
  switch (report.outcome) {
    case RunOutcome::kSucceeded:
      return 0;
    case RunOutcome::kIncomplete:
      return exit_status(ErrorCode::kIncomplete);
    case RunOutcome::kInterrupted:
      return exit_status(ErrorCode::kCancelled);
    default:
      return exit_status(ErrorCode::kFailed);
  }
}

int run_list(const Options& options, Session& session) {
  const PlanSession plans(session, options.configuration);
  Table table;
  for (const char* name : {"Drill", "Plan", "Scenario", "Schedule", "Sandbox"}) {
    table.add_column(name);
  }
  for (const DrillSpec& drill : plans.application().drills) {
    if (session.terminal.json()) {
      JsonWriter json;
      json.begin_message("drill").field("name", drill.name).field("plan", drill.plan);
      json.field("scenario", drill.scenario).field("schedule", drill.schedule);
      session.terminal.print_json(json.end_object());
    } else {
      table.add_row({drill.name, drill.plan.empty() ? "every source" : drill.plan, drill.scenario,
                     drill.schedule, drill.sandbox});
    }
  }
  if (!session.terminal.json()) {
    session.terminal.print(table.text());
  }
  return 0;
}

int run_kept(const Options& options, Session& session) {
  const PlanSession plans(session, options.configuration);
  for (const auto& place : sandbox_places(plans.application())) {
    for (const KeptArea& area : DrillArea::kept(place)) {
      if (session.terminal.json()) {
        JsonWriter json;
        json.begin_message("kept_sandbox").field("drill", area.id);
        json.field("until", plan::time_text(area.until)).field("enter", area.enter);
        session.terminal.print_json(json.end_object());
        continue;
      }
      session.terminal.print_line(
          fmt::format("drill {}, until {}", area.id.substr(0, 8),
                      instant_text(area.until, session.context.clock.now())));
      for (const std::string& line : area.enter) {
        session.terminal.print_line("  " + printable(line));
      }
    }
  }
  return 0;
}

int run_clean(const Options& options, Session& session) {
  const PlanSession plans(session, options.configuration);
  size_t removed = 0;
  for (const auto& place : sandbox_places(plans.application())) {
    removed += DrillArea::remove_dead(place, session.context.clock.now()).size();
    for (const KeptArea& area : DrillArea::kept(place)) {
      if (options.all || (!options.id.empty() && area.id.starts_with(options.id))) {
        DrillArea::remove(place, area);
        ++removed;
      }
    }
  }
  if (removed == 0 && !options.id.empty()) {
    throw Error(ErrorCode::kNotFound, "no drill " + printable(options.id) + " has left sandboxes",
                "`salvor drill kept` lists those that have.");
  }
  session.terminal.print_summary(fmt::format("{} removed", removed));
  return 0;
}

CommandSpec run_spec() {
  const auto options = std::make_shared<Options>();
  CommandSpec command{
      .name = "run",
      .summary = "Rehearse a recovery in a sandbox, measure it, sign what was found",
      .description =
          "Restores each source into a throw-away sandbox, makes the scenario's fault real there, "
          "runs the plan against it, checks, measures recovery time and data loss against the "
          "objectives, and removes everything. Without a plan every source is restored, started "
          "and checked. Production is never touched: steps that act on something other than the "
          "target are left out and listed.\n\nNow and then (older-point-percent of the policy) a "
          "random older point is taken instead of the newest.",
      .positionals = {{.name = "plan", .target = &options->plan, .help = "plan to rehearse"}},
      .options = configuration_option_table(options->configuration),
      .examples = {{"salvor drill run", "Restore, start and check every source"},
                   {"salvor drill run recover --scenario deletion",
                    "Delete rows in the sandbox and run the plan"}},
      .exit_codes =
          with_exit_codes(kRepositoryExitCodes,
                          {{0, "everything passed, within the objectives"},
                           {1, "the drill failed: the application could not be recovered so"},
                           {3, "recovered, but an objective was missed or nothing was checked"}}),
      .run = [options](Session& session) { return run_drill_command(*options, session); }};
  const std::vector<OptionSpec> more{
      {.long_name = "source",
       .value_name = "name",
       .help = "without a plan: only this source (repeatable)",
       .target = &options->sources},
      {.long_name = "scenario",
       .value_name = "name",
       .help = "the disaster that is made real in the sandbox",
       .target = &options->scenario,
       .choices = drill_scenarios()},
      {.long_name = "sandbox",
       .value_name = "name",
       .help = "sandbox of the configuration",
       .target = &options->sandbox},
      {.long_name = "drill",
       .value_name = "name",
       .help = "a drill of the configuration's calendar, with its plan, scenario and sandbox",
       .target = &options->drill},
      {.long_name = "keep",
       .value_name = "duration",
       .help = "keep the sandboxes so long for a look, as the sandbox's `keep` (at most 7d)",
       .target = &options->keep},
      {.long_name = "no-evidence",
       .help = "do not sign and keep what was found",
       .target = &options->no_evidence}};
  command.options.insert(command.options.end(), more.begin(), more.end());
  return command;
}

}  // namespace

RunRecord run_calendar_drill(Session& session, const ConfigurationOptions& options,
                             const std::string& name) {
  PlanSession plans(session, options);
  const auto [report, records] =
      rehearse(plans, session, {.configuration = options, .drill = name});
  const Context calm = session.context.with_stop({});
  for (size_t i = 1; i < records.size(); ++i) {
    plans.write_down(calm, records[i]);
  }
  return records.front();
}

CommandSpec drill_command() {
  CommandSpec group{.name = "drill", .summary = "Rehearse recoveries in a sandbox"};
  group.commands.push_back(run_spec());
  const auto options = std::make_shared<Options>();
  group.commands.push_back(
      {.name = "list",
       .summary = "List the drills of the calendar",
       .options = configuration_option_table(options->configuration),
       .run = [options](Session& session) { return run_list(*options, session); }});
  const auto kept = std::make_shared<Options>();
  group.commands.push_back(
      {.name = "kept",
       .summary = "List the sandboxes that drills have left for a look, and how to enter them",
       .options = configuration_option_table(kept->configuration),
       .run = [kept](Session& session) { return run_kept(*kept, session); }});
  const auto clean = std::make_shared<Options>();
  group.commands.push_back(
      {.name = "clean",
       .summary = "Remove sandboxes whose time is over, and those of a drill",
       .positionals = {{.name = "drill", .target = &clean->id, .help = "beginning of its id"}},
       .options = configuration_option_table(clean->configuration),
       .run = [clean](Session& session) { return run_clean(*clean, session); }});
  group.commands.back().options.push_back(
      {.long_name = "all", .help = "of all drills", .target = &clean->all});
  return group;
}

}  // namespace salvor::cli
