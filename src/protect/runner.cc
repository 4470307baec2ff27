#include "protect/runner.h"

#include <algorithm>
#include <memory>

#include <fmt/format.h>

#include "base/format.h"
#include "protect/hooks.h"
#include "protect/job_lock.h"
#include "protect/run_facts.h"

namespace salvor {
namespace {

RunRecord work(const Context& context, JobWorker& worker, const Job& job) {
  switch (job.kind) {
    case RunKind::kCopy:
      return worker.copy(context, job);
    case RunKind::kRetention:
      return worker.retain(context, job);
    case RunKind::kVerify:
      return worker.verify(context, job);
    case RunKind::kCheck:
      return worker.check(context, job);
    case RunKind::kDrill:
      return worker.drill(context, job);
    case RunKind::kBackup:
    case RunKind::kRestore:
    case RunKind::kPlan:
      break;
  }
  return worker.back_up(context, job);
}

std::string lock_name(const Job& job) {
  return std::string(name_of(job.kind)) + "-" + job.subject +
         (job.kind == RunKind::kCopy ? "-" + job.repository : "");
}

class Runner {
 public:
  Runner(const Context& context, const Application& application, JobWorker& worker, RunSink& sink,
         RunObserver& observer, const RunnerOptions& options)
      : context_(context),
        application_(application),
        worker_(worker),
        sink_(sink),
        observer_(observer),
        options_(options) {}

  std::vector<JobResult> run() {
    static_cast<void>(resume_left_over(context_, application_));
    for (const RunKind kind : {RunKind::kBackup, RunKind::kCopy, RunKind::kRetention,
                               RunKind::kVerify, RunKind::kCheck, RunKind::kDrill}) {
      // Anew for each kind: what the backups were makes copies due.
      const std::vector<DueJob> due = due_of(kind);
      kind == RunKind::kBackup ? back_up(due) : each(due);
    }
    return std::move(results_);
  }

 private:
  [[nodiscard]] std::vector<DueJob> due_of(RunKind kind) const {
    std::vector<DueJob> due = all_due(
        application_, [this](const Job& job) { return sink_.former(job); }, context_.clock.now());
    std::erase_if(due, [&](const DueJob& one) {
      return one.job.kind != kind || (!options_.only.empty() && one.job.subject != options_.only &&
                                      one.job.repository != options_.only);
    });
    return due;
  }

  void back_up(const std::vector<DueJob>& due) {
    // Those whose writes are stopped, together; then the others.
    std::vector<DueJob> group;
    std::vector<const SourceSpec*> sources;
    for (const DueJob& one : due) {
      const SourceSpec* source = find_named(application_.sources, one.job.subject);
      if (source != nullptr && !source->hooks.quiesce.empty()) {
        group.push_back(one);
        sources.push_back(source);
      }
    }
    if (!group.empty()) {
      try {
        const Quiesced quiesced(context_, application_.state_directory, sources);
        each(group);
      } catch (const Error& error) {
        if (error.code() == ErrorCode::kCancelled) {
          throw;
        }
        for (const DueJob& one : group) {
          note_failure(one, error, context_.clock.now());
        }
      }
    }
    std::vector<DueJob> others = due;
    std::erase_if(others, [&](const DueJob& one) {
      return std::any_of(group.begin(), group.end(), [&](const DueJob& grouped) {
        return grouped.job.subject == one.job.subject;
      });
    });
    each(others);
  }

  void each(const std::vector<DueJob>& due) {
    for (const DueJob& one : due) {
      context_.check_stopped();
      do_one(one);
    }
  }

  void do_one(const DueJob& due) {
    JobResult result{.due = due, .record = {}, .skipped = false};
    const auto lock = JobLock::take(application_.state_directory, lock_name(due.job));
    // Another run may just have done it.
    if (!lock || !due_now(
                     application_, due.job, [this](const Job& job) { return sink_.former(job); },
                     context_.clock.now())) {
      result.skipped = true;
      observer_.ended(result);
      results_.push_back(std::move(result));
      return;
    }
    for (const WallTime missed : due.missed) {
      sink_.add(context_, missed_record(due.job, missed));
    }
    observer_.begins(due);
    const WallTime started = context_.clock.now();
    try {
      result.record = run_job(context_, application_, worker_, sink_, due, options_.who);
    } catch (const Error& error) {
      if (error.code() == ErrorCode::kCancelled) {
        throw;
      }
      result.record.outcome = RunOutcome::kFailed;
      result.record.started = started;
      result.record.finished = context_.clock.now();
      result.record.error = error.message();
      result.record.hint = error.hint();
    }
    observer_.ended(result);
    results_.push_back(std::move(result));
  }

