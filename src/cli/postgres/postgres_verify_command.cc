#include <algorithm>
#include <filesystem>

#include <fmt/format.h>

#include "base/fd.h"
#include "base/format.h"
#include "cli/output/json_writer.h"
#include "cli/postgres/postgres_commands.h"
#include "cli/postgres/recovery_options.h"
#include "cli/repository_access.h"
#include "connector/postgres/local_server.h"
#include "engine/postgres/postgres_proof.h"

namespace salvor::cli {
namespace {

constexpr uint64_t kAssertFileLimit = uint64_t{1} << 20;

struct Choices : RecoveryChoices {
  bool start = false;
  std::vector<std::string> assertions;
  std::string assert_file;
  std::string database = "postgres";
  std::string sandbox;
  std::string binaries;
  std::string superuser = "postgres";
  std::vector<std::string> settings;
  bool no_amcheck = false;
  bool no_counts = false;
};

// One statement a line; empty lines and those that begin with "--" do not count.
std::vector<std::string> statements(const Choices& choices) {
  std::vector<std::string> all = choices.assertions;
  if (choices.assert_file.empty()) {
    return all;
  }
  const Buffer content = read_file(choices.assert_file, kAssertFileLimit);
  std::string_view text = as_text(content.view());
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    while (line.ends_with(' ') || line.ends_with('\r') || line.ends_with(';')) {
      line.remove_suffix(1);
    }
    if (!line.empty() && !line.starts_with("--")) {
      all.emplace_back(line);
    }
  }
  return all;
}

void print_proof(Session& session, const Proof& proof) {
  Terminal& out = session.terminal;
  if (out.json()) {
    JsonWriter json;
    json.begin_message("summary");
    json.field("snapshot_id", proof.snapshot.hex())
        .field("proven", proof.proven())
        .field("target", proof.target)
        .field("reached", proof.reached)
        .field("position", proof.position.text())
        .field("server", proof.server_version)
        .field("bytes", proof.bytes)
        .field("seconds_files", proof.files_seconds)
        .field("seconds_recovery", proof.recovery_seconds)
        .field("seconds_checks", proof.checks_seconds)
        .field("failure", proof.failure);
    json.key("checks").begin_array();
    for (const ProofCheck& check : proof.checks) {
      json.begin_object();
      json.field("name", check.name).field("passed", check.passed).field("value", check.value);
      json.end_object();
    }
    json.end_array();
    out.print_json(json.end_object());
    return;
  }
  for (const ProofCheck& check : proof.checks) {
    out.print_summary(fmt::format("{}  {}: {}", check.passed ? "ok    " : "FAILED",
                                  printable(check.name), printable(check.value)));
  }
  if (!proof.failure.empty()) {
    out.print_summary("FAILED  " + proof.failure);
    return;
  }
  out.print_summary(fmt::format(
      "backup {} recovered to {} (last transaction {}): files {:.1f} s ({}), recovery {:.1f} s, "
      "checks {:.1f} s",
      proof.snapshot.short_hex(), proof.position.text(), proof.reached, proof.files_seconds,
      format_bytes(proof.bytes), proof.recovery_seconds, proof.checks_seconds));
  out.print_summary(proof.proven() ? "this recovery point is proven" : "it is NOT proven");
}

int run(const Choices& choices, Session& session) {
  if (!choices.start) {
    throw Error(ErrorCode::kUsage, "nothing to do without --start",
                "--start restores into a sandbox and starts the server. `salvor check` and "
                "`salvor wal verify` look at what is stored.");
  }
  ProofOptions options;
  options.restore.recovery = recovery_target(choices);
  options.restore.binaries = choices.binaries;
  options.restore.superuser = choices.superuser;
  options.restore.program = own_path();
  options.restore.on_step = [&session](const std::string& step) { session.terminal.message(step); };
  options.restore.settings = postgres::nothing_preloaded();
  for (const std::string& setting : choices.settings) {
    options.restore.settings.push_back(split_pair(setting, "--set"));
  }
  for (const std::string& statement : statements(choices)) {
    options.assertions.push_back({choices.database, statement});
  }
  options.amcheck = !choices.no_amcheck;
  options.count_rows = !choices.no_counts;
  options.program_version = "salvor " SALVOR_VERSION;

  OpenedRepository opened = open_repository(session, {.lock = LockMode::kShared});
  const Context& context = opened.context;
  const PlannedRecovery planned =
      plan_recovery(context, *opened.repository, choices, options.restore.recovery);
  session.terminal.message(describe_plan(planned.plan));
  opened.repository->load_index(context);
  const std::string parent = std::filesystem::absolute(
      choices.sandbox.empty() ? std::string("/var/tmp") : choices.sandbox);
  const Sandbox sandbox(parent);
  options.restore.target = sandbox.path() + "/data";
  options.restore.tablespaces_in = sandbox.path() + "/tablespaces";
  const Proof proof = run_under_lock(session, opened, [&] {
    return prove_recovery(context, *opened.repository, planned.archive, planned.plan, options);
  });
  record_proof(context, *opened.repository, proof);
  print_proof(session, proof);
  return proof.proven() ? 0 : exit_status(ErrorCode::kDamaged);
}

}  // namespace

