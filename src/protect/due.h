// What is due now, and what is next (T1, T2). Pure: configuration, clock and former runs go in.
//
// A schedule's instants are moved on by a share of the policy's jitter that is always the same for
// one job. An instant is dealt with by a run that succeeded (or was recorded as missed) for it or
// after it, whoever started that. Of several instants that passed without one only the last is
// caught up; the others are `missed`. What failed is tried again, but not within `retry_after`;
// what was interrupted is tried again at once. Outside of the policy's window nothing begins: what
// becomes due there waits, and is not `missed`.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "model/application.h"
#include "model/run_record.h"
#include "model/time_zone.h"

namespace salvor {

// One thing that is done again and again.
struct Job {
  RunKind kind = RunKind::kBackup;  // kBackup, kCopy, kRetention, kVerify, kCheck, kDrill
  std::string subject;              // source; of a drill its name; of a check the repository
  std::string repository;           // where; of a copy the target
  std::string schedule;             // as written; empty: with the backups
  std::string time_zone;            // that the schedule's words mean, unless they say another
  [[nodiscard]] std::string display() const;  // "backup of db", "copy of db to offsite"
};

struct DueJob {
  Job job;
  WallTime due;                  // when it should have begun
  std::vector<WallTime> missed;  // instants before, that nothing was done for; oldest first
  std::string why;               // "every 15 min", "never ran", "the last one failed 10 min ago"
};

inline constexpr const char* kNeverDone = "not done yet";  // a DueJob's `why`

struct NextRun {
  Job job;
  WallTime at;
  std::string why;
};

// The last run of a job, the last of it that was dealt with, and the last that did something; each
// nothing when there is none.
struct FormerRuns {
  std::optional<RunRecord> last;  // any outcome
  std::optional<RunRecord> good;  // succeeded or incomplete or missed
  std::optional<RunRecord> made;  // succeeded or incomplete
  size_t failures = 0;            // that failed since then, as far as anybody looked
};
using FormerRunsOf = std::function<FormerRuns(const Job&)>;

inline constexpr std::chrono::minutes kRetryAfter{5};
inline constexpr std::chrono::hours kLongestRetry{24};
// How long after its last failure a job is tried again: kRetryAfter; of what reads much and rarely
// fails for a passing reason (restore tests, checks, drills) twice as long after each further
// failure, up to kLongestRetry.
[[nodiscard]] std::chrono::minutes retry_after(RunKind kind, size_t failures);
// More missed instants than this of one job are not told one by one.
inline constexpr size_t kMostMissed = 100;

// All jobs of the configuration, in the order in which they are done when due together: backups,
// copies, retention, restore tests, checks, drills.
[[nodiscard]] std::vector<Job> jobs_of(const Application& application);

// A repository whose own data is checked by itself, and when: as the policy of the first source
// says that is kept in it and has it checked; else what is said of the first copy that goes there.
struct CheckedRepository {
  std::string repository;
  std::string schedule;
  std::string time_zone;
  unsigned percent = 0;  // of its data that each check reads
};
// Each repository once: those of the sources, then those of their copies.
[[nodiscard]] std::vector<CheckedRepository> checked_repositories(const Application& application);

// Nothing when the job is not due. Throws Error{kUsage} for a schedule that is none.
[[nodiscard]] std::optional<DueJob> due_now(const Application& application, const Job& job,
                                            const FormerRunsOf& former, WallTime now);
[[nodiscard]] std::vector<DueJob> all_due(const Application& application,
                                          const FormerRunsOf& former, WallTime now);

// When jobs with a schedule will run from `now` to `until`, in the order of time; at most `limit`.
// What becomes due outside of the policy's window is there when it opens, once.
[[nodiscard]] std::vector<NextRun> next_runs(const Application& application, WallTime now,
                                             WallTime until, size_t limit);

}  // namespace salvor
