#include "plan/run_journal.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>

#include <fcntl.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "base/error.h"
#include "crypto/crc32c.h"

namespace salvor::plan {
namespace {

using Json = nlohmann::ordered_json;
constexpr uint64_t kLimitBytes = uint64_t{64} << 20;
constexpr size_t kSumBytes = 18;  // ,"sum":"01234567"}

uint32_t chained_sum(uint32_t previous, std::string_view body) {
  Crc32c crc;
  crc.update(as_bytes(fmt::format("{:08x}", previous)));
  crc.update(as_bytes(body));
  return crc.value();
}

// Invalid UTF-8 (a command's output) becomes U+FFFD when it is dumped.
Json map_json(const TextMap& map) {
  Json json = Json::object();
  for (const auto& [key, value] : map) {
    json[key] = value;
  }
  return json;
}

TextMap json_map(const Json& json) {
  TextMap map;
  for (const auto& [key, value] : json.items()) {
    map.emplace_back(key, value.get<std::string>());
  }
  return map;
}

Json checks_json(const std::vector<CheckResult>& checks) {
  Json list = Json::array();
  for (const CheckResult& check : checks) {
    list.push_back({{"name", check.name},
                    {"passed", check.passed},
                    {"value", check.value},
                    {"expected", check.expected},
                    {"seconds", check.seconds}});
  }
  return list;
}

std::vector<CheckResult> json_checks(const Json& json) {
  std::vector<CheckResult> checks;
  for (const Json& one : json) {
    checks.push_back({.name = one.at("name"),
                      .passed = one.at("passed"),
                      .value = one.at("value"),
                      .expected = one.at("expected"),
                      .seconds = one.at("seconds")});
  }
  return checks;
}

// Without the closing brace and the sum.
std::string encode(const JournalEntry& entry) {
  Json json;
  json["n"] = entry.number;
  json["time"] = time_text(entry.time);
  json["type"] = entry.type;
  if (!entry.step.empty()) {
    json["step"] = entry.step;
  }
  if (!entry.values.empty()) {
    json["values"] = map_json(entry.values);
  }
  if (!entry.outputs.empty()) {
    json["outputs"] = map_json(entry.outputs);
  }
  if (!entry.facts.empty()) {
    json["facts"] = map_json(entry.facts);
  }
  if (!entry.checks.empty()) {
    json["checks"] = checks_json(entry.checks);
  }
  std::string text = json.dump(-1, ' ', false, Json::error_handler_t::replace);
  text.pop_back();
  return text;
}

JournalEntry decode(std::string_view line) {
  const Json json = Json::parse(line);
  JournalEntry entry;
  entry.number = json.at("n");
  entry.time = time_of(json.at("time"));
  entry.type = json.at("type");
  entry.step = json.value("step", "");
  if (json.contains("values")) {
    entry.values = json_map(json["values"]);
  }
  if (json.contains("outputs")) {
    entry.outputs = json_map(json["outputs"]);
  }
  if (json.contains("facts")) {
    entry.facts = json_map(json["facts"]);
  }
  if (json.contains("checks")) {
    entry.checks = json_checks(json["checks"]);
  }
  return entry;
}

// False when the line does not verify.
bool verify_line(std::string_view line, uint32_t previous, uint32_t& sum) {
  if (line.size() <= kSumBytes || !line.ends_with("\"}") ||
      line.substr(line.size() - kSumBytes, 8) != R"(,"sum":")") {
    return false;
  }
  const std::string_view digits = line.substr(line.size() - 10, 8);
  uint32_t stored = 0;
  const auto [end, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), stored, 16);
  sum = chained_sum(previous, line.substr(0, line.size() - kSumBytes));
  return error == std::errc() && end == digits.data() + digits.size() && stored == sum;
}

bool looks_like_entry(std::string_view line) {
  return line.size() > kSumBytes && line.starts_with("{\"n\":") && line.ends_with("\"}") &&
         line.substr(line.size() - kSumBytes, 8) == R"(,"sum":")";
}

// What follows the last good line: one line that was not finished, or what a file system leaves
// where nothing was written yet (zeros, old content of the disk), but no further entries.
bool is_torn_end(std::string_view rest) {
  const size_t end = rest.find('\n');
  if (end == std::string_view::npos || end + 1 == rest.size()) {
    return true;
  }
  while (!rest.empty()) {
    const size_t line = std::min(rest.find('\n'), rest.size());
    if (looks_like_entry(rest.substr(0, line))) {
      return false;
    }
    rest.remove_prefix(std::min(line + 1, rest.size()));
  }
  return true;
}

}  // namespace

std::string JournalEntry::value(std::string_view name) const {
  for (const auto& [key, text] : values) {
    if (key == name) {
      return text;
    }
  }
  return {};
}

std::string time_text(WallTime time) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(time);
  const std::time_t raw = std::chrono::system_clock::to_time_t(seconds);
  std::tm parts{};
  gmtime_r(&raw, &parts);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:09}Z", parts.tm_year + 1900,
                     parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec,
                     (time - seconds).count());
}

