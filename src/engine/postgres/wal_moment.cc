#include "engine/postgres/wal_moment.h"

#include <algorithm>

#include "connector/postgres/wal_times.h"

namespace salvor {

WalMoment end_of_wal(const Context& context, const WalArchive& archive,
                     const std::vector<WalTimeline>& timelines, const BackupReach& reach,
                     unsigned most_segments) {
  using postgres::SegmentNumber;
  WalMoment moment{.until = reach.backup.facts.stop_time, .last_commit = {}};
  const postgres::SegmentSize size = archive.segment_size();
  const auto look = [&](const std::optional<Buffer>& content) {
    if (!content) {
      return false;
    }
    const postgres::WalTimes times = postgres::wal_times(content->view());
    if (times.last_commit && !moment.last_commit) {
      moment.last_commit = times.last_commit;
    }
    if (times.latest) {
      moment.until = std::max(moment.until, *times.latest);
    }
    return times.last_commit.has_value();
  };
  const SegmentNumber next = postgres::segment_of(reach.end, size);
  const auto name = [&](SegmentNumber segment) {
    return postgres::segment_name(reach.timeline, segment, size);
  };
  unsigned read = 0;
  for (const WalTimeline& timeline : timelines) {
    // Where the reach ends inside of a segment, that is the one with the pieces, too.
    if (reach.missing.empty() && timeline.timeline == reach.timeline && timeline.tail &&
        *timeline.tail == next) {
      ++read;
      if (look(archive.assemble_tail(context, name(next)))) {
        return moment;
      }
    }
  }
  const SegmentNumber first = postgres::segment_of(reach.backup.facts.stop, size);
  SegmentNumber at = postgres::segment_before(reach.end, size);
  for (; read < most_segments && at >= first; ++read, --at.value) {
    if (look(archive.fetch(context, name(at))) || at.value == 0) {
      break;
    }
  }
  return moment;
}

}  // namespace salvor
