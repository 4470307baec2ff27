#include "config/problem.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>

#include <fmt/format.h>

#include "base/format.h"
#include "base/suggest.h"

namespace salvor::config {
namespace {

constexpr std::string_view kMask = "***";
constexpr size_t kLongestLine = 160;

std::string lower(std::string_view text) {
  std::string result(text);
  std::transform(result.begin(), result.end(), result.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return result;
}

bool is_reference(std::string_view value) {
  return value.starts_with("env:") || value.starts_with("file:") || value.starts_with("cmd:") ||
         value.starts_with("credential:");
}

std::string_view line_of(std::string_view text, uint32_t number) {
  size_t begin = 0;
  for (uint32_t line = 1; line < number; ++line) {
    const size_t end = text.find('\n', begin);
    if (end == std::string_view::npos) {
      return {};
    }
    begin = end + 1;
  }
  return text.substr(begin, text.find('\n', begin) - begin);
}

bool is_word(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_';
}

// Where the password of the first URL at or after `from` stands.
std::optional<std::pair<size_t, size_t>> url_password(std::string_view text, size_t from) {
  for (size_t mark = text.find("://", from); mark != std::string_view::npos;
       mark = text.find("://", mark + 3)) {
    const size_t begin = mark + 3;
    size_t end = text.find_first_of("/ \t\"'?#", begin);
    end = end == std::string_view::npos ? text.size() : end;
    const size_t at = text.substr(0, end).rfind('@');
    if (at == std::string_view::npos || at < begin) {
      continue;
    }
    const size_t colon = text.find(':', begin);
    if (colon == std::string_view::npos || colon >= at || colon + 1 == at) {
      continue;
    }
    const std::string_view password = text.substr(colon + 1, at - colon - 1);
    if (password != kMask && !password.starts_with("${")) {
      return std::pair(colon + 1, at);
    }
  }
  return {};
}

// "key: value": the value of a key that names a secret.
std::string mask_after_keys(std::string_view line) {
  std::string result;
  size_t done = 0;
  for (size_t colon = line.find(':'); colon != std::string_view::npos;
       colon = line.find(':', colon + 1)) {
    size_t begin = colon;
    while (begin > done && is_word(line[begin - 1])) {
      --begin;
    }
    const size_t value = line.find_first_not_of(" \t\"'", colon + 1);
    if (begin == colon || value == std::string_view::npos || value == colon + 1 ||
        !names_secret(line.substr(begin, colon - begin)) || is_reference(line.substr(value)) ||
        line[value] == '#' || line[value] == '{') {
      continue;
    }
    result += line.substr(done, value - done);
    result += kMask;
    done = line.size();
    break;
  }
  result += line.substr(done);
  return result;
}

}  // namespace

bool names_secret(std::string_view key) {
  static constexpr std::array<std::string_view, 11> kWords{
      "password", "passwd",  "passphrase", "secret",  "token",     "apikey",
      "api-key",  "api_key", "pwd",        "private", "access-key"};
  const std::string name = lower(key);
  return std::any_of(kWords.begin(), kWords.end(),
                     [&](std::string_view word) { return name.find(word) != std::string::npos; });
}

bool has_url_password(std::string_view text) {
  return url_password(text, 0).has_value();
}

std::string mask_secrets(std::string_view line) {
  std::string result(line);
  size_t from = 0;
  while (const auto found = url_password(result, from)) {
    result.replace(found->first, found->second - found->first, kMask);
    from = found->first;
  }
  return mask_after_keys(result);
}

std::string SourceTexts::describe(const Place& place) const {
  const SourceText& source = at(place.source);
  return place.line == 0 ? source.name
                         : fmt::format("{}:{}:{}", source.name, place.line, place.column);
}

std::string SourceTexts::origin(const Place& place) const {
  const SourceText& source = at(place.source);
  return place.line == 0 ? source.name : fmt::format("{}:{}", source.name, place.line);
}

std::string SourceTexts::safe_line(const Place& place) const {
  const SourceText& source = at(place.source);
  if (source.kind != SourceText::kFile || place.line == 0) {
    return {};
  }
  std::string line(line_of(source.text, place.line));
  for (const auto& [hidden, last_line] : hidden_) {
    if (hidden.source == place.source && hidden.line == place.line && hidden.column >= 1 &&
        hidden.column <= line.size()) {
      line.replace(hidden.column - 1, std::string::npos, kMask);
    } else if (hidden.source == place.source && hidden.line < place.line &&
               place.line <= last_line) {
      line = kMask;
    }
  }
  std::replace(line.begin(), line.end(), '\t', ' ');
  line = printable(mask_secrets(line));
  return line.size() > kLongestLine ? line.substr(0, kLongestLine) + "..." : line;
}

void Problems::add(const Place& place, std::string what, std::string hint) {
  if (all_.size() >= kMost) {
    ++more_;
    return;
  }
  all_.insert({.place = place, .what = std::move(what), .hint = std::move(hint)});
}

void Problems::warn(const Place& place, std::string what, std::string hint) {
  if (all_.size() < kMost) {
    all_.insert(
        {.place = place, .what = std::move(what), .hint = std::move(hint), .warning = true});
  }
}

size_t Problems::errors() const {
  return more_ + static_cast<size_t>(std::count_if(all_.begin(), all_.end(),
                                                   [](const Problem& p) { return !p.warning; }));
}

std::vector<Problem> Problems::sorted() const {
  return {all_.begin(), all_.end()};
}

std::string render(const Problem& problem, const SourceTexts& sources) {
  std::string text = fmt::format("{}: {}{}\n", sources.describe(problem.place),
                                 problem.warning ? "warning: " : "", problem.what);
  const std::string line = sources.safe_line(problem.place);
  if (!line.empty()) {
    const std::string number = std::to_string(problem.place.line);
    text += fmt::format("  {} | {}\n", number, line);
    const size_t column = problem.place.column;
    if (column >= 1 && column <= line.size() + 1) {
      const size_t room = line.size() + 1 - column;
      const size_t length = std::clamp<size_t>(problem.place.length, 1, std::max<size_t>(room, 1));
      text += fmt::format("  {} | {}^{}\n", std::string(number.size(), ' '),
                          std::string(column - 1, ' '), std::string(length - 1, '~'));
    }
  }
  if (!problem.hint.empty()) {
    text += "HINT: " + problem.hint + "\n";
  }
  return text;
}

std::string shown(std::string_view text) {
  static constexpr size_t kLongest = 60;
  std::string result = printable(text.substr(0, kLongest));
  std::replace(result.begin(), result.end(), '\n', ' ');
  return "\"" + mask_secrets(result) + (text.size() > kLongest ? "..." : "") + "\"";
}

std::string did_you_mean(std::string_view typed, const std::vector<std::string>& candidates) {
  static constexpr size_t kFew = 16;
  const std::vector<std::string> near = suggestions(typed, candidates);
  if (!near.empty()) {
    return "Did you mean \"" + near.front() + "\"?";
  }
  if (candidates.empty() || candidates.size() > kFew) {
    return {};
  }
  return (candidates.size() == 1 ? "There is only " : "Possible are ") + enumerate(candidates) +
         ".";
}

std::string enumerate(const std::vector<std::string>& words, std::string_view last) {
  std::string text;
  for (size_t i = 0; i < words.size(); ++i) {
    text += i == 0 ? "" : i + 1 == words.size() ? fmt::format(" {} ", last) : std::string(", ");
    text += words[i];
  }
  return text;
}

}  // namespace salvor::config
