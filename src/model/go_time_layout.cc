#include "model/go_time_layout.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdlib>
#include <ctime>

namespace salvor {

namespace {

constexpr std::array<std::string_view, 12> kMonths = {
    "January", "February", "March",     "April",   "May",      "June",
    "July",    "August",   "September", "October", "November", "December"};
constexpr std::array<std::string_view, 7> kDays = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                                   "Thursday", "Friday", "Saturday"};
constexpr size_t kShortName = 3;

struct Parts {
  std::tm calendar{};
  uint32_t nanoseconds = 0;
  int32_t offset = 0;
  std::string zone;
};

std::string padded(long value, int width, char fill) {
  std::string digits = std::to_string(value);
  while (digits.size() < static_cast<size_t>(width)) {
    digits.insert(digits.begin(), fill);
  }
  return digits;
}

std::string zero_padded(long value, int width) {
  return padded(value, width, '0');
}

std::string offset_text(const Parts& parts, std::string_view separator, bool minutes, bool seconds,
                        bool z_for_zero) {
  if (z_for_zero && parts.offset == 0) {
    return "Z";
  }
  const long total = std::labs(parts.offset);
  std::string text = parts.offset < 0 ? "-" : "+";
  text += zero_padded(total / 3600, 2);
  if (minutes) {
    text += std::string(separator) + zero_padded(total / 60 % 60, 2);
  }
  if (seconds) {
    text += std::string(separator) + zero_padded(total % 60, 2);
  }
  return text;
}

std::string zone_name(const Timestamp& time) {
  const auto seconds = static_cast<std::time_t>(time.seconds);
  std::tm local{};
  ::localtime_r(&seconds, &local);
  return local.tm_gmtoff == time.utc_offset_seconds && local.tm_zone != nullptr ? local.tm_zone
                                                                                : "";
}

long hour12(const Parts& parts) {
  const int hour = parts.calendar.tm_hour % 12;
  return hour == 0 ? 12 : hour;
}

struct Element {
  std::string_view text;
  std::string (*write)(const Parts&);
};

// A longer element stands before one that it begins with.
constexpr auto kElements = std::to_array<Element>({
    {"January", [](const Parts& p) { return std::string(kMonths[p.calendar.tm_mon]); }},
    {"Jan",
     [](const Parts& p) { return std::string(kMonths[p.calendar.tm_mon].substr(0, kShortName)); }},
    {"Monday", [](const Parts& p) { return std::string(kDays[p.calendar.tm_wday]); }},
    {"Mon",
     [](const Parts& p) { return std::string(kDays[p.calendar.tm_wday].substr(0, kShortName)); }},
    {"MST",
     [](const Parts& p) {
       return p.zone.empty() ? offset_text(p, "", true, false, false) : p.zone;
     }},
    {"2006", [](const Parts& p) { return zero_padded(p.calendar.tm_year + 1900L, 4); }},
    {"_2006", [](const Parts& p) { return "_" + zero_padded(p.calendar.tm_year + 1900L, 4); }},
    {"__2", [](const Parts& p) { return padded(p.calendar.tm_yday + 1L, 3, ' '); }},
    {"_2", [](const Parts& p) { return padded(p.calendar.tm_mday, 2, ' '); }},
    {"002", [](const Parts& p) { return zero_padded(p.calendar.tm_yday + 1L, 3); }},
    {"01", [](const Parts& p) { return zero_padded(p.calendar.tm_mon + 1L, 2); }},
    {"02", [](const Parts& p) { return zero_padded(p.calendar.tm_mday, 2); }},
    {"03", [](const Parts& p) { return zero_padded(hour12(p), 2); }},
    {"04", [](const Parts& p) { return zero_padded(p.calendar.tm_min, 2); }},
    {"05", [](const Parts& p) { return zero_padded(p.calendar.tm_sec, 2); }},
    {"06", [](const Parts& p) { return zero_padded(p.calendar.tm_year % 100, 2); }},
    {"15", [](const Parts& p) { return zero_padded(p.calendar.tm_hour, 2); }},
    {"1", [](const Parts& p) { return std::to_string(p.calendar.tm_mon + 1); }},
    {"2", [](const Parts& p) { return std::to_string(p.calendar.tm_mday); }},
    {"3", [](const Parts& p) { return std::to_string(hour12(p)); }},
    {"4", [](const Parts& p) { return std::to_string(p.calendar.tm_min); }},
    {"5", [](const Parts& p) { return std::to_string(p.calendar.tm_sec); }},
    {"PM", [](const Parts& p) { return std::string(p.calendar.tm_hour >= 12 ? "PM" : "AM"); }},
    {"pm", [](const Parts& p) { return std::string(p.calendar.tm_hour >= 12 ? "pm" : "am"); }},
    {"-07:00:00", [](const Parts& p) { return offset_text(p, ":", true, true, false); }},
    {"-070000", [](const Parts& p) { return offset_text(p, "", true, true, false); }},
    {"-07:00", [](const Parts& p) { return offset_text(p, ":", true, false, false); }},
    {"-0700", [](const Parts& p) { return offset_text(p, "", true, false, false); }},
    {"-07", [](const Parts& p) { return offset_text(p, "", false, false, false); }},
    {"Z07:00:00", [](const Parts& p) { return offset_text(p, ":", true, true, true); }},
    {"Z070000", [](const Parts& p) { return offset_text(p, "", true, true, true); }},
    {"Z07:00", [](const Parts& p) { return offset_text(p, ":", true, false, true); }},
    {"Z0700", [](const Parts& p) { return offset_text(p, "", true, false, true); }},
    {"Z07", [](const Parts& p) { return offset_text(p, "", false, false, true); }},
});

// ".000" and ",999": as many digits of the second's fraction; nines drop zeros at the end. Returns
// the length of the element, 0 when there is none.
size_t write_fraction(std::string_view rest, const Parts& parts, std::string& out) {
  if (rest.size() < 2 || (rest[0] != '.' && rest[0] != ',') || (rest[1] != '0' && rest[1] != '9')) {
    return 0;
  }
  const size_t end = std::min(rest.find_first_not_of(rest[1], 1), rest.size());
  if (end < rest.size() && std::isdigit(static_cast<unsigned char>(rest[end])) != 0) {
    return 0;
  }
  std::string digits = zero_padded(parts.nanoseconds, 9);
  digits.resize(
      std::min(end - 1, digits.size()));  // Go has nine digits, however many are asked for
  if (rest[1] == '9') {
    digits.erase(digits.find_last_not_of('0') + 1);
  }
  if (!digits.empty()) {
    out += rest[0] + digits;
  }
  return end;
}

// "Janet" and "Monde" are words, not elements.
bool is_element_here(const Element& element, std::string_view rest) {
  if (!rest.starts_with(element.text)) {
    return false;
  }
  const bool short_name = element.text == "Jan" || element.text == "Mon";
  return !short_name || rest.size() == kShortName ||
         std::islower(static_cast<unsigned char>(rest[kShortName])) == 0;
}

}  // namespace

std::string format_go_layout(const Timestamp& time, std::string_view layout) {
  Parts parts;
  const auto shifted = static_cast<std::time_t>(time.seconds + time.utc_offset_seconds);
  ::gmtime_r(&shifted, &parts.calendar);
  parts.nanoseconds = time.nanoseconds;
  parts.offset = time.utc_offset_seconds;
  parts.zone = zone_name(time);

  std::string out;
  while (!layout.empty()) {
    size_t length = write_fraction(layout, parts, out);
    for (const Element& element : kElements) {
      if (length == 0 && is_element_here(element, layout)) {
        out += element.write(parts);
        length = element.text.size();
      }
    }
    if (length == 0) {
      out += layout.front();
      length = 1;
    }
    layout.remove_prefix(length);
  }
  return out;
}

}  // namespace salvor
