// Exclude patterns: lines of patterns, an empty line, a path. Matching a whole path and walking to
// it must both answer as restic's definition does.
#include <string>
#include <vector>

#include "fuzz_support.h"
#include "model/path_pattern.h"
#include "support/plain_patterns.h"

using namespace salvor;

namespace {

// The definition replaces each "**" by up to as many "*" as the path has components.
constexpr size_t kMostParts = 8;
constexpr size_t kMostAnyDepths = 3;

struct Plain {
  bool negated = false;
  std::vector<std::string> parts;
};

std::vector<std::string> split(std::string_view text, char at) {
  std::vector<std::string> result;
  size_t begin = 0;
  for (size_t end = text.find(at); end != std::string_view::npos; end = text.find(at, begin)) {
    result.emplace_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  result.emplace_back(text.substr(begin));
  return result;
}

bool plain_component(const std::string& part) {
  return !part.empty() && part != "." && part != "..";
}

// Nothing for what needs cleaning, or would take the definition too long.
std::optional<Plain> plain(const std::string& text) {
  Plain result;
  std::string_view rest = text;
  if (rest.starts_with('!')) {
    result.negated = true;
    rest.remove_prefix(1);
  }
  if (rest.starts_with('/')) {
    result.parts.emplace_back("/");
    rest.remove_prefix(1);
  }
  size_t any_depths = 0;
  for (const std::string& part : split(rest, '/')) {
    if (!plain_component(part)) {
      return std::nullopt;
    }
    any_depths += part == "**" ? 1 : 0;
    result.parts.push_back(part);
  }
  if (result.parts.size() > kMostParts || any_depths > kMostAnyDepths ||
      std::any_of(result.parts.begin(), result.parts.end(),
                  [](const std::string& part) { return part != "/" && !Glob::parse(part); })) {
    return std::nullopt;
  }
  return result;
}

void compare(const std::vector<Plain>& all, const PathPatterns& patterns,
             const std::vector<std::string>& path) {
  std::vector<std::string> components{"/"};
  std::string text;
  PathPatterns::Scope scope = patterns.scope("/");
  for (const std::string& name : path) {
    components.push_back(name);
    text += "/" + name;
    bool expected = false;
    for (const Plain& one : all) {
      const bool matches = test::plain_match(one.parts, components);
      expected = one.negated ? expected && !matches : expected || matches;
    }
    fuzz::require(patterns.match(text).matched == expected);
    fuzz::require(patterns.matches(scope, name) == expected);
    scope = patterns.enter(scope, name);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string input(reinterpret_cast<const char*>(data), size);
  if (size > 400 || input.find('\0') != std::string::npos) {
    return 0;
  }
  const size_t blank = std::min(input.find("\n\n"), input.size());
  const std::vector<std::string> lines = split(input.substr(0, blank), '\n');
  const std::string path = blank + 2 < input.size() ? input.substr(blank + 2) : "a/b";
  std::vector<Plain> all;
  bool comparable = lines.size() <= 8;
  for (const std::string& line : lines) {
    if (line.empty()) {
      continue;  // ignored by definition
    }
    const std::optional<Plain> one = plain(line);
    comparable = comparable && one.has_value();
    if (one) {
      all.push_back(*one);
    }
  }
  for (const PathPatterns::Case sensitivity :
       {PathPatterns::Case::kInsensitive, PathPatterns::Case::kSensitive}) {
    try {
      const PathPatterns patterns(lines, sensitivity);
      (void)patterns.match(path);
      std::vector<std::string> names = split(path, '/');
      comparable = comparable && names.size() <= kMostParts &&
                   std::all_of(names.begin(), names.end(), plain_component);
      if (comparable && sensitivity == PathPatterns::Case::kSensitive) {
        compare(all, patterns, names);
      }
    } catch (const Error& error) {
      fuzz::require(error.code() == ErrorCode::kUsage);
    }
  }
  return 0;
}
