#include <chrono>

#include <fmt/format.h>

#include "base/format.h"
#include "cli/application/configuration_access.h"
#include "cli/commands.h"
#include "cli/output/json_writer.h"
#include "cli/output/table.h"
#include "connector/postgres/backup_facts.h"
#include "model/schedule.h"
#include "protect/due.h"

namespace salvor::cli {
namespace {

constexpr size_t kMostRuns = 500;
constexpr uint64_t kMostDays = 3660;

struct Options {
  uint64_t days = 7;
  ConfigurationOptions configuration;
};

// "Sat 21 Nov 02:00:00": on the clock of a zone.
std::string local_text(const TimeZone& zone, WallTime time) {
  static constexpr std::array kWeekdays{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  const LocalSeconds local = zone.local(std::chrono::floor<std::chrono::seconds>(time));
  const auto day = std::chrono::floor<std::chrono::days>(local);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(local - day);
  return fmt::format("{} {:04}-{:02}-{:02} {:02}:{:02}:{:02}",
                     kWeekdays[std::chrono::weekday(day).c_encoding()], int(date.year()),
                     unsigned(date.month()), unsigned(date.day()), clock.hours().count(),
                     clock.minutes().count(), clock.seconds().count());
}

int run(const Options& options, Session& session) {
  if (options.days == 0 || options.days > kMostDays) {
    throw Error(ErrorCode::kUsage, "--days must be between 1 and 3660");
  }
  const config::Configuration loaded = load_configuration_for(session, options.configuration);
  const Application& application = loaded.application;
  const WallTime now = session.context.clock.now();
  const std::vector<NextRun> runs =
      next_runs(application, now, now + std::chrono::days(options.days), kMostRuns);
  Table table;
  table.add_column("Local time");
  table.add_column("Zone");
  table.add_column("UTC");
  table.add_column("What");
  table.add_column("Why");
  for (const NextRun& next : runs) {
    const std::string name =
        !next.job.time_zone.empty() ? next.job.time_zone : application.time_zone;
    const TimeZone otherwise = TimeZone::named(name.empty() ? "UTC" : name);
    const TimeZone zone = Schedule::parse(next.job.schedule, otherwise).zone();
    if (session.terminal.json()) {
      JsonWriter json;
      json.begin_message("next_run");
      json.field("kind", std::string(name_of(next.job.kind)))
          .field("subject", next.job.subject)
          .field("repository", next.job.repository)
          .field("at", postgres::format_utc(next.at))
          .field("local", local_text(zone, next.at))
          .field("zone", zone.name())
          .field("why", next.why);
      session.terminal.print_json(json.end_object());
    } else {
      table.add_row({local_text(zone, next.at), zone.name(),
                     postgres::format_utc(next.at).substr(0, 16) + "Z",
                     printable(next.job.display()), printable(next.why)});
    }
  }
  if (session.terminal.json()) {
    if (runs.size() == kMostRuns) {
      session.terminal.warn(fmt::format("only the first {} runs are listed", kMostRuns),
                            "Look less far ahead with --days.");
    }
  } else {
    session.terminal.print(table.text());
    if (runs.empty()) {
      session.terminal.print_summary("nothing is scheduled in that time");
    } else if (runs.size() == kMostRuns) {
      session.terminal.print_summary(fmt::format("the first {} are shown", kMostRuns));
    }
  }
  return 0;
}

CommandSpec show_spec() {
  auto options = std::make_shared<Options>();
  CommandSpec command{
      .name = "show",
      .summary = "List what will run when, and why",
      .description =
          "Lists the next runs of all schedules of the configuration in the order of time: on the "
          "clock of the schedule's zone and in UTC. Jitter is included, so these are the times at "
          "which `salvor run` finds them due; what waits for a policy's window is "
          "listed when that opens. Copies without a schedule of their own follow each "
          "backup.",
      .options = {{.long_name = "days",
                   .value_name = "n",
                   .help = "how far to look ahead",
                   .target = &options->days}},
      .exit_codes = {{0, "success"}, {1, "an error"}, {64, "wrong usage or configuration"}},
      .run = [options](Session& session) { return run(*options, session); },
  };
  add_options(command.options, configuration_option_table(options->configuration));
  return command;
}

}  // namespace

CommandSpec schedule_command() {
  return {
      .name = "schedule",
      .summary = "Show when the configuration's jobs run",
      .commands = {show_spec()},
  };
}

}  // namespace salvor::cli
