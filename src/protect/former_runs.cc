#include "protect/former_runs.h"

#include "protect/survey.h"

namespace salvor {
namespace {

// Looked through at a time for one that succeeded, and at most.
constexpr size_t kFirstLook = 10;
constexpr size_t kFormerRuns = 200;
// What began later than this was written down by a clock that was wrong. It must not stand for the
// runs of years to come.
constexpr std::chrono::hours kFastestClock{1};

bool dealt_with(const RunRecord& record) {
  return record.outcome == RunOutcome::kSucceeded || record.outcome == RunOutcome::kIncomplete ||
         record.outcome == RunOutcome::kMissed;
}

FormerRuns among(std::vector<RunRecord> newest_first, const Application& application) {
  FormerRuns former;
  for (RunRecord& record : newest_first) {
    if (!belongs_to(record, application)) {
      continue;
    }
    if (!former.last && record.outcome != RunOutcome::kMissed) {
      former.last = record;
    }
    former.failures += !former.good && record.outcome == RunOutcome::kFailed ? 1 : 0;
    const bool missed = record.outcome == RunOutcome::kMissed;
    if (dealt_with(record) && !missed) {
      former.made = record;
    }
    if (dealt_with(record) && !former.good) {
      former.good = std::move(record);
    }
    if (former.made) {
      break;
    }
  }
  return former;
}

}  // namespace

FormerRuns former_runs(Catalog& catalog, const Application& application, const Job& job,
                       WallTime now) {
  FormerRuns former;
  // Mostly the newest one succeeded, and nobody has to read two hundred.
  for (const size_t limit : {kFirstLook, kFormerRuns}) {
    former = among(catalog.runs({.kind = job.kind,
                                 .subject = job.subject,
                                 .repository = job.repository,
                                 .to = now + kFastestClock,
                                 .limit = limit}),
                   application);
    if (former.made && former.last) {
      break;
    }
  }
  return former;
}

}  // namespace salvor
