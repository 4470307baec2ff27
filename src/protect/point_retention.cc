#include "protect/point_retention.h"

#include <algorithm>
#include <array>
#include <functional>
#include <map>

#include <fmt/format.h>

#include "model/duration_text.h"

namespace salvor {
namespace {

using std::chrono::days;
using LocalDays = std::chrono::local_days;

constexpr std::array<const char*, 7> kWeekdays{"Sunday",   "Monday", "Tuesday", "Wednesday",
                                               "Thursday", "Friday", "Saturday"};

struct Candidate {
  size_t index;       // in the points, newest first
  LocalSeconds time;  // on the wall
  [[nodiscard]] LocalDays day() const { return std::chrono::floor<days>(time); }
};

// A kind of bucket: which one a point is in, and which day of it is preferred.
struct Bucketing {
  const char* name;
  unsigned count;
  std::function<int64_t(const Candidate&)> bucket;
  std::function<LocalDays(const Candidate&)> preferred;  // empty: the newest, whatever the day
  std::string preferred_text = {};
};

std::chrono::year_month_day civil(const Candidate& candidate) {
  return std::chrono::year_month_day(candidate.day());
}

int64_t week_of(const Candidate& candidate, unsigned begins_on) {
  const unsigned weekday = std::chrono::weekday(candidate.day()).c_encoding();
  const LocalDays first = candidate.day() - days((weekday + 7 - begins_on % 7) % 7);
  return first.time_since_epoch().count();
}

LocalDays month_day(std::chrono::year_month month, unsigned day) {
  const unsigned last =
      static_cast<unsigned>(std::chrono::year_month_day_last(month / std::chrono::last).day());
  return LocalDays(month / std::chrono::day(std::clamp(day, 1U, last)));
}

std::vector<Bucketing> bucketings(const RetentionRule& rule) {
  const unsigned weekday = rule.weekly_on % 7;
  return {
      {"hourly",
       rule.hourly,
       [](const Candidate& c) {
         return std::chrono::floor<std::chrono::hours>(c.time).time_since_epoch().count();
       },
       {}},
      {"daily",
       rule.daily,
       [](const Candidate& c) { return c.day().time_since_epoch().count(); },
       {}},
      {"weekly", rule.weekly, [weekday](const Candidate& c) { return week_of(c, weekday); },
       [weekday](const Candidate& c) { return LocalDays(days(week_of(c, weekday))); },
       kWeekdays.at(weekday)},
      {"monthly", rule.monthly,
       [](const Candidate& c) {
         return static_cast<int64_t>(static_cast<int>(civil(c).year())) * 12 +
                static_cast<unsigned>(civil(c).month());
       },
       [on = rule.monthly_on](const Candidate& c) {
         return month_day(civil(c).year() / civil(c).month(), on);
       },
       fmt::format("day {}", rule.monthly_on)},
      {"yearly", rule.yearly,
       [](const Candidate& c) { return static_cast<int64_t>(static_cast<int>(civil(c).year())); },
       [on = rule.monthly_on](const Candidate& c) {
         return month_day(civil(c).year() / std::chrono::January, on);
       },
       fmt::format("January {}", rule.monthly_on)},
  };
}

// Of one bucket, newest first: the newest of the preferred day, else of the nearest later day, else
// of the nearest earlier one.
const Candidate& choose(const std::vector<const Candidate*>& bucket, LocalDays preferred) {
  const Candidate* best = nullptr;
  for (const Candidate* candidate : bucket) {
    if (candidate->day() < preferred) {
      continue;
    }
    if (best == nullptr || candidate->day() < best->day()) {
      best = candidate;
    }
  }
  return best != nullptr ? *best : *bucket.front();
}

class Planner {
 public:
  Planner(std::span<const RetentionPoint> points, const RetentionRule& rule, const TimeZone& zone,
          WallTime now)
      : rule_(rule), zone_(zone), now_(now) {
    for (const RetentionPoint& point : points) {
      plan_.decisions.push_back({.point = point});
    }
    std::sort(plan_.decisions.begin(), plan_.decisions.end(),
              [](const PointDecision& left, const PointDecision& right) {
                return left.point.captured != right.point.captured
                           ? left.point.captured > right.point.captured
                           : left.point.snapshot < right.point.snapshot;
              });
  }

