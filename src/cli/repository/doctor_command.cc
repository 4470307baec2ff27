#include <algorithm>

#include <fmt/format.h>

#include "base/format.h"
#include "cli/application/application_doctor.h"
#include "cli/application/configured_repository.h"
#include "cli/commands.h"
#include "cli/output/text.h"
#include "cli/repository_access.h"
#include "storage/doctor.h"
#include "storage/location.h"

namespace salvor::cli {
namespace {

struct Options {
  ConfigurationOptions configuration;
  bool require_protection = false;
  Duration patience = std::chrono::seconds(60);
};

std::string_view mark_text(StorageCheck::Mark mark) {
  switch (mark) {
    case StorageCheck::Mark::kGood:
      return "ok";
    case StorageCheck::Mark::kNote:
      return "-";
    case StorageCheck::Mark::kWarning:
      return "note";
    case StorageCheck::Mark::kBad:
      return "BAD";
  }
  return "?";
}

void print_json(Session& session, const std::string& location, const StorageReport& report) {
  JsonWriter json;
  json.begin_message("doctor").field("repository", location);
  json.field("exists", report.repository);
  json.field("enough_for_backups", report.enough_for_backups()).key("checks").begin_array();
  for (const StorageCheck& check : report.checks) {
    json.begin_object().field("id", check.id).field("status", mark_text(check.mark));
    if (check.answer) {
      json.field("permitted", answer_name(*check.answer));
    }
    json.field("text", check.text).end_object();
  }
  json.end_array().field("ransomware_could_destroy", answer_name(report.verdict.destroyable));
  json.field("verdict", report.verdict.sentence).field("advice", report.verdict.advice);
  session.terminal.print_json(json.end_object());
}

void print_text(Session& session, const std::string& location, const StorageReport& report) {
  Terminal& terminal = session.terminal;
  terminal.print_line("storage " + location + " (" + report.description + ")");
  for (const StorageCheck& check : report.checks) {
    terminal.print_line(fmt::format("  {:<5} {}", mark_text(check.mark), check.text));
  }
  terminal.print_line("");
  terminal.print(wrap_paragraphs(report.verdict.sentence, terminal.columns()));
  if (!report.verdict.advice.empty()) {
    terminal.print(wrap_paragraphs(report.verdict.advice, terminal.columns()));
  }
}

int examine_one(const Options& options, Session& outer) {
  // With the options and credentials that the configuration has for it, where it is of one.
  Session* configured = configured_session(outer);
  Session& session = configured != nullptr ? *configured : outer;
  const std::string location = repository_location(session);
  const std::string shown = display_location(location);
  const StorageReport report = examine_storage(session.context, location, storage_options(session));
  if (session.terminal.json()) {
    print_json(session, shown, report);
  } else {
    print_text(session, shown, report);
  }
  if (!report.repository) {
    return exit_status(ErrorCode::kNoRepository);
  }
  if (!report.enough_for_backups()) {
    return exit_status(ErrorCode::kPermission);
  }
  return options.require_protection && report.verdict.destroyable != Answer::kNo
             ? exit_status(ErrorCode::kFailed)
             : 0;
}

// --- a whole application

std::string title_of(const DoctorSection& section) {
  return section.kind == "machine" ? "this machine" : section.kind + " " + section.name;
}

// Sections appear as soon as they are known: some take their time.
class Printer final : public DoctorObserver {
 public:
  explicit Printer(Session& session) : session_(session) {}

  void examined(const DoctorSection& section) override {
    if (!session_.terminal.json()) {
      print(section);
    }
  }

 private:
  void print(const DoctorSection& section) {
    Terminal& terminal = session_.terminal;
    const bool quiet = session_.global.quiet;
    bool titled = false;
    for (const DoctorFinding& finding : section.findings) {
      const bool fine =
          finding.mark == StorageCheck::Mark::kGood || finding.mark == StorageCheck::Mark::kNote;
      if (quiet && fine) {
        continue;
      }
      if (!titled) {
        titled = true;
        terminal.print_line(printable(title_of(section)) +
                            (section.place.empty() ? "" : ", " + printable(section.place)));
      }
      print_indented(fmt::format("  {:<5} ", mark_text(finding.mark)), finding.text);
      if (!finding.next.empty()) {
        print_indented("        ", finding.next);
      }
    }
    if (titled) {
      terminal.print_line("");
    }
  }

  void print_indented(const std::string& head, const std::string& text) {
    const size_t width = std::clamp<size_t>(session_.terminal.columns(), 40, 100) - head.size();
    bool first = true;
    for (const std::string& line : wrap(printable(text), width)) {
      session_.terminal.print_line((first ? head : std::string(head.size(), ' ')) + line);
      first = false;
    }
  }

