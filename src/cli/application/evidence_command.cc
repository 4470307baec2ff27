// evidence: what drills found, signed; for those who keep it and those who must believe it.
#include <algorithm>
#include <filesystem>
#include <fstream>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/format.h"
#include "cli/application/evidence_commands.h"
#include "cli/commands.h"
#include "cli/output/table.h"
#include "cli/repository_access.h"
#include "cli/secret_reader.h"
#include "evidence/evidence_keys.h"
#include "evidence/evidence_store.h"
#include "evidence/report_page.h"
#include "evidence/trusted_keys.h"
#include "model/duration_text.h"
#include "model/utc_text.h"

namespace salvor::cli {

void write_output(Session& session, const std::string& path, std::string_view content) {
  if (path.empty() || path == "-") {
    session.terminal.print(content);
    return;
  }
  const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
                             S_IRUSR | S_IWUSR | S_IRGRP | S_IROTH));
  if (!file) {
    throw Error::from_errno(errno, "cannot write " + path);
  }
  write_full(file.get(), as_bytes(content), path);
  session.terminal.print_summary("wrote " + path);
}

std::string who(const Session&) {
  return current_user_name() + "@" + current_host_name();
}

std::vector<TrustedKey> keys_from_files(const std::vector<std::string>& paths) {
  std::vector<TrustedKey> keys;
  for (const std::string& path : paths) {
    const Buffer content = read_file(path, kTrustedKeysLimit);
    try {
      const std::vector<TrustedKey> more = decode_trusted_keys(as_text(content.view()));
      keys.insert(keys.end(), more.begin(), more.end());
    } catch (Error& error) {
      throw error.within(path);
    }
  }
  return keys;
}

namespace {

// Who has the repository's password can add a key, and sign with it.
void warn_of_stranger(Session& session, const EvidenceKey& key) {
  if (!key.vouched_for) {
    session.terminal.warn(
        fmt::format("no earlier key has signed key {}", key.ordinal),
        "The key before was not at hand when it was made. Ask who made it before you trust it.");
  }
}

}  // namespace

std::vector<TrustedKey> trusted_keys(const Context& context, const Repository& repository,
                                     Session& session, const std::vector<std::string>& files) {
  if (!files.empty()) {
    return keys_from_files(files);
  }
  std::vector<TrustedKey> keys;
  for (const EvidenceKey& key : EvidenceKeys(repository, secret_reader(session)).load(context)) {
    warn_of_stranger(session, key);
    keys.push_back(key.trusted());
  }
  return keys;
}

bool names_file(const std::string& text) {
  return text != "latest" && (text.find_first_of("/.") != std::string::npos ||
                              text.find_first_not_of("0123456789abcdef") != std::string::npos);
}

