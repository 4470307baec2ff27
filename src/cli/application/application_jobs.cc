#include "cli/application/application_jobs.h"

#include <algorithm>
#include <thread>

#include <fmt/format.h>

#include "base/format.h"
#include "catalog/run_log.h"
#include "cli/application/calendar_drill.h"
#include "cli/repository/snapshot_options.h"
#include "engine/copies/replicator.h"
#include "engine/maintenance/checker.h"
#include "engine/postgres/wal_copy.h"
#include "plan/points.h"
#include "protect/due.h"
#include "protect/former_runs.h"
#include "protect/run_facts.h"
#include "protect/watched_sandbox.h"

namespace salvor::cli {
namespace {

double seconds_since(const Context& context, MonotonicTime begun) {
  return std::chrono::duration<double>(context.clock.monotonic() - begun).count();
}

// The snapshot that a restore would begin with; empty: nobody can tell.
std::string snapshot_for(const Context& context, Store& store, const VerifyChoice& choice) {
  try {
    return plan::choose_point(store.spec().name, choice.moment.display(), store.ranges(context),
                              context.clock.now())
        .snapshot;
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kCancelled) {
      throw;
    }
    return {};
  }
}

}  // namespace

ApplicationJobs::ApplicationJobs(Session& session, const ConfigurationOptions& options)
    : session_(session), options_(options), protected_(session, options) {}

RunRecord ApplicationJobs::back_up(const Context& context, const Job& job) {
  return stores().open(job.subject)->back_up(context, order_);
}

RunRecord ApplicationJobs::copy(const Context& context, const Job& job) {
  const SourceSpec& from = source_of(application(), job.subject);
  RunRecord record = begin_record(site(), context, RunKind::kCopy, from);
  record.repository = job.repository;
  const std::set<std::string> wanted = worth_copying(context, from, job.repository);
  SourceRepository source_side(site(), context, from, {.lock = LockMode::kShared});
  SourceSpec there = from;
  there.repository = job.repository;
  SourceRepository target_side(site(), source_side.context(), there,
                               {.lock = LockMode::kShared, .no_lock = NoLock::kIgnored});
  const Context& both = target_side.context();
  std::vector<UnreadableObject> unreadable;
  const std::vector<StoredSnapshot> present =
      target_side.repository().load_snapshots(both, &unreadable);
  std::vector<StoredSnapshot> missing;
  for (const StoredSnapshot& stored : source_side.repository().load_snapshots(both, &unreadable)) {
    if (wanted.contains(stored.id.hex()) && find_copy(present, stored) == nullptr) {
      missing.push_back(stored);
    }
  }
  report_unreadable(session_, unreadable);
  std::vector<SourceDamaged> lost;
  if (!missing.empty()) {
    source_side.repository().load_index(both);
    target_side.repository().load_index(both);
    CopyProgress progress;
    CopyOptions options{.threads = std::max(1U, std::thread::hardware_concurrency()),
                        .write = write_options(target_side.session().global),
                        .progress = &progress};
    options.write.confirm_lock = [&](const Context& under) {
      source_side.opened().confirm_lock(under);
      target_side.opened().confirm_lock(under);
    };
    options.on_saved = [&](const StoredSnapshot& stored, const SnapshotId& id) {
      record.snapshot = id.hex();
      record.captured = stored.snapshot.time.wall();
      ++record.items;
    };
    lost = copy_what_is_whole(both, source_side.repository(), target_side.repository(), options,
                              missing);
    record.added_bytes = progress.bytes_copied;
    record.read_bytes = progress.bytes_copied;
  }
  const WalCopied log = copy_wal(both, source_side.repository(), target_side.repository(),
                                 {.confirm_lock = [&](const Context& under) {
                                   source_side.opened().confirm_lock(under);
                                   target_side.opened().confirm_lock(under);
                                 }});
  record.added_bytes += log.stored_bytes;
  record.read_bytes += log.stored_bytes;
  record.checks.push_back({.name = "copies verified on arrival",
                           .passed = lost.empty(),
                           .value = fmt::format("{} snapshots, {} files of the log",
                                                missing.size() - lost.size(), log.objects)});
  record.outcome = lost.empty() ? RunOutcome::kSucceeded : RunOutcome::kFailed;
  if (!lost.empty()) {
    const Error error = not_all_copied(lost, missing.size());
    record.error = error.message();
    record.hint = error.hint();
  }
  record.finished = context.clock.now();
  return record;
}

