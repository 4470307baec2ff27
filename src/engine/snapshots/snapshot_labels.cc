#include "engine/snapshots/snapshot_labels.h"

#include <algorithm>

#include "base/error.h"
#include "base/format.h"
#include "codec/go_json.h"
#include "engine/snapshots/retention.h"

namespace salvor {
namespace {

constexpr std::string_view kLabel = "salvor:label=";
constexpr std::string_view kKeepUntil = "salvor:keep-until=";
constexpr std::string_view kForever = "forever";

}  // namespace

std::vector<std::string> label_tags(const std::string& label, const std::string& keep,
                                    const Timestamp& now) {
  std::vector<std::string> tags;
  if (!label.empty()) {
    if (label.find_first_of(",=") != std::string::npos || printable(label) != label) {
      throw Error(ErrorCode::kUsage, "\"" + printable(label) + "\" cannot be a label",
                  "A label holds neither commas nor equal signs: it becomes a tag.");
    }
    tags.push_back(std::string(kLabel) + label);
  }
  if (keep == kForever) {
    tags.push_back(std::string(kKeepUntil) + keep);
  } else if (!keep.empty()) {
    CalendarSpan span = parse_calendar_span(keep);
    if (span.zero()) {
      throw Error(ErrorCode::kUsage, "--keep needs a length of time",
                  "Write 7d, 1y6m, 12h or forever.");
    }
    span = {-span.years, -span.months, -span.days, -span.hours};
    Timestamp until = before_by(now, span);
    until.nanoseconds = 0;
    until.utc_offset_seconds = 0;
    std::string text(kKeepUntil);
    append_go_time(text, until);
    tags.push_back(std::move(text));
  }
  return tags;
}

bool has_label(const Snapshot& snapshot, std::string_view label) {
  return std::any_of(snapshot.tags.begin(), snapshot.tags.end(), [&](const std::string& tag) {
    return tag.starts_with(kLabel) && std::string_view(tag).substr(kLabel.size()) == label;
  });
}

bool kept_by_tag(const Snapshot& snapshot, WallTime now) {
  return std::any_of(snapshot.tags.begin(), snapshot.tags.end(), [&](const std::string& tag) {
    if (!tag.starts_with(kKeepUntil)) {
      return false;
    }
    const auto until = parse_go_time(std::string_view(tag).substr(kKeepUntil.size()));
    return !until || until->wall() > now;
  });
}

}  // namespace salvor
