#include "engine/postgres/wal_moment.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "connector/postgres/wal_times.h"

namespace salvor {
namespace {

using postgres::Lsn;
using postgres::SegmentNumber;
using postgres::SegmentSize;
using postgres::Timeline;

constexpr unsigned kMostSegments = 8;
// Checkpoints say whole seconds: commits before one may have been made later than it says.
constexpr std::chrono::seconds kCheckpointTimes{1};

// A timeline on the way, and which of its segments are.
struct Stretch {
  Timeline timeline;
  SegmentNumber first;
  std::optional<Lsn> end;  // where the next timeline branched off; the last has none
};

// Newest first.
std::vector<Stretch> way_to(const std::vector<WalTimeline>& timelines, Timeline newest,
                            SegmentSize size) {
  std::vector<Stretch> way;
  SegmentNumber first;
  for (const WalTimeline& timeline : timelines) {
    if (timeline.timeline != newest || !timeline.history) {
      continue;
    }
    for (const postgres::TimelineSwitch& ancestor : timeline.history->ancestors()) {
      way.push_back({ancestor.timeline, first, ancestor.end});
      first = postgres::segment_of(ancestor.end, size);
    }
  }
  way.push_back({newest, first, std::nullopt});
  std::reverse(way.begin(), way.end());
  return way;
}

// Reads segments from the last to the first.
class BackwardReader {
 public:
  // What begins at `end` or behind it does not count.
  BackwardReader(const Context& context, const WalArchive& archive, std::vector<Stretch> way,
                 Lsn end)
      : context_(context), archive_(archive), way_(std::move(way)), end_(end) {}

  void read(SegmentNumber segment) {
    for (const Stretch& stretch : way_) {
      const bool on_it =
          stretch.first <= segment &&
          (!stretch.end || segment <= postgres::segment_of(*stretch.end, archive_.segment_size()));
      if (!on_it) {
        continue;
      }
      if (auto content = archive_.fetch(context_, name(stretch.timeline, segment))) {
        look(std::move(*content), std::min(end_, stretch.end.value_or(end_)));
        return;
      }
    }
    behind_ = Buffer();
  }
  // The pieces up to `end`. There may be more by now, or the whole segment: of what has come since
  // nobody knows whether a server had it that has recovered meanwhile.
  void read_tail(Lsn end) {
    const SegmentSize size = archive_.segment_size();
    const SegmentNumber segment = postgres::segment_before(end, size);
    const std::string tail = name(way_.front().timeline, segment);
    std::optional<Buffer> content = archive_.tail_unless_gone(context_, tail);
    if (!content) {
      content = archive_.fetch(context_, tail);
    }
    if (content) {
      const uint64_t have = end.value - postgres::start_of(segment, size).value;
      std::memset(content->data() + have, 0, content->size() - have);
      look(std::move(*content), std::nullopt);
    }
  }
  // Of all that was read.
  [[nodiscard]] const postgres::WalTimes& found() const { return found_; }
  // The latest time in the segment that was read last and has one.
  [[nodiscard]] std::optional<WallTime> back_to() const { return back_to_; }

 private:
  [[nodiscard]] std::string name(Timeline timeline, SegmentNumber segment) const {
    return postgres::segment_name(timeline, segment, archive_.segment_size());
  }
  void look(Buffer content, std::optional<Lsn> end) {
    const postgres::WalTimes times = postgres::wal_times(content.view(), behind_.view(), end);
    behind_ = std::move(content);
    if (!found_.last_record) {
      found_.last_record = times.last_record;
    }
    found_.last_commit = std::max(found_.last_commit, times.last_commit);
    found_.latest = std::max(found_.latest, times.latest);
    back_to_ = times.latest ? times.latest : back_to_;
  }

  const Context& context_;
  const WalArchive& archive_;
  const std::vector<Stretch> way_;
  const Lsn end_;
  Buffer behind_;  // the segment read before, which lies behind: records run over into it
  postgres::WalTimes found_;
  std::optional<WallTime> back_to_;
};

}  // namespace

WalMoment end_of_wal(const Context& context, const WalArchive& archive,
                     const std::vector<WalTimeline>& timelines, const BackupReach& reach,
                     std::optional<WallTime> asked) {
  const SegmentSize size = archive.segment_size();
  BackwardReader reader(context, archive, way_to(timelines, reach.timeline, size), reach.end);
  unsigned read = 0;
  if (reach.tail_end) {
    reader.read_tail(*reach.tail_end);
    ++read;
  }
  const SegmentNumber first = postgres::segment_of(reach.backup.facts.stop, size);
  const auto enough = [&] {
    return reader.found().last_commit ||
           (asked ? reader.back_to() && *reader.back_to() + kCheckpointTimes <= *asked
                  : read >= kMostSegments);
  };
  SegmentNumber behind = postgres::segment_before(reach.end, size);
  for (++behind.value; behind > first && !enough(); ++read) {
    --behind.value;
    context.check_stopped();
    reader.read(behind);
  }
  const postgres::WalTimes& found = reader.found();
  const WallTime stop = reach.backup.facts.stop_time;
  return {.until = std::max(stop, found.latest.value_or(stop)),
          .last_commit = found.last_commit,
          .last_record = found.last_record};
}

RecoveryTarget time_target(WallTime moment, const WalMoment& end, const RecoveryPlan& plan) {
  RecoveryTarget target;
  if (end.last_commit.value_or(plan.backup.facts.stop_time) > moment) {
    target.kind = TargetKind::kTime;
    target.time = moment;
  } else if (end.last_record && *end.last_record >= plan.backup.facts.stop) {
    target.kind = TargetKind::kLsn;
    target.lsn = *end.last_record;
  } else {
    target.kind = TargetKind::kImmediate;
    target.text = "immediate";
  }
  return target;
}

}  // namespace salvor
