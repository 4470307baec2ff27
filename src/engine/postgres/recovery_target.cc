#include "engine/postgres/recovery_target.h"

#include <algorithm>
#include <ctime>

#include <fmt/format.h>

#include "base/format.h"

namespace salvor {
namespace {

using postgres::Timeline;

[[noreturn]] void not_a_time(std::string_view text) {
  throw Error(ErrorCode::kUsage, "\"" + printable(text) + "\" is not a time",
              "Write it as \"2026-11-21 08:00:00+01:00\" (or ...Z for UTC); without a zone it is "
              "local time.");
}

// "+01", "+01:00", "+0100", "-05:30" in seconds; nothing when it is none.
std::optional<int> parse_offset(std::string_view text) {
  if (text.size() < 3 || (text[0] != '+' && text[0] != '-')) {
    return std::nullopt;
  }
  std::string digits;
  for (const char c : text.substr(1)) {
    if (c >= '0' && c <= '9') {
      digits += c;
    } else if (c != ':') {
      return std::nullopt;
    }
  }
  if (digits.size() != 2 && digits.size() != 4) {
    return std::nullopt;
  }
  const int hours = std::stoi(digits.substr(0, 2));
  const int minutes = digits.size() == 4 ? std::stoi(digits.substr(2)) : 0;
  const int seconds = hours * 3600 + minutes * 60;
  return hours > 15 || minutes > 59 ? std::nullopt
                                    : std::optional(text[0] == '-' ? -seconds : seconds);
}

std::string describe(const PhysicalBackup& backup) {
  return fmt::format("{} (reaches {} at {} and later)", backup.snapshot.id.short_hex(),
                     backup.facts.stop.text(), postgres::format_utc(backup.facts.stop_time));
}

// Why the target cannot be reached from the backup; nothing when it can, as far as one can tell.
std::optional<std::string> obstacle(const PhysicalBackup& backup, const BackupReach& reach,
                                    Timeline wanted, const RecoveryTarget& target) {
  if (target.kind == TargetKind::kImmediate) {
    return std::nullopt;
  }
  if (target.kind == TargetKind::kTime && target.time < backup.facts.stop_time) {
    return "it was finished only at " + postgres::format_utc(backup.facts.stop_time);
  }
  if (target.kind == TargetKind::kLsn) {
    if (target.lsn < backup.facts.stop) {
      return "it is consistent only from " + backup.facts.stop.text() + " on";
    }
    if (const postgres::Lsn end = reach.tail_end.value_or(reach.end); target.lsn > end) {
      return "the WAL behind it ends at " + end.text() +
             (reach.missing.empty() ? "" : ": " + reach.missing.front() + " is missing");
    }
  }
  if (target.kind == TargetKind::kLatest && !reach.missing.empty()) {
    return "the WAL behind it has a hole: " + reach.missing.front() + " is missing";
  }
  if (wanted != backup.facts.timeline && reach.timeline < wanted && !reach.missing.empty()) {
    return fmt::format("the WAL on the way to timeline {} has a hole: {} is missing", wanted.value,
                       reach.missing.front());
  }
  return std::nullopt;
}

struct Candidate {
  RecoveryPlan plan;
  std::optional<std::string> obstacle;
};

Candidate examine(const PhysicalBackup& backup, const std::vector<WalTimeline>& timelines,
                  postgres::SegmentSize segment_size, const RecoveryTarget& target) {
  Timeline wanted = newest_timeline(backup, timelines);
  if (target.own_timeline) {
    wanted = backup.facts.timeline;
  } else if (target.timeline) {
    wanted = *target.timeline;
  }
  Candidate candidate{
      {backup, reach_of(backup, timelines, wanted, segment_size), wanted, wanted.value == 1},
      std::nullopt};
  bool leads_there = wanted == backup.facts.timeline;
  for (const WalTimeline& timeline : timelines) {
    if (timeline.timeline == wanted && timeline.history) {
      candidate.plan.has_history = true;
      leads_there =
          leads_there || timeline.history->passes_through(backup.facts.timeline, backup.facts.stop);
    }
  }
  candidate.obstacle =
      leads_there ? obstacle(backup, candidate.plan.reach, wanted, target)
                  : std::optional(fmt::format("timeline {} does not come from it", wanted.value));
  return candidate;
}

}  // namespace

std::string RecoveryTarget::display() const {
  switch (kind) {
    case TargetKind::kLatest:
      return "the end of the WAL";
    case TargetKind::kImmediate:
      return "the end of the backup";
    case TargetKind::kTime: {
      std::string text_time = postgres::format_utc(time);
      text_time[10] = ' ';
      text_time.replace(text_time.size() - 1, 1, "+00");
      return text_time;
    }
    case TargetKind::kLsn:
      return lsn.text();
    case TargetKind::kTransaction:
    case TargetKind::kName:
      return text;
  }
  return "";
}

std::vector<std::pair<std::string, std::string>> RecoveryTarget::settings() const {
  const auto when = [this](TargetKind wanted) {
    return kind == wanted ? display() : std::string();
  };
  std::vector<std::pair<std::string, std::string>> all{
      {"recovery_target", kind == TargetKind::kImmediate ? "immediate" : ""},
      {"recovery_target_time", when(TargetKind::kTime)},
      {"recovery_target_lsn", when(TargetKind::kLsn)},
      {"recovery_target_xid", when(TargetKind::kTransaction)},
      {"recovery_target_name", when(TargetKind::kName)}};
  // Once one is set the server takes no other, not even an empty one: that comes last.
  std::stable_partition(all.begin(), all.end(),
                        [](const auto& entry) { return entry.second.empty(); });
  all.emplace_back("recovery_target_inclusive", inclusive ? "on" : "off");
  all.emplace_back("recovery_target_timeline", own_timeline ? "current"
                                               : timeline   ? std::to_string(timeline->value)
                                                            : "latest");
  return all;
}

WallTime parse_target_time(std::string_view text) {
  const std::string copy(text);
  std::tm parts{};
  parts.tm_isdst = -1;
  const char* rest = nullptr;
  for (const char* format : {"%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y%m%d-%H%M%S"}) {
    parts = {};
    parts.tm_isdst = -1;
    rest = strptime(copy.c_str(), format, &parts);
    if (rest != nullptr) {
      break;
    }
  }
  if (rest == nullptr) {
    not_a_time(text);
  }
  std::chrono::nanoseconds fraction{0};
  if (*rest == '.') {
    int64_t unit = 100'000'000;
    for (++rest; *rest >= '0' && *rest <= '9'; ++rest, unit /= 10) {
      fraction += std::chrono::nanoseconds((*rest - '0') * unit);
    }
  }
  std::string_view zone(rest);
  zone.remove_prefix(std::min(zone.find_first_not_of(' '), zone.size()));
  if (zone.empty()) {
    return WallTime(std::chrono::seconds(std::mktime(&parts)) + fraction);
  }
  const auto offset =
      zone == "Z" || zone == "UTC" || zone == "GMT" ? std::optional(0) : parse_offset(zone);
  if (!offset) {
    not_a_time(text);
  }
  return WallTime(std::chrono::seconds(timegm(&parts) - *offset) + fraction);
}

std::vector<std::pair<std::string, std::string>> RecoveryPlan::settings(
    const RecoveryTarget& target) const {
  std::vector<std::pair<std::string, std::string>> all = target.settings();
  for (auto& [name, value] : all) {
    if (name == "recovery_target_timeline") {
      value = has_history ? std::to_string(line.value) : "current";
    }
  }
  return all;
}

std::optional<std::string> ended_early(const RecoveryPlan& plan,
                                       std::optional<postgres::Lsn> last_record,
                                       const postgres::TimelineHistory& promoted) {
  if (promoted.ancestors().empty()) {
    return "the cluster's new timeline has no history";
  }
  const postgres::TimelineSwitch& left = promoted.ancestors().back();
  if (left.timeline == plan.line && (!last_record || left.end > *last_record)) {
    return std::nullopt;
  }
  return fmt::format("it got to {} on timeline {}, the WAL goes on to {} on timeline {}",
                     left.end.text(), left.timeline.value,
                     plan.reach.tail_end.value_or(plan.reach.end).text(), plan.line.value);
}

RecoveryPlan plan_recovery(const std::vector<PhysicalBackup>& backups,
                           const std::vector<WalTimeline>& timelines,
                           postgres::SegmentSize segment_size, const RecoveryTarget& target,
                           const std::optional<SnapshotId>& named) {
  const PhysicalBackup* wanted = nullptr;
  std::optional<Candidate> best;  // the newest that can
  std::string reason;             // of the newest that cannot
  for (const PhysicalBackup& backup : backups) {
    Candidate candidate = examine(backup, timelines, segment_size, target);
    if (named && backup.snapshot.id == *named) {
      wanted = &backup;
      if (!candidate.obstacle) {
        return candidate.plan;
      }
      reason = *candidate.obstacle;
    }
    if (!candidate.obstacle && !backup.facts.damaged) {
      // What a lost primary backed up behind the place where its standby was promoted is of a
      // history that ended there: an older backup leads to what was committed since.
      if (!best || target.own_timeline || candidate.plan.line >= best->plan.line) {
        best = std::move(candidate);
      }
    } else if (!named) {
      reason =
          candidate.obstacle.value_or("it holds damaged pages (name it to use it nevertheless)");
    }
  }
  if (named && wanted == nullptr) {
    throw Error(ErrorCode::kUsage,
                "snapshot " + named->short_hex() + " is no physical backup of PostgreSQL",
                "`salvor snapshots --tag postgresql` lists them.");
  }
  if (!named && best) {
    return best->plan;
  }
  if (backups.empty()) {
    throw Error(ErrorCode::kNotFound, "there is no physical backup of PostgreSQL in the repository",
                "`salvor postgres backup` makes one.");
  }
  const PhysicalBackup& refused = wanted != nullptr ? *wanted : backups.back();
  throw Error(ErrorCode::kFailed,
              target.display() + " cannot be reached from backup " +
                  refused.snapshot.id.short_hex() + ": " + reason,
              best ? "Backup " + describe(best->plan.backup) +
                         " can: leave the snapshot out, or name that one."
                   : "No other backup can, either. The oldest is " + describe(backups.front()) +
                         ". `salvor wal "
                         "verify` shows how far the WAL reaches.");
}

}  // namespace salvor