namespace {

// ---- key

struct KeyOptions {
  std::string from;
  std::string comment;
  std::string reason = "rotated";
  std::string output;
  bool current = false;
};

void print_key(Session& session, const EvidenceKey& key) {
  if (session.terminal.json()) {
    JsonWriter json;
    json.begin_message("evidence_key");
    json.field("ordinal", key.ordinal)
        .field("key_id", key.key.id())
        .field("valid_from", utc_text(key.valid_from))
        .field("valid_to", key.valid_to ? utc_text(*key.valid_to) : "")
        .field("end_reason", key.end_reason)
        .field("private_key", key.reference ? key.reference->text() : "in the repository")
        .field("made_by", key.made_by)
        .field("comment", key.comment)
        .field("vouched_for", key.vouched_for);
    session.terminal.print_json(json.end_object());
    return;
  }
  std::string line = fmt::format(
      "{}  {}  from {}{}  {}  by {}{}", key.ordinal, key.key.id().substr(0, 16),
      utc_text(key.valid_from),
      key.valid_to ? " to " + utc_text(*key.valid_to) + " (" + key.end_reason + ")" : ", in use",
      key.reference ? key.reference->text() : "private key in the repository",
      printable(key.made_by), key.comment.empty() ? "" : "  " + printable(key.comment));
  session.terminal.print_line(line);
  warn_of_stranger(session, key);
}

int run_key_new(const KeyOptions& options, Session& session) {
  std::optional<SecretReference> reference;
  if (!options.from.empty()) {
    reference = SecretReference::parse(options.from);
    if (!reference) {
      throw Error(ErrorCode::kUsage, "\"" + printable(options.from) + "\" is no reference",
                  "Write file:PATH, env:NAME, cmd:COMMAND or credential:NAME.");
    }
  }
  const OpenedRepository opened = open_repository(session, {LockMode::kShared, NoLock::kIgnored});
  const EvidenceKeys keys(*opened.repository, secret_reader(session));
  const EvidenceKey key = keys.add(opened.context, {.reference = reference,
                                                    .made_by = who(session),
                                                    .comment = options.comment,
                                                    .old_valid_to = {},
                                                    .end_reason = options.reason});
  print_key(session, key);
  return 0;
}

int run_key_show(Session& session) {
  const OpenedRepository opened = open_repository(session);
  const std::vector<EvidenceKey> keys =
      EvidenceKeys(*opened.repository, secret_reader(session)).load(opened.context);
  for (const EvidenceKey& key : keys) {
    print_key(session, key);
  }
  if (keys.empty()) {
    session.terminal.message(
        "there is no key yet: the first drill makes one, and so does "
        "`salvor evidence key new`");
  }
  return 0;
}

int run_key_public(const KeyOptions& options, Session& session) {
  const OpenedRepository opened = open_repository(session);
  std::vector<TrustedKey> keys = trusted_keys(opened.context, *opened.repository, session, {});
  if (keys.empty()) {
    throw Error(ErrorCode::kNotFound, "there is no evidence key in this repository",
                "`salvor evidence key new` makes one.");
  }
  if (options.current) {
    keys.erase(keys.begin(), keys.end() - 1);
  }
  write_output(session, options.output, encode_trusted_keys(keys));
  return 0;
}

CommandSpec key_group() {
  auto options = std::make_shared<KeyOptions>();
  return {
      .name = "key",
      .summary = "The keys that sign evidence",
      .description =
          "Evidence and audit records are signed with an Ed25519 key. The private key is kept "
          "sealed in the repository, or stays where --from says; the public key is for those who "
          "verify. A new key ends the one before, which still counts for what it signed.",
      .commands = {
          {.name = "new",
           .summary = "Make a key, which signs from now on",
           .description =
               "With --from the private key (PKCS #8, PEM, as `openssl genpkey -algorithm ed25519` "
               "writes it) stays outside of the repository: then nobody can sign who only has the "
               "repository and its password.",
           .options = {{.long_name = "from",
                        .value_name = "reference",
                        .help = "where the private key is: file:PATH, env:NAME, cmd:COMMAND, "
                                "credential:NAME",
                        .target = &options->from},
                       {.long_name = "comment",
                        .value_name = "text",
                        .help = "what to remember of it",
                        .target = &options->comment},
                       {.long_name = "reason",
                        .value_name = "text",
                        .help = "why the key before ends",
                        .target = &options->reason}},
           .examples = {{"salvor evidence key new", "Kept in the repository"},
                        {"salvor evidence key new --from file:/etc/salvor/evidence.pem "
                         "--reason \"taken out of the repository\"",
                         "Kept on this machine"}},
           .exit_codes = kRepositoryExitCodes,
           .run = [options](Session& session) { return run_key_new(*options, session); }},
          {.name = "show",
           .summary = "List the keys",
           .exit_codes = kRepositoryExitCodes,
           .run = [](Session& session) { return run_key_show(session); }},
          {.name = "public",
           .summary = "Write the public keys",
           .description = "All of them, each with the time for which it counts: what `verify "
                          "--key` and OpenSSL take. Keep a copy away from the repository.",
           .options = {{.long_name = "output",
                        .value_name = "file",
                        .help = "write to a file",
                        .target = &options->output,
                        .hint = ValueHint::kFile},
                       {.long_name = "current",
                        .help = "only the key in use",
                        .target = &options->current}},
           .exit_codes = kRepositoryExitCodes,
           .run = [options](Session& session) { return run_key_public(*options, session); }}}};
}

// ---- list, show, export, verify

struct Choices {
  std::vector<std::string> names;
  std::vector<std::string> keys;
  std::string output;
  std::string directory;
  bool all = false;
};

void print_entry(Table& table, Session& session, const Evidence& evidence) {
  const DrillReport& report = evidence.report;
  const bool passed = drill_passed(report);
  const DrillMeasure* measure = report.measures.empty() ? nullptr : report.measures.data();
  const auto text = [](const std::optional<double>& seconds) {
    return seconds ? duration_text(*seconds) : std::string("-");
  };
  if (session.terminal.json()) {
    JsonWriter json;
    json.begin_message("evidence");
    json.field("id", report.id)
        .field("started", utc_text(report.started))
        .field("application", report.application)
        .field("scenario", report.scenario)
        .field("plan", report.plan)
        .field("outcome", name_of(report.outcome))
        .field("passed", passed)
        .field("sha256", evidence.sha256)
        .field("key_id", evidence.key_id)
        .field("problem", evidence.problem);
    session.terminal.print_json(json.end_object());
    return;
  }
  table.add_row({report.id.substr(0, 8), utc_text(report.started),
                 report.scenario.empty() ? "-" : printable(report.scenario),
                 passed ? "passed" : "FAILED", text(measure ? measure->rto_seconds : std::nullopt),
                 text(measure ? measure->rpo_seconds : std::nullopt),
                 evidence.problem.empty() ? "good" : printable(evidence.problem)});
}

int run_list(const Choices& choices, Session& session) {
  const OpenedRepository opened = open_repository(session);
  const std::vector<TrustedKey> keys =
      trusted_keys(opened.context, *opened.repository, session, choices.keys);
  const EvidenceStore store(*opened.repository);
  Table table;
  for (const char* header : {"ID", "Started", "Scenario", "Result", "RTO", "RPO", "Signature"}) {
    table.add_column(header);
  }
  bool good = true;
  for (const EvidenceEntry& entry : store.list(opened.context)) {
    try {
      const Evidence evidence = store.read(opened.context, entry, keys);
      good = good && evidence.problem.empty();
      print_entry(table, session, evidence);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kDamaged) {
        throw;
      }
      good = false;
      session.terminal.warn("evidence " + entry.id + " cannot be read: " + error.message(),
                            error.hint());
    }
  }
  if (!session.terminal.json()) {
    session.terminal.print(table.rows() > 0 ? table.text() : "");
  }
  return good ? 0 : exit_status(ErrorCode::kDamaged);
}

