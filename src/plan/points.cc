#include "plan/points.h"

#include <algorithm>

#include "base/error.h"
#include "base/format.h"
#include "model/utc_text.h"

namespace salvor::plan {
namespace {

bool has_log(const RecoveryRange& range) {
  return range.open_ended || range.until > range.captured;
}

std::string reachable(const std::vector<RecoveryRange>& ranges) {
  if (ranges.empty()) {
    return "There is no backup of it at all.";
  }
  WallTime first = ranges.front().captured;
  WallTime last = ranges.front().until;
  for (const RecoveryRange& range : ranges) {
    first = std::min(first, range.captured);
    last = std::max(last, range.until);
  }
  return "It can be brought to moments from " + utc_text(first) + " to " + utc_text(last) + ".";
}

// The newest that reaches `time`; without a log, the newest before it.
const RecoveryRange* reaching(const std::vector<RecoveryRange>& ranges, WallTime time) {
  const RecoveryRange* best = nullptr;
  for (const RecoveryRange& range : ranges) {
    const bool reaches =
        range.captured <= time && (!has_log(range) || range.open_ended || time <= range.until);
    if (!range.damaged && reaches && (best == nullptr || range.captured > best->captured)) {
      best = &range;
    }
  }
  return best;
}

const RecoveryRange* matching(const std::vector<RecoveryRange>& ranges, const Moment& moment,
                              const std::string& source) {
  const RecoveryRange* found = nullptr;
  for (const RecoveryRange& range : ranges) {
    const bool matches = moment.kind == Moment::kLabel ? range.label == moment.text
                                                       : range.snapshot.starts_with(moment.text);
    if (!matches) {
      continue;
    }
    if (found != nullptr && moment.kind == Moment::kSnapshot) {
      throw Error(ErrorCode::kUsage, "more than one snapshot of " + printable(source) +
                                         " begins with " + printable(moment.text));
    }
    found = found == nullptr ? &range : found;
  }
  return found;
}

}  // namespace

PinnedPoint choose_point(const std::string& source, const std::string& asked,
                         const std::vector<RecoveryRange>& ranges, WallTime now) {
  Moment moment = Moment::parse(asked);
  const RecoveryRange* range = nullptr;
  WallTime wanted = now;
  switch (moment.kind) {
    case Moment::kLatest:
    case Moment::kPosition: {
      const auto it = std::find_if(ranges.begin(), ranges.end(),
                                   [](const RecoveryRange& one) { return !one.damaged; });
      range = it == ranges.end() ? nullptr : &*it;
      if (range != nullptr && moment.kind == Moment::kLatest && !has_log(*range)) {
        moment = {.kind = Moment::kSnapshot, .time = {}, .text = range->snapshot};
      }
      break;
    }
    case Moment::kAt:
      wanted = moment.time;
      range = reaching(ranges, moment.time);
      if (range != nullptr && !has_log(*range)) {
        moment = {.kind = Moment::kSnapshot, .time = {}, .text = range->snapshot};
      }
      break;
    case Moment::kSnapshot:
    case Moment::kLabel:
      range = matching(ranges, moment, source);
      if (range != nullptr) {
        moment = {.kind = Moment::kSnapshot, .time = {}, .text = range->snapshot};
        wanted = range->captured;
      }
      break;
  }
  if (range == nullptr) {
    throw Error(ErrorCode::kNotFound,
                "no backup brings " + printable(source) + " to " + printable(asked),
                reachable(ranges));
  }
  // Which backup a position needs, the store knows better.
  return {.source = source,
          .asked = asked,
          .snapshot = moment.kind == Moment::kPosition ? "" : range->snapshot,
          .moment = std::move(moment),
          .captured = range->captured,
          .until = range->until,
          .wanted = wanted,
          .bytes = range->bytes};
}

}  // namespace salvor::plan
