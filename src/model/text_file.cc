#include "model/text_file.h"

#include <cctype>
#include <cstdint>

#include "model/unicode_lower.h"

namespace salvor {
namespace {

std::string utf16_to_utf8(std::string_view bytes, bool big_endian) {
  const auto unit = [&](size_t at) -> char32_t {
    const auto first = static_cast<unsigned char>(bytes[at]);
    const auto second = static_cast<unsigned char>(bytes[at + 1]);
    return big_endian ? (static_cast<char32_t>(first) << 8) | second
                      : (static_cast<char32_t>(second) << 8) | first;
  };
  std::string text;
  size_t at = 0;
  while (at + 1 < bytes.size()) {
    char32_t rune = unit(at);
    at += 2;
    if (rune >= 0xD800 && rune <= 0xDFFF) {
      const bool pair =
          rune < 0xDC00 && at + 1 < bytes.size() && unit(at) >= 0xDC00 && unit(at) <= 0xDFFF;
      if (pair) {
        rune = 0x10000 + ((rune - 0xD800) << 10) + (unit(at) - 0xDC00);
        at += 2;
      } else {
        rune = 0xFFFD;
      }
    }
    append_utf8(text, rune);
  }
  if (at < bytes.size()) {
    append_utf8(text, 0xFFFD);
  }
  return text;
}

bool is_space(char32_t rune) {
  switch (rune) {
    case '\t':
    case '\n':
    case '\v':
    case '\f':
    case '\r':
    case ' ':
    case 0x85:
    case 0xA0:
    case 0x1680:
    case 0x2028:
    case 0x2029:
    case 0x202F:
    case 0x205F:
    case 0x3000:
      return true;
    default:
      return rune >= 0x2000 && rune <= 0x200A;
  }
}

// What follows a dollar: the variable's name and the bytes it takes. An empty name with bytes is
// bad syntax, which is dropped; an empty name without bytes leaves the dollar as it is.
struct ShellName {
  std::string_view name;
  size_t length = 0;
};

bool is_special_variable(char c) {
  return std::string_view("*#$@!?-0123456789").find(c) != std::string_view::npos;
}

ShellName take_shell_name(std::string_view rest) {
  if (rest.front() == '{') {
    if (rest.size() > 2 && is_special_variable(rest[1]) && rest[2] == '}') {
      return {rest.substr(1, 1), 3};
    }
    const size_t close = rest.find('}');
    if (close == std::string_view::npos) {
      return {{}, 1};
    }
    return {rest.substr(1, close - 1), close + 1};
  }
  if (is_special_variable(rest.front())) {
    return {rest.substr(0, 1), 1};
  }
  size_t length = 0;
  while (length < rest.size() &&
         (std::isalnum(static_cast<unsigned char>(rest[length])) != 0 || rest[length] == '_')) {
    ++length;
  }
  return {rest.substr(0, length), length};
}

}  // namespace

std::string decode_text(std::string_view content) {
  if (content.starts_with("\xEF\xBB\xBF")) {
    return std::string(content.substr(3));
  }
  if (content.starts_with("\xFE\xFF")) {
    return utf16_to_utf8(content.substr(2), true);
  }
  if (content.starts_with("\xFF\xFE")) {
    return utf16_to_utf8(content.substr(2), false);
  }
  return std::string(content);
}

std::vector<std::string> split_text_lines(std::string_view content) {
  const std::string text = decode_text(content);
  std::vector<std::string> lines;
  std::string_view rest = text;
  while (!rest.empty()) {
    const size_t end = rest.find('\n');
    std::string_view line = rest.substr(0, end);
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    if (line.ends_with('\r')) {
      line.remove_suffix(1);
    }
    lines.emplace_back(line);
  }
  return lines;
}

std::string_view trim_space(std::string_view text) {
  while (!text.empty()) {
    const FirstRune first = first_rune(text);
    if (!is_space(first.rune)) {
      break;
    }
    text.remove_prefix(first.width);
  }
  while (!text.empty()) {
    size_t start = text.size() - 1;
    while (start > 0 && text.size() - start < 4 &&
           (static_cast<unsigned char>(text[start]) & 0xC0) == 0x80) {
      --start;
    }
    const FirstRune last = first_rune(text.substr(start));
    if (!is_space(last.rune) || start + last.width != text.size()) {
      break;
    }
    text.remove_suffix(last.width);
  }
  return text;
}

std::string expand_variables(std::string_view text, const EnvironmentLookup& environment) {
  std::string expanded;
  while (!text.empty()) {
    const size_t dollar = text.find('$');
    if (dollar == std::string_view::npos || dollar + 1 == text.size()) {
      expanded += text;
      break;
    }
    expanded += text.substr(0, dollar);
    text.remove_prefix(dollar + 1);
    const ShellName shell = take_shell_name(text);
    if (!shell.name.empty()) {
      expanded += environment(shell.name);
    } else if (shell.length == 0) {
      expanded += '$';
    }
    text.remove_prefix(shell.length);
  }
  return expanded;
}

std::vector<std::string> parse_pattern_file(std::string_view content,
                                            const EnvironmentLookup& environment) {
  const EnvironmentLookup with_dollar = [&](std::string_view name) {
    return name == "$" ? std::string("$") : environment(name);
  };
  std::vector<std::string> patterns;
  for (const std::string& line : split_text_lines(content)) {
    const std::string_view trimmed = trim_space(line);
    if (!trimmed.empty() && !trimmed.starts_with('#')) {
      patterns.push_back(expand_variables(trimmed, with_dollar));
    }
  }
  return patterns;
}

std::string clean_path(std::string_view path) {
  const bool absolute = path.starts_with('/');
  std::string cleaned = absolute ? "/" : "";
  std::vector<size_t>
      starts;  // where each kept component's text (with its slash) begins in `cleaned`
  while (!path.empty()) {
    const size_t slash = path.find('/');
    const std::string_view component = path.substr(0, slash);
    path.remove_prefix(slash == std::string_view::npos ? path.size() : slash + 1);
    if (component.empty() || component == ".") {
      continue;
    }
    if (component == ".." && !starts.empty()) {
      cleaned.resize(starts.back());
      starts.pop_back();
      continue;
    }
    if (component == ".." && absolute) {
      continue;
    }
    const size_t before = cleaned.size();
    if (!cleaned.empty() && !cleaned.ends_with('/')) {
      cleaned += '/';
    }
    cleaned += component;
    if (component != "..") {
      starts.push_back(before);
    }
  }
  return cleaned.empty() ? "." : cleaned;
}

}  // namespace salvor