CommandSpec postgres_verify_spec() {
  auto choices = std::make_shared<Choices>();
  std::vector<OptionSpec> options{
      {.long_name = "start",
       .help = "restore into a sandbox, start the server, recover, and look into it",
       .target = &choices->start},
      {.long_name = "assert",
       .value_name = "SQL",
       .help = "a statement that must give true, e.g. \"SELECT count(*) > 0 FROM orders\"",
       .target = &choices->assertions},
      {.long_name = "assert-file",
       .value_name = "file",
       .help = "such statements, one a line",
       .target = &choices->assert_file,
       .hint = ValueHint::kFile},
      {.long_name = "database",
       .value_name = "name",
       .help = "the database of the statements",
       .target = &choices->database},
      {.long_name = "sandbox",
       .value_name = "directory",
       .help = "where there is room for the whole cluster; everything is removed afterwards",
       .target = &choices->sandbox,
       .default_text = "/var/tmp",
       .hint = ValueHint::kDirectory},
      {.long_name = "no-amcheck",
       .help = "do not run pg_amcheck (run where it is installed)",
       .target = &choices->no_amcheck},
      {.long_name = "no-counts",
       .help = "do not read all rows of all tables",
       .target = &choices->no_counts},
      {.long_name = "bin",
       .value_name = "directory",
       .help = "the folder of the server's programs",
       .target = &choices->binaries,
       .default_text = "looked for",
       .hint = ValueHint::kDirectory},
      {.long_name = "superuser",
       .value_name = "role",
       .help = "a superuser of the cluster, for the checks",
       .target = &choices->superuser},
      {.long_name = "set",
       .value_name = "name=value",
       .help = "a server setting in the sandbox, where nothing is preloaded otherwise",
       .target = &choices->settings}};
  add_options(options, target_options(*choices));
  return {
      .name = "verify",
      .summary = "Prove that a cluster can be recovered",
      .description =
          "Restores a physical backup into a sandbox, starts the server on a private socket "
          "without a network address and with archiving off, recovers to the moment that was asked "
          "for, reads all rows of all tables, runs pg_amcheck and your own statements, and removes "
          "everything again. The outcome, with the time that each step took, is recorded in the "
          "repository: this recovery point is proven, or not.",
      .positionals = {{.name = "snapshot",
                       .target = &choices->snapshot,
                       .help = "the backup (default: the newest that can reach the target)"}},
      .options = std::move(options),
      .examples = {{"salvor postgres verify --start --assert \"SELECT max(at) > now() - interval "
                    "'1 day' FROM orders\" --database shop",
                    "The newest state, with a question of one's own"}},
      .exit_codes = with_exit_codes(kRepositoryExitCodes,
                                    {{20, "recovery or one of the checks failed: not proven"}}),
      .run = [choices](Session& session) { return run(*choices, session); },
  };
}

}  // namespace salvor::cli
