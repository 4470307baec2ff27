#include "connector/postgres/backup_facts.h"

#include <algorithm>
#include <charconv>
#include <ctime>

#include <fmt/format.h>

namespace salvor::postgres {
namespace {

template <class Number>
std::optional<Number> number(std::string_view text) {
  Number value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return !text.empty() && error == std::errc() && end == text.data() + text.size()
             ? std::optional(value)
             : std::nullopt;
}

std::optional<std::string_view> value_of(const std::vector<std::string>& tags,
                                         std::string_view name) {
  for (const std::string& tag : tags) {
    if (tag.starts_with(name)) {
      return std::string_view(tag).substr(name.size());
    }
  }
  return std::nullopt;
}

}  // namespace

std::string format_utc(WallTime time) {
  const auto micros = std::chrono::floor<std::chrono::microseconds>(time).time_since_epoch();
  const auto seconds = std::chrono::floor<std::chrono::seconds>(micros);
  const std::time_t whole = seconds.count();
  std::tm parts{};
  gmtime_r(&whole, &parts);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z", parts.tm_year + 1900,
                     parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec,
                     (micros - seconds).count());
}

std::optional<WallTime> parse_utc(std::string_view text) {
  std::tm parts{};
  const std::string copy(text);
  const char* rest = strptime(copy.c_str(), "%Y-%m-%dT%H:%M:%S", &parts);
  if (rest == nullptr) {
    return std::nullopt;
  }
  int64_t nanoseconds = 0;
  if (*rest == '.') {
    int64_t unit = 100'000'000;
    for (++rest; *rest >= '0' && *rest <= '9' && unit > 0; ++rest, unit /= 10) {
      nanoseconds += (*rest - '0') * unit;
    }
  }
  if (std::string_view(rest) != "Z") {
    return std::nullopt;
  }
  return WallTime(std::chrono::seconds(timegm(&parts)) + std::chrono::nanoseconds(nanoseconds));
}

std::vector<std::string> to_tags(const BackupFacts& facts) {
  std::vector<std::string> tags{
      std::string(kBackupTag),
      "pg:system=" + std::to_string(facts.system_identifier),
      "pg:version=" + facts.version,
      "pg:timeline=" + std::to_string(facts.timeline.value),
      "pg:start=" + facts.start.text(),
      "pg:stop=" + facts.stop.text(),
      "pg:stop-time=" + format_utc(facts.stop_time),
  };
  if (facts.damaged) {
    tags.emplace_back(kDamagedTag);
  }
  if (!facts.since.empty()) {
    tags.push_back("pg:since=" + facts.since);
  }
  if (facts.read_since) {
    tags.push_back("pg:read-since=" + format_utc(*facts.read_since));
  }
  if (facts.turn > 0) {
    tags.push_back("pg:turn=" + std::to_string(facts.turn));
  }
  return tags;
}

std::optional<BackupFacts> from_tags(const std::vector<std::string>& tags) {
  if (std::find(tags.begin(), tags.end(), kBackupTag) == tags.end()) {
    return std::nullopt;
  }
  const auto system = number<uint64_t>(value_of(tags, "pg:system=").value_or(""));
  const auto timeline = number<uint32_t>(value_of(tags, "pg:timeline=").value_or(""));
  const auto start = Lsn::parse(value_of(tags, "pg:start=").value_or(""));
  const auto stop = Lsn::parse(value_of(tags, "pg:stop=").value_or(""));
  const auto time = parse_utc(value_of(tags, "pg:stop-time=").value_or(""));
  if (!system || !timeline || !start || !stop || !time) {
    return std::nullopt;
  }
  return BackupFacts{
      .system_identifier = *system,
      .version = std::string(value_of(tags, "pg:version=").value_or("")),
      .timeline = {*timeline},
      .start = *start,
      .stop = *stop,
      .stop_time = *time,
      .damaged = std::find(tags.begin(), tags.end(), kDamagedTag) != tags.end(),
      .since = std::string(value_of(tags, "pg:since=").value_or("")),
      .read_since = parse_utc(value_of(tags, "pg:read-since=").value_or("")),
      .turn = number<uint64_t>(value_of(tags, "pg:turn=").value_or("")).value_or(0),
  };
}

std::string snapshot_path(uint64_t system_identifier) {
  return "/postgresql/" + std::to_string(system_identifier);
}

}  // namespace salvor::postgres
