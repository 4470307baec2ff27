#include "connector/postgres/backup_label.h"

#include <algorithm>
#include <charconv>

#include "base/error.h"

namespace salvor::postgres {
namespace {

constexpr std::string_view kSeparator = ": ";
constexpr std::string_view kIncrementalLsn = "INCREMENTAL FROM LSN: ";
constexpr std::string_view kIncrementalTimeline = "INCREMENTAL FROM TLI: ";

[[noreturn]] void fail(const std::string& what) {
  throw Error(ErrorCode::kDamaged, what);
}

std::string_view take_line(std::string_view& text) {
  const size_t newline = std::min(text.find('\n'), text.size());
  const std::string_view line = text.substr(0, newline);
  text.remove_prefix(std::min(newline + 1, text.size()));
  return line;
}

Lsn read_lsn(std::string_view text) {
  const auto lsn = Lsn::parse(text);
  if (!lsn) {
    fail("backup_label is damaged: it holds no log position where one should be");
  }
  return *lsn;
}

template <class Number>
std::optional<Number> read_number(std::string_view text) {
  Number number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return !text.empty() && error == std::errc() && end == text.data() + text.size()
             ? std::optional(number)
             : std::nullopt;
}

Timeline read_timeline(std::string_view text) {
  const auto number = read_number<uint32_t>(text);
  if (!number || *number == 0) {
    fail("backup_label is damaged: it holds no timeline where one should be");
  }
  return {*number};
}

// "0/2000028 (file 000000010000000000000002)"
void read_start(std::string_view text, BackupLabel& label) {
  constexpr std::string_view kFile = " (file ";
  const size_t file = text.find(kFile);
  if (file == std::string_view::npos || !text.ends_with(')')) {
    fail("backup_label is damaged: its first line names no file");
  }
  label.start = read_lsn(text.substr(0, file));
  const size_t name = file + kFile.size();
  label.start_segment = std::string(text.substr(name, text.size() - name - 1));
}

}  // namespace

BackupLabel parse_backup_label(std::string_view text) {
  BackupLabel label;
  bool start = false;
  bool checkpoint = false;
  while (!text.empty()) {
    const std::string_view line = take_line(text);
    const size_t colon = std::min(line.find(kSeparator), line.size());
    const std::string_view key = line.substr(0, colon);
    const std::string_view value = line.substr(std::min(colon + kSeparator.size(), line.size()));
    if (key == "START WAL LOCATION") {
      read_start(value, label);
      start = true;
    } else if (key == "CHECKPOINT LOCATION") {
      label.checkpoint = read_lsn(value);
      checkpoint = true;
    } else if (key == "BACKUP METHOD") {
      label.method = std::string(value);
    } else if (key == "BACKUP FROM") {
      label.from_standby = value == "standby";
    } else if (key == "START TIME") {
      label.start_time = std::string(value);
    } else if (key == "LABEL") {
      label.label = std::string(value);
    } else if (key == "START TIMELINE") {
      label.timeline = read_timeline(value);
    } else if (key == "INCREMENTAL FROM LSN") {
      label.incremental_from = read_lsn(value);
    } else if (key == "INCREMENTAL FROM TLI") {
      label.incremental_timeline = read_timeline(value);
    }
  }
  if (!start || !checkpoint) {
    fail("backup_label is damaged: it does not say where the backup starts");
  }
  return label;
}

std::string without_incremental_lines(std::string_view text) {
  std::string result;
  while (!text.empty()) {
    const size_t length = std::min(text.find('\n'), text.size() - 1) + 1;
    const std::string_view line = text.substr(0, length);
    if (!line.starts_with(kIncrementalLsn) && !line.starts_with(kIncrementalTimeline)) {
      result += line;
    }
    text.remove_prefix(length);
  }
  return result;
}

std::vector<TablespaceLocation> parse_tablespace_map(std::string_view text) {
  std::vector<TablespaceLocation> map;
  std::string line;
  bool escaped = false;
  const auto finish_line = [&] {
    const size_t blank = line.find(' ');
    const auto oid = read_number<uint32_t>(std::string_view(line).substr(0, blank));
    if (blank == std::string::npos || !oid || *oid == 0 || line[blank + 1] != '/') {
      fail("tablespace_map is damaged: a line is not \"number path\"");
    }
    map.push_back({*oid, line.substr(blank + 1)});
    line.clear();
  };
  for (const char c : text) {
    if (c == '\0') {
      fail("tablespace_map is damaged: it holds a zero byte");
    }
    if (!escaped && c == '\\') {
      escaped = true;
      continue;
    }
    if (!escaped && (c == '\n' || c == '\r')) {
      if (!line.empty()) {
        finish_line();
      }
      continue;
    }
    line += c;
    escaped = false;
  }
  if (escaped || !line.empty()) {
    fail("tablespace_map is damaged: its last line is not finished");
  }
  return map;
}

std::string format_tablespace_map(const std::vector<TablespaceLocation>& map) {
  std::string text;
  for (const TablespaceLocation& entry : map) {
    text += std::to_string(entry.oid) + ' ';
    for (const char c : entry.path) {
      if (c == '\n' || c == '\r' || c == '\\') {
        text += '\\';
      }
      text += c;
    }
    text += '\n';
  }
  return text;
}

}  // namespace salvor::postgres
