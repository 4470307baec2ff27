#include "engine/postgres/wal_verify.h"

#include <algorithm>
#include <iterator>
#include <set>

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

// Whether the part of a segment before `end` is there.
bool has_part(const WalTimeline* timeline, Lsn end, SegmentSize size) {
  const SegmentNumber segment = postgres::segment_of(end, size);
  return run_end(timeline, segment).has_value() ||
         (timeline != nullptr && timeline->tail == segment &&
          postgres::start_of(segment, size).value + timeline->tail_bytes >= end.value);
}

// Whether the log up to the end of a leg is there where that lies inside of a segment: on its
// timeline or as the copy of a later one. Right after a promotion it may be neither.
bool has_end(const std::vector<WalTimeline>& timelines, const std::vector<Leg>& legs,
             const Leg& wanted, SegmentSize size) {
  const SegmentNumber segment = postgres::segment_of(*wanted.end, size);
  return postgres::start_of(segment, size) == *wanted.end ||
         std::any_of(legs.begin(), legs.end(), [&](const Leg& leg) {
           return leg.timeline >= wanted.timeline &&
                  has_part(find(timelines, leg.timeline), *wanted.end, size);
         });
}

// The pieces of the last timeline's segment at which its whole ones end.
void add_tail(const WalTimeline* timeline, SegmentNumber at, bool broken, SegmentSize size,
              BackupReach& reach) {
  if (broken || timeline == nullptr || timeline->tail != at) {
    return;
  }
  const Lsn end{postgres::start_of(at, size).value + timeline->tail_bytes};
  if (end > reach.end) {
    reach.timeline = timeline->timeline;
    reach.tail_end = end;
  }
}

bool starts_before(const PhysicalBackup& left, const PhysicalBackup& right) {
  return left.facts.start < right.facts.start;
}

// The newest backup from which `timeline` can be followed from its begin on.
const PhysicalBackup* newest_on_the_way(const std::vector<PhysicalBackup>& backups,
                                        const TimelineHistory& history) {
  const PhysicalBackup* newest = nullptr;
  for (const PhysicalBackup& backup : backups) {
    if (!backup.facts.damaged && backup.facts.timeline < history.timeline() &&
        history.passes_through(backup.facts.timeline, backup.facts.stop)) {
      newest = &backup;
    }
  }
  return newest;
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
  const std::vector<Leg> legs = legs_of(backup, history_of(timelines, target));
  for (const Leg& leg : legs) {
    const WalTimeline* timeline = find(timelines, leg.timeline);
    const auto arrived = [&](Lsn end) {
      if (!broken && end > reach.end) {
        reach.timeline = leg.timeline;
        reach.end = end;
      }
    };
    // On the last segment of a leg the next timeline has a copy of what came before the branch.
    const SegmentNumber last =
        leg.end ? postgres::segment_of(*leg.end, size) : proven_end(timelines, leg.timeline, size);
    while (at < last) {
      if (const auto end = run_end(timeline, at)) {
        at.value = std::min(end->value + 1, last.value);
        arrived(postgres::start_of(at, size));
        continue;
      }
      broken = true;
      reach.missing.push_back(postgres::segment_name(leg.timeline, at, size));
      at = std::min(next_behind(timeline, at).value_or(last), last);
    }
    if (leg.end) {
      if (has_end(timelines, legs, leg, size)) {
        arrived(*leg.end);
      }
      at = last;
    }
  }
  add_tail(find(timelines, legs.back().timeline), at, broken, size, reach);
  return reach;
}

WalReport verify_wal(const Context& context, const WalArchive& archive,
                     const std::vector<PhysicalBackup>& backups, bool read_data) {
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

// Positions of different timelines cannot be compared as times can: after a recovery to an earlier
// moment the log begins again further in front.
const PhysicalBackup& oldest_needed(const std::vector<PhysicalBackup>& backups,
                                    const std::vector<WalTimeline>& timelines,
                                    std::optional<WallTime> since) {
  const auto covers = [&](const PhysicalBackup& backup) {
    return since && !backup.facts.damaged && backup.facts.stop_time <= *since;
  };
  const auto found = std::find_if(backups.rbegin(), backups.rend(), covers);
  if (found == backups.rend()) {
    return *std::min_element(backups.begin(), backups.end(), starts_before);
  }
  const PhysicalBackup* oldest =
      &*std::min_element(std::prev(found.base()), backups.end(), starts_before);
  // A timeline that was begun since, from a moment before that backup, is reached from an older
  // one only, up to its own first backup.
  for (const WalTimeline& timeline : timelines) {
    const postgres::BackupFacts& facts = found->facts;
    if (timeline.timeline <= facts.timeline || !timeline.history ||
        timeline.history->passes_through(facts.timeline, facts.stop)) {
      continue;
    }
    const PhysicalBackup* const needed = newest_on_the_way(backups, *timeline.history);
    if (needed != nullptr && starts_before(*needed, *oldest)) {
      oldest = needed;
    }
  }
  return *oldest;
}

WalInside wal_inside(const Tree& pg_wal, const postgres::BackupFacts& facts) {
  SegmentSize size;
  for (const Node& node : pg_wal.nodes) {
    if (node.name.size() == 24 && SegmentSize::is_valid(node.size)) {
      size = {static_cast<uint32_t>(node.size)};
    }
  }
  // A standby may have followed its primary to a newer timeline during the backup.
  std::set<SegmentNumber> there;
  for (const Node& node : pg_wal.nodes) {
    const auto name = postgres::parse_wal_file_name(node.name, size);
    if (name && name->kind == postgres::WalFileKind::kSegment && node.size == size.bytes &&
        name->timeline <= facts.timeline) {
      there.insert(name->segment);
    }
  }
  WalInside inside;
  const SegmentNumber last = postgres::segment_before(facts.stop, size);
  for (SegmentNumber at = postgres::segment_of(facts.start, size); at <= last; ++at.value) {
    if (!there.contains(at)) {
      inside.missing = postgres::segment_name(facts.timeline, at, size);
      break;
    }
    ++inside.segments;
  }
  return inside;
}

}  // namespace salvor
