// evidence show and evidence report: evidence for people.
#include <set>

#include <fmt/ranges.h>

#include "base/fd.h"
#include "base/format.h"
#include "cli/application/configuration_access.h"
#include "cli/application/configured_repository.h"
#include "cli/application/evidence_commands.h"
#include "cli/repository_access.h"
#include "evidence/evidence_store.h"
#include "evidence/report_html.h"
#include "evidence/report_page.h"
#include "evidence/report_pdf.h"
#include "evidence/year_page.h"
#include "model/utc_text.h"
#include "repo/run_records.h"

namespace salvor::cli {
namespace {

struct Choices {
  std::string name;
  std::vector<std::string> keys;
  std::string html;
  std::string pdf;
  std::string font;
  std::optional<uint64_t> year;
  ConfigurationOptions configuration;
};

// From a file or the repository; shown whether it is authentic or not, and said which.
Evidence load_evidence(const Choices& choices, Session& session) {
  const std::string name = choices.name.empty() ? "latest" : choices.name;
  if (names_file(name) && !choices.keys.empty()) {
    const Buffer content = read_file(name, kEnvelopeLimit);
    return read_evidence(as_text(content.view()), keys_from_files(choices.keys));
  }
  const OpenedRepository opened = open_repository(session);
  const std::vector<TrustedKey> keys =
      trusted_keys(opened.context, *opened.repository, session, choices.keys);
  if (names_file(name)) {
    const Buffer content = read_file(name, kEnvelopeLimit);
    return read_evidence(as_text(content.view()), keys);
  }
  const EvidenceStore store(*opened.repository);
  return store.read(opened.context, store.find(opened.context, name), keys);
}

int status_of(Session& session, const Evidence& evidence) {
  if (evidence.problem.empty()) {
    return 0;
  }
  session.terminal.warn("this evidence is not authentic: " + evidence.problem);
  return exit_status(ErrorCode::kDamaged);
}

int run_show(const Choices& choices, Session& session) {
  const Evidence evidence = load_evidence(choices, session);
  if (session.terminal.json()) {
    session.terminal.print_line(encode_statement(evidence.report));
  } else {
    session.terminal.print(report_text(report_page(evidence)));
  }
  return status_of(session, evidence);
}

// When the first run began that the repository knows of, by the names of the records.
WallTime first_run(const OpenedRepository& opened, WallTime now) {
  const std::vector<std::string> positions = RunRecords(*opened.repository).list(opened.context);
  const auto time =
      positions.empty() ? std::nullopt : parse_compact_utc(run_time_of(positions.front()));
  return time ? std::min(*time, now) : now;
}

// Others may keep their evidence in the same repository: their drills are none of this application.
bool is_of(const DrillReport& report, const Application& application) {
  return report.application == application.name && report.environment == application.environment;
}

// All evidence of a year. How much was expected, only a configuration can say.
int run_year(const Choices& choices, Session& session) {
  const auto year = static_cast<int>(*choices.year);
  if (*choices.year < 1970 || *choices.year > 2200 || !choices.name.empty()) {
    throw Error(ErrorCode::kUsage, "--year is a year such as 2026, and for no single evidence");
  }
  std::optional<config::Configuration> loaded;
  std::set<std::string> applications;
  if (find_configuration(choices.configuration)) {
    loaded = load_configuration_for(session, choices.configuration);
    applications.insert(loaded->application.name);
  }
  const OpenedRepository opened = open_repository(session);
  const WallTime now = session.context.clock.now();
  WallTime first = first_run(opened, now);
  const std::vector<TrustedKey> keys =
      trusted_keys(opened.context, *opened.repository, session, choices.keys);
  const EvidenceStore store(*opened.repository);
  std::vector<Evidence> all;
  bool good = true;
  for (const EvidenceEntry& entry : store.list(opened.context)) {
    Evidence evidence;
    try {
      evidence = store.read(opened.context, entry, keys);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kDamaged) {
        throw;
      }
      evidence.report.id = entry.id;
      evidence.report.started = entry.started;
      evidence.problem = error.message();
    }
    if (evidence.problem.empty()) {
      if (loaded && !is_of(evidence.report, loaded->application)) {
        continue;
      }
      applications.insert(evidence.report.application);
    }
    good = good && evidence.problem.empty();
    first = std::min(first, entry.started);
    all.push_back(std::move(evidence));
  }
  const YearPage page =
      year_page(year, fmt::format("{}", fmt::join(applications, ", ")), all,
                loaded ? std::optional(expected_drills(loaded->application, year, first, now))
                       : std::nullopt);
  if (!choices.html.empty()) {
    write_output(session, choices.html, year_html(page));
  }
  if (!choices.pdf.empty()) {
    write_output(session, choices.pdf, year_pdf(page, now, choices.font));
  }
  return good ? 0 : exit_status(ErrorCode::kDamaged);
}

int run_report(const Choices& choices, Session& session) {
  session.configured->read_from(choices.configuration);
  if (choices.html.empty() && choices.pdf.empty()) {
    throw Error(ErrorCode::kUsage, "it is not said what to write",
                "Give --html FILE, --pdf FILE, or both. `salvor evidence show` prints to the "
                "terminal.");
  }
  if (choices.year) {
    return run_year(choices, session);
  }
  const Evidence evidence = load_evidence(choices, session);
  const ReportPage page = report_page(evidence);
  if (!choices.html.empty()) {
    write_output(session, choices.html, report_html(page));
  }
  if (!choices.pdf.empty()) {
    write_output(session, choices.pdf, report_pdf(page, evidence.report.finished, choices.font));
  }
  return status_of(session, evidence);
}

OptionSpec key_option(const std::shared_ptr<Choices>& choices) {
  return {.long_name = "key",
          .value_name = "file",
          .help = "public keys in PEM form (default: those of the repository)",
          .target = &choices->keys,
          .hint = ValueHint::kFile};
}

PositionalSpec name_positional(const std::shared_ptr<Choices>& choices) {
  return {.name = "evidence",
          .target = &choices->name,
          .help = "the beginning of an id, a file, or \"latest\" (the default)",
          .hint = ValueHint::kFile};
}

std::vector<OptionSpec> report_options(const std::shared_ptr<Choices>& choices) {
  return {{.long_name = "html",
           .value_name = "file",
           .help = "write HTML",
           .target = &choices->html,
           .hint = ValueHint::kFile},
          {.long_name = "pdf",
           .value_name = "file",
           .help = "write PDF",
           .target = &choices->pdf,
           .hint = ValueHint::kFile},
          {.long_name = "font",
           .value_name = "file",
           .help = "a TrueType font to embed into the PDF",
           .target = &choices->font,
           .hint = ValueHint::kFile},
          key_option(choices),
          {.long_name = "year",
           .value_name = "year",
           .help = "an overview of all drills of that year, for an auditor",
           .target = &choices->year}};
}

}  // namespace