  PointRetentionPlan run() {
    keep_promised();
    apply_rules(PointQuality::kGood, "");
    apply_rules(PointQuality::kUnknown, "; not known whether it is good");
    keep_log();
    keep_last_resorts();
    say_why_not();
    return std::move(plan_);
  }

 private:
  void keep(size_t index, std::string reason) {
    std::vector<std::string>& reasons = plan_.decisions[index].reasons;
    if (std::find(reasons.begin(), reasons.end(), reason) == reasons.end()) {
      reasons.push_back(std::move(reason));
    }
  }

  [[nodiscard]] bool rules_are_empty() const {
    return rule_.last + rule_.hourly + rule_.daily + rule_.weekly + rule_.monthly + rule_.yearly ==
               0 &&
           rule_.within.count() == 0 && rule_.keep_tags.empty();
  }

  void keep_promised() {
    for (size_t i = 0; i < plan_.decisions.size(); ++i) {
      const RetentionPoint& point = plan_.decisions[i].point;
      if (rule_.legal_hold) {
        keep(i, "legal hold");
      }
      if (!point.promise.empty()) {
        keep(i, point.promise);
      }
      for (const std::string& tag : rule_.keep_tags) {
        if (std::find(point.tags.begin(), point.tags.end(), tag) != point.tags.end()) {
          keep(i, "tag " + tag);
        }
      }
      if (rules_are_empty()) {
        keep(i, "no rule says that anything goes");
      }
      if (rule_.within.count() > 0 && point.captured >= now_ - rule_.within &&
          point.quality != PointQuality::kBad) {
        keep(i, "younger than " + span_text(rule_.within));
      }
    }
  }

  // As if all points of at least this quality were good.
  void apply_rules(PointQuality from, const std::string& remark) {
    std::vector<Candidate> candidates;
    bool any = from == PointQuality::kGood;
    for (size_t i = 0; i < plan_.decisions.size(); ++i) {
      const RetentionPoint& point = plan_.decisions[i].point;
      if (point.quality >= from) {
        any |= point.quality == from;
        candidates.push_back(
            {i, zone_.local(std::chrono::floor<std::chrono::seconds>(point.captured))});
      }
    }
    if (!any) {
      return;  // the second time would be the first again
    }
    const auto keep_one = [&](const Candidate& candidate, std::string reason) {
      // The second time adds points that are not known to be good, not reasons for those that are.
      const bool unknown = plan_.decisions[candidate.index].point.quality == PointQuality::kUnknown;
      if (from == PointQuality::kGood || unknown) {
        keep(candidate.index, std::move(reason) + (unknown ? remark : ""));
      }
    };
    for (size_t i = 0; i < candidates.size() && i < rule_.last; ++i) {
      keep_one(candidates[i], fmt::format("last {} of {}", i + 1, rule_.last));
    }
    for (const Bucketing& bucketing : bucketings(rule_)) {
      fill(bucketing, candidates, keep_one);
    }
  }

  template <class KeepOne>
  void fill(const Bucketing& bucketing, const std::vector<Candidate>& candidates,
            const KeepOne& keep_one) const {
    if (bucketing.count == 0) {
      return;
    }
    std::map<int64_t, std::vector<const Candidate*>, std::greater<>> buckets;
    for (const Candidate& candidate : candidates) {
      buckets[bucketing.bucket(candidate)].push_back(&candidate);
    }
    unsigned slot = 0;
    for (const auto& [number, bucket] : buckets) {
      if (++slot > bucketing.count) {
        return;
      }
      std::string reason = fmt::format("{} {} of {}", bucketing.name, slot, bucketing.count);
      if (!bucketing.preferred) {
        keep_one(*bucket.front(), std::move(reason));
        continue;
      }
      const LocalDays wanted = bucketing.preferred(*bucket.front());
      const Candidate& chosen = choose(bucket, wanted);
      if (chosen.day() != wanted) {
        reason += fmt::format(" (no good one on {})", bucketing.preferred_text);
      }
      keep_one(chosen, std::move(reason));
    }
  }