RunRecord ApplicationJobs::verify_source(const Context& context, const std::string& name,
                                         const VerifyChoice& choice) {
  RunRecord record =
      begin_record(site(), context, RunKind::kVerify, source_of(application(), name));
  const MonotonicTime begun = context.clock.monotonic();
  SandboxSpec sandbox;
  if (!choice.sandbox.empty()) {
    const SandboxSpec* found = find_named(application().sandboxes, choice.sandbox);
    if (found == nullptr) {
      throw Error(ErrorCode::kUsage,
                  "the configuration has no sandbox \"" + printable(choice.sandbox) + "\"");
    }
    sandbox = *found;
  } else if (!application().sandboxes.empty()) {
    sandbox = application().sandboxes.front();
  }
  RestoreOrder order;
  order.moment = choice.moment;
  order.base = choice.base;
  order.on_step = [this](const std::string& step) { session_.terminal.message(step); };
  const std::unique_ptr<Store> store = stores().open(name);
  std::unique_ptr<SandboxedStore> opened;
  try {
    opened = store->open_sandbox(context, sandbox, order);
  } catch (const Error& error) {
    // That it cannot be restored is what this is to find out; what says nothing of that is not.
    if (!blames_backup(error)) {
      throw;
    }
    record.checks.push_back({.name = "restored and started",
                             .passed = false,
                             .value = error.message(),
                             .expected = {},
                             .seconds = seconds_since(context, begun)});
    record.error = error.message();
    record.hint = error.hint();
    record.snapshot = choice.base.empty() ? snapshot_for(context, *store, choice) : choice.base;
    record.finished = context.clock.now();
    return record;
  }
  record.rto_seconds = seconds_since(context, begun);
  const RestoreOutcome restored = opened->restored();
  record.snapshot = restored.snapshot;
  record.reached = restored.reached;
  record.read_bytes = restored.restored_bytes;
  record.facts.insert(record.facts.end(), restored.facts.begin(), restored.facts.end());
  record.checks.push_back({.name = "restored and started",
                           .passed = true,
                           .value = format_bytes(restored.restored_bytes),
                           .expected = {},
                           .seconds = *record.rto_seconds});
  for (CheckResult& found : opened->check(context)) {
    record.checks.push_back(std::move(found));
  }
  opened.reset();
  const auto failed = std::find_if(record.checks.begin(), record.checks.end(),
                                   [](const CheckResult& check) { return !check.passed; });
  record.outcome = failed == record.checks.end() ? RunOutcome::kSucceeded : RunOutcome::kFailed;
  if (failed != record.checks.end()) {
    record.error = failed->name + ": " + failed->value;
    record.hint = "This point is not to be relied on. Try an older one (--at).";
  }
  record.finished = context.clock.now();
  return record;
}

RunRecord ApplicationJobs::verify(const Context& context, const Job& job) {
  const PolicySpec* policy =
      find_named(application().policies, source_of(application(), job.subject).policy);
  VerifyChoice choice;
  if (policy != nullptr &&
      context.random.next_u64() % 100 < policy->verification.older_point_percent) {
    const std::vector<RecoveryRange> ranges = stores().open(job.subject)->ranges(context);
    if (ranges.size() > 1) {
      const RecoveryRange& older = ranges[1 + context.random.next_u64() % (ranges.size() - 1)];
      choice.moment = {.kind = Moment::kSnapshot, .time = {}, .text = older.snapshot};
      choice.base = older.snapshot;
    }
  }
  return verify_source(context, job.subject, choice);
}

