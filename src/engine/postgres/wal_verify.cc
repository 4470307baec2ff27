#include "engine/postgres/wal_verify.h"

#include <algorithm>

namespace salvor {
namespace {

using postgres::Lsn;
using postgres::SegmentNumber;
using postgres::SegmentSize;
using postgres::Timeline;
using postgres::TimelineHistory;

const WalTimeline* find(const std::vector<WalTimeline>& timelines, Timeline timeline) {
  for (const WalTimeline& candidate : timelines) {
    if (candidate.timeline == timeline) {
      return &candidate;
    }
  }
  return nullptr;
}

TimelineHistory history_of(const std::vector<WalTimeline>& timelines, Timeline timeline) {
  const WalTimeline* found = find(timelines, timeline);
  return found != nullptr && found->history ? *found->history : TimelineHistory(timeline);
}

// The last segment of the run that holds `segment`; nothing when it is not there.
std::optional<SegmentNumber> run_end(const WalTimeline* timeline, SegmentNumber segment) {
  if (timeline != nullptr) {
    for (const WalRun& run : timeline->runs) {
      if (run.first <= segment && segment <= run.last) {
        return run.last;
      }
    }
  }
  return std::nullopt;
}

// The first archived segment behind `segment`.
std::optional<SegmentNumber> next_behind(const WalTimeline* timeline, SegmentNumber segment) {
  if (timeline != nullptr) {
    for (const WalRun& run : timeline->runs) {
      if (run.first > segment) {
        return run.first;
      }
    }
  }
  return std::nullopt;
}

struct Leg {
  Timeline timeline;
  std::optional<Lsn> end;  // where the next timeline branched off; the last has none
};

// The timelines from the backup's to `target`, in order.
std::vector<Leg> legs_of(const PhysicalBackup& backup, const TimelineHistory& history) {
  std::vector<Leg> legs;
  for (const postgres::TimelineSwitch& ancestor : history.ancestors()) {
    if (ancestor.timeline >= backup.facts.timeline) {
      legs.push_back({ancestor.timeline, ancestor.end});
    }
  }
  legs.push_back({history.timeline(), std::nullopt});
  return legs;
}

}  // namespace

bool WalReport::good() const {
  return damaged.empty() &&
         std::all_of(backups.begin(), backups.end(),
                     [](const BackupReach& reach) { return reach.missing.empty(); });
}

Timeline newest_timeline(const PhysicalBackup& backup, const std::vector<WalTimeline>& timelines) {
  Timeline newest = backup.facts.timeline;
  for (const WalTimeline& timeline : timelines) {
    if (timeline.history && timeline.timeline > newest &&
        timeline.history->passes_through(backup.facts.timeline, backup.facts.stop)) {
      newest = timeline.timeline;
    }
  }
  return newest;
}

BackupReach reach_of(const PhysicalBackup& backup, const std::vector<WalTimeline>& timelines,
                     Timeline target, SegmentSize size) {
  BackupReach reach{
      .backup = backup, .timeline = backup.facts.timeline, .end = backup.facts.stop, .missing = {}};
  // The snapshot itself holds the segments up to its stop; the one that the stop is in may be
  // needed in full.
  SegmentNumber at = postgres::segment_of(backup.facts.stop, size);
  bool broken = false;
  for (const Leg& leg : legs_of(backup, history_of(timelines, target))) {
    const WalTimeline* timeline = find(timelines, leg.timeline);
    const auto arrived = [&](Lsn end) {
      if (!broken && end > reach.end) {
        reach.timeline = leg.timeline;
        reach.end = end;
      }
    };
    // On the last segment of a leg the next timeline has a copy of what came before the branch.
    const std::optional<SegmentNumber> last =
        leg.end ? std::optional(postgres::segment_of(*leg.end, size)) : std::nullopt;
    while (!last || at < *last) {
      const auto end = run_end(timeline, at);
      if (end) {
        at.value = last ? std::min(end->value + 1, last->value) : end->value + 1;
        arrived(postgres::start_of(at, size));
        continue;
      }
      const auto next = next_behind(timeline, at);
      if (!next && !last) {
        break;  // the end of the archive
      }
      broken = true;
      reach.missing.push_back(postgres::segment_name(leg.timeline, at, size));
      at = next ? (last ? std::min(*next, *last) : *next) : *last;
    }
    if (leg.end) {
      arrived(*leg.end);
      at = *last;
    }
  }
  return reach;
}

WalReport verify_wal(const Context& context, const WalArchive& archive,
                     std::vector<PhysicalBackup> backups, bool read_data) {
  WalReport report;
  report.timelines = archive.survey(context);
  for (const PhysicalBackup& backup : backups) {
    report.backups.push_back(reach_of(backup, report.timelines,
                                      newest_timeline(backup, report.timelines),
                                      archive.segment_size()));
  }
  for (const WalTimeline& timeline : report.timelines) {
    for (const WalRun& run : timeline.runs) {
      report.segments += run.last.value - run.first.value + 1;
    }
  }
  if (read_data) {
    for (const JournalEntry& entry : archive.journal().list(context)) {
      context.check_stopped();
      try {
        if (postgres::parse_wal_file_name(entry.position, archive.segment_size())) {
          static_cast<void>(archive.fetch(context, entry.position));
        } else {
          static_cast<void>(archive.journal().get(context, entry.position));
        }
      } catch (const Error& error) {
        if (error.code() != ErrorCode::kDamaged) {
          throw;
        }
        report.damaged.push_back(error.message());
      }
    }
  }
  return report;
}

}  // namespace salvor
