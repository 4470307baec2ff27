#include "config/usual_mistakes.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <vector>

#include <fmt/format.h>

#include "base/suggest.h"

namespace salvor::config {
namespace {

std::string lower(std::string_view text) {
  std::string result(text);
  std::transform(result.begin(), result.end(), result.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return result;
}

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    lines.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

std::string_view trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) {
    return {};
  }
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

bool is_key(std::string_view text) {
  return !text.empty() && std::isalpha(static_cast<unsigned char>(text[0])) != 0 &&
         std::all_of(text.begin(), text.end(),
                     [](unsigned char c) { return std::isalnum(c) != 0 || c == '-' || c == '_'; });
}

// "key:value", where it is no address and no drive: the colon's column, from 1 on.
std::optional<size_t> missing_space(std::string_view line) {
  const size_t begin = line.find_first_not_of(" -");
  const size_t colon = line.find(':');
  if (begin == std::string_view::npos || colon == std::string_view::npos ||
      colon + 1 >= line.size() || !is_key(line.substr(begin, colon - begin))) {
    return {};
  }
  const char next = line[colon + 1];
  const bool address = line.substr(colon).starts_with("://");
  return next == ' ' || next == '\t' || address ? std::nullopt : std::optional(colon + 1);
}

Problem problem_at(const Place& at, size_t line, size_t column, std::string what,
                   std::string hint) {
  Problem problem;
  problem.place = {.source = at.source,
                   .line = static_cast<uint32_t>(line),
                   .column = static_cast<uint32_t>(column),
                   .length = 1};
  problem.what = std::move(what);
  problem.hint = std::move(hint);
  return problem;
}

struct OtherWord {
  std::string_view word;
  std::string_view hint;
};

// Of restic, its wrappers, compose files and other tools.
constexpr std::array<OtherWord, 27> kOtherWords{{
    {"type", "The kind is a key itself, for example `postgres: env:DATABASE_URL`."},
    {"kind", "The kind is a key itself, for example `files: /srv/uploads`."},
    {"path", "Paths stand below the kind: `files: /srv/uploads`."},
    {"repo", "Did you mean \"repository\"?"},
    {"password-file", "Say `password: file:PATH`."},
    {"password_file", "Say `password: file:PATH`."},
    {"password-command", "Say `password: cmd:COMMAND`."},
    {"password_command", "Say `password: cmd:COMMAND`."},
    {"backup", "What is backed up stands below `sources`, each with a name."},
    {"backups", "What is backed up stands below `sources`, each with a name."},
    {"forget", "What is kept stands below `retention`, for example {daily: 7, weekly: 4}."},
    {"prune", "`salvor run` does it when retention has removed something."},
    {"keep", "What is kept stands below `retention`, for example {daily: 7, weekly: 4}."},
    {"keep-last", "Say `last` below `retention`."},
    {"keep-hourly", "Say `hourly` below `retention`."},
    {"keep-daily", "Say `daily` below `retention`."},
    {"keep-weekly", "Say `weekly` below `retention`."},
    {"keep-monthly", "Say `monthly` below `retention`."},
    {"keep-yearly", "Say `yearly` below `retention`."},
    {"keep-within", "Say `within` below `retention`."},
    {"days", "Say `daily`: how many days one point of each is kept."},
    {"tags", "A name for a backup is given when it is made: `salvor backup db --label NAME`."},
    {"include",
     "There is no such thing: what differs between machines stands in "
     "salvor.<environment>.yaml or below `environments`."},
    {"includes",
     "There is no such thing: what differs between machines stands in "
     "salvor.<environment>.yaml or below `environments`."},
    {"extends",
     "There is no such thing: what differs between machines stands in "
     "salvor.<environment>.yaml or below `environments`."},
    {"cron", "Say `schedule`: five fields of cron do, too."},
    {"interval", "Say `schedule`, for example every 15 min."},
}};

struct Unit {
  std::string_view name;
  char letter;
};
constexpr std::array<Unit, 21> kUnits{
    {{"s", 's'},    {"sec", 's'}, {"secs", 's'}, {"second", 's'}, {"seconds", 's'},
     {"m", 'm'},    {"min", 'm'}, {"mins", 'm'}, {"minute", 'm'}, {"minutes", 'm'},
     {"h", 'h'},    {"hr", 'h'},  {"hrs", 'h'},  {"hour", 'h'},   {"hours", 'h'},
     {"d", 'd'},    {"day", 'd'}, {"days", 'd'}, {"w", 'w'},      {"week", 'w'},
     {"weeks", 'w'}}};

// A number and the word behind it; nothing else.
std::optional<std::pair<double, std::string>> number_and_word(std::string_view text) {
  text = trimmed(text);
  double number = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
  if (error != std::errc() || number <= 0 || number > 1e6) {
    return {};
  }
  return std::pair(number, lower(trimmed(text.substr(static_cast<size_t>(end - text.data())))));
}

std::string duration_of(double number, char letter) {
  const auto whole = static_cast<uint64_t>(number);
  if (static_cast<double>(whole) == number) {
    return fmt::format("{}{}", whole, letter);
  }
  const char smaller = letter == 'h' ? 'm' : letter == 'm' ? 's' : letter == 'd' ? 'h' : '\0';
  const double share = (number - static_cast<double>(whole)) * (letter == 'd' ? 24 : 60);
  const auto part = static_cast<uint64_t>(share + 0.5);
  if (smaller == '\0' || part == 0) {
    return {};
  }
  return (whole == 0 ? "" : fmt::format("{}{}", whole, letter)) +
         fmt::format("{}{}", part, smaller);
}

}  // namespace

std::optional<Problem> usual_syntax_mistake(std::string_view text, const Place& at) {
  const std::vector<std::string_view> lines = lines_of(text);
  const size_t until = std::min<size_t>(lines.size(), at.line);
  for (size_t i = 0; i < until; ++i) {
    const std::string_view line = lines[i];
    if (line.starts_with("<<<<<<< ") || line.starts_with(">>>>>>> ")) {
      return problem_at(at, i + 1, 1, "a merge conflict is left over here",
                        "Decide for one of both versions, and remove the lines of <, = and >.");
    }
    const std::string_view word = trimmed(line);
    if (i + 1 < lines.size() && word.starts_with('[') && word.ends_with(']') &&
        lines[i + 1].find('=') != std::string_view::npos) {
      return problem_at(at, i + 1, 1, "this is no YAML: it looks like an INI or TOML file",
                        "Write lines of the form \"key: value\".");
    }
  }
  for (size_t i = 0; i < until; ++i) {
    if (const auto colon = missing_space(lines[i])) {
      return problem_at(at, i + 1, *colon, "a space is missing after the colon",
                        fmt::format("Write \"{}: \" and then the value.",
                                    trimmed(lines[i].substr(0, *colon - 1))));
    }
  }
  return {};
}

std::optional<Place> odd_space(std::string_view text, uint32_t source) {
  static constexpr std::array<std::string_view, 5> kSpaces{
      "\xc2\xa0", "\xe2\x80\x83", "\xe2\x80\x87", "\xe2\x80\xaf", "\xe3\x80\x80"};
  uint32_t number = 0;
  for (const std::string_view line : lines_of(text)) {
    ++number;
    const size_t first = line.find_first_not_of(' ');
    const std::string_view rest = first == std::string_view::npos ? "" : line.substr(first);
    if (std::any_of(kSpaces.begin(), kSpaces.end(),
                    [&](std::string_view space) { return rest.starts_with(space); })) {
      return Place{.source = source,
                   .line = number,
                   .column = static_cast<uint32_t>(first) + 1,
                   .length = 1};
    }
  }
  return {};
}

bool has_typographic_quotes(std::string_view text) {
  static constexpr std::array<std::string_view, 6> kQuotes{
      "\xe2\x80\x9c", "\xe2\x80\x9d", "\xe2\x80\x9e", "\xe2\x80\x98", "\xe2\x80\x99", "\xc2\xab"};
  return std::any_of(kQuotes.begin(), kQuotes.end(),
                     [&](std::string_view quote) { return text.starts_with(quote); });
}

std::string known_elsewhere(std::string_view key) {
  const std::string word = lower(key);
  const auto* found = std::find_if(kOtherWords.begin(), kOtherWords.end(),
                                   [&](const OtherWord& one) { return one.word == word; });
  return found == kOtherWords.end() ? std::string() : std::string(found->hint);
}

std::string duration_meant(std::string_view text) {
  const auto parts = number_and_word(text);
  if (!parts) {
    return {};
  }
  const auto* unit = std::find_if(kUnits.begin(), kUnits.end(),
                                  [&](const Unit& one) { return one.name == parts->second; });
  return unit == kUnits.end() ? std::string() : duration_of(parts->first, unit->letter);
}

std::string size_meant(std::string_view text) {
  const auto parts = number_and_word(text);
  if (!parts) {
    return {};
  }
  std::string unit = parts->second;
  for (const std::string_view end : {"/s", "ps", "/sec"}) {
    if (unit.ends_with(end)) {
      unit.resize(unit.size() - end.size());
    }
  }
  const bool bits = unit.ends_with("bit") || unit.ends_with("bits");
  static constexpr std::string_view kLetters = "kmgt";
  const size_t power = unit.empty() ? std::string_view::npos : kLetters.find(unit[0]);
  if (power == std::string_view::npos) {
    return {};
  }
  const auto letter = power == 0 ? 'k' : static_cast<char>(std::toupper(kLetters[power]));
  if (!bits) {
    return fmt::format("{:g}{}", parts->first, letter);
  }
  // A bit is an eighth of a byte: said in the next smaller unit, where that keeps it whole.
  const char smaller = power == 0 ? 'k' : power == 1 ? 'k' : power == 2 ? 'M' : 'G';
  const double bytes = parts->first / 8 * (power == 0 ? 1 : 1000);
  return fmt::format("{:g}{}", bytes, smaller);
}

std::string schedule_meant(std::string_view text) {
  const std::string low = lower(trimmed(text));
  std::vector<std::string> words;
  for (size_t at = 0; at < low.size();) {
    const size_t end = std::min(low.find(' ', at), low.size());
    if (end > at) {
      words.push_back(low.substr(at, end - at));
    }
    at = end + 1;
  }
  const bool cron = !words.empty() && std::all_of(words.begin(), words.end(), [](const auto& word) {
    return word.find_first_not_of("0123456789*/,-") == std::string::npos;
  });
  if (cron && words.size() >= 3 && words.size() != 5) {
    return fmt::format(
        "Cron has five fields (minute, hour, day, month, day of the week), here are {}.",
        words.size());
  }
  for (const std::string& word : words) {
    if (word == "never" || word == "none" || word == "off" || word == "no") {
      return "`manual` is only by hand.";
    }
    if (word.size() > 2 && std::isdigit(static_cast<unsigned char>(word[0])) != 0 &&
        (word.ends_with("am") || word.ends_with("pm"))) {
      return "Times of the day go from 00:00 to 23:59: 02:00, 14:30.";
    }
    static constexpr std::array<std::string_view, 12> kShortDays{
        "mo", "tu", "we", "th", "fr", "sa", "su", "di", "mi", "do", "so", "weekday"};
    const std::string first = word.substr(0, word.find_first_of("-,"));
    if (std::find(kShortDays.begin(), kShortDays.end(), first) != kShortDays.end()) {
      return "Days are Mon, Tue, Wed, Thu, Fri, Sat and Sun: Mon-Fri 22:30.";
    }
  }
  return {};
}

std::string zone_meant(std::string_view text) {
  // The zones that most people are in: what is mistyped is seldom another one.
  static const std::vector<std::string> kZones{
      "Europe/Berlin",    "Europe/London",     "Europe/Paris",        "Europe/Madrid",
      "Europe/Rome",      "Europe/Vienna",     "Europe/Zurich",       "Europe/Amsterdam",
      "Europe/Brussels",  "Europe/Stockholm",  "Europe/Warsaw",       "Europe/Prague",
      "Europe/Athens",    "Europe/Helsinki",   "Europe/Kyiv",         "Europe/Istanbul",
      "Europe/Lisbon",    "Europe/Dublin",     "Europe/Copenhagen",   "Europe/Oslo",
      "America/New_York", "America/Chicago",   "America/Denver",      "America/Los_Angeles",
      "America/Toronto",  "America/Sao_Paulo", "America/Mexico_City", "Asia/Kolkata",
      "Asia/Tokyo",       "Asia/Shanghai",     "Asia/Singapore",      "Asia/Dubai",
      "Asia/Hong_Kong",   "Australia/Sydney",  "Africa/Johannesburg", "Pacific/Auckland"};
  const std::string low = lower(trimmed(text));
  for (const std::string& zone : kZones) {
    if (lower(zone).substr(zone.find('/') + 1) == low || lower(zone) == low) {
      return zone;
    }
  }
  const std::vector<std::string> near = suggestions(text, kZones);
  return near.empty() || text.find('/') == std::string_view::npos ? std::string() : near.front();
}

std::string reference_meant(std::string_view text) {
  std::string_view name = trimmed(text);
  if (name.starts_with("${") && name.ends_with('}')) {
    name = name.substr(2, name.size() - 3);
  } else if (name.starts_with('$')) {
    name.remove_prefix(1);
  } else if (lower(name.substr(0, 4)) == "env:") {
    name = trimmed(name.substr(4));
  } else {
    return {};
  }
  const bool fits = !name.empty() && std::all_of(name.begin(), name.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '_';
  });
  return fits ? "env:" + std::string(name) : std::string();
}

}  // namespace salvor::config