  // Every moment of the last `journal` can only be reached from a point before it.
  void keep_log() {
    if (rule_.journal.count() == 0) {
      return;
    }
    const WallTime begin = now_ - rule_.journal;
    for (size_t i = 0; i < plan_.decisions.size(); ++i) {
      const RetentionPoint& point = plan_.decisions[i].point;
      if (point.captured <= begin && point.quality == PointQuality::kGood) {
        keep(i, fmt::format("every moment of the last {} is reached from it",
                            span_text(rule_.journal)));
        plan_.log_from = point.captured;
        plan_.log_reason = fmt::format("for every moment of the last {}", span_text(rule_.journal));
        return;
      }
    }
  }

  // The one whose proof is the newest; nothing: none was ever proven.
  [[nodiscard]] std::optional<size_t> proven_last(PointQuality at_least) const {
    std::optional<size_t> last;
    for (size_t i = 0; i < plan_.decisions.size(); ++i) {
      const RetentionPoint& point = plan_.decisions[i].point;
      if (point.proven_at && point.quality >= at_least &&
          (!last || *point.proven_at > *plan_.decisions[*last].point.proven_at)) {
        last = i;
      }
    }
    return last;
  }

  void keep_last_resorts() {
    std::optional<size_t> newest_good;
    for (size_t i = 0; i < plan_.decisions.size() && !newest_good; ++i) {
      if (plan_.decisions[i].point.quality == PointQuality::kGood) {
        newest_good = i;
      }
    }
    for (const PointQuality at_least : {PointQuality::kBad, PointQuality::kGood}) {
      if (const auto last = proven_last(at_least)) {
        keep(*last, "proven last");
      }
    }
    if (newest_good) {
      keep(*newest_good, "the newest good one");
    }
    for (size_t i = 0; i < newest_good.value_or(plan_.decisions.size()); ++i) {
      keep(i, newest_good ? "newer than the newest good one" : "there is no good one");
    }
    for (const PointDecision& decision : plan_.decisions) {
      // Without a length of time: as far back as anything is kept.
      const bool with_points = rule_.journal.count() == 0 || !plan_.log_from;
      if (decision.keep() && with_points) {
        oldest_kept_ = decision.point.captured;
      }
    }
    if (oldest_kept_) {
      plan_.log_from = oldest_kept_;
      plan_.log_reason = "as far back as points are kept";
    }
  }

  void say_why_not() {
    for (PointDecision& decision : plan_.decisions) {
      if (!decision.keep()) {
        decision.why_not = decision.point.quality == PointQuality::kBad
                               ? "it is not good, and a newer good one is there"
                               : "no rule needs it";
      }
    }
  }

  const RetentionRule& rule_;
  const TimeZone& zone_;
  const WallTime now_;
  std::optional<WallTime> oldest_kept_;
  PointRetentionPlan plan_;
};

}  // namespace

size_t PointRetentionPlan::kept() const {
  return static_cast<size_t>(
      std::count_if(decisions.begin(), decisions.end(),
                    [](const PointDecision& decision) { return decision.keep(); }));
}

std::vector<std::string> PointRetentionPlan::removed() const {
  std::vector<std::string> gone;
  for (const PointDecision& decision : decisions) {
    if (!decision.keep()) {
      gone.push_back(decision.point.snapshot);
    }
  }
  return gone;
}

PointRetentionPlan plan_point_retention(std::span<const RetentionPoint> points,
                                        const RetentionRule& rule, const TimeZone& zone,
                                        WallTime now) {
  return Planner(points, rule, zone, now).run();
}

std::string rule_text(const RetentionRule& rule) {
  std::vector<std::string> parts;
  if (rule.legal_hold) {
    return "everything (legal hold)";
  }
  if (rule.last > 0) {
    parts.push_back(fmt::format("the last {}", rule.last));
  }
  for (const Bucketing& bucketing : bucketings(rule)) {
    if (bucketing.count > 0) {
      parts.push_back(fmt::format("{} {}", bucketing.count, bucketing.name));
      if (!bucketing.preferred_text.empty()) {
        parts.back() += " (" + bucketing.preferred_text + ")";
      }
    }
  }
  if (rule.within.count() > 0) {
    parts.push_back("everything of the last " + span_text(rule.within));
  }
  for (const std::string& tag : rule.keep_tags) {
    parts.push_back("tag " + tag);
  }
  if (rule.journal.count() > 0) {
    parts.push_back("logs of the last " + span_text(rule.journal));
  }
  return parts.empty() ? "everything" : fmt::format("{}", fmt::join(parts, ", "));
}

}  // namespace salvor
