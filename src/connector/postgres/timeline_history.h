// The files that say how timelines branched off each other ("00000003.history").
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "connector/postgres/lsn.h"

namespace salvor::postgres {

// One ancestor: `timeline` was left at `end`.
struct TimelineSwitch {
  Timeline timeline;
  Lsn end;
  std::string reason;
};

// A timeline and its ancestors, oldest first. A value.
class TimelineHistory {
 public:
  // Timeline 1, or one of which nothing older is known.
  explicit TimelineHistory(Timeline timeline) : timeline_(timeline) {}
  // The content of the history file of `timeline`. Throws Error{kDamaged} when it is not one:
  // timelines must ascend and stay below `timeline`, and so must their ends not descend.
  static TimelineHistory parse(Timeline timeline, std::string_view text);

  [[nodiscard]] Timeline timeline() const { return timeline_; }
  [[nodiscard]] const std::vector<TimelineSwitch>& ancestors() const& { return ancestors_; }
  // Of a temporary: a loop over them would outlive it.
  const std::vector<TimelineSwitch>& ancestors() const&& = delete;

  // On which timeline the byte at `lsn` was written, seen from this one.
  [[nodiscard]] Timeline timeline_at(Lsn lsn) const;
  // Where `ancestor` was left on the way here; nothing for this timeline itself (it is open) and
  // for one that is no ancestor.
  [[nodiscard]] std::optional<Lsn> end_of(Timeline ancestor) const;
  [[nodiscard]] bool contains(Timeline timeline) const;
  // Whether a state at `lsn` of `timeline` lies on the way to this timeline: the test for a backup
  // from which this timeline can be reached.
  [[nodiscard]] bool passes_through(Timeline timeline, Lsn lsn) const;

 private:
  Timeline timeline_;
  std::vector<TimelineSwitch> ancestors_;
};

}  // namespace salvor::postgres