CommandSpec evidence_show_spec() {
  auto choices = std::make_shared<Choices>();
  return {
      .name = "show",
      .summary = "Show what a drill has proven",
      .description = "With --json the signed statement itself.",
      .positionals = {name_positional(choices)},
      .options = {key_option(choices)},
      .exit_codes = with_exit_codes(kRepositoryExitCodes, {{20, "the evidence is not authentic"}}),
      .run = [choices](Session& session) { return run_show(*choices, session); }};
}

CommandSpec evidence_report_spec() {
  auto choices = std::make_shared<Choices>();
  std::vector<OptionSpec> options = report_options(choices);
  add_options(options, configuration_option_table(choices->configuration));
  return {
      .name = "report",
      .summary = "Write a page that a person likes to read",
      .description =
          "The verdict first, then the scenario, recovery time and data loss against what was "
          "promised, a picture of the recovery over time, the checks with their values, the "
          "findings, and how to verify the signature. The page needs nothing but itself.\n\n"
          "PDF without --font is set in Helvetica; characters that it lacks are shown as codes.",
      .positionals = {name_positional(choices)},
      .options = std::move(options),
      .examples = {{"salvor evidence report latest --html drill.html --pdf drill.pdf",
                    "The newest drill"},
                   {"salvor evidence report --year 2026 --config salvor.yaml --pdf drills-2026.pdf",
                    "The year for an auditor"}},
      .exit_codes = with_exit_codes(kRepositoryExitCodes, {{20, "the evidence is not authentic"}}),
      .run = [choices](Session& session) { return run_report(*choices, session); }};
}

}  // namespace salvor::cli
