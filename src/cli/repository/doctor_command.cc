#include <fmt/format.h>

#include "base/format.h"
#include "cli/commands.h"
#include "cli/output/text.h"
#include "cli/repository_access.h"
#include "storage/doctor.h"
#include "storage/location.h"

namespace salvor::cli {
namespace {

struct Options {
  bool require_protection = false;
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

int run(const Options& options, Session& session) {
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

}  // namespace

CommandSpec doctor_command() {
  auto options = std::make_shared<Options>();
  return {
      .name = "doctor",
      .summary = "Find out what the credentials may do, and whether backups are safe from them",
      .description =
          "Tries what the credentials in use may really do at the storage: list, read, add, "
          "replace, remove, remove versions, change protection and policy; looks at TLS, region, "
          "clock, versioning, object lock and free space; and says in one sentence whether "
          "ransomware that has stolen these credentials could destroy the backups.\n\n"
          "Nothing is left behind and nothing that is there is touched. No password is needed. "
          "See docs/immutability.md.",
      .options = {{.long_name = "require-protection",
                   .help = "end with status 1 unless the backups are safe from these credentials",
                   .target = &options->require_protection}},
      .examples = {{"salvor doctor -r s3:s3.amazonaws.com/my-backups/db",
                    "With the credentials of the backup host"},
                   {"salvor doctor --require-protection --json", "For monitoring"}},
      .exit_codes = {{0, "the storage can be used"},
                     {1, "an error; with --require-protection also: not known to be safe"},
                     {10, "there is no repository (yet)"},
                     {22, "a right is missing that backups need"},
                     {23, "the storage or network cannot be reached"},
                     {64, "wrong usage"},
                     {130, "interrupted"}},
      .run = [options](Session& session) { return run(*options, session); },
  };
}

}  // namespace salvor::cli