int run_export(const Choices& choices, Session& session) {
  const OpenedRepository opened = open_repository(session);
  const EvidenceStore store(*opened.repository);
  std::vector<EvidenceEntry> entries;
  if (choices.all) {
    entries = store.list(opened.context);
  }
  for (const std::string& name : choices.names) {
    entries.push_back(store.find(opened.context, name));
  }
  if (entries.empty() || (entries.size() > 1 && choices.directory.empty()) ||
      (!choices.directory.empty() && !choices.output.empty())) {
    throw Error(
        ErrorCode::kUsage, "it is not clear what is to be written where",
        "One piece of evidence with --output FILE, or several (--all) with --to DIRECTORY.");
  }
  if (!choices.directory.empty()) {
    std::filesystem::create_directories(choices.directory);
    write_output(
        session, choices.directory + "/evidence-public.pem",
        encode_trusted_keys(trusted_keys(opened.context, *opened.repository, session, {})));
  }
  for (const EvidenceEntry& entry : entries) {
    write_output(session,
                 choices.directory.empty()
                     ? choices.output
                     : choices.directory + "/" + entry.position + ".dsse.json",
                 store.load(opened.context, entry));
  }
  return 0;
}

int run_verify(const Choices& choices, Session& session) {
  std::optional<OpenedRepository> opened;
  std::vector<TrustedKey> keys = keys_from_files(choices.keys);
  const bool needs_repository =
      keys.empty() || std::any_of(choices.names.begin(), choices.names.end(),
                                  [](const std::string& name) { return !names_file(name); });
  if (needs_repository) {
    opened.emplace(open_repository(session));
    keys = trusted_keys(opened->context, *opened->repository, session, choices.keys);
  }
  for (const std::string& name : choices.names) {
    std::string text;
    if (names_file(name)) {
      const Buffer content = read_file(name, kEnvelopeLimit);
      text = as_text(content.view());
    } else {
      const EvidenceStore store(*opened->repository);
      text = store.load(opened->context, store.find(opened->context, name));
    }
    try {
      const Evidence evidence = verify_evidence(text, keys);
      const DrillReport& report = evidence.report;
      if (session.terminal.json()) {
        Table none;
        print_entry(none, session, evidence);
      } else {
        session.terminal.print_summary(fmt::format(
            "{}: authentic, signed with key {}\n  {} of {} on {}: {}\n  SHA-256 {}",
            printable(name), evidence.key_id.substr(0, 16),
            report.scenario.empty() ? "drill" : "drill \"" + printable(report.scenario) + "\"",
            printable(report.application), utc_text(report.started),
            drill_passed(report) ? "passed" : "FAILED", evidence.sha256));
      }
    } catch (Error& error) {
      throw error.within(printable(name) + " is not authentic evidence");
    }
  }
  return 0;
}

}  // namespace

