#include "engine/snapshots/retention.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <tuple>

#include "base/error.h"
#include "engine/snapshots/snapshot_labels.h"

namespace salvor {
namespace {

constexpr int64_t kDaySeconds = 86400;
// Go's zero time, 0001-01-01T00:00:00Z: what "the newest snapshot" is when all lie in the future.
constexpr int64_t kYearOne = -62135596800;
constexpr int kLongestSpan = 1'000'000;  // of any unit; keeps calendar arithmetic far from overflow

struct Civil {
  int64_t year;
  int month;  // 1..12
  int day;    // 1..31
  int64_t second_of_day;
};

int64_t floor_div(int64_t value, int64_t divisor) {
  return value / divisor - (value % divisor < 0 ? 1 : 0);
}

// Days since 1970-01-01 of the first of a month; `month` may lie outside 1..12.
// Method: years that begin in March put the leap day last (see H. Hinnant, chrono date algorithms).
int64_t days_to_month(int64_t year, int64_t month) {
  year += floor_div(month - 1, 12);
  month = (month - 1) - floor_div(month - 1, 12) * 12 + 1;
  const int64_t shifted = month <= 2 ? year - 1 : year;
  const int64_t era = floor_div(shifted, 400);
  const int64_t year_of_era = shifted - era * 400;
  const int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5;
  return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year -
         719468;
}

Civil civil_of(const Timestamp& time) {
  const int64_t local = time.seconds + time.utc_offset_seconds;
  const int64_t days = floor_div(local, kDaySeconds);
  const int64_t shifted = days + 719468;
  const int64_t era = floor_div(shifted, 146097);
  const int64_t day_of_era = shifted - era * 146097;
  const int64_t year_of_era =
      (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  const int64_t day_of_year =
      day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const int64_t march_month = (5 * day_of_year + 2) / 153;
  const int month = static_cast<int>(march_month < 10 ? march_month + 3 : march_month - 9);
  return {year_of_era + era * 400 + (month <= 2 ? 1 : 0), month,
          static_cast<int>(day_of_year - (153 * march_month + 2) / 5 + 1),
          local - days * kDaySeconds};
}

// Year and ISO 8601 week as one number: a week belongs to the year that its Thursday is in.
int64_t iso_week_key(const Timestamp& time) {
  const int64_t days = floor_div(time.seconds + time.utc_offset_seconds, kDaySeconds);
  const int64_t since_monday = days + 3 - floor_div(days + 3, 7) * 7;  // 1970-01-01: a Thursday
  const int64_t thursday = days - since_monday + 3;
  const int64_t year = civil_of({thursday * kDaySeconds, 0, 0}).year;
  return year * 100 + (thursday - days_to_month(year, 1)) / 7 + 1;
}

enum class Unit : uint8_t { kEach, kHour, kDay, kWeek, kMonth, kYear };

// A number that is equal for snapshots of the same hour, day, ... in their own zones.
int64_t bucket_key(Unit unit, const Timestamp& time, size_t position) {
  const Civil civil = civil_of(time);
  switch (unit) {
    case Unit::kEach:
      return static_cast<int64_t>(position);
    case Unit::kHour:
      return ((civil.year * 100 + civil.month) * 100 + civil.day) * 100 +
             civil.second_of_day / 3600;
    case Unit::kDay:
      return (civil.year * 100 + civil.month) * 100 + civil.day;
    case Unit::kWeek:
      return iso_week_key(time);
    case Unit::kMonth:
      return civil.year * 100 + civil.month;
    case Unit::kYear:
      break;
  }
  return civil.year;
}

// "Keep the newest of each period", with a count or a span as its limit.
struct PeriodRule {
  Unit unit;
  std::string reason;
  int64_t last_key = -1;

  // The reason to keep the snapshot at `position`, or "". The oldest snapshot is kept too as long
  // as the limit allows: that gives the longest history the counts can buy.
  std::string judge(const Timestamp& time, size_t position, bool oldest) {
    const int64_t key = bucket_key(unit, time, position);
    if (key == last_key) {
      return oldest ? "oldest " + reason : std::string();
    }
    last_key = key;
    return reason;
  }
};

struct CountedRule {
  PeriodRule period;
  int left;
};

struct WithinRule {
  PeriodRule period;
  const CalendarSpan* span;
};

std::vector<CountedRule> counted_rules(const RetentionPolicy& policy) {
  return {{{Unit::kEach, "last snapshot"}, policy.last},
          {{Unit::kHour, "hourly snapshot"}, policy.hourly},
          {{Unit::kDay, "daily snapshot"}, policy.daily},
          {{Unit::kWeek, "weekly snapshot"}, policy.weekly},
          {{Unit::kMonth, "monthly snapshot"}, policy.monthly},
          {{Unit::kYear, "yearly snapshot"}, policy.yearly}};
}

std::vector<WithinRule> within_rules(const RetentionPolicy& policy) {
  return {{{Unit::kHour, "hourly within"}, &policy.within_hourly},
          {{Unit::kDay, "daily within"}, &policy.within_daily},
          {{Unit::kWeek, "weekly within"}, &policy.within_weekly},
          {{Unit::kMonth, "monthly within"}, &policy.within_monthly},
          {{Unit::kYear, "yearly within"}, &policy.within_yearly}};
}

std::string bracketed(const std::vector<std::string>& items, std::string_view separator) {
  std::string text = "[";
  for (size_t i = 0; i < items.size(); ++i) {
    text += i > 0 ? separator : std::string_view();
    text += items[i];
  }
  return text + "]";
}

Timestamp newest_not_in_future(const std::vector<StoredSnapshot>& snapshots, WallTime now) {
  // Compared as seconds and nanoseconds: a stored time may lie outside what WallTime can hold.
  const auto now_seconds = std::chrono::floor<std::chrono::seconds>(now);
  const Timestamp present{now_seconds.time_since_epoch().count(),
                          static_cast<uint32_t>((now - now_seconds).count()), 0};
  Timestamp newest{kYearOne, 0, 0};
  for (const StoredSnapshot& stored : snapshots) {
    const Timestamp& time = stored.snapshot.time;
    if (newest.before(time) && time.before(present)) {
      newest = time;
    }
  }
  return newest;
}

std::string_view trimmed(std::string_view text) {
  const auto is_space = [](char c) { return c == ' ' || (c >= '\t' && c <= '\r'); };
  while (!text.empty() && is_space(text.front())) {
    text.remove_prefix(1);
  }
  while (!text.empty() && is_space(text.back())) {
    text.remove_suffix(1);
  }
  return text;
}

// Calls for each part between commas; "" has one empty part.
template <class F>
void split_at_commas(std::string_view text, F on_part) {
  for (;;) {
    const size_t comma = text.find(',');
    on_part(trimmed(text.substr(0, comma)));
    if (comma == std::string_view::npos) {
      return;
    }
    text.remove_prefix(comma + 1);
  }
}

}  // namespace

std::string CalendarSpan::text() const {
  std::string text;
  for (const auto& [count, unit] :
       {std::pair{years, 'y'}, {months, 'm'}, {days, 'd'}, {hours, 'h'}}) {
    if (count != 0) {
      text += std::to_string(count) + unit;
    }
  }
  return text;
}

CalendarSpan parse_calendar_span(std::string_view text) {
  const auto refuse = [whole = std::string(text)]() -> Error {
    return {ErrorCode::kUsage, "\"" + whole + "\" is not a duration",
            "Write a number and a unit, one or more times: y, m, d and h, as in 1y5m7d2h."};
  };
  CalendarSpan span;
  text = trimmed(text);
  while (!text.empty()) {
    int count = 0;
    const auto [rest, failure] = std::from_chars(text.data(), text.data() + text.size(), count);
    const size_t digits = static_cast<size_t>(rest - text.data());
    if (failure != std::errc() || count < 0 || count > kLongestSpan || digits == text.size()) {
      throw refuse();
    }
    switch (text[digits]) {
      case 'y':
        span.years = count;
        break;
      case 'm':
        span.months = count;
        break;
      case 'd':
        span.days = count;
        break;
      case 'h':
        span.hours = count;
        break;
      default:
        throw refuse();
    }
    text.remove_prefix(digits + 1);
  }
  return span;
}

Timestamp before_by(const Timestamp& time, const CalendarSpan& span) {
  const Civil civil = civil_of(time);
  const int64_t days = days_to_month(civil.year - span.years, int64_t{civil.month} - span.months) +
                       civil.day - 1 - span.days;
  Timestamp result = time;
  result.seconds = days * kDaySeconds + civil.second_of_day - time.utc_offset_seconds -
                   int64_t{span.hours} * 3600;
  return result;
}

int parse_keep_count(std::string_view text) {
  if (text == "unlimited") {
    return kKeepAll;
  }
  int count = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (failure != std::errc() || end != text.data() + text.size() || text.empty() ||
      count < kKeepAll) {
    throw Error(ErrorCode::kUsage, "\"" + std::string(text) + "\" is not a number of snapshots",
                "Give a number from 0 up, or 'unlimited' to keep all.");
  }
  return count;
}

TagList parse_tag_list(std::string_view text) {
  TagList tags;
  split_at_commas(text, [&](std::string_view tag) { tags.emplace_back(tag); });
  return tags;
}

bool has_all_tags(const Snapshot& snapshot, const TagList& tags) {
  for (const std::string& tag : tags) {
    if (tag.empty() && snapshot.tags.empty()) {
      return true;
    }
    if (std::find(snapshot.tags.begin(), snapshot.tags.end(), tag) == snapshot.tags.end()) {
      return false;
    }
  }
  return true;
}

bool RetentionPolicy::empty() const {
  return last == 0 && hourly == 0 && daily == 0 && weekly == 0 && monthly == 0 && yearly == 0 &&
         within.zero() && within_hourly.zero() && within_daily.zero() && within_weekly.zero() &&
         within_monthly.zero() && within_yearly.zero() && keep_tags.empty();
}

std::string RetentionPolicy::text() const {
  std::string counts;
  std::string spans;
  for (const auto& [count, name] : {std::pair{last, "latest"},
                                    {hourly, "hourly"},
                                    {daily, "daily"},
                                    {weekly, "weekly"},
                                    {monthly, "monthly"},
                                    {yearly, "yearly"}}) {
    if (count != 0) {
      counts += counts.empty() ? "" : ", ";
      counts += (count == kKeepAll ? "all" : std::to_string(count)) + " " + name;
    }
  }
  for (const auto& [span, name] : {std::pair{&within_hourly, "hourly"},
                                   {&within_daily, "daily"},
                                   {&within_weekly, "weekly"},
                                   {&within_monthly, "monthly"},
                                   {&within_yearly, "yearly"}}) {
    if (!span->zero()) {
      spans += spans.empty() ? "" : ", ";
      spans += std::string(name) + " snapshots within " + span->text();
    }
  }
  std::string text = counts.empty() ? "" : counts + " snapshots";
  if (!spans.empty()) {
    text += (text.empty() ? "" : ", ") + spans;
  }
  if (!keep_tags.empty()) {
    std::vector<std::string> lists;
    for (const TagList& tags : keep_tags) {
      lists.push_back(bracketed(tags, ", "));
    }
    text += text.empty() ? "" : " and ";
    text += "all snapshots with tags " + bracketed(lists, " ");
  }
  if (!within.zero()) {
    text += text.empty() ? "" : " and ";
    text += "all snapshots within " + within.text() + " of the newest";
  }
  return text.empty() ? "remove" : "keep " + text;
}

GroupBy parse_group_by(std::string_view text) {
  GroupBy by{false, false, false};
  split_at_commas(text, [&](std::string_view part) {
    if (part == "host" || part == "hosts") {
      by.host = true;
    } else if (part == "path" || part == "paths") {
      by.paths = true;
    } else if (part == "tag" || part == "tags") {
      by.tags = true;
    } else if (!part.empty()) {
      throw Error(ErrorCode::kUsage, "unknown grouping \"" + std::string(part) + "\"",
                  "Use host, paths and tags, separated by commas, or '' for one group.");
    }
  });
  return by;
}

std::string SnapshotGroup::text() const {
  std::string text;
  const auto add = [&](const std::string& part) { text += (text.empty() ? "" : ", ") + part; };
  if (!host.empty()) {
    add("host " + host);
  }
  if (!paths.empty()) {
    add("path " + bracketed(paths, " "));
  }
  if (!tags.empty()) {
    add("tags " + bracketed(tags, " "));
  }
  return text;
}

std::vector<SnapshotGroup> group_snapshots(std::vector<StoredSnapshot> snapshots,
                                           const GroupBy& by) {
  using Key = std::tuple<std::string, std::vector<std::string>, std::vector<std::string>>;
  std::map<Key, SnapshotGroup> groups;
  for (StoredSnapshot& stored : snapshots) {
    Snapshot& snapshot = stored.snapshot;
    std::sort(snapshot.paths.begin(), snapshot.paths.end());
    Key key;
    if (by.host) {
      std::get<0>(key) = snapshot.hostname;
    }
    if (by.paths) {
      std::get<1>(key) = snapshot.paths;
    }
    if (by.tags) {
      std::sort(snapshot.tags.begin(), snapshot.tags.end());
      std::get<2>(key) = snapshot.tags;
    }
    groups[std::move(key)].snapshots.push_back(std::move(stored));
  }
  std::vector<SnapshotGroup> result;
  result.reserve(groups.size());
  for (auto& [key, group] : groups) {
    std::tie(group.host, group.paths, group.tags) = key;
    result.push_back(std::move(group));
  }
  return result;
}

RetentionResult apply_retention(std::vector<StoredSnapshot> snapshots,
                                const RetentionPolicy& policy, WallTime now) {
  std::sort(snapshots.begin(), snapshots.end(),
            [](const StoredSnapshot& left, const StoredSnapshot& right) {
              return left.snapshot.time.same_instant(right.snapshot.time)
                         ? left.id < right.id
                         : right.snapshot.time.before(left.snapshot.time);
            });
  const Timestamp newest = newest_not_in_future(snapshots, now);
  const auto recent = [&](const Timestamp& time, const CalendarSpan& span) {
    return !span.zero() && before_by(newest, span).before(time);
  };
  std::vector<CountedRule> counted = counted_rules(policy);
  std::vector<WithinRule> spanned = within_rules(policy);

  RetentionResult result;
  for (size_t position = 0; position < snapshots.size(); ++position) {
    StoredSnapshot& stored = snapshots[position];
    const Timestamp& time = stored.snapshot.time;
    const bool oldest = position + 1 == snapshots.size();
    KeepReason reason;
    for (const TagList& tags : policy.keep_tags) {
      if (has_all_tags(stored.snapshot, tags)) {
        reason.matches.push_back("has tags " + bracketed(tags, ", "));
      }
    }
    if (kept_by_tag(stored.snapshot, now)) {
      reason.matches.emplace_back("to be kept until a date");
    }
    if (recent(time, policy.within)) {
      reason.matches.push_back("within " + policy.within.text());
    }
    for (size_t i = 0; i < counted.size(); ++i) {
      CountedRule& rule = counted[i];
      if (rule.left != 0) {
        if (std::string why = rule.period.judge(time, position, oldest); !why.empty()) {
          reason.matches.push_back(std::move(why));
          rule.left -= rule.left > 0 ? 1 : 0;
        }
      }
      reason.counters_left[i] = rule.left;
    }
    for (WithinRule& rule : spanned) {
      if (recent(time, *rule.span)) {
        if (const std::string why = rule.period.judge(time, position, oldest); !why.empty()) {
          reason.matches.push_back(why + " " + rule.span->text());
        }
      }
    }
    if (reason.matches.empty()) {
      result.remove.push_back(std::move(stored));
    } else {
      result.keep.push_back(std::move(stored));
      result.reasons.push_back(std::move(reason));
    }
  }
  return result;
}

}  // namespace salvor
