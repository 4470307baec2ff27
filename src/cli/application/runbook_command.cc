// runbook: the recovery procedure as a document, from the configuration.
#include "catalog/catalog.h"
#include "cli/application/configuration_access.h"
#include "cli/application/evidence_commands.h"
#include "cli/commands.h"
#include "evidence/runbook.h"
#include "protect/run_facts.h"
#include "protect/survey.h"

namespace salvor::cli {
namespace {

constexpr size_t kRunsLimit = 2000;  // of each kind

struct Choices {
  ConfigurationOptions configuration;
  std::string format = "markdown";
  std::string output;
};

// What this machine knows of earlier recoveries. A runbook is written without it, too.
std::vector<RunRecord> measured_runs(Session& session, const Application& application) {
  try {
    Catalog catalog = Catalog::open(session.context, application.state_directory);
    std::vector<RunRecord> measured;
    for (const RunKind kind :
         {RunKind::kVerify, RunKind::kRestore, RunKind::kDrill, RunKind::kPlan}) {
      for (RunRecord& run : catalog.runs({.kind = kind, .limit = kRunsLimit})) {
        // Of a part the time says nothing of the whole.
        if (belongs_to(run, application) && fact_of(run, kSelectionFact).empty()) {
          measured.push_back(std::move(run));
        }
      }
    }
    return measured;
  } catch (const Error& error) {
    session.terminal.warn("no measured times are known here: " + error.message());
    return {};
  }
}

int run(const Choices& choices, Session& session) {
  const config::Configuration configuration =
      load_configuration_for(session, choices.configuration);
  const RunbookInput input{.application = configuration.application,
                           .measured = measured_runs(session, configuration.application),
                           .now = session.context.clock.now(),
                           .program = "salvor " SALVOR_VERSION};
  const Document document = make_runbook(input);
  write_output(session, choices.output,
               choices.format == "html" ? document.html() : document.markdown());
  return 0;
}

}  // namespace

CommandSpec runbook_command() {
  auto choices = std::make_shared<Choices>();
  std::vector<OptionSpec> options{{.long_name = "format",
                                   .value_name = "format",
                                   .help = "markdown or html",
                                   .target = &choices->format,
                                   .choices = {"markdown", "html"}},
                                  {.long_name = "output",
                                   .value_name = "file",
                                   .help = "write to a file",
                                   .target = &choices->output,
                                   .hint = ValueHint::kFile}};
  add_options(options, configuration_option_table(choices->configuration));
  return {.name = "runbook",
          .summary = "Write the recovery procedure as a document",
          .description =
              "From the configuration: whom to call, what was promised and what was measured, what "
              "is protected and where, and each command that recovers it on an empty machine, with "
              "Salvor and with restic and PostgreSQL alone. It says where passwords are, and holds "
              "none. Print it, and keep it where the protected machines are not.",
          .options = std::move(options),
          .examples = {{"salvor runbook --format html --output runbook.html", "To print"}},
          .exit_codes = {{0, "success"}, {1, "an error"}, {64, "the configuration is wrong"}},
          .run = [choices](Session& session) { return run(*choices, session); }};
}

}  // namespace salvor::cli