CommandSpec evidence_command() {
  auto choices = std::make_shared<Choices>();
  const OptionSpec key{.long_name = "key",
                       .value_name = "file",
                       .help = "public keys in PEM form (default: those of the repository)",
                       .target = &choices->keys,
                       .hint = ValueHint::kFile};
  const OptionSpec output{.long_name = "output",
                          .value_name = "file",
                          .help = "write to a file",
                          .target = &choices->output,
                          .hint = ValueHint::kFile};
  return {
      .name = "evidence",
      .summary = "Show, export and verify what drills have proven",
      .description =
          "Every drill leaves a signed statement in the repository: which plan, which recovery "
          "points, who, when, each check with its value, what was found, how long recovery took "
          "and how much data it lost against what was promised. The statement is an in-toto "
          "statement in a DSSE envelope; the signature is Ed25519.",
      .commands = {
          key_group(),
          {.name = "list",
           .summary = "List the evidence in the repository",
           .options = {key},
           .exit_codes =
               with_exit_codes(kRepositoryExitCodes, {{20, "some evidence is not authentic"}}),
           .run = [choices](Session& session) { return run_list(*choices, session); }},
          evidence_show_spec(),
          evidence_report_spec(),
          {.name = "export",
           .summary = "Write evidence as files",
           .description = "The files are all that `verify` needs besides the public key.",
           .positionals = {{.name = "id",
                            .target = &choices->names,
                            .help = "the beginning of an id, or \"latest\"",
                            .maximum = kUnlimited}},
           .options = {output,
                       {.long_name = "all", .help = "all there is", .target = &choices->all},
                       {.long_name = "to",
                        .value_name = "directory",
                        .help = "one file each, and the public keys",
                        .target = &choices->directory,
                        .hint = ValueHint::kDirectory}},
           .examples = {{"salvor evidence export latest --output drill.dsse.json", "The newest"},
                        {"salvor evidence export --all --to evidence-2026", "All, with the keys"}},
           .exit_codes = kRepositoryExitCodes,
           .run = [choices](Session& session) { return run_export(*choices, session); }},
          {.name = "verify",
           .summary = "Verify that evidence is authentic",
           .description =
               "With --key and files, neither a repository nor a configuration nor a network is "
               "needed. Get the public key from somebody you trust, not from where the evidence "
               "came from. Whether the drill passed is another question: it is shown, too.",
           .positionals = {{.name = "file",
                            .target = &choices->names,
                            .help = "files, or ids of evidence in the repository",
                            .minimum = 1,
                            .maximum = kUnlimited,
                            .hint = ValueHint::kFile}},
           .options = {key},
           .examples = {{"salvor evidence verify drill.dsse.json --key evidence-public.pem",
                         "Offline"}},
           .exit_codes = with_exit_codes(kRepositoryExitCodes, {{20, "it is not authentic"}}),
           .run = [choices](Session& session) { return run_verify(*choices, session); }}}};
}

}  // namespace salvor::cli
