#include <thread>

#include <fmt/format.h>

#include "base/format.h"
#include "cli/application/retention_plan_command.h"
#include "cli/commands.h"
#include "cli/output/progress.h"
#include "cli/output/table.h"
#include "cli/repository/snapshot_options.h"
#include "cli/repository_access.h"
#include "engine/copies/object_locks.h"

namespace salvor::cli {
namespace {

constexpr uint64_t kMostDays = 36'500;

struct Options {
  std::optional<uint64_t> days;
  bool dry_run = false;
};

std::string time_text(const std::optional<WallTime>& time) {
  LocalZone zone;
  return time ? local_time_text(zone.stamp(*time)) : "";
}

void print_json(Session& session, const LockReport& report, bool dry_run) {
  LocalZone zone;
  JsonWriter json;
  json.begin_message("retention").field("dry_run", dry_run);
  json.field("objects", report.objects()).field("protected", report.held());
  json.field("extended", report.extended()).field("failed", report.failed);
  json.field("legal_holds", report.legal_holds);
  json.field("compliance", report.compliance).key("protected_until");
  const auto first = report.first_end();
  first ? json.value(zone.stamp(*first)) : json.null();
  json.key("kinds").begin_object();
  for (const LockCount& kind : report.kinds) {
    json.key(object_kind_name(kind.kind)).begin_object();
    json.field("objects", kind.objects).field("protected", kind.held);
    json.field("extended", kind.extended).key("first_end");
    kind.first_end ? json.value(zone.stamp(*kind.first_end)) : json.null();
    json.end_object();
  }
  session.terminal.print_json(json.end_object().end_object());
}

void print_text(Session& session, const LockReport& report, const Options& options) {
  Table table;
  table.add_column("What");
  table.add_column("Needed", Table::Align::kRight);
  table.add_column("Protected", Table::Align::kRight);
  if (options.days) {
    table.add_column(options.dry_run ? "Would extend" : "Extended", Table::Align::kRight);
  }
  table.add_column("First until");
  for (const LockCount& kind : report.kinds) {
    std::vector<std::string> row{std::string(object_kind_name(kind.kind)),
                                 std::to_string(kind.objects), std::to_string(kind.held)};
    if (options.days) {
      row.push_back(std::to_string(kind.extended));
    }
    row.push_back(time_text(kind.first_end));
    table.add_row(std::move(row));
  }
  const uint64_t free = report.objects() - report.held();
  table.add_footer(free > 0 ? std::to_string(free) + " of " + std::to_string(report.objects()) +
                                  " needed objects are not protected"
                   : report.first_end() ? "everything that the snapshots need is protected until " +
                                              time_text(report.first_end())
                                        : "everything that the snapshots need is under legal hold");
  session.terminal.print(table.text());
}

int run(const Options& options, Session& session) {
  if (options.days && (*options.days == 0 || *options.days > kMostDays)) {
    throw Error(ErrorCode::kUsage, "--days must be from 1 to 36500");
  }
  const OpenedRepository opened = open_repository(session);
  opened.repository->load_index(opened.context);
  LockOptions locks{.dry_run = options.dry_run,
                    .threads = std::max(1U, std::thread::hardware_concurrency())};
  if (options.days) {
    locks.until =
        opened.repository->storage().server_time(opened.context) + std::chrono::days(*options.days);
  }
  const LockReport report = run_under_lock(
      session, opened, [&] { return survey_locks(opened.context, *opened.repository, locks); });
  if (session.terminal.json()) {
    print_json(session, report, options.dry_run);
  } else {
    print_text(session, report, options);
  }
  return session.events.errors() > 0 ? exit_status(ErrorCode::kIncomplete) : 0;
}

}  // namespace

CommandSpec retention_command() {
  CommandSpec group{
      .name = "retention",
      .summary = "Apply retention policies, protect backups from removal (S3 object lock)",
      .description =
          "`plan` shows what the configuration's policies keep and why, `apply` does it.\n\n"
          "In a bucket with object lock, what is uploaded with -o s3.object-lock and "
          "-o s3.object-lock-days cannot be removed for so long, not even with stolen credentials. "
          "Packs that newer snapshots go on using have to be extended before that runs out: run "
          "`salvor retention extend` as often as backups. See docs/immutability.md.",
  };
  auto shown = std::make_shared<Options>();
  CommandSpec show{
      .name = "show",
      .summary = "Show until when what the snapshots need is protected",
      .description = "Asks for each object; reads trees and listings, changes nothing.",
      .examples = {{"salvor retention show --json", "For monitoring"}},
      .exit_codes = with_exit_codes(
          kRepositoryExitCodes, {{3, "an object could not be looked at; the others were counted"}}),
      .run = [shown](Session& session) { return run(*shown, session); },
  };
  auto extended = std::make_shared<Options>();
  extended->days = 30;
  CommandSpec extend{
      .name = "extend",
      .summary = "Protect what the snapshots need for longer",
      .description =
          "Extends the protection of every object that a snapshot needs to at least so many days "
          "from now. Nothing is ever shortened, legal holds stay, and what no snapshot needs is "
          "left to expire, so that a prune can remove it. Needs the right to "
          "s3:PutObjectRetention, "
          "none to remove anything.",
      .options = {{.long_name = "days",
                   .value_name = "n",
                   .help = "protect for at least n days from now",
                   .target = &extended->days,
                   .default_text = "30"},
                  {.long_name = "dry-run",
                   .short_name = 'n',
                   .help = "only show what would be extended",
                   .target = &extended->dry_run}},
      .examples = {{"salvor retention extend --days 30", "After each backup"}},
      .exit_codes = with_exit_codes(kRepositoryExitCodes,
                                    {{3, "an object could not be protected; the others were"}}),
      .run = [extended](Session& session) { return run(*extended, session); },
  };
  group.commands = {retention_apply_command(), std::move(extend), retention_plan_command(),
                    std::move(show)};
  return group;
}

}  // namespace salvor::cli
