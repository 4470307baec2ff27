#include <fmt/format.h>

#include "base/format.h"
#include "cli/application/protected_application.h"
#include "cli/application/status_text.h"
#include "cli/commands.h"
#include "cli/output/table.h"
#include "cli/repository/snapshot_options.h"
#include "model/count_text.h"
#include "model/duration_text.h"
#include "protect/time_text.h"

namespace salvor::cli {
namespace {

struct Options {
  ConfigurationOptions configuration;
  std::optional<std::string> source;
  bool offline = false;
  uint64_t limit = 20;
};

std::string proof_text(const RecoveryPoint& point, WallTime now) {
  std::string text(name_of(point.proof));
  if (point.last_proof) {
    text += " " + ago_text(now - point.last_proof->at);
  }
  return text;
}

void print_points(Session& session, const StoreStatus& store, WallTime now, size_t limit) {
  Table table;
  table.add_column("Recoverable from");
  table.add_column("to");
  table.add_column("Snapshot");
  table.add_column("Size", Table::Align::kRight);
  table.add_column("Places", Table::Align::kRight);
  table.add_column("State");
  table.add_column("Label");
  for (size_t i = 0; i < store.points.size() && i < limit; ++i) {
    const RecoveryPoint& point = store.points[i];
    const RecoveryRange& range = point.range;
    std::string label = printable(range.label);
    if (!range.gap.empty()) {
      label += (label.empty() ? "" : "\n") + ("then a gap: " + printable(range.gap));
    }
    table.add_row({instant_text(range.captured, now),
                   range.until == range.captured
                       ? "only then"
                       : instant_text(range.until, now) + (range.open_ended ? " and on" : ""),
                   range.snapshot.substr(0, 8), format_bytes(range.bytes),
                   std::to_string(point.places), range.damaged ? "damaged" : proof_text(point, now),
                   label});
  }
  table.add_footer(fmt::format("{} of {} recovery points of {}",
                               std::min(limit, store.points.size()), store.points.size(),
                               printable(store.source)));
  session.terminal.print(table.text());
}

void print_common(Session& session, const StatusReport& report,
                  const std::vector<CommonPoint>& points) {
  Table table;
  table.add_column("Recoverable to");
  table.add_column("Apart", Table::Align::kRight);
  for (const StoreStatus& store : report.stores) {
    table.add_column(printable(store.source));
  }
  for (const CommonPoint& point : points) {
    std::vector<std::string> row{instant_text(point.time, report.at), span_text(point.skew)};
    for (size_t i = 0; i < point.states.size(); ++i) {
      row.push_back(instant_text(point.states[i], report.at) + "\nfrom " +
                    point.snapshots[i].substr(0, 8));
    }
    table.add_row(std::move(row));
  }
  table.add_footer(fmt::format("{} common to {} stores; `salvor points SOURCE` shows those of one",
                               counted(points.size(), "point"), report.stores.size()));
  session.terminal.print(table.text());
}

void append_point(JsonWriter& json, const RecoveryPoint& point) {
  const RecoveryRange& range = point.range;
  json.begin_object().field("snapshot", range.snapshot);
  append_time(json, "captured", range.captured);
  append_time(json, "until", range.until);
  append_time(json, "durable", range.durable);
  json.field("log_followed", range.open_ended).field("bytes", range.bytes);
  json.field("label", range.label).field("tags", range.tags).field("damaged", range.damaged);
  json.field("gap", range.gap).field("places", point.places);
  json.field("proof", name_of(point.proof));
  append_time(json, "proven_at",
              point.last_proof && point.last_proof->passed ? std::optional(point.last_proof->at)
                                                           : std::nullopt);
  append_time(json, "proven_until", point.proven_until);
  append_time(json, "proven_to", point.proven_reach);
  json.end_object();
}

void print_json(Session& session, const StatusReport& report,
                const std::vector<CommonPoint>& common, const Options& options) {
  JsonWriter json;
  json.begin_message("recovery_points").key("stores").begin_array();
  for (const StoreStatus& store : report.stores) {
    json.begin_object().field("source", store.source);
    append_time(json, "seen_at", store.seen_at);
    json.key("points").begin_array();
    for (size_t i = 0; i < store.points.size() && i < options.limit; ++i) {
      append_point(json, store.points[i]);
    }
    json.end_array().end_object();
  }
  json.end_array().key("common").begin_array();
  for (const CommonPoint& point : common) {
    json.begin_object();
    append_time(json, "time", point.time);
    append_seconds(json, "skew_seconds", point.skew);
    json.field("snapshots", point.snapshots).key("states").begin_array();
    LocalZone zone;
    for (const WallTime state : point.states) {
      json.value(zone.stamp(state));
    }
    json.end_array().end_object();
  }
  session.terminal.print_json(json.end_array().end_object());
}

int run(const Options& options, Session& session) {
  ProtectedApplication application(session, options.configuration);
  if (options.source) {
    static_cast<void>(source_of(application.application(), *options.source));
  }
  const Survey found =
      application.take_survey(session.context, std::chrono::minutes(5), options.offline);
  StatusReport report = assess_status(application.application(), found.facts, found.drills,
                                      session.context.clock.now());
  bool dead = false;
  for (const StoreStatus& store : report.stores) {
    if (!store.unreachable.empty() && (!options.source || store.source == *options.source)) {
      dead = true;
      session.terminal.warn(
          "the repository of " + printable(store.source) + " cannot be asked: " + store.unreachable,
          store.seen_at == WallTime{}
              ? "Nothing is known of it here."
              : "Shown is what was seen " + ago_text(report.at - store.seen_at) + ".");
    }
  }
  std::vector<CommonPoint> common;
  if (options.source) {
    std::erase_if(report.stores,
                  [&](const StoreStatus& store) { return store.source != *options.source; });
  } else {
    std::vector<std::vector<RecoveryPoint>> points;
    for (const StoreStatus& store : report.stores) {
      points.push_back(store.points);
    }
    common = common_points(points, Standard::kDurable, options.limit);
  }
  if (session.terminal.json()) {
    print_json(session, report, common, options);
  } else if (report.stores.size() == 1) {
    print_points(session, report.stores[0], report.at, options.limit);
  } else {
    print_common(session, report, common);
  }
  return dead ? exit_status(ErrorCode::kUnreachable) : 0;
}

}  // namespace

CommandSpec points_command() {
  auto options = std::make_shared<Options>();
  CommandSpec command{
      .name = "points",
      .summary = "List the times to which the application can be recovered",
      .description =
          "Without a source: the points common to all of them, newest first, with how far the "
          "states of the sources are apart. With one: its recovery points, each a snapshot with "
          "what its log reaches, in how many places it is, and whether a restore proved it.",
      .positionals = {{.name = "source",
                       .target = &options->source,
                       .help = "of the configuration"}},
      .options = {{.long_name = "limit",
                   .value_name = "n",
                   .help = "show at most so many",
                   .target = &options->limit,
                   .default_text = "20"},
                  {.long_name = "offline",
                   .help = "ask no repository; only what this machine has seen",
                   .target = &options->offline}},
      .examples = {{"salvor points", "To when could everything be brought back together?"},
                   {"salvor points database --limit 5", "The newest five of one source"}},
      .exit_codes = {{0, "success"},
                     {1, "an error"},
                     {23, "a repository cannot be reached; what was seen before is shown"},
                     {64, "wrong usage, or a configuration with mistakes"}},
      .run = [options](Session& session) { return run(*options, session); },
  };
  add_options(command.options, configuration_option_table(options->configuration));
  return command;
}

}  // namespace salvor::cli
