// plan: recovery procedures as code; which commands there are and what they can be told.
#include <memory>

#include "cli/application/plan_approve.h"
#include "cli/application/plan_resume.h"
#include "cli/application/plan_runs.h"
#include "cli/application/plan_show.h"
#include "cli/application/plan_start.h"
#include "cli/commands.h"

namespace salvor::cli {
namespace {

const std::vector<ExitCodeNote> kPlanExitCodes =
    with_exit_codes(kRepositoryExitCodes, {{0, "success: every step was done"},
                                           {1, "a step failed, or would: nothing more was begun"},
                                           {3, "done, but steps failed that were allowed to"},
                                           {11, "the plan is running already"},
                                           {64, "wrong usage, or a plan that cannot run"},
                                           {130, "interrupted: `salvor plan resume` goes on"}});
using Shared = std::shared_ptr<PlanOptions>;

CommandSpec sub(const Shared& options, std::string name, std::string summary,
                int (*run)(const PlanOptions&, Session&)) {
  CommandSpec command{.name = std::move(name),
                      .summary = std::move(summary),
                      .options = configuration_option_table(options->configuration),
                      .exit_codes = kPlanExitCodes,
                      .run = [options, run](Session& session) { return run(*options, session); }};
  return command;
}

PositionalSpec plan_positional(const Shared& options) {
  return {.name = "plan",
          .target = &options->plan,
          .help = "name of the plan; by default the only one"};
}
PositionalSpec run_positional(const Shared& options, size_t minimum = 0) {
  return {.name = "run",
          .target = &options->run,
          .help = "beginning of the run's id; by default the one that is not over",
          .minimum = minimum};
}
OptionSpec yes_option(const Shared& options) {
  return {.long_name = "yes", .help = "do not ask", .target = &options->yes};
}
OptionSpec from_repository_option(const Shared& options, std::string help) {
  return {
      .long_name = "from-repository", .help = std::move(help), .target = &options->from_repository};
}
OptionSpec accept_option(const Shared& options) {
  return {.long_name = "accept-changed-plan",
          .help = "go on with the plan as it is now, although the run began with another",
          .target = &options->accept_changed};
}

CommandSpec run_spec() {
  const auto options = std::make_shared<PlanOptions>();
  CommandSpec command = sub(options, "run", "Run a recovery plan on production", start_plan);
  command.description =
      "Looks at everything first (keys, storage, space, points, targets, programs) and reports all "
      "problems at once. Shows what will be destroyed and asks for the plan's name. Old data is "
      "kept until `salvor plan finish`; `salvor plan undo` brings it back.\n\nEvery transition is "
      "in a journal on disk before it is acted upon: after a crash `salvor plan resume` goes on.";
  command.positionals = {plan_positional(options),
                         {.name = "name=value",
                          .target = &options->values,
                          .help = "values for the plan's parameters",
                          .maximum = kUnlimited}};
  command.options.push_back({.long_name = "to",
                             .value_name = "moment",
                             .help = "the parameter `point`: to which moment",
                             .target = &options->to});
  command.options.push_back({.long_name = "dry-run",
                             .short_name = 'n',
                             .help = "only look ahead: the graph, bytes, how long it may take",
                             .target = &options->dry_run});
  command.options.push_back(yes_option(options));
  command.examples = {{"salvor plan run recover --to '2026-11-21 12:00:00 UTC'",
                       "Bring the application back to a second before the accident"},
                      {"salvor plan run recover --dry-run", "See what it would do"}};
  return command;
}

CommandSpec resume_spec() {
  const auto options = std::make_shared<PlanOptions>();
  CommandSpec command =
      sub(options, "resume", "Go on with an interrupted or failed run", resume_run);
  command.description =
      "Looks at the real state of each step that was interrupted and continues, skips or does it "
      "again. Where nobody can know (a command that was cut off), it asks, or stops and wants "
      "--redo or --skip.";
  command.positionals = {run_positional(options)};
  command.options.push_back({.long_name = "redo",
                             .value_name = "step",
                             .help = "this interrupted step may be done again",
                             .target = &options->redo});
  command.options.push_back({.long_name = "skip",
                             .value_name = "step",
                             .help = "this step is done",
                             .target = &options->skip});
  command.options.push_back(accept_option(options));
  command.options.push_back(from_repository_option(
      options, "take over a run that another machine began and cannot go on with"));
  command.options.push_back({.long_name = "redo-local",
                             .help =
                                 "with it: what was done over there and stayed there (restores, "
                                 "commands without a host) is done here again",
                             .target = &options->redo_local});
  command.options.push_back(yes_option(options));
  return command;
}

CommandSpec undo_spec() {
  const auto options = std::make_shared<PlanOptions>();
  CommandSpec command =
      sub(options, "undo", "Take a run back, last step first: the old data returns", undo_run);
  command.description =
      "What a step did on another machine (a restore, a command without `host:`) can only be taken "
      "back there, unless the step's own `undo:` works from anywhere. Then nothing is undone, and "
      "it says what to run where: here with --leave, over there with --from-repository.";
  command.positionals = {run_positional(options)};
  command.options.push_back({.long_name = "leave",
                             .value_name = "step",
                             .help = "this step stays as it is; may be repeated",
                             .target = &options->leave});
  command.options.push_back(accept_option(options));
  command.options.push_back(
      from_repository_option(options, "take the run over from the machine that has it"));
  command.options.push_back(yes_option(options));
  return command;
}

CommandSpec approve_spec() {
  const auto options = std::make_shared<PlanOptions>();
  CommandSpec command =
      sub(options, "approve", "Answer the approval that a run waits for", approve_step);
  command.positionals = {
      run_positional(options, 1),
      {.name = "step", .target = &options->step, .help = "the step that waits", .minimum = 1}};
  command.options.push_back({.long_name = "as",
                             .value_name = "name",
                             .help = "who approves, where the plan names people",
                             .target = &options->as});
  command.options.push_back({.long_name = "comment",
                             .value_name = "text",
                             .help = "kept in the run's journal",
                             .target = &options->comment});
  command.options.push_back(
      {.long_name = "deny", .help = "do not approve", .target = &options->deny});
  return command;
}

CommandSpec finish_spec() {
  const auto options = std::make_shared<PlanOptions>();
  CommandSpec command =
      sub(options, "finish", "Accept a run: the old data is discarded", finish_run);
  command.description =
      "Only of a run that came to its end: until the new data is proven, the old may be the only "
      "good there is.";
  command.positionals = {run_positional(options, 1)};
  command.options.push_back(yes_option(options));
  command.options.push_back(accept_option(options));
  command.options.push_back(
      {.long_name = "although-it-failed",
       .help = "also of a run that failed, was interrupted or taken back in part",
       .target = &options->although_failed});
  return command;
}

}  // namespace

CommandSpec plan_command() {
  CommandSpec group{.name = "plan",
                    .summary = "Recovery plans: run, resume, take back",
                    .description =
                        "Recovery procedures as code, from the configuration file. "
                        "Without any in it, the plan `recover` brings every source "
                        "back."};
  const auto list = std::make_shared<PlanOptions>();
  group.commands.push_back(sub(list, "list", "List the plans", list_plans));
  const auto show = std::make_shared<PlanOptions>();
  group.commands.push_back(sub(show, "show", "Show a plan's steps in their order", show_plan));
  group.commands.back().positionals = {plan_positional(show)};
  group.commands.push_back(run_spec());
  group.commands.push_back(resume_spec());
  group.commands.push_back(undo_spec());
  group.commands.push_back(finish_spec());
  group.commands.push_back(approve_spec());
  const auto runs = std::make_shared<PlanOptions>();
  group.commands.push_back(sub(runs, "runs", "List runs of plans and drills", list_plan_runs));
  group.commands.back().options.push_back(
      from_repository_option(runs, "those that repositories know, of all machines"));
  return group;
}

}  // namespace salvor::cli
