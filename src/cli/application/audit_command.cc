// audit: who did what with the backups, and whether somebody has tampered with the record of it.
#include <algorithm>
#include <optional>

#include <fmt/format.h>

#include "base/fd.h"
#include "base/format.h"
#include "cli/application/configured_repository.h"
#include "cli/application/evidence_commands.h"
#include "cli/command_audit.h"
#include "cli/commands.h"
#include "cli/repository_access.h"
#include "cli/secret_reader.h"
#include "codec/go_json.h"
#include "evidence/audit_queue.h"
#include "evidence/audit_verify.h"
#include "evidence/trusted_keys.h"
#include "model/count_text.h"
#include "model/utc_text.h"

namespace salvor::cli {
namespace {

constexpr uint64_t kExportLimit = uint64_t{1} << 30;

struct Choices {
  std::optional<std::string> file;
  std::vector<std::string> keys;
  std::vector<std::string> heads;
  std::vector<std::string> unsigned_writers;
  std::string since;
  std::string until;
  std::string who;
  std::string action;
  std::string output;
  bool record = false;
};

// When what the record tells of happened: earlier than the record, where that had to wait.
std::string happened_text(const AuditRecord& record) {
  for (const auto& [name, value] : record.event.details) {
    if (name == kHappenedDetail) {
      return value;
    }
  }
  return utc_text(record.time);
}

std::optional<WallTime> time_of(const std::string& text, const char* option) {
  if (text.empty()) {
    return {};
  }
  const bool day_only = text.size() == 10;
  const auto time = parse_go_time(day_only ? text + "T00:00:00Z" : text);
  if (!time) {
    throw Error(ErrorCode::kUsage, std::string(option) + " is no time: \"" + printable(text) + "\"",
                "Write 2026-11-21 or 2026-11-21T08:00:00Z.");
  }
  return time->wall();
}

struct Verified {
  AuditReport report;
  std::optional<OpenedRepository> opened;
};

// The trail of the repository, or of an exported file; with what is known from elsewhere.
Verified read_trail(const Choices& choices, Session& session) {
  Verified result;
  std::vector<TrustedKey> keys = keys_from_files(choices.keys);
  std::vector<StoredAuditRecord> records;
  std::vector<WriterHead> known;
  if (choices.file) {
    if (keys.empty()) {
      throw Error(ErrorCode::kUsage, "an exported trail is verified with public keys",
                  "Give --key FILE; `salvor evidence key public` writes it.");
    }
    const Buffer content = read_file(*choices.file, kExportLimit);
    try {
      records = parse_audit_export(as_text(content.view()));
    } catch (Error& error) {
      throw error.within(*choices.file);
    }
  } else {
    result.opened.emplace(open_repository(session));
    const Repository& repository = *result.opened->repository;
    keys = trusted_keys(result.opened->context, repository, session, choices.keys);
    // What this machine remembers of its own chain: before that is read, for others go on with it.
    size_t waiting = 0;
    {
      const AuditSpool spool(AuditSpool::directory_of(
          audit_state_directory(session), repository.config().id, audit_writer(session)));
      if (const auto head = spool.head(); head && head->sequence > 0) {
        known.push_back({audit_writer(session), *head});
      }
      waiting = spool.records().size();
    }
    records = load_audit_records(result.opened->context, repository);
    if (configured_session(session) != nullptr) {
      waiting += AuditQueue(audit_options(session, {})).waiting(session.configured->chosen());
    }
    if (waiting > 0) {
      session.terminal.warn(fmt::format("{} audit records wait on this machine", waiting),
                            "They are delivered by the next recorded command.");
    }
  }
  for (const std::string& path : choices.heads) {
    const Buffer content = read_file(path, kEnvelopeLimit);
    try {
      const AuditHeads heads = decode_audit_heads(as_text(content.view()), keys);
      if (result.opened && heads.repository != result.opened->repository->config().id) {
        throw Error(ErrorCode::kUsage, "it is of another repository");
      }
      known.insert(known.end(), heads.heads.begin(), heads.heads.end());
    } catch (Error& error) {
      throw error.within(path);
    }
  }
  result.report = verify_audit(std::move(records), keys, known, choices.unsigned_writers);
  return result;
}

bool is_wanted(const VerifiedAuditRecord& verified, const Choices& choices,
               const std::optional<WallTime>& since, const std::optional<WallTime>& until) {
  const AuditRecord& record = verified.record;
  // As it is shown: a record that had to wait counts for when it happened.
  const std::string happened = happened_text(record);
  return (!since || happened >= utc_text(*since)) && (!until || happened < utc_text(*until)) &&
         (choices.who.empty() || record.who.find(choices.who) != std::string::npos) &&
         (choices.action.empty() || record.event.action == choices.action);
}

void print_record(Session& session, const VerifiedAuditRecord& verified) {
  const AuditRecord& record = verified.record;
  const AuditEvent& event = record.event;
  if (session.terminal.json()) {
    JsonWriter json;
    json.begin_message("audit_record");
    json.field("time", Timestamp{.seconds = std::chrono::floor<std::chrono::seconds>(record.time)
                                                .time_since_epoch()
                                                .count(),
                                 .nanoseconds = 0,
                                 .utc_offset_seconds = 0})
        .field("happened", happened_text(record))
        .field("writer", record.writer)
        .field("sequence", record.sequence)
        .field("who", record.who)
        .field("action", event.action)
        .field("phase", event.phase)
        .field("outcome", event.outcome)
        .field("subject", event.subject)
        .field("text", event.text)
        .field("run", event.run)
        .field("program", record.program)
        .field("sha256", verified.hash)
        .field("key_id", verified.key_id);
    json.key("details").begin_object();
    for (const auto& [name, value] : event.details) {
      json.field(name, value);
    }
    session.terminal.print_json(json.end_object().end_object());
    return;
  }
  std::string line = fmt::format("{}  {:<20} {:<13} {:<11} {}", printable(happened_text(record)),
                                 printable(record.who), printable(event.action),
                                 printable(event.outcome.empty() ? event.phase : event.outcome),
                                 printable(event.text.empty() ? event.subject : event.text));
  for (const auto& [name, value] : event.details) {
    if (name == "error") {
      line += ": " + printable(value);
    }
  }
  session.terminal.print_line(line);
}

void print_finding(Session& session, const AuditFinding& finding) {
  const std::string place = finding.sequence == 0
                                ? finding.writer
                                : fmt::format("{} record {}", finding.writer, finding.sequence);
  if (session.terminal.json()) {
    JsonWriter json;
    json.begin_message("audit_finding");
    json.field("problem", finding.is_problem)
        .field("writer", finding.writer)
        .field("sequence", finding.sequence)
        .field("text", finding.text);
    session.terminal.print_json(json.end_object());
  } else {
    session.terminal.print_line((finding.is_problem ? "PROBLEM  " : "note     ") +
                                printable(place) + ": " + printable(finding.text));
  }
}

int run_show(const Choices& choices, Session& session) {
  const Verified trail = read_trail(choices, session);
  const auto since = time_of(choices.since, "--since");
  const auto until = time_of(choices.until, "--until");
  std::vector<VerifiedAuditRecord> records = trail.report.records;
  std::stable_sort(records.begin(), records.end(), [](const auto& a, const auto& b) {
    return happened_text(a.record) < happened_text(b.record);
  });
  for (const VerifiedAuditRecord& record : records) {
    if (is_wanted(record, choices, since, until)) {
      print_record(session, record);
    }
  }
  if (!trail.report.sound()) {
    session.terminal.warn("the trail has been tampered with or is damaged",
                          "`salvor audit verify` says where.");
    return exit_status(ErrorCode::kDamaged);
  }
  return 0;
}

// The ends of all chains as one record: whoever cuts one off has to rewrite this chain, too.
void record_heads(Session& session, const Verified& trail) {
  AuditEvent event{.action = "audit",
                   .phase = {},
                   .outcome = trail.report.sound() ? "succeeded" : "failed",
                   .subject = {},
                   .text = "the ends of all chains",
                   .run = {},
                   .details = {}};
  for (const WriterHead& head : trail.report.heads) {
    event.details.emplace_back(std::string(kHeadDetail) + head.writer,
                               fmt::format("{} {}", head.head.sequence, head.head.hash));
  }
  AuditTrail writer = make_audit_trail(session, *trail.opened->repository);
  (void)writer.record(trail.opened->context, event);
}

int run_verify(const Choices& choices, Session& session) {
  if (choices.file && choices.record) {
    throw Error(ErrorCode::kUsage, "--record is for the trail of a repository, not for a file");
  }
  const Verified trail = read_trail(choices, session);
  const AuditReport& report = trail.report;
  size_t notes = 0;
  for (const AuditFinding& finding : report.findings) {
    notes += finding.is_problem ? 0 : 1;
    print_finding(session, finding);
  }
  if (choices.record) {
    record_heads(session, trail);
  }
  const std::string summary =
      fmt::format("{} of {}: {}", counted(report.records.size(), "record"),
                  counted(report.heads.size(), "writer"),
                  report.sound() ? "the trail is whole" : "the trail is NOT whole");
  if (session.terminal.json()) {
    JsonWriter json;
    json.begin_message("summary");
    json.field("records", report.records.size())
        .field("writers", report.heads.size())
        .field("problems", report.findings.size() - notes)
        .field("notes", notes)
        .field("sound", report.sound());
    session.terminal.print_json(json.end_object());
  } else {
    session.terminal.print_summary(summary);
  }
  return report.sound() ? 0 : exit_status(ErrorCode::kDamaged);
}

int run_head(const Choices& choices, Session& session) {
  const Verified trail = read_trail(choices, session);
  if (!trail.report.sound()) {
    throw Error(ErrorCode::kDamaged, "the trail has been tampered with or is damaged",
                "`salvor audit verify` says where. Heads of such a trail are worth nothing.");
  }
  const Repository& repository = *trail.opened->repository;
  const SigningKey key =
      EvidenceKeys(repository, secret_reader(session)).signer(trail.opened->context, who(session));
  write_output(session, choices.output,
               encode_audit_heads({.repository = repository.config().id,
                                   .time = session.context.clock.now(),
                                   .heads = trail.report.heads},
                                  key));
  return 0;
}

int run_export(const Choices& choices, Session& session) {
  const OpenedRepository opened = open_repository(session);
  std::string all;
  for (const StoredAuditRecord& record : load_audit_records(opened.context, *opened.repository)) {
    if (!record.unreadable.empty()) {
      throw Error(ErrorCode::kDamaged,
                  fmt::format("record {} of {} cannot be exported: {}", record.sequence,
                              record.writer, record.unreadable));
    }
    all += record.text;
  }
  write_output(session, choices.output, all);
  return 0;
}

}  // namespace

CommandSpec audit_command() {
  auto choices = std::make_shared<Choices>();
  const PositionalSpec file{.name = "file",
                            .target = &choices->file,
                            .help = "a trail that `audit export` wrote (default: the repository's)",
                            .hint = ValueHint::kFile};
  const OptionSpec key{.long_name = "key",
                       .value_name = "file",
                       .help = "public keys in PEM form (default: those of the repository)",
                       .target = &choices->keys,
                       .hint = ValueHint::kFile};
  const OptionSpec without_key{
      .long_name = "allow-unsigned",
      .value_name = "writer",
      .help = "a machine that has no key: what it recorded without a signature is no problem",
      .target = &choices->unsigned_writers};
  const OptionSpec head{.long_name = "head",
                        .value_name = "file",
                        .help = "heads that `audit head` wrote and somebody kept elsewhere",
                        .target = &choices->heads,
                        .hint = ValueHint::kFile};
  const OptionSpec output{.long_name = "output",
                          .value_name = "file",
                          .help = "write to a file",
                          .target = &choices->output,
                          .hint = ValueHint::kFile};
  const auto codes = with_exit_codes(kRepositoryExitCodes,
                                     {{20, "the trail has been tampered with, or is damaged"}});
  return {
      .name = "audit",
      .summary = "Show and verify who did what with the backups",
      .description =
          "The audit trail is kept in the repository: signed records, each with the hash of the "
          "one "
          "before. It is written when -o audit.trail=on or SALVOR_AUDIT=on says so, and by the "
          "commands that work on the application of a configuration.",
      .commands = {
          {.name = "show",
           .summary = "List what was done",
           .positionals = {file},
           .options = {{.long_name = "since",
                        .value_name = "time",
                        .help = "from then on: 2026-11-21 or 2026-11-21T08:00:00Z",
                        .target = &choices->since},
                       {.long_name = "until",
                        .value_name = "time",
                        .help = "before then",
                        .target = &choices->until},
                       {.long_name = "who",
                        .value_name = "text",
                        .help = "only whose user@host contains this",
                        .target = &choices->who},
                       {.long_name = "action",
                        .value_name = "name",
                        .help =
                            "only backup, restore, access, verification, drill, plan, approval, "
                            "retention, copy, key, configuration or repair",
                        .target = &choices->action},
                       key,
                       without_key},
           .examples = {{"salvor audit show --since 2026-11-01 --action restore", "Restores"}},
           .exit_codes = codes,
           .run = [choices](Session& session) { return run_show(*choices, session); }},
          {.name = "verify",
           .summary = "Find what was removed, changed, exchanged or forged",
           .description =
               "Follows every chain from its first record on: numbers, hashes, signatures, what "
               "this machine and other records know of each chain's end. The end of a chain can be "
               "cut off without a trace in what is left; --head finds that with a head that was "
               "kept elsewhere. A record without a signature counts only before the first signed "
               "one of its writer, or with --allow-unsigned.",
           .positionals = {file},
           .options = {head,
                       key,
                       without_key,
                       {.long_name = "record",
                        .help = "record the ends of all chains in this machine's chain",
                        .target = &choices->record}},
           .examples = {{"salvor audit verify --head /media/safe/heads.json", "With a kept head"},
                        {"salvor audit verify trail.jsonl --key evidence-public.pem", "Offline"}},
           .exit_codes = codes,
           .run = [choices](Session& session) { return run_verify(*choices, session); }},
          {.name = "head",
           .summary = "Write the ends of all chains, signed, to be kept elsewhere",
           .options = {output, without_key},
           .exit_codes = codes,
           .run = [choices](Session& session) { return run_head(*choices, session); }},
          {.name = "export",
           .summary = "Write the whole trail as a file",
           .description = "One signed record a line.",
           .options = {output},
           .exit_codes = kRepositoryExitCodes,
           .run = [choices](Session& session) { return run_export(*choices, session); }}}};
}

}  // namespace salvor::cli