  void note_failure(const DueJob& due, const Error& error, WallTime started) {
    JobResult result{.due = due, .record = {}, .skipped = false};
    RunRecord& record = result.record;
    record = base_record(due.job, due.due, started);
    record.finished = context_.clock.now();
    record.error = error.message();
    record.hint = error.hint();
    sink_.add(context_, record);
    observer_.ended(result);
    results_.push_back(std::move(result));
  }

  [[nodiscard]] RunRecord missed_record(const Job& job, WallTime due) const {
    RunRecord record = base_record(job, due, due);
    record.finished = due;
    record.outcome = RunOutcome::kMissed;
    record.error = "nothing ran at that time";
    return record;
  }

  [[nodiscard]] RunRecord base_record(const Job& job, WallTime due, WallTime started) const {
    RunRecord record;
    record.id =
        fmt::format("{:016x}{:016x}", context_.random.next_u64(), context_.random.next_u64());
    record.kind = job.kind;
    record.subject = job.subject;
    record.repository = job.repository;
    record.due = due;
    record.started = started;
    record.who = options_.who;
    return record;
  }

  const Context& context_;
  const Application& application_;
  JobWorker& worker_;
  RunSink& sink_;
  RunObserver& observer_;
  const RunnerOptions& options_;
  std::vector<JobResult> results_;
};

}  // namespace

void require_name(const Application& application, const std::string& name) {
  if (find_named(application.sources, name) == nullptr &&
      find_named(application.repositories, name) == nullptr &&
      find_named(application.drills, name) == nullptr) {
    throw Error(ErrorCode::kUsage,
                "the configuration has no source, repository or drill \"" + printable(name) + "\"",
                "`salvor schedule show` lists what runs when.");
  }
}

std::vector<JobResult> run_due(const Context& context, const Application& application,
                               JobWorker& worker, RunSink& sink, RunObserver& observer,
                               const RunnerOptions& options) {
  if (!options.only.empty()) {
    require_name(application, options.only);
  }
  return Runner(context, application, worker, sink, observer, options).run();
}

RunRecord run_job(const Context& context, const Application& application, JobWorker& worker,
                  RunSink& sink, const DueJob& due, const std::string& who) {
  static const HookSpec no_hooks;
  const SourceSpec* source =
      due.job.kind == RunKind::kBackup ? find_named(application.sources, due.job.subject) : nullptr;
  const HookSpec& hooks = source == nullptr ? no_hooks : source->hooks;
  HookFacts facts{.source = due.job.subject};
  RunRecord record;
  record.kind = due.job.kind;
  record.subject = due.job.subject;
  record.repository = due.job.repository;
  record.started = context.clock.now();
  std::exception_ptr failure;
  try {
    run_hooks(hooks.before, "before", facts);
    record = work(context, worker, due.job);
  } catch (const Error& error) {
    failure = std::current_exception();
    end_with(record, error, context.clock.now());
  }
  if (record.id.empty()) {
    record.id = fmt::format("{:016x}{:016x}", context.random.next_u64(), context.random.next_u64());
  }
  record.due = due.due;
  record.who = who;
  record.subject = due.job.subject;  // by which it is found again
  facts.outcome = name_of(record.outcome);
  facts.snapshot = record.snapshot;
  if (record.outcome == RunOutcome::kFailed || record.outcome == RunOutcome::kInterrupted) {
    run_hooks_always(context, hooks.failure, "failure", facts);
  }
  run_hooks_always(context, hooks.after, "after", facts);
  sink.add(context, record);
  if (failure) {
    std::rethrow_exception(failure);
  }
  return record;
}

}  // namespace salvor
