#include "cli/output/text.h"

#include <algorithm>
#include <array>
#include <cstdint>

#include "model/text_file.h"

namespace salvor::cli {

namespace {

struct Range {
  uint32_t first;
  uint32_t last;
};

// Unicode 15: East_Asian_Width W and F, and emoji shown as pictures; merged to few ranges.
constexpr std::array<Range, 33> kWide{
    {{0x1100, 0x115f}, {0x231a, 0x231b},   {0x2329, 0x232a},  {0x23e9, 0x23ec}, {0x23f0, 0x23f0},
     {0x23f3, 0x23f3}, {0x25fd, 0x25fe},   {0x2614, 0x2615},  {0x2648, 0x2653}, {0x26aa, 0x26ab},
     {0x26bd, 0x26be}, {0x26c4, 0x26c5},   {0x26ce, 0x26ce},  {0x26d4, 0x26d4}, {0x2705, 0x2705},
     {0x274c, 0x274c}, {0x2753, 0x2755},   {0x2757, 0x2757},  {0x2795, 0x2797}, {0x2b1b, 0x2b1c},
     {0x2b50, 0x2b50}, {0x2e80, 0x303e},   {0x3041, 0x33ff},  {0x3400, 0x4dbf}, {0x4e00, 0xa4cf},
     {0xa960, 0xa97c}, {0xac00, 0xd7a3},   {0xf900, 0xfaff},  {0xfe30, 0xfe6f}, {0xff00, 0xff60},
     {0xffe0, 0xffe6}, {0x1f300, 0x1faff}, {0x20000, 0x3fffd}}};
// Combining marks, joiners and variation selectors that take no column of their own.
constexpr std::array<Range, 19> kZero{{{0x0300, 0x036f},
                                       {0x0483, 0x0489},
                                       {0x0591, 0x05bd},
                                       {0x0610, 0x061a},
                                       {0x064b, 0x065f},
                                       {0x06d6, 0x06dc},
                                       {0x0900, 0x0902},
                                       {0x093c, 0x093c},
                                       {0x0941, 0x0948},
                                       {0x0e31, 0x0e31},
                                       {0x0e34, 0x0e3a},
                                       {0x0e47, 0x0e4e},
                                       {0x1ab0, 0x1aff},
                                       {0x1dc0, 0x1dff},
                                       {0x200b, 0x200f},
                                       {0x20d0, 0x20f0},
                                       {0x3099, 0x309a},
                                       {0xfe00, 0xfe0f},
                                       {0xfe20, 0xfe2f}}};

template <size_t kSize>
bool within(const std::array<Range, kSize>& ranges, uint32_t code) {
  const auto* next =
      std::lower_bound(ranges.begin(), ranges.end(), code,
                       [](const Range& range, uint32_t c) { return range.last < c; });
  return next != ranges.end() && next->first <= code;
}

struct Character {
  size_t bytes = 1;
  size_t columns = 1;
};

// The character at the front of a non-empty text; a byte that starts none is one of its own.
Character first_character(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text[0]);
  const size_t length = lead < 0xc2 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 1;
  if (length == 1 || length > text.size()) {
    return {};
  }
  uint32_t code = lead & (0x7fU >> length);
  for (size_t i = 1; i < length; ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if ((byte & 0xc0U) != 0x80) {
      return {};
    }
    code = code << 6 | (byte & 0x3fU);
  }
  return {length, within(kZero, code) ? size_t{0} : within(kWide, code) ? size_t{2} : size_t{1}};
}

}  // namespace

size_t display_width(std::string_view text) {
  size_t columns = 0;
  while (!text.empty()) {
    const Character character = first_character(text);
    columns += character.columns;
    text.remove_prefix(character.bytes);
  }
  return columns;
}

std::string truncate_to_width(std::string_view text, size_t columns) {
  if (display_width(text) <= columns) {
    return std::string(text);
  }
  if (columns == 0) {
    return {};
  }
  std::string result;
  size_t used = 1;  // for the ellipsis
  while (!text.empty()) {
    const Character character = first_character(text);
    if (used + character.columns > columns) {
      break;
    }
    used += character.columns;
    result += text.substr(0, character.bytes);
    text.remove_prefix(character.bytes);
  }
  return result + "…";
}

std::string truncate_front_to_width(std::string_view text, size_t columns) {
  size_t width = display_width(text);
  if (width <= columns) {
    return std::string(text);
  }
  if (columns == 0) {
    return {};
  }
  while (!text.empty() && width + 1 > columns) {
    const Character character = first_character(text);
    width -= character.columns;
    text.remove_prefix(character.bytes);
  }
  return "…" + std::string(text);
}

std::vector<std::string> wrap(std::string_view text, size_t columns) {
  std::vector<std::string> lines;
  std::string line;
  size_t line_width = 0;
  while (!text.empty()) {
    const size_t space = text.find(' ');
    const std::string_view word = text.substr(0, space);
    text.remove_prefix(space == std::string_view::npos ? text.size() : space + 1);
    if (word.empty()) {
      continue;
    }
    const size_t width = display_width(word);
    if (!line.empty() && line_width + 1 + width > columns) {
      lines.push_back(std::move(line));
      line.clear();
      line_width = 0;
    }
    if (!line.empty()) {
      line += ' ';
      ++line_width;
    }
    line += word;
    line_width += width;
  }
  if (!line.empty()) {
    lines.push_back(std::move(line));
  }
  return lines;
}

std::string wrap_paragraphs(std::string_view text, size_t columns) {
  std::string result;
  std::string paragraph;
  const auto flush = [&] {
    for (const std::string& line : wrap(paragraph, columns)) {
      result += line + "\n";
    }
    paragraph.clear();
  };
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty()) {
      flush();
      result += "\n";
    } else if (line[0] == ' ') {
      flush();
      result += std::string(line) + "\n";
    } else {
      paragraph += (paragraph.empty() ? "" : " ") + std::string(line);
    }
  }
  flush();
  return result;
}

std::vector<std::string> split_list(const std::vector<std::string>& lists) {
  std::vector<std::string> parts;
  for (const std::string& list : lists) {
    size_t begin = 0;
    while (begin <= list.size()) {
      const size_t comma = std::min(list.find(',', begin), list.size());
      const std::string_view part = trim_space(std::string_view(list).substr(begin, comma - begin));
      if (!part.empty()) {
        parts.emplace_back(part);
      }
      begin = comma + 1;
    }
  }
  return parts;
}

}  // namespace salvor::cli
