#include "protect/key_figures.h"

#include <algorithm>
#include <vector>

#include "protect/run_facts.h"

namespace salvor {
namespace {

// Until then a run that was due may still be on its way.
constexpr std::chrono::minutes kOnItsWay{30};

double seconds_between(WallTime from, WallTime to) {
  return std::chrono::duration<double>(to - from).count();
}

// A mean and a maximum.
struct Spread {
  double sum = 0;
  double most = 0;
  size_t count = 0;
  void add(double value) {
    sum += value;
    most = std::max(most, value);
    ++count;
  }
  [[nodiscard]] std::optional<double> mean() const {
    return count == 0 ? std::nullopt : std::optional(sum / static_cast<double>(count));
  }
  [[nodiscard]] std::optional<double> maximum() const {
    return count == 0 ? std::nullopt : std::optional(most);
  }
};

// Of a part of a point neither the time nor the loss says anything of the whole.
bool measures_recovery(const RunRecord& run) {
  return (run.kind == RunKind::kVerify || run.kind == RunKind::kDrill ||
          run.kind == RunKind::kRestore) &&
         fact_of(run, kSelectionFact).empty();
}

// `first`: the first run there is. It began a little after it was due, and counts for that.
void count_expected(const Promises& promises, std::vector<WallTime> good, WallTime first,
                    WallTime now, KeyFigures& figures) {
  if (!promises.backup || first == now) {  // nothing was ever run
    return;
  }
  std::sort(good.begin(), good.end());
  const auto whole = [](WallTime time) { return std::chrono::floor<std::chrono::seconds>(time); };
  const WallTime last = now - promises.jitter - kOnItsWay;
  SysSeconds due = figures.since == first
                       ? promises.backup->previous(whole(first))
                       : promises.backup->next(whole(figures.since) - std::chrono::seconds(1));
  while (due <= last) {
    const SysSeconds next = promises.backup->next(due);
    ++figures.expected;
    const auto run = std::lower_bound(good.begin(), good.end(), WallTime(due));
    figures.good += run != good.end() && *run < next ? 1 : 0;
    due = next;
  }
  if (figures.expected > 0) {
    figures.success_rate =
        static_cast<double>(figures.good) / static_cast<double>(figures.expected);
  }
}

}  // namespace

KeyFigures key_figures(const Promises& promises, std::span<const RunRecord> runs,
                       std::chrono::days days, WallTime now) {
  KeyFigures figures{.days = days, .since = now - days};
  WallTime first = now;
  for (const RunRecord& run : runs) {
    // Backups count from the first of them: the first restore test and the like may have been due,
    // by their schedule, before there was anything.
    if (run.kind != RunKind::kBackup) {
      continue;
    }
    // A run that was missed had been due before.
    first = std::min(first, run.due != WallTime{} ? std::min(run.due, run.started) : run.started);
  }
  figures.since = std::max(figures.since, first);
  std::vector<WallTime> good;
  Spread backups;
  Spread recoveries;
  Spread losses;
  for (const RunRecord& run : runs) {
    if (run.started < figures.since || run.started > now) {
      continue;
    }
    const bool succeeded = run.outcome == RunOutcome::kSucceeded;
    if (run.kind == RunKind::kBackup) {
      figures.added_bytes += run.added_bytes;
      if (succeeded) {
        good.push_back(run.due != WallTime{} ? run.due : run.started);
        backups.add(seconds_between(run.started, run.finished));
      } else {
        ++figures.failed;
      }
    } else if (measures_recovery(run)) {
      const bool proof = run.kind != RunKind::kRestore;
      figures.proofs += proof ? 1 : 0;
      figures.proofs_passed += proof && succeeded ? 1 : 0;
      if (succeeded) {
        recoveries.add(run.rto_seconds.value_or(seconds_between(run.started, run.finished)));
      }
      if (run.rpo_seconds) {
        losses.add(*run.rpo_seconds);
      }
    }
  }
  figures.mean_backup_seconds = backups.mean();
  figures.longest_backup_seconds = backups.maximum();
  figures.mean_recovery_seconds = recoveries.mean();
  figures.longest_recovery_seconds = recoveries.maximum();
  figures.most_lost_seconds = losses.maximum();
  count_expected(promises, std::move(good), first, now, figures);
  return figures;
}

}  // namespace salvor
