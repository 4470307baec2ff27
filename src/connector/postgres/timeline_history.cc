#include "connector/postgres/timeline_history.h"

#include <algorithm>
#include <charconv>

#include "base/error.h"

namespace salvor::postgres {
namespace {

constexpr size_t kMostTimelines = 100'000;

[[noreturn]] void fail(Timeline timeline, const std::string& what) {
  throw Error(ErrorCode::kDamaged,
              "timeline history " + history_name(timeline) + " is damaged: " + what);
}

// The word that `rest` begins with, taken away together with the blanks around it.
std::string_view take_word(std::string_view& rest) {
  const size_t begin = std::min(rest.find_first_not_of(" \t"), rest.size());
  const size_t end = std::min(rest.find_first_of(" \t", begin), rest.size());
  const std::string_view word = rest.substr(begin, end - begin);
  rest.remove_prefix(std::min(rest.find_first_not_of(" \t", end), rest.size()));
  return word;
}

}  // namespace

TimelineHistory TimelineHistory::parse(Timeline timeline, std::string_view text) {
  TimelineHistory history(timeline);
  while (!text.empty()) {
    const size_t newline = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, newline);
    text.remove_prefix(std::min(newline + 1, text.size()));
    const size_t begin = line.find_first_not_of(" \t\r");
    if (begin == std::string_view::npos || line[begin] == '#') {
      continue;
    }
    TimelineSwitch entry;
    const std::string_view number = take_word(line);
    const auto [end, error] =
        std::from_chars(number.data(), number.data() + number.size(), entry.timeline.value);
    const auto lsn = Lsn::parse(take_word(line));
    if (error != std::errc() || end != number.data() + number.size() || !lsn) {
      fail(timeline, "a line is not \"timeline position reason\"");
    }
    entry.end = *lsn;
    entry.reason = std::string(line);
    const bool ascends =
        history.ancestors_.empty() || (history.ancestors_.back().timeline < entry.timeline &&
                                       history.ancestors_.back().end <= entry.end);
    if (entry.timeline.value == 0 || entry.timeline >= timeline || !ascends) {
      fail(timeline, "its timelines do not ascend");
    }
    if (history.ancestors_.size() == kMostTimelines) {
      fail(timeline, "it has too many lines");
    }
    history.ancestors_.push_back(std::move(entry));
  }
  return history;
}

Timeline TimelineHistory::timeline_at(Lsn lsn) const {
  for (const TimelineSwitch& ancestor : ancestors_) {
    if (lsn < ancestor.end) {
      return ancestor.timeline;
    }
  }
  return timeline_;
}

std::optional<Lsn> TimelineHistory::end_of(Timeline ancestor) const {
  for (const TimelineSwitch& entry : ancestors_) {
    if (entry.timeline == ancestor) {
      return entry.end;
    }
  }
  return std::nullopt;
}

bool TimelineHistory::contains(Timeline timeline) const {
  return timeline == timeline_ || end_of(timeline).has_value();
}

bool TimelineHistory::passes_through(Timeline timeline, Lsn lsn) const {
  if (timeline == timeline_) {
    return ancestors_.empty() || lsn >= ancestors_.back().end;
  }
  const std::optional<Lsn> end = end_of(timeline);
  return end && lsn <= *end;
}

}  // namespace salvor::postgres
