#include "cli/application/retention_plan_command.h"

#include <fmt/format.h>

#include "base/format.h"
#include "cli/application/application_jobs.h"
#include "cli/application/status_text.h"
#include "cli/output/table.h"
#include "cli/postgres/postgres_options.h"
#include "cli/repository/snapshot_options.h"
#include "protect/time_text.h"

namespace salvor::cli {
namespace {

struct Options {
  ConfigurationOptions configuration;
  std::optional<std::string> source;
  Consent consent;
};

struct PlannedSource {
  std::string source;
  std::string repository;  // its own
  std::vector<RetentionOfPlace> places;
  [[nodiscard]] size_t removed() const {
    size_t all = 0;
    for (const RetentionOfPlace& place : places) {
      all += place.plan.removed().size();
    }
    return all;
  }
};

std::string joined(const std::vector<std::string>& parts) {
  std::string text;
  for (const std::string& part : parts) {
    text += (text.empty() ? "" : "\n") + printable(part);
  }
  return text;
}

const char* quality_text(const RetentionPoint& point) {
  if (point.proven_at && point.quality == PointQuality::kGood) {
    return "proven";
  }
  switch (point.quality) {
    case PointQuality::kGood:
      return "verified";
    case PointQuality::kUnknown:
      return "not known";
    case PointQuality::kBad:
      return "not good";
  }
  return "";
}

void print_place(Session& session, const std::string& source, const RetentionOfPlace& place,
                 WallTime now) {
  Terminal& terminal = session.terminal;
  terminal.print_line(fmt::format("{} in {}: keep {}", printable(source),
                                  printable(place.repository), rule_text(place.rule)));
  Table table;
  table.add_column("");
  table.add_column("Snapshot");
  table.add_column("Data of");
  table.add_column("Is");
  table.add_column("Why");
  for (const PointDecision& decision : place.plan.decisions) {
    table.add_row({decision.keep() ? "keep" : "REMOVE", decision.point.snapshot.substr(0, 8),
                   instant_text(decision.point.captured, now), quality_text(decision.point),
                   decision.keep() ? joined(decision.reasons) : decision.why_not});
  }
  table.add_footer(fmt::format("{} stay, {} go", place.plan.kept(), place.plan.removed().size()));
  terminal.print(table.text());
  if (place.plan.log_from) {
    terminal.print_line(fmt::format("A log, where there is one, is kept from {} on: {}.",
                                    instant_text(*place.plan.log_from, now),
                                    place.plan.log_reason));
  }
  terminal.print_line("");
}

void print_json(Session& session, const std::vector<PlannedSource>& planned, bool applied) {
  JsonWriter json;
  json.begin_message("retention_plan").field("applied", applied).key("places").begin_array();
  for (const PlannedSource& each : planned) {
    for (const RetentionOfPlace& place : each.places) {
      json.begin_object().field("source", each.source).field("repository", place.repository);
      json.field("keep", place.plan.kept()).field("remove", place.plan.removed().size());
      append_time(json, "log_from", place.plan.log_from);
      json.key("points").begin_array();
      for (const PointDecision& decision : place.plan.decisions) {
        json.begin_object().field("snapshot", decision.point.snapshot);
        append_time(json, "captured", decision.point.captured);
        json.field("quality", quality_text(decision.point)).field("keep", decision.keep());
        json.field("reasons", decision.reasons).field("why_not", decision.why_not).end_object();
      }
      json.end_array().end_object();
    }
  }
  session.terminal.print_json(json.end_array().end_object());
}

std::vector<PlannedSource> plan(const Options& options, Session& session, ApplicationJobs& jobs) {
  if (options.source) {
    static_cast<void>(source_of(jobs.application(), *options.source));  // it must be there
  }
  std::vector<PlannedSource> planned;
  for (const SourceSpec& source : jobs.application().sources) {
    if (!options.source || *options.source == source.name) {
      planned.push_back(
          {source.name, source.repository, jobs.plan_retention(session.context, source.name)});
    }
  }
  if (!session.terminal.json()) {
    for (const PlannedSource& each : planned) {
      for (const RetentionOfPlace& place : each.places) {
        print_place(session, each.source, place, session.context.clock.now());
      }
    }
  }
  return planned;
}

int show(const Options& options, Session& session) {
  ApplicationJobs jobs(session, options.configuration);
  const std::vector<PlannedSource> planned = plan(options, session, jobs);
  if (session.terminal.json()) {
    print_json(session, planned, false);
  }
  return 0;
}

int apply(const Options& options, Session& session) {
  ApplicationJobs jobs(session, options.configuration);
  const std::vector<PlannedSource> planned = plan(options, session, jobs);
  size_t removed = 0;
  std::vector<std::string> what;
  for (const PlannedSource& each : planned) {
    removed += each.removed();
    what.push_back(fmt::format("{} snapshots of {} are removed", each.removed(), each.source));
  }
  if (removed > 0) {
    require_consent(session, options.consent, what, jobs.application().name);
    for (const PlannedSource& each : planned) {
      if (each.removed() > 0) {
        const DueJob due{.job = {.kind = RunKind::kRetention,
                                 .subject = each.source,
                                 .repository = each.repository},
                         .due = {},
                         .missed = {},
                         .why = "asked for"};
        static_cast<void>(run_job(session.context, jobs.application(), jobs, jobs, due,
                                  current_user_name() + "@" + current_host_name()));
      }
    }
    jobs.send_records(session.context);
  }
  if (session.terminal.json()) {
    print_json(session, planned, true);
  } else {
    session.terminal.print_summary(removed == 0 ? "nothing is to be removed"
                                                : fmt::format("removed {} snapshots", removed));
  }
  return 0;
}

CommandSpec with_options(CommandSpec command, const std::shared_ptr<Options>& options) {
  command.positionals = {
      {.name = "source", .target = &options->source, .help = "of the configuration; else all"}};
  command.exit_codes = with_exit_codes(kRepositoryExitCodes, {});
  add_options(command.options, configuration_option_table(options->configuration));
  return command;
}

}  // namespace

CommandSpec retention_plan_command() {
  auto options = std::make_shared<Options>();
  return with_options(
      {.name = "plan",
       .summary = "Show what the policies keep, why each point stays, and what goes",
       .description =
           "For each source and each place of its copies. Only points whose backup was complete "
           "and verified, or that a restore proved, fill slots: when new backups fail, the last "
           "good ones do not grow old. What was proven last and the newest good point always "
           "stay. See docs/retention.md.",
       .examples = {{"salvor retention plan", "Before anything is removed"}},
       .run = [options](Session& session) { return show(*options, session); }},
      options);
}

CommandSpec retention_apply_command() {
  auto options = std::make_shared<Options>();
  CommandSpec command = with_options(
      {.name = "apply",
       .summary = "Remove what the policies do not keep",
       .description = "Shows the plan, asks, then removes snapshots and prunes. `salvor run` does "
                      "the same after backups without asking.",
       .examples = {{"salvor retention apply --yes", "Without a question"}},
       .run = [options](Session& session) { return apply(*options, session); }},
      options);
  add_options(command.options, consent_options(options->consent));
  return command;
}

}  // namespace salvor::cli
