#include <fmt/format.h>

#include "base/format.h"
#include "cli/application/source_commands.h"
#include "cli/commands.h"
#include "connector/postgres/backup_facts.h"
#include "model/count_text.h"
#include "protect/drill_area.h"
#include "protect/time_text.h"

namespace salvor::cli {
namespace {

struct Options {
  std::string only;
  bool dry_run = false;
  ConfigurationOptions configuration;
};

void show_due(Session& session, const DueJob& due, const char* type) {
  if (session.terminal.json()) {
    JsonWriter json;
    json.begin_message(type);
    json.field("kind", std::string(name_of(due.job.kind)))
        .field("subject", due.job.subject)
        .field("repository", due.job.repository)
        .field("due", postgres::format_utc(due.due))
        .field("missed", due.missed.size())
        .field("why", due.why);
    session.terminal.print_json(json.end_object());
    return;
  }
  const WallTime now = session.context.clock.now();
  std::string line = fmt::format("{}, due {} ({})", due.job.display(), instant_text(due.due, now),
                                 printable(due.why));
  if (!due.missed.empty()) {
    line += fmt::format("; missed {} since {}", counted(due.missed.size(), "time"),
                        instant_text(due.missed.front(), now));
  }
  session.terminal.print_summary(line);
}

class Printer final : public RunObserver {
 public:
  explicit Printer(Session& session) : session_(session) {}
  void begins(const DueJob& due) override { show_due(session_, due, "begin"); }
  void ended(const JobResult& result) override {
    if (result.skipped) {
      session_.terminal.message(result.due.job.display() + ": another run is at it");
      return;
    }
    RunRecord record = result.record;
    record.kind = result.due.job.kind;
    record.subject = result.due.job.subject;
    show_run(session_, record);
  }

 private:
  Session& session_;
};

// What drills left for a look, or died with: nobody else may come by for months.
void remove_old_sandboxes(Session& session, const Application& application) {
  for (const std::filesystem::path& place : sandbox_places(application)) {
    for (const std::string& name : DrillArea::remove_dead(place, session.context.clock.now())) {
      session.terminal.message("removed sandbox " + (place / name).string() +
                               ": its time was over, or its drill had died");
    }
  }
}

int run(const Options& options, Session& session) {
  ApplicationJobs jobs(session, options.configuration);
  if (options.dry_run) {
    std::vector<DueJob> due = all_due(
        jobs.application(), [&jobs](const Job& job) { return jobs.former(job); },
        session.context.clock.now());
    if (!options.only.empty()) {
      require_name(jobs.application(), options.only);
      std::erase_if(due, [&](const DueJob& one) {
        return one.job.subject != options.only && one.job.repository != options.only;
      });
    }
    for (const DueJob& one : due) {
      show_due(session, one, "due");
    }
    if (due.empty()) {
      session.terminal.print_summary("nothing is due");
    }
    return 0;
  }
  Printer printer(session);
  std::vector<JobResult> results;
  try {
    results = run_due(session.context, jobs.application(), jobs, jobs, printer,
                      {.only = options.only, .who = who_text()});
  } catch (const Error&) {
    jobs.send_records(session.context);
    throw;
  }
  jobs.send_records(session.context);
  if (options.only.empty()) {
    remove_old_sandboxes(session, jobs.application());
  }
  if (results.empty()) {
    session.terminal.print_summary("nothing is due");
  }
  int status = 0;
  for (const JobResult& result : results) {
    const int one = result.skipped ? 0 : exit_status_of(result.record.outcome);
    // A failure weighs more than something that is incomplete.
    if (one != 0 && (status == 0 || one == exit_status(ErrorCode::kFailed))) {
      status = one;
    }
  }
  return status;
}

}  // namespace

CommandSpec run_command() {
  auto options = std::make_shared<Options>();
  CommandSpec command{
      .name = "run",
      .summary = "Do what is due: backups, copies, retention, restore tests, checks",
      .description =
          "Does everything of the configuration that is due now, once, and ends: for cron, a "
          "systemd timer, a Kubernetes CronJob or a CI job that calls it every few minutes. What "
          "was missed while the machine was off is done once and told as missed. A job that fails "
          "does not keep the others from being done and is tried again after five minutes; restore "
          "tests, checks and drills rest longer after each further failure. Two of them at once do "
          "not do a thing twice.",
      .options = {{.long_name = "only",
                   .value_name = "name",
                   .help = "only this source, repository or drill",
                   .target = &options->only},
                  {.long_name = "dry-run",
                   .short_name = 'n',
                   .help = "only say what is due",
                   .target = &options->dry_run}},
      .examples = {{"salvor run", "As `*/5 * * * *` in a crontab"}},
      .exit_codes = with_exit_codes(
          kRepositoryExitCodes, {{0, "all that was due is done, or nothing was due"},
                                 {1, "at least one job failed; the others were done"},
                                 {3, "a backup was made, but some of its data could not be read"}}),
      .run = [options](Session& session) { return run(*options, session); },
  };
  add_options(command.options, configuration_option_table(options->configuration));
  return command;
}

}  // namespace salvor::cli
