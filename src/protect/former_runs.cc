#include "protect/former_runs.h"

#include "protect/survey.h"

namespace salvor {
namespace {

// Looked through at a time for one that succeeded, and at most.
constexpr size_t kFirstLook = 10;
constexpr size_t kFormerRuns = 200;

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
    former.failures += record.outcome == RunOutcome::kFailed ? 1 : 0;
    if (dealt_with(record)) {
      former.good = std::move(record);
      break;
    }
  }
  return former;
}

}  // namespace

FormerRuns former_runs(Catalog& catalog, const Application& application, const Job& job) {
  FormerRuns former;
  // Mostly the newest one succeeded, and nobody has to read two hundred.
  for (const size_t limit : {kFirstLook, kFormerRuns}) {
    former = among(catalog.runs({.kind = job.kind,
                                 .subject = job.subject,
                                 .repository = job.repository,
                                 .limit = limit}),
                   application);
    if (former.good && former.last) {
      break;
    }
  }
  return former;
}

}  // namespace salvor
