#include "cli/application/source_commands.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/format.h"
#include "cli/application/configured_repository.h"
#include "cli/output/json_writer.h"
#include "cli/stores/logical_store.h"
#include "connector/postgres/backup_facts.h"
#include "engine/snapshots/retention.h"
#include "engine/snapshots/snapshot_labels.h"
#include "model/duration_text.h"
#include "protect/due.h"
#include "protect/job_lock.h"
#include "protect/run_facts.h"
#include "protect/time_text.h"

namespace salvor::cli {
namespace {

using postgres::format_utc;

std::string short_id(const std::string& id) {
  return id.substr(0, 8);
}

// "7d" and "forever" as the length of time that a BackupOrder takes.
std::chrono::seconds keep_of(const std::string& keep) {
  if (keep.empty()) {
    return std::chrono::seconds(0);
  }
  if (keep == "forever") {
    return std::chrono::years(100);
  }
  const CalendarSpan span = parse_calendar_span(keep);
  const auto length = std::chrono::years(span.years) + std::chrono::months(span.months) +
                      std::chrono::days(span.days) + std::chrono::hours(span.hours);
  return std::chrono::ceil<std::chrono::seconds>(length);
}

int back_up_one(Session& session, ApplicationJobs& jobs, const std::string& name,
                const SourceBackupChoices& choices) {
  const SourceSpec* source = find_named(jobs.application().sources, name);
  if (source == nullptr) {
    static_cast<void>(jobs.stores().open(name));  // says which there are
    return exit_status(ErrorCode::kUsage);
  }
  const Job job{RunKind::kBackup, name, source->repository, "", ""};
  const auto lock = JobLock::take(jobs.application().state_directory, "backup-" + name);
  if (!lock) {
    throw Error(ErrorCode::kLocked, "a backup of " + name + " is running already",
                "Wait for it; `salvor status` shows when it is done.");
  }
  jobs.set_order({.label = choices.label,
                  .keep = keep_of(choices.keep),
                  .full = choices.full,
                  .dry_run = choices.dry_run});
  if (choices.dry_run) {
    static_cast<void>(jobs.back_up(session.context, job));
    return 0;
  }
  const RunRecord record = run_job(session.context, jobs.application(), jobs, jobs,
                                   {.job = job, .due = {}, .missed = {}, .why = {}}, who_text());
  show_run(session, record);
  return exit_status_of(record.outcome);
}

// Where a restore goes instead of the real place, in the terms of the source's kind.
void set_target(RestoreOrder& order, const SourceSpec& source, const std::string& target) {
  const bool database =
      source.kind == "postgres" && source.settings.text("method", "physical") == "logical";
  if (!database) {
    order.target.set("directory", target);
    return;
  }
  const bool reference = SecretReference::parse(target).has_value();
  if (!reference && names_connection(target)) {
    throw Error(ErrorCode::kUsage, "the target's URL is not a reference",
                "It may hold a password, and where a restore went is written down, so that --undo "
                "finds it again. Say where the URL is (--target env:TARGET_URL, --target "
                "file:/etc/target-url), or name a database on the source's own server.");
  }
  order.target.set(reference ? "url" : "database", target);
}

RestoreOrder restore_order(const SourceRestoreChoices& choices, const SourceSpec& source,
                           Session& session) {
  RestoreOrder order;
  order.moment = moment_of(choices.at, choices.label);
  order.old_data = choices.in_place ? OldData::kOverwrite : OldData::kMoveAside;
  if (!choices.target.empty()) {
    set_target(order, source, choices.target);
    order.old_data = choices.in_place ? OldData::kOverwrite : OldData::kRefuse;
  }
  order.selection = choices.include;
  order.dry_run = choices.dry_run;
  order.key = "restore-" + choices.source;
  order.on_step = [&session](const std::string& step) { session.terminal.message(step); };
  return order;
}

// The last restore that moved something aside, as an outcome.
RestoreOutcome last_restore(ApplicationJobs& jobs, const std::string& source) {
  for (const RunRecord& run :
       jobs.catalog().runs({.kind = RunKind::kRestore, .subject = source, .limit = 20})) {
    for (const auto& [name, value] : run.facts) {
      if (name.starts_with("moved ") && run.outcome == RunOutcome::kSucceeded) {
        RestoreOutcome outcome;
        outcome.snapshot = run.snapshot;
        outcome.facts = run.facts;
        return outcome;
      }
    }
  }
  throw Error(ErrorCode::kNotFound, "no restore of " + source + " that kept old data is known here",
              "Old data is kept beside the restored, as <place>.before-<time>.");
}

int end_restore(Session& session, ApplicationJobs& jobs, const SourceRestoreChoices& choices) {
  const RestoreOutcome outcome = last_restore(jobs, choices.source);
  std::vector<std::string> what;
  for (const auto& [name, value] : outcome.facts) {
    if (name.starts_with("moved ")) {
      const std::string place = name.substr(6);
      what.push_back(choices.undo ? printable(value) + " goes back to " + printable(place) +
                                        ", and what was restored there is removed"
                                  : printable(value) + " is removed");
    }
  }
  require_consent(session, choices.consent, what, choices.source);
  const std::unique_ptr<Store> store = jobs.stores().open(choices.source);
  AuditEvent event{.action = "restore",
                   .phase = {},
                   .outcome = {},
                   .subject = choices.source,
                   .text = choices.undo ? "undo of the last restore of " + choices.source
                                        : "old data of " + choices.source + " is discarded",
                   .run = new_run_id(session.context.random),
                   .details = {}};
  jobs.record_before(session.context, store->spec(), event);
  const auto ended = [&](const char* how) {
    event.phase = "ended";
    event.outcome = how;
    jobs.note(session.context, store->spec().repository, event);
    jobs.send_records(session.context);
  };
  try {
    choices.undo ? store->put_back(session.context, outcome, {})
                 : store->discard_old(session.context, outcome);
  } catch (const Error&) {
    ended("failed");
    throw;
  }
  ended("succeeded");
  session.terminal.print_summary("the old data of " + choices.source +
                                 (choices.undo ? " is back" : " is gone"));
  return 0;
}

void print_outcome(Session& session, const SourceRestoreChoices& choices,
                   const RestoreOutcome& outcome, bool dry_run) {
  Terminal& out = session.terminal;
  if (out.json()) {
    JsonWriter json;
    json.begin_message("summary");
    json.field("source", choices.source)
        .field("snapshot_id", outcome.snapshot)
        .field("reached", outcome.reached ? format_utc(*outcome.reached) : "")
        .field("bytes_restored", outcome.restored_bytes)
        .field("bytes_written", outcome.written_bytes)
        .field("old_data", outcome.old_data)
        .field("dry_run", dry_run);
    out.print_json(json.end_object());
    return;
  }
  out.print_summary(fmt::format(
      "{} {} {} from snapshot {}{}", choices.source, dry_run ? "would be restored" : "restored",
      outcome.reached ? "to " + format_utc(*outcome.reached) : std::string(),
      short_id(outcome.snapshot),
      dry_run ? std::string()
              : fmt::format(", {} ({} written)", format_bytes(outcome.restored_bytes),
                            format_bytes(outcome.written_bytes))));
  if (!outcome.old_data.empty()) {
    out.print_summary("the old data is in " + printable(outcome.old_data));
    out.print_summary("  when the new has proven itself: salvor restore " + choices.source +
                      " --discard-old");
    out.print_summary("  to go back to it:               salvor restore " + choices.source +
                      " --undo");
  }
}

// "latest", "1a2b3c4d", "latest:/srv".
bool looks_like_snapshot(const std::string& word) {
  constexpr size_t kShortest = 4;
  const std::string id = word.substr(0, word.find(':'));
  return id == "latest" ||
         (id.size() >= kShortest && id.find_first_not_of("0123456789abcdef") == std::string::npos);
}

}  // namespace

bool means_source(const Session& session, const ConfigurationOptions& configuration,
                  const std::vector<std::string>& words) {
  if (session.configured != nullptr) {
    session.configured->read_from(configuration);
  }
  const std::optional<std::string> file = find_configuration(configuration);
  if (words.size() != 1 || words.front().find('/') != std::string::npos ||
      names_repository(session.global) || session.global.repository_name || !file) {
    return false;
  }
  if (!looks_like_snapshot(words.front())) {
    return true;
  }
  try {
    const config::Configuration loaded =
        config::load_configuration(configuration_request(session, configuration, *file));
    return find_named(loaded.application.sources, words.front()) != nullptr;
  } catch (const Error&) {
    return true;  // whoever loads it next says what is wrong with it
  }
}

Moment moment_of(const std::string& at, const std::string& label) {
  if (!at.empty() && !label.empty()) {
    throw Error(ErrorCode::kUsage, "--at and --label exclude each other");
  }
  return label.empty() ? Moment::parse(at)
                       : Moment{.kind = Moment::kLabel, .time = {}, .text = label};
}

int exit_status_of(RunOutcome outcome) {
  switch (outcome) {
    case RunOutcome::kSucceeded:
    case RunOutcome::kMissed:
      return 0;
    case RunOutcome::kIncomplete:
      return exit_status(ErrorCode::kIncomplete);
    case RunOutcome::kInterrupted:
      return exit_status(ErrorCode::kCancelled);
    case RunOutcome::kFailed:
      break;
  }
  return exit_status(ErrorCode::kFailed);
}

void show_run(Session& session, const RunRecord& record) {
  Terminal& out = session.terminal;
  const double seconds = std::chrono::duration<double>(record.finished - record.started).count();
  if (out.json()) {
    JsonWriter json;
    json.begin_message("run");
    json.field("id", record.id)
        .field("kind", std::string(name_of(record.kind)))
        .field("subject", record.subject)
        .field("repository", record.repository)
        .field("outcome", std::string(name_of(record.outcome)))
        .field("due", record.due == WallTime{} ? "" : format_utc(record.due))
        .field("started", format_utc(record.started))
        .field("finished", format_utc(record.finished))
        .field("snapshot_id", record.snapshot)
        .field("captured", record.captured ? format_utc(*record.captured) : "")
        .field("reached", record.reached ? format_utc(*record.reached) : "")
        .field("bytes_read", record.read_bytes)
        .field("bytes_added", record.added_bytes)
        .field("items", record.items)
        .field("error", record.error);
    json.key("checks").begin_array();
    for (const CheckResult& check : record.checks) {
      json.begin_object();
      json.field("name", check.name)
          .field("passed", check.passed)
          .field("value", check.value)
          .field("seconds", check.seconds);
      json.end_object();
    }
    json.end_array();
    out.print_json(json.end_object());
    return;
  }
  for (const CheckResult& check : record.checks) {
    out.print_summary(fmt::format("{}  {}: {}", check.passed ? "ok    " : "FAILED",
                                  printable(check.name), printable(check.value)));
  }
  const WallTime now = session.context.clock.now();
  const Job job{.kind = record.kind, .subject = record.subject, .repository = record.repository};
  std::string line =
      fmt::format("{} {} in {}", job.display(), name_of(record.outcome), duration_text(seconds));
  if (!record.snapshot.empty()) {
    line += ", snapshot " + short_id(record.snapshot);
  }
  if (record.reached) {
    line += ", recovered to " + instant_text(*record.reached, now);
  } else if (record.captured) {
    line += ", as of " + instant_text(*record.captured, now);
  }
  out.print_summary(line);
  if (!record.error.empty()) {
    out.warn(record.error, record.hint);
  }
}

int run_source_backup(Session& session, const ConfigurationOptions& configuration,
                      const SourceBackupChoices& choices) {
  ApplicationJobs jobs(session, configuration);
  jobs.site().report = true;
  std::vector<std::string> names = choices.sources;
  if (names.empty()) {
    for (const SourceSpec& source : jobs.application().sources) {
      names.push_back(source.name);
    }
  }
  int status = 0;
  for (const std::string& name : names) {
    try {
      status = std::max(status, back_up_one(session, jobs, name, choices));
    } catch (const Error& error) {
      if (names.size() == 1 || error.code() == ErrorCode::kCancelled) {
        jobs.send_records(session.context);
        throw;
      }
      session.terminal.warn("backup of " + name + " failed: " + error.message(), error.hint());
      status = exit_status(ErrorCode::kFailed);
    }
  }
  jobs.send_records(session.context);
  return status;
}

int run_source_restore(Session& session, const ConfigurationOptions& configuration,
                       const SourceRestoreChoices& choices) {
  ApplicationJobs jobs(session, configuration);
  const std::unique_ptr<Store> store = jobs.stores().open(choices.source);
  if (choices.undo || choices.discard) {
    return end_restore(session, jobs, choices);
  }
  const auto lock = JobLock::take(jobs.application().state_directory, "restore-" + choices.source);
  if (!lock) {
    throw Error(ErrorCode::kLocked, "a restore of " + choices.source + " is running already");
  }
  const RestoreOrder order = restore_order(choices, store->spec(), session);
  const std::string destroyed = store->would_destroy(session.context, order);
  if (!choices.dry_run && !destroyed.empty()) {
    require_consent(session, choices.consent, {destroyed}, choices.source);
  } else if (!destroyed.empty()) {
    session.terminal.message(destroyed);
  }
  RunRecord record = begin_record(jobs.site(), session.context, RunKind::kRestore, store->spec());
  for (const std::string& part : order.selection) {
    record.facts.emplace_back(kSelectionFact, part);
  }
  if (!choices.dry_run) {
    AuditEvent event = audit_event_of(record);
    event.outcome.clear();
    event.details.emplace_back("to", order.moment.display());
    event.details.emplace_back("old data", destroyed);
    jobs.record_before(session.context, store->spec(), event);
  }
  RestoreOutcome outcome;
  try {
    outcome = store->restore(session.context, order);
  } catch (const Error& error) {
    end_with(record, error, session.context.clock.now());
    if (!choices.dry_run) {
      jobs.add(session.context, record);
      jobs.send_records(session.context);
    }
    throw;
  }
  if (!choices.dry_run) {
    record.finished = session.context.clock.now();
    record.outcome = RunOutcome::kSucceeded;
    record.snapshot = outcome.snapshot;
    record.reached = outcome.reached;
    record.read_bytes = outcome.restored_bytes;
    record.checks = outcome.checks;
    record.rto_seconds = std::chrono::duration<double>(record.finished - record.started).count();
    record.facts.insert(record.facts.end(), outcome.facts.begin(), outcome.facts.end());
    jobs.add(session.context, record);
    jobs.send_records(session.context);
  }
  print_outcome(session, choices, outcome, choices.dry_run);
  return 0;
}

}  // namespace salvor::cli