WallTime time_of(const std::string& text) {
  std::tm parts{};
  unsigned nanoseconds = 0;
  int read = 0;
  if (std::sscanf(text.c_str(), "%4d-%2d-%2dT%2d:%2d:%2d.%9uZ%n", &parts.tm_year, &parts.tm_mon,
                  &parts.tm_mday, &parts.tm_hour, &parts.tm_min, &parts.tm_sec, &nanoseconds,
                  &read) != 7 ||
      static_cast<size_t>(read) != text.size()) {
    throw Error(ErrorCode::kDamaged, "not a time of a run journal: " + text);
  }
  parts.tm_year -= 1900;
  parts.tm_mon -= 1;
  return WallTime(std::chrono::seconds(timegm(&parts)) + std::chrono::nanoseconds(nanoseconds));
}

JournalContent read_journal(const std::filesystem::path& file) {
  if (!std::filesystem::exists(file)) {
    throw Error(ErrorCode::kNotFound, "there is no run journal " + file.string());
  }
  const Buffer bytes = read_file(file.string(), kLimitBytes);
  return parse_journal(as_text(bytes.view()), file.string());
}

JournalEntry parse_entry(std::string_view line) {
  try {
    return decode(line);
  } catch (const nlohmann::json::exception&) {
    throw Error(ErrorCode::kDamaged, "this is no entry of a run journal");
  }
}

std::vector<std::string> journal_lines(const std::filesystem::path& file) {
  const Buffer bytes = read_file(file.string(), kLimitBytes);
  const std::string_view whole = as_text(bytes.view());
  std::string_view text = whole.substr(0, parse_journal(whole, file.string()).good_bytes);
  std::vector<std::string> lines;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    lines.emplace_back(text.substr(0, end));
    text.remove_prefix(end + 1);
  }
  return lines;
}

JournalContent parse_journal(std::string_view text, const std::string& name) {
  JournalContent content;
  size_t at = 0;
  while (at < text.size()) {
    const size_t end = text.find('\n', at);
    uint32_t sum = 0;
    bool good =
        end != std::string_view::npos && verify_line(text.substr(at, end - at), content.sum, sum);
    if (good) {
      try {
        content.entries.push_back(decode(text.substr(at, end - at)));
        good = content.entries.back().number == content.entries.size();
      } catch (const nlohmann::json::exception&) {
        good = false;
      }
    }
    if (!good) {
      if (is_torn_end(text.substr(at))) {
        content.torn = true;
        return content;
      }
      throw Error(ErrorCode::kDamaged,
                  fmt::format("entry {} of run journal {} does not verify",
                              content.entries.size() + 1, name),
                  "The file was changed or the disk is failing. The run cannot be resumed; look "
                  "at what its last good entry says, and at each step's real state.");
    }
    content.sum = sum;
    content.good_bytes = end + 1;
    at = end + 1;
  }
  return content;
}

void sync_directory(const std::filesystem::path& directory) {
  const UniqueFd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd || ::fsync(fd.get()) != 0) {
    throw Error::from_errno(errno, "cannot sync directory " + directory.string());
  }
}

RunJournal::RunJournal(std::filesystem::path file, const Clock& clock,
                       const JournalContent& content)
    : file_(std::move(file)),
      clock_(clock),
      number_(content.entries.size()),
      sum_(content.sum),
      bytes_(content.good_bytes) {
  constexpr mode_t kOwnerOnly = 0600;
  fd_ = UniqueFd(::open(file_.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, kOwnerOnly));
  if (!fd_) {
    throw Error::from_errno(errno, "cannot open run journal " + file_.string());
  }
  if (::ftruncate(fd_.get(), static_cast<off_t>(content.good_bytes)) != 0 ||
      ::fdatasync(fd_.get()) != 0) {
    throw Error::from_errno(errno, "cannot prepare run journal " + file_.string());
  }
  sync_directory(file_.parent_path());
}

JournalEntry RunJournal::append(JournalEntry entry) {
  const std::scoped_lock lock(mutex_);
  if (broken_) {
    throw Error(ErrorCode::kFailed,
                "run journal " + file_.string() + " cannot be written any more");
  }
  entry.number = number_ + 1;
  entry.time = clock_.now();
  const std::string body = encode(entry);
  const uint32_t sum = chained_sum(sum_, body);
  const std::string line = body + fmt::format(",\"sum\":\"{:08x}\"}}\n", sum);
  if (bytes_ + line.size() > kLimitBytes) {
    throw Error(ErrorCode::kFailed,
                "run journal " + file_.string() + " has reached its limit of 64 MiB",
                "Outputs of steps are kept in it: let them say less, and run the plan again.");
  }
  broken_ = true;  // until it is known to be there
  write_full(fd_.get(), as_bytes(line), "run journal " + file_.string());
  if (::fdatasync(fd_.get()) != 0) {
    throw Error::from_errno(errno, "cannot sync run journal " + file_.string());
  }
  broken_ = false;
  number_ = entry.number;
  sum_ = sum;
  bytes_ += line.size();
  if (on_line_) {
    on_line_(std::string_view(line).substr(0, line.size() - 1));
  }
  if (hook_) {
    hook_(entry);
  }
  return entry;
}

}  // namespace salvor::plan
