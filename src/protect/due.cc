#include "protect/due.h"

#include <algorithm>

#include "model/timetable.h"

namespace salvor {
namespace {

using std::chrono::seconds;

// How often retention is applied where there are backups.
constexpr std::chrono::hours kRetentionEvery{20};
// The first of a drill is caught up for so long.
constexpr std::chrono::hours kDrillCaughtUp{24};

const PolicySpec* policy_of(const Application& application, const Job& job) {
  const SourceSpec* source = find_named(application.sources, job.subject);
  return source == nullptr || job.kind == RunKind::kCheck || job.kind == RunKind::kDrill
             ? nullptr
             : find_named(application.policies, source->policy);
}

TimeZone zone_of(const Application& application, const std::string& name) {
  return TimeZone::named(!name.empty()                    ? name
                         : !application.time_zone.empty() ? application.time_zone
                                                          : "UTC");
}

seconds jitter_of(const Application& application, const Job& job) {
  const PolicySpec* policy = policy_of(application, job);
  const seconds most = policy == nullptr ? seconds(0) : policy->jitter;
  return stable_jitter(application.name + "/" + job.display(), most);
}

SysSeconds whole(WallTime time) {
  return std::chrono::floor<seconds>(time);
}

// The instant that a run was for.
WallTime instant_of(const RunRecord& run) {
  return run.due == WallTime{} ? run.started : run.due;
}

// Of a job with a schedule.
Timetable timetable_of(const Application& application, const Job& job) {
  const PolicySpec* policy = policy_of(application, job);
  return Timetable(Schedule::parse(job.schedule, zone_of(application, job.time_zone)),
                   policy == nullptr ? std::nullopt : policy->window,
                   zone_of(application, policy == nullptr ? "" : policy->time_zone));
}

// Whether the policy's window, if the job has one, is open.
bool may_begin(const Application& application, const Job& job, WallTime now) {
  const PolicySpec* policy = policy_of(application, job);
  return policy == nullptr || !policy->window ||
         in_window(*policy->window, zone_of(application, policy->time_zone), whole(now));
}

bool may_retry(RunKind kind, const FormerRuns& former, WallTime now) {
  return !former.last || former.last->outcome != RunOutcome::kFailed ||
         now - former.last->finished >= retry_after(kind, former.failures);
}

std::optional<DueJob> due_by_schedule(const Application& application, const Job& job,
                                      const FormerRuns& former, bool has_backup, WallTime now) {
  const Timetable timetable = timetable_of(application, job);
  const Schedule& schedule = timetable.schedule();
  const seconds jitter = jitter_of(application, job);
  const SysSeconds last_instant = schedule.previous(whole(now) - jitter);
  DueJob due{.job = job,
             .due = timetable.begins(last_instant + jitter),
             .missed = {},
             .why = job.schedule};
  if (!former.good) {
    // A new configuration waits neither for its first backup nor for the first proof of one; a
    // drill takes people's time and keeps to its calendar.
    if (job.kind == RunKind::kDrill && now - due.due > kDrillCaughtUp) {
      return std::nullopt;
    }
    if (job.kind != RunKind::kBackup && job.kind != RunKind::kDrill && !has_backup) {
      return std::nullopt;
    }
    due.why = former.last ? "none has succeeded yet" : kNeverDone;
    return due;
  }
  const WallTime done = instant_of(*former.good);
  if (done >= due.due) {
    return std::nullopt;
  }
  // A run by hand just before its instant is not one for it; one for the instant itself is. What
  // became due outside of the window has waited for it, and was not missed.
  SysSeconds at = schedule.previous(last_instant - seconds(1));
  for (size_t seen = 0; seen < kMostMissed && at + jitter > done; ++seen) {
    if (timetable.begins(at + jitter) == at + jitter) {
      due.missed.insert(due.missed.begin(), at + jitter);
    }
    at = schedule.previous(at - seconds(1));
  }
  // What was tried and failed is not missed: it stands in the records.
  if (former.last && former.last->started > former.good->started) {
    std::erase_if(due.missed, [&](WallTime missed) { return missed <= instant_of(*former.last); });
    due.why = former.last->outcome == RunOutcome::kInterrupted ? "the last one was interrupted"
                                                               : "the last one failed";
  }
  return due;
}

void each_with_policy(const Application& application, const auto& with) {
  for (const SourceSpec& source : application.sources) {
    if (const PolicySpec* policy = find_named(application.policies, source.policy)) {
      with(source, *policy);
    }
  }
}

// Whether there is anything in the repository: backups to it, or copies.
bool has_content(const std::string& repository, const FormerRunsOf& former) {
  return former({RunKind::kBackup, "", repository, "", ""}).made ||
         former({RunKind::kCopy, "", repository, "", ""}).made;
}

}  // namespace

std::string Job::display() const {
  switch (kind) {
    case RunKind::kCopy:
      return "copy of " + subject + " to " + repository;
    case RunKind::kVerify:
      return "restore test of " + subject;
    case RunKind::kCheck:
      return "check of " + subject;
    case RunKind::kRetention:
      return "retention of " + subject;
    case RunKind::kDrill:
      return "drill " + subject;
    case RunKind::kBackup:
    case RunKind::kRestore:
    case RunKind::kPlan:
      break;
  }
  return std::string(name_of(kind)) + " of " + subject;
}

std::vector<Job> jobs_of(const Application& application) {
  std::vector<Job> jobs;
  const auto each = [&](const auto& add) { each_with_policy(application, add); };
  each([&](const SourceSpec& source, const PolicySpec& policy) {
    if (!policy.schedule.empty()) {
      jobs.push_back(
          {RunKind::kBackup, source.name, source.repository, policy.schedule, policy.time_zone});
    }
  });
  each([&](const SourceSpec& source, const PolicySpec& policy) {
    for (const CopySpec& copy : source.copies) {
      jobs.push_back({RunKind::kCopy, source.name, copy.to, copy.schedule, policy.time_zone});
    }
  });
  each([&](const SourceSpec& source, const PolicySpec&) {
    jobs.push_back({RunKind::kRetention, source.name, source.repository, "", ""});
  });
  each([&](const SourceSpec& source, const PolicySpec& policy) {
    if (!policy.verification.restore.empty()) {
      jobs.push_back({RunKind::kVerify, source.name, source.repository, policy.verification.restore,
                      policy.time_zone});
    }
  });
  for (const CheckedRepository& one : checked_repositories(application)) {
    jobs.push_back({RunKind::kCheck, one.repository, one.repository, one.schedule, one.time_zone});
  }
  for (const DrillSpec& drill : application.drills) {
    if (!drill.schedule.empty()) {
      jobs.push_back({RunKind::kDrill, drill.name, "", drill.schedule, drill.time_zone});
    }
  }
  return jobs;
}

std::vector<CheckedRepository> checked_repositories(const Application& application) {
  std::vector<CheckedRepository> all;
  const auto add = [&](CheckedRepository one) {
    if (!one.schedule.empty() &&
        std::ranges::find(all, one.repository, &CheckedRepository::repository) == all.end()) {
      all.push_back(std::move(one));
    }
  };
  each_with_policy(application, [&](const SourceSpec& source, const PolicySpec& policy) {
    add({source.repository, policy.verification.check, policy.time_zone,
         policy.verification.check_percent});
  });
  each_with_policy(application, [&](const SourceSpec& source, const PolicySpec& policy) {
    for (const CopySpec& copy : source.copies) {
      add({copy.to, copy.check.value_or(policy.verification.check), policy.time_zone,
           copy.check_percent.value_or(policy.verification.check_percent)});
    }
  });
  return all;
}

std::chrono::minutes retry_after(RunKind kind, size_t failures) {
  const bool rests = kind == RunKind::kVerify || kind == RunKind::kCheck || kind == RunKind::kDrill;
  std::chrono::minutes wait = kRetryAfter;
  for (size_t i = 1; rests && i < failures && wait < kLongestRetry; ++i) {
    wait *= 2;
  }
  return std::min<std::chrono::minutes>(wait, kLongestRetry);
}

std::optional<DueJob> due_now(const Application& application, const Job& job,
                              const FormerRunsOf& former, WallTime now) {
  if (!may_begin(application, job, now)) {
    return std::nullopt;
  }
  const FormerRuns runs = former(job);
  if (!may_retry(job.kind, runs, now)) {
    return std::nullopt;
  }
  if (job.kind == RunKind::kCheck) {
    // Of a repository, whoever writes to it.
    return due_by_schedule(application, job, runs, has_content(job.repository, former), now);
  }
  const FormerRuns backups = former({RunKind::kBackup, job.subject, "", "", ""});
  if (!job.schedule.empty()) {
    return due_by_schedule(application, job, runs, backups.made.has_value(), now);
  }
  // With the backups: once there is one that it was not done for. Instants that were missed since
  // do not make up for that.
  if (!backups.made) {
    return std::nullopt;
  }
  if (runs.good && runs.good->started >= backups.made->finished) {
    return std::nullopt;
  }
  if (job.kind == RunKind::kRetention && runs.good && now - runs.good->started < kRetentionEvery) {
    return std::nullopt;
  }
  return DueJob{.job = job, .due = backups.made->finished, .missed = {}, .why = "after the backup"};
}

std::vector<DueJob> all_due(const Application& application, const FormerRunsOf& former,
                            WallTime now) {
  std::vector<DueJob> due;
  for (const Job& job : jobs_of(application)) {
    if (auto one = due_now(application, job, former, now)) {
      due.push_back(std::move(*one));
    }
  }
  return due;
}

std::vector<NextRun> next_runs(const Application& application, WallTime now, WallTime until,
                               size_t limit) {
  std::vector<NextRun> runs;
  for (const Job& job : jobs_of(application)) {
    if (job.schedule.empty()) {
      continue;
    }
    const Timetable timetable = timetable_of(application, job);
    const Schedule& schedule = timetable.schedule();
    const seconds jitter = jitter_of(application, job);
    std::optional<SysSeconds> last;
    SysSeconds at = schedule.next(whole(now) - jitter);
    for (size_t count = 0; count < limit && at + jitter <= until;) {
      const SysSeconds begin = timetable.begins(at + jitter);
      if (begin > until) {
        break;
      }
      if (begin != last) {
        runs.push_back({job, begin, job.schedule});
        last = begin;
        ++count;
      }
      // All that wait for the window are done once, when it opens.
      at = schedule.next(std::max(at, begin - jitter - seconds(1)));
    }
  }
  std::stable_sort(runs.begin(), runs.end(),
                   [](const NextRun& a, const NextRun& b) { return a.at < b.at; });
  if (runs.size() > limit) {
    runs.resize(limit);
  }
  return runs;
}

}  // namespace salvor
