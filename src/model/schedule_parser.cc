#include "model/schedule_parser.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <optional>
#include <span>

#include "base/error.h"
#include "base/suggest.h"

namespace salvor {
namespace {

using Words = std::vector<std::string>;

constexpr std::array<std::string_view, 7> kWeekdays{"sunday",   "monday", "tuesday", "wednesday",
                                                    "thursday", "friday", "saturday"};
constexpr std::array<std::string_view, 12> kMonths{"january",   "february", "march",    "april",
                                                   "may",       "june",     "july",     "august",
                                                   "september", "october",  "november", "december"};
constexpr std::array<std::string_view, 6> kOrdinals{"first",  "second", "third",
                                                    "fourth", "fifth",  "last"};
constexpr std::string_view kForms =
    "Examples: every 15 min; hourly at :20; daily 02:00 Europe/Berlin; Mon-Fri 22:30; first Monday "
    "03:00; monthly on 15, last 02:00; quarterly first Monday 06:00; yearly Jan 1 03:00; or five "
    "fields of cron: 0 2 * * 1-5.";

std::string lower(std::string_view text) {
  std::string result(text);
  std::ranges::transform(result, result.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return result;
}

std::vector<std::string_view> split(std::string_view text, char at) {
  std::vector<std::string_view> parts;
  for (size_t end = 0; end != std::string_view::npos;) {
    end = text.find(at);
    parts.push_back(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return parts;
}

// Words apart by blanks; a comma joins ("Jan, Jul" is one word).
Words words_of(std::string_view text) {
  Words words;
  bool joined = false;
  for (const std::string_view part : split(text, ' ')) {
    if (part.empty()) {
      continue;
    }
    if (!words.empty() && (joined || part.front() == ',')) {
      words.back() += part;
    } else {
      words.emplace_back(part);
    }
    joined = part.back() == ',';
  }
  return words;
}

std::optional<unsigned> number(std::string_view text) {
  unsigned value = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  return failure == std::errc() && end == text.data() + text.size() ? std::optional(value)
                                                                    : std::nullopt;
}

// The place of a name among `names`: whole, or its first three letters or more.
std::optional<unsigned> place_of(std::string_view word, std::span<const std::string_view> names) {
  for (unsigned i = 0; i < names.size(); ++i) {
    if (word.size() >= 3 && names[i].starts_with(word)) {
      return i;
    }
  }
  return std::nullopt;
}

// "mon", "mon,thu", "mon-fri", "fri-mon", "mon..fri": a bit each; nothing when a part is no such
// name.
std::optional<uint32_t> name_set(std::string_view word, std::span<const std::string_view> names) {
  uint32_t set = 0;
  for (const std::string_view item : split(word, ',')) {
    const size_t dots = item.find("..");
    const size_t dash = dots == std::string_view::npos ? item.find('-') : dots;
    const auto from = place_of(item.substr(0, dash), names);
    const auto to = dash == std::string_view::npos
                        ? from
                        : place_of(item.substr(dash + (dots == dash ? 2 : 1)), names);
    if (!from || !to) {
      return std::nullopt;
    }
    for (unsigned i = *from;; i = (i + 1) % static_cast<unsigned>(names.size())) {
      set |= 1U << i;
      if (i == *to) {
        break;
      }
    }
  }
  return set;
}

class PhraseParser {
 public:
  PhraseParser(std::string_view text, Words words) : text_(text), words_(std::move(words)) {}

  ParsedSchedule run();

 private:
  [[noreturn]] void fail(const std::string& why, const std::string& hint = {}) const {
    throw Error(ErrorCode::kUsage,
                "cannot understand the schedule \"" + std::string(text_) + "\": " + why,
                (hint.empty() ? "" : hint + " ") + std::string(kForms));
  }
  [[noreturn]] void unknown(const std::string& word) const;
  [[nodiscard]] bool more() const { return next_ < words_.size(); }
  [[nodiscard]] std::string take() { return lower(words_[next_++]); }

  ParsedSchedule every();
  void hourly();
  void word(const std::string& word);
  bool times(std::string_view word);
  bool month_days(std::string_view word);
  bool ordinals(std::string_view word);
  void once(bool already, const std::string& what, const std::string& joined) const;
  void settle_days();

  const std::string_view text_;
  Words words_;
  size_t next_ = 0;
  CalendarRule rule_;
  bool has_time_ = false;
  bool has_weekday_ = false;
  bool has_month_day_ = false;
  bool has_month_ = false;
  std::string often_;  // "daily", "hourly", "weekly"; empty: none of them was said
  bool monthly_ = false;
  bool yearly_ = false;
};

void PhraseParser::unknown(const std::string& word) const {
  static const std::vector<std::string> kKnown{
      "every",    "hourly",    "daily",   "weekdays", "weekends",  "monthly",  "quarterly",
      "yearly",   "sunday",    "monday",  "tuesday",  "wednesday", "thursday", "friday",
      "saturday", "first",     "second",  "third",    "fourth",    "fifth",    "last",
      "january",  "february",  "march",   "april",    "may",       "june",     "july",
      "august",   "september", "october", "november", "december"};
  const std::vector<std::string> near = suggestions(word, kKnown);
  fail("unknown word \"" + word + "\"", near.empty() ? "" : "Did you mean " + near[0] + "?");
}

// "15 min", "6 h", "2 days", "90 s"; "day", "hour", "monday" without a number are other words for
// daily, hourly, and that day.
ParsedSchedule PhraseParser::every() {
  if (!more()) {
    fail("every what?");
  }
  std::string amount = take();
  const size_t digits = std::min(amount.find_first_not_of("0123456789"), amount.size());
  std::string unit = amount.substr(digits);
  amount.resize(digits);
  if (unit.empty()) {
    unit = more() ? take() : "";
  }
  const auto count = amount.empty() ? std::optional(1U) : number(amount);
  std::chrono::seconds one{0};
  if (unit == "s" || unit.starts_with("sec")) {
    one = std::chrono::seconds(1);
  } else if (unit == "m" || unit.starts_with("min")) {
    one = std::chrono::minutes(1);
  } else if (unit == "h" || unit.starts_with("hour") || unit == "hr") {
    one = std::chrono::hours(1);
  } else if (unit == "d" || unit.starts_with("day")) {
    one = std::chrono::hours(24);
  } else {
    fail("\"" + unit + "\" is no unit of time", "Say s, min, h or days.");
  }
  if (!count || *count == 0 || *count > 10'000'000 || more()) {
    fail(more() ? "what is \"" + words_[next_] + "\" for?" : "how often?");
  }
  if (one * *count > std::chrono::hours(24 * 366)) {
    fail("that is less than once a year");
  }
  return {IntervalRule{one * *count}, ""};
}

void PhraseParser::hourly() {
  rule_.hours = 0xffffff;
  rule_.minutes = 1;
  has_time_ = true;
  if (more() && lower(words_[next_]) == "at") {
    ++next_;
  }
  if (more() && words_[next_].front() == ':') {
    const std::string word = take();
    const auto minute = number(std::string_view(word).substr(1));
    if (!minute || *minute > 59 || word.size() != 3) {
      fail("\"" + word + "\" is no minute", "Write hourly at :20.");
    }
    rule_.minutes = uint64_t{1} << *minute;
  }
  if (more() && std::isdigit(static_cast<unsigned char>(words_[next_].front())) != 0) {
    fail("\"" + words_[next_] + "\" is no minute", "Write hourly at :20.");
  }
}

// "02:00" or "02:00,14:00"
bool PhraseParser::times(std::string_view word) {
  if (word.find(':') == std::string_view::npos) {
    return false;
  }
  for (const std::string_view item : split(word, ',')) {
    const size_t colon = item.find(':');
    const auto hour = number(item.substr(0, colon));
    const auto minute =
        colon == std::string_view::npos ? std::nullopt : number(item.substr(colon + 1));
    if (!hour || !minute || *hour > 23 || *minute > 59 || item.size() - colon != 3) {
      fail("\"" + std::string(item) + "\" is no time of day", "Write it as 02:00 or 14:30.");
    }
    rule_.times.push_back(std::chrono::hours(*hour) + std::chrono::minutes(*minute));
  }
  std::ranges::sort(rule_.times);
  const auto repeated = std::ranges::unique(rule_.times);
  rule_.times.erase(repeated.begin(), repeated.end());
  has_time_ = true;
  return true;
}

// "1", "1st,15th", "15,last"
bool PhraseParser::month_days(std::string_view word) {
  uint32_t set = 0;
  for (std::string_view item : split(word, ',')) {
    if (item == "last") {
      set |= uint32_t{1} << 31;
      continue;
    }
    for (const std::string_view ending : {"st", "nd", "rd", "th"}) {
      if (item.ends_with(ending)) {
        item.remove_suffix(2);
        break;
      }
    }
    const auto day = number(item);
    if (!day || *day < 1 || *day > 31) {
      return false;
    }
    set |= uint32_t{1} << (*day - 1);
  }
  once(has_month_day_, "days of the month", "15,last 02:00");
  rule_.month_days = set;
  has_month_day_ = true;
  return true;
}

bool PhraseParser::ordinals(std::string_view word) {
  const auto set = name_set(word, kOrdinals);
  if (!set || !more()) {
    return false;
  }
  const std::string next = lower(words_[next_]);
  if (next == "day" && *set == 1U << 5) {
    once(has_month_day_, "days of the month", "15,last 02:00");
    ++next_;
    rule_.month_days = uint32_t{1} << 31;
    has_month_day_ = true;
    return true;
  }
  const auto days = name_set(next, kWeekdays);
  if (!days) {
    return false;
  }
  once(has_weekday_, "weekdays", "first,third Monday 03:00");
  ++next_;
  rule_.ordinals = static_cast<uint8_t>(*set);
  rule_.weekdays = static_cast<uint8_t>(*days);
  has_weekday_ = true;
  return true;
}

// The second of two would silently take the place of the first.
void PhraseParser::once(bool already, const std::string& what, const std::string& joined) const {
  if (already) {
    fail("it names " + what + " twice", "Join them with a comma: " + joined + ".");
  }
}

void PhraseParser::word(const std::string& word) {
  if (word == "at" || word == "on" || word == "of" || word == "the") {
    return;
  }
  if (word == "daily" || word == "weekly") {
    often_ = word;
  } else if (word == "hourly") {
    often_ = word;
    hourly();
  } else if (word == "weekdays" || word == "weekends") {
    once(has_weekday_, "weekdays", "Mon,Thu 04:00");
    rule_.weekdays = word == "weekdays" ? 0b0111110 : 0b1000001;
    has_weekday_ = true;
  } else if (word == "monthly" || word == "quarterly") {
    monthly_ = true;
    if (word == "quarterly") {
      rule_.months = 0b001001001001;
      has_month_ = true;
    }
  } else if (word == "yearly" || word == "annually") {
    yearly_ = true;
  } else if (const auto days = name_set(word, kWeekdays)) {
    once(has_weekday_, "weekdays", "Mon,Thu 04:00");
    rule_.weekdays = static_cast<uint8_t>(*days);
    has_weekday_ = true;
  } else if (const auto months = name_set(word, kMonths)) {
    once(has_month_, "months", "Jan,Jul 1 03:00");
    rule_.months = static_cast<uint16_t>(*months);
    has_month_ = true;
  } else if (!ordinals(word) && !times(word) && !month_days(word)) {
    unknown(word);
  }
}

void PhraseParser::settle_days() {
  if (has_weekday_ && has_month_day_) {
    fail("it names both a weekday and a day of the month",
         "For \"the 1st if it is a Monday\" there is no form; for either, use cron.");
  }
  // "daily 2" means a time of the day, not the 2nd of each month.
  if (!often_.empty() && (has_month_day_ || has_month_ || monthly_ || yearly_)) {
    fail("it is " + often_ + ", and names a day of the month or a month, too",
         "A time of the day is written as 02:00.");
  }
  if (often_ == "daily" && has_weekday_) {
    fail("it is daily, and names weekdays, too", "Leave one of the two out: Sun 04:00.");
  }
  if (often_ == "hourly" && !rule_.times.empty()) {
    fail("it is hourly, and names a time of the day, too", "Leave one of the two out.");
  }
  if (often_ == "weekly" && !has_weekday_) {
    rule_.weekdays = 1;
  }
  if (yearly_ && !has_month_) {
    rule_.months = 1;
  }
  if ((monthly_ || yearly_ || has_month_) && !has_weekday_ && !has_month_day_) {
    rule_.month_days = 1;
  }
  if ((monthly_ || yearly_) && has_weekday_ && rule_.ordinals == 0) {
    fail("which of the month's weekdays?", "Write, for example, first Monday.");
  }
}

ParsedSchedule PhraseParser::run() {
  std::string zone;
  if (words_.size() > 1 && (words_.back().find('/') != std::string::npos ||
                            words_.back() == "UTC" || words_.back() == "Z")) {
    zone = words_.back();
    words_.pop_back();
  }
  if (words_.empty()) {
    fail("it is empty");
  }
  ParsedSchedule parsed;
  if (lower(words_[0]) == "every" && words_.size() > 1 && !name_set(lower(words_[1]), kWeekdays) &&
      lower(words_[1]) != "day") {
    ++next_;
    parsed = every();
  } else {
    if (lower(words_[0]) == "every") {
      ++next_;
      if (!more()) {
        fail("every what?");
      }
      if (lower(words_[next_]) == "day") {
        often_ = "daily";
        ++next_;
      }
    }
    while (more()) {
      word(take());
    }
    settle_days();
    parsed.rule = rule_;
  }
  parsed.zone = zone;
  return parsed;
}

// ---- cron ----

struct CronField {
  std::string_view what;
  unsigned first;
  unsigned last;
  std::span<const std::string_view> names;  // of `first`, first + 1 ...
};

constexpr std::array<CronField, 5> kCronFields{{{"minute", 0, 59, {}},
                                                {"hour", 0, 23, {}},
                                                {"day of the month", 1, 31, {}},
                                                {"month", 1, 12, kMonths},
                                                {"weekday", 0, 7, kWeekdays}}};

[[noreturn]] void cron_fail(std::string_view text, const CronField& field, std::string_view item) {
  throw Error(ErrorCode::kUsage,
              "cannot understand the schedule \"" + std::string(text) + "\": \"" +
                  std::string(item) + "\" is no " + std::string(field.what),
              "It is a number from " + std::to_string(field.first) + " to " +
                  std::to_string(field.last) +
                  ", *, a range a-b, a list a,b, or any of these with "
                  "a step /n.");
}

std::optional<unsigned> cron_value(std::string_view item, const CronField& field) {
  const std::string word = lower(item);
  auto value = number(word);
  if (!value && !field.names.empty() && word.size() == 3) {
    value = place_of(word, field.names);
    if (value) {
      *value += field.first;
    }
  }
  return value && *value >= field.first && *value <= field.last ? value : std::nullopt;
}

// A bit for each value, counted from 0 (not from the field's first).
uint64_t cron_set(std::string_view text, std::string_view word, const CronField& field) {
  uint64_t set = 0;
  for (const std::string_view item : split(word, ',')) {
    const size_t slash = item.find('/');
    const std::string_view range = item.substr(0, slash);
    const auto step =
        slash == std::string_view::npos ? std::optional(1U) : number(item.substr(slash + 1));
    const size_t dash = range.find('-');
    std::optional<unsigned> from = field.first;
    std::optional<unsigned> to = field.last;
    if (range != "*" && range != "?") {
      from = cron_value(range.substr(0, dash), field);
      to = dash != std::string_view::npos    ? cron_value(range.substr(dash + 1), field)
           : slash == std::string_view::npos ? from
                                             : to;
    }
    if (!from || !to || !step || *step == 0 || *from > *to) {
      cron_fail(text, field, item);
    }
    for (unsigned value = *from; value <= *to; value += *step) {
      set |= uint64_t{1} << value;
    }
  }
  return set;
}

bool looks_like_cron(const Words& words) {
  return words.size() >= 5 &&
         std::all_of(words.begin(), words.begin() + 3, [](const std::string& word) {
           return word.find_first_not_of("0123456789*?,-/") == std::string::npos;
         });
}

std::optional<std::string_view> cron_nickname(std::string_view word) {
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 7> kNicknames{
      {{"@hourly", "0 * * * *"},
       {"@daily", "0 0 * * *"},
       {"@midnight", "0 0 * * *"},
       {"@weekly", "0 0 * * 0"},
       {"@monthly", "0 0 1 * *"},
       {"@yearly", "0 0 1 1 *"},
       {"@annually", "0 0 1 1 *"}}};
  for (const auto& [name, line] : kNicknames) {
    if (name == word) {
      return line;
    }
  }
  return std::nullopt;
}

ParsedSchedule parse_cron(std::string_view text, const Words& words) {
  if (words.size() > 6) {
    throw Error(ErrorCode::kUsage,
                "cannot understand the schedule \"" + std::string(text) + "\": it has " +
                    std::to_string(words.size()) + " fields",
                "cron has five: minute, hour, day of the month, month, weekday; a time zone may "
                "follow. There are no seconds.");
  }
  std::array<uint64_t, 5> sets{};
  for (size_t i = 0; i < sets.size(); ++i) {
    sets[i] = cron_set(text, words[i], kCronFields[i]);
  }
  CalendarRule rule;
  rule.minutes = sets[0];
  rule.hours = static_cast<uint32_t>(sets[1]);
  rule.month_days = static_cast<uint32_t>(sets[2] >> 1);
  rule.months = static_cast<uint16_t>(sets[3] >> 1);
  rule.weekdays = static_cast<uint8_t>((sets[4] | sets[4] >> 7) & 0x7fU);  // 7 is Sunday too
  rule.either_day = words[2].front() != '*' && words[2].front() != '?' && words[4].front() != '*' &&
                    words[4].front() != '?';
  return {rule, words.size() == 6 ? words[5] : ""};
}

}  // namespace

ParsedSchedule parse_schedule(std::string_view text) {
  constexpr size_t kLongest = 200;
  if (text.size() > kLongest) {
    throw Error(ErrorCode::kUsage, "the schedule is longer than 200 characters",
                std::string(kForms));
  }
  Words words = words_of(text);
  if (!words.empty() && words[0].front() == '@') {
    const auto line = cron_nickname(lower(words[0]));
    if (!line || words.size() > 2) {
      throw Error(ErrorCode::kUsage, "cannot understand the schedule \"" + std::string(text) + "\"",
                  std::string(kForms));
    }
    Words expanded = words_of(*line);
    expanded.insert(expanded.end(), words.begin() + 1, words.end());
    return parse_cron(text, expanded);
  }
  return looks_like_cron(words) ? parse_cron(text, words) : PhraseParser(text, words).run();
}

}  // namespace salvor
