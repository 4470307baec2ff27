#include "cli/application/source_commands.h"
#include "cli/commands.h"
#include "protect/run_facts.h"

namespace salvor::cli {
namespace {

struct Options {
  std::string source;
  std::string at;
  std::string label;
  std::string sandbox;
  bool start = true;
  ConfigurationOptions configuration;
};

int run(const Options& options, Session& session) {
  ApplicationJobs jobs(session, options.configuration);
  RunRecord record = begin_record(jobs.site(), session.context, RunKind::kVerify,
                                  source_of(jobs.application(), options.source));
  try {
    record = jobs.verify_source(
        session.context, options.source,
        {.moment = moment_of(options.at, options.label), .base = {}, .sandbox = options.sandbox});
  } catch (const Error& error) {
    // It proves nothing either way; that it was tried is written down all the same (V6).
    if (error.code() != ErrorCode::kUsage) {
      end_with(record, error, session.context.clock.now());
      jobs.add(session.context, record);
      jobs.send_records(session.context);
    }
    throw;
  }
  jobs.add(session.context, record);
  jobs.send_records(session.context);
  show_run(session, record);
  const bool proven = record.outcome == RunOutcome::kSucceeded;
  session.terminal.print_summary(proven ? "this recovery point is proven" : "it is NOT proven");
  return proven ? 0 : exit_status(ErrorCode::kDamaged);
}

}  // namespace

CommandSpec verify_command() {
  auto options = std::make_shared<Options>();
  CommandSpec command{
      .name = "verify",
      .summary = "Prove that a source of the configuration can be recovered",
      .description =
          "Restores a recovery point of a source into a sandbox, starts it where it is a server, "
          "looks into it and removes everything again. Files are compared with the snapshot; a "
          "PostgreSQL server is started on a private socket without a network, all rows are read, "
          "pg_amcheck is run where it is installed, and the source's own assertions are asked. "
          "The outcome and its times are written down: the point is proven, or not.",
      .positionals = {{.name = "source", .target = &options->source, .minimum = 1}},
      .options = {{.long_name = "at",
                   .value_name = "moment",
                   .help = "\"latest\", \"2026-11-21 08:00:00+01:00\", \"snapshot:1a2b3c4d\", "
                           "\"lsn:0/3000028\"",
                   .target = &options->at,
                   .default_text = "latest"},
                  {.long_name = "label",
                   .value_name = "name",
                   .help = "the newest backup with this label",
                   .target = &options->label},
                  {.long_name = "sandbox",
                   .value_name = "name",
                   .help = "a sandbox of the configuration",
                   .target = &options->sandbox,
                   .default_text = "its first, else /var/tmp"},
                  {.long_name = "start",
                   .help = "accepted for scripts: it is always started",
                   .target = &options->start,
                   .hidden = true}},
      .examples = {{"salvor verify db", "The newest state"},
                   {"salvor verify db --at '2026-11-21 08:00:00+01:00'", "As it was at eight"}},
      .exit_codes = with_exit_codes(kRepositoryExitCodes,
                                    {{20, "the restore or one of the checks failed: not proven"}}),
      .run = [options](Session& session) { return run(*options, session); },
  };
  add_options(command.options, configuration_option_table(options->configuration));
  return command;
}

}  // namespace salvor::cli