  Session& session_;
};

void print_json(Session& session, const Application& application, const DoctorReport& report,
                bool fine) {
  JsonWriter json;
  json.begin_message("doctor_report").field("application", application.name);
  json.field("environment", application.environment).field("healthy", fine);
  json.field("missing", report.count(StorageCheck::Mark::kBad));
  json.field("warnings", report.count(StorageCheck::Mark::kWarning));
  json.field("unsafe_sources", report.unsafe).key("sections").begin_array();
  for (const DoctorSection& section : report.sections) {
    json.begin_object().field("kind", section.kind).field("name", section.name);
    json.field("place", section.place);
    if (section.verdict) {
      json.field("ransomware_could_destroy", answer_name(section.verdict->destroyable));
    }
    json.key("findings").begin_array();
    for (const DoctorFinding& finding : section.findings) {
      json.begin_object().field("id", finding.name).field("status", mark_text(finding.mark));
      json.field("text", finding.text).field("next", finding.next).end_object();
    }
    json.end_array().end_object();
  }
  session.terminal.print_json(json.end_array().end_object());
}

void print_summary(Session& session, const DoctorReport& report) {
  const size_t bad = report.count(StorageCheck::Mark::kBad);
  const size_t warnings = report.count(StorageCheck::Mark::kWarning);
  Terminal& terminal = session.terminal;
  if (bad == 0) {
    terminal.print_summary("everything that backups and recoveries need is there" +
                           (warnings == 0 ? std::string()
                                          : fmt::format("; {} thing{} to look at", warnings,
                                                        warnings == 1 ? "" : "s")));
    return;
  }
  terminal.print_line(fmt::format("{} thing{} missing:", bad, bad == 1 ? " is" : "s are"));
  size_t number = 0;
  for (const DoctorSection& section : report.sections) {
    for (const DoctorFinding& finding : section.findings) {
      if (finding.mark == StorageCheck::Mark::kBad) {
        terminal.print_line(fmt::format("  {}. {}: {}", ++number, printable(title_of(section)),
                                        printable(finding.text)));
      }
    }
  }
}

int examine_all(const Options& options, Session& session) {
  ProtectedApplication application(session, options.configuration);
  if (!session.terminal.json()) {
    session.terminal.print_summary(application.application().name + " (" +
                                   application.application().file + ")\n");
  }
  Printer printer(session);
  const DoctorReport report = examine_application(
      session, application, std::chrono::ceil<std::chrono::seconds>(options.patience), printer);
  const bool protection_missing = options.require_protection && !report.unsafe.empty();
  const bool fine = report.count(StorageCheck::Mark::kBad) == 0 && !protection_missing;
  if (session.terminal.json()) {
    print_json(session, application.application(), report, fine);
  } else {
    print_summary(session, report);
    for (const std::string& source :
         protection_missing ? report.unsafe : std::vector<std::string>{}) {
      session.terminal.print_line("no place of source " + printable(source) +
                                  " is safe from these credentials");
    }
  }
  return fine ? 0 : exit_status(ErrorCode::kFailed);
}

int run(const Options& options, Session& session) {
  session.configured->read_from(options.configuration);
  const bool whole = !names_repository(session.global) && !session.global.repository_name &&
                     find_configuration(options.configuration).has_value();
  return whole ? examine_all(options, session) : examine_one(options, session);
}

}  // namespace

CommandSpec doctor_command() {
  auto options = std::make_shared<Options>();
  CommandSpec command{
      .name = "doctor",
      .summary = "Try out all that backups need, and whether they are safe from ransomware",
      .description =
          "With a salvor.yaml and no repository named (-r): tries everything that the application "
          "needs, all repositories, copies and sources with their connections, rights, keys, "
          "programs, and this machine's directories, secrets, clock and calendar; says at once "
          "what is missing and what to do about it.\n\n"
          "With a repository named: tries what the credentials in use may really do at the "
          "storage: list, read, add, "
          "replace, remove, remove versions, change protection and policy; looks at TLS, region, "
          "clock, versioning, object lock and free space; and says in one sentence whether "
          "ransomware that has stolen these credentials could destroy the backups.\n\n"
          "Nothing is left behind and nothing that is there is touched. No password is needed. "
          "See docs/immutability.md.",
      .options = {{.long_name = "require-protection",
                   .help = "end with status 1 unless the backups are safe from these credentials",
                   .target = &options->require_protection},
                  {.long_name = "patience",
                   .value_name = "duration",
                   .help = "how long each repository and source may take to answer",
                   .target = &options->patience,
                   .default_text = "1m"}},
      .examples = {{"salvor doctor", "Where the application's salvor.yaml is"},
                   {"salvor doctor -r s3:s3.amazonaws.com/my-backups/db",
                    "With the credentials of the backup host"},
                   {"salvor doctor --require-protection --json", "For monitoring"}},
      .exit_codes = {{0, "the storage can be used; of an application: nothing is missing"},
                     {1,
                      "an error; of an application: something is missing; with "
                      "--require-protection also: not known to be safe"},
                     {10, "there is no repository (yet)"},
                     {22, "a right is missing that backups need"},
                     {23, "the storage or network cannot be reached"},
                     {64, "wrong usage"},
                     {130, "interrupted"}},
      .run = [options](Session& session) { return run(*options, session); },
  };
  for (OptionSpec& option : configuration_option_table(options->configuration)) {
    if (option.long_name == "config") {
      option.short_name = 'c';
    }
    command.options.push_back(std::move(option));
  }
  return command;
}

}  // namespace salvor::cli