// Which of the repository's packs the next check reads.
CheckShare ApplicationJobs::share_to_check(const std::string& repository) {
  unsigned percent = VerificationRule{}.check_percent;
  for (const CheckedRepository& one : checked_repositories(application())) {
    if (one.repository == repository) {
      percent = one.percent;
    }
  }
  return next_share(catalog().runs({.kind = RunKind::kCheck, .repository = repository}),
                    parts_for(percent));
}

RunRecord ApplicationJobs::check(const Context& context, const Job& job) {
  SourceSpec whole;  // a source that is nothing but the repository
  whole.name = job.repository;
  whole.repository = job.repository;
  RunRecord record = begin_record(site(), context, RunKind::kCheck, whole);
  const CheckShare share = share_to_check(job.repository);
  SourceRepository at(site(), context, whole,
                      {.lock = LockMode::kExclusive, .no_lock = NoLock::kIgnored, .cache = false});
  CheckOptions options;
  options.read =
      share.everything() ? ReadSubset(ReadAll{}) : ReadSubset(ReadPart{share.part, share.parts});
  options.threads = std::max(1U, std::thread::hardware_concurrency());
  const CheckReport report = run_under_lock(at.session(), at.opened(), [&] {
    return Checker(at.context(), at.repository(), options).run();
  });
  record.read_bytes = report.bytes_read;
  record.items = report.packs_read;
  record.outcome = report.ok() ? RunOutcome::kSucceeded : RunOutcome::kFailed;
  record.facts.emplace_back(kErrorsFact, std::to_string(report.errors));
  record.facts.emplace_back(kShareFact, share.text());
  record.checks.push_back(
      {.name = "repository",
       .passed = report.ok(),
       .value = fmt::format("{} snapshots, {} of {} packs read ({}), {} errors", report.snapshots,
                            report.packs_read, report.packs,
                            share.everything() ? "all" : "part " + share.text(), report.errors)});
  if (!report.ok()) {
    record.error = report.findings.front().object + ": " + report.findings.front().what;
    record.hint = fmt::format(
        "`salvor check --read-data-subset={}` says all of it and what is affected; `--read-data` "
        "looks at the rest, too.",
        share.text());
  }
  record.finished = context.clock.now();
  return record;
}

RunRecord ApplicationJobs::drill(const Context&, const Job& job) {
  return run_calendar_drill(session_, options_, job.subject);
}

void ApplicationJobs::add(const Context& context, RunRecord record) {
  const auto known = std::find_if(record.facts.begin(), record.facts.end(),
                                  [](const auto& fact) { return fact.first == "application"; });
  if (known == record.facts.end()) {
    record.facts.emplace_back("application", application_text(application()));
  }
  touched_.insert(record.repository);
  audit().note_run(context, record_run(context, nullptr, catalog(), std::move(record)));
}

FormerRuns ApplicationJobs::former(const Job& job) {
  return former_runs(catalog(), application(), job, session_.context.clock.now());
}

void ApplicationJobs::send_records(const Context& context) {
  for (const std::string& name : touched_) {
    if (find_named(application().repositories, name) == nullptr) {
      continue;
    }
    try {
      SourceSpec whole;
      whole.name = name;
      whole.repository = name;
      SourceRepository at(site(), context, whole, {.lock = LockMode::kNone});
      audit().deliver(at.context(), name, at.repository());
      static_cast<void>(sync_catalog(at.context(), at.repository(), name, catalog()));
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kCancelled) {
        context.events.on(Warning{
            "the records of this run are not in repository " + name + " yet: " + error.message(),
            "They are kept on this machine; the next run sends them."});
      }
    }
  }
  touched_.clear();
}

}  // namespace salvor::cli
