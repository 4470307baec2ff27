#include "model/path_pattern.h"

#include <algorithm>

#include "base/error.h"
#include "model/text_file.h"
#include "model/unicode_lower.h"

namespace salvor {
namespace {

// The components of a cleaned path; the leading "/" is told apart because no glob may match it.
struct SplitPath {
  bool absolute = false;
  std::vector<std::string_view> components;
};

SplitPath split_path(std::string_view path) {
  SplitPath split;
  if (path.starts_with('/')) {
    split.absolute = true;
    path.remove_prefix(1);
  }
  for (;;) {
    const size_t slash = path.find('/');
    split.components.push_back(path.substr(0, slash));
    if (slash == std::string_view::npos) {
      return split;
    }
    path.remove_prefix(slash + 1);
  }
}

// The literal, escaped or not, that a class range begins or ends with (filepath.Match's getEsc).
std::optional<char32_t> take_class_rune(std::string_view& rest) {
  if (rest.empty() || rest.front() == '-' || rest.front() == ']') {
    return std::nullopt;
  }
  if (rest.front() == '\\') {
    rest.remove_prefix(1);
    if (rest.empty()) {
      return std::nullopt;
    }
  }
  const FirstRune decoded = first_rune(rest);
  if (decoded.rune == 0xFFFD && decoded.width == 1) {
    return std::nullopt;
  }
  rest.remove_prefix(decoded.width);
  if (rest.empty()) {
    return std::nullopt;
  }
  return decoded.rune;
}

}  // namespace

// ---- Glob
// ----------------------------------------------------------------------------------------

std::optional<Glob::Token> Glob::parse_class(std::string_view& rest) {
  Token token;
  token.type = Token::Type::kClass;
  if (rest.starts_with('^')) {
    token.negated = true;
    rest.remove_prefix(1);
  }
  for (;;) {
    if (rest.starts_with(']') && !token.ranges.empty()) {
      rest.remove_prefix(1);
      return token;
    }
    const std::optional<char32_t> low = take_class_rune(rest);
    if (!low) {
      return std::nullopt;
    }
    std::optional<char32_t> high = low;
    if (rest.starts_with('-')) {
      rest.remove_prefix(1);
      high = take_class_rune(rest);
      if (!high) {
        return std::nullopt;
      }
    }
    token.ranges.push_back({*low, *high});
  }
}

std::optional<Glob> Glob::parse(std::string_view text) {
  Glob glob;
  std::string_view rest = text;
  glob.chunks_.emplace_back();
  while (!rest.empty()) {
    const char c = rest.front();
    rest.remove_prefix(1);
    Chunk* chunk = &glob.chunks_.back();
    if (c == '*') {
      if (!chunk->tokens.empty() || !chunk->star) {
        glob.chunks_.push_back({.star = true, .tokens = {}});
      }
      continue;
    }
    Token token;
    if (c == '?') {
      token.type = Token::Type::kAnyRune;
    } else if (c == '[') {
      std::optional<Token> parsed = parse_class(rest);
      if (!parsed) {
        return std::nullopt;
      }
      token = std::move(*parsed);
    } else if (c == '\\') {
      if (rest.empty()) {
        return std::nullopt;
      }
      token.byte = rest.front();
      rest.remove_prefix(1);
    } else {
      token.byte = c;
    }
    chunk->tokens.push_back(std::move(token));
  }
  // The first chunk is the part before the first star; without content it only stands in the way.
  if (glob.chunks_.size() > 1 && glob.chunks_.front().tokens.empty()) {
    glob.chunks_.erase(glob.chunks_.begin());
  }
  glob.simplify();
  return glob;
}

void Glob::simplify() {
  const auto fixed_text = [](const Chunk& chunk) -> std::optional<std::string> {
    std::string text;
    for (const Token& token : chunk.tokens) {
      if (token.type != Token::Type::kByte) {
        return std::nullopt;
      }
      text.push_back(token.byte);
    }
    return text;
  };
  const std::optional<std::string> first = fixed_text(chunks_.front());
  if (!first || chunks_.size() > 2) {
    return;
  }
  if (chunks_.size() == 1) {
    kind_ = !chunks_[0].star ? Kind::kLiteral : first->empty() ? Kind::kAny : Kind::kSuffix;
    text_ = *first;
  } else if (!chunks_[0].star && chunks_[1].tokens.empty()) {
    kind_ = Kind::kPrefix;
    text_ = *first;
  }
}

std::optional<size_t> Glob::match_chunk(const Chunk& chunk, std::string_view name) {
  size_t at = 0;
  for (const Token& token : chunk.tokens) {
    if (at == name.size()) {
      return std::nullopt;
    }
    if (token.type == Token::Type::kByte) {
      if (name[at] != token.byte) {
        return std::nullopt;
      }
      ++at;
      continue;
    }
    const FirstRune decoded = first_rune(name.substr(at));
    if (token.type == Token::Type::kClass) {
      const bool inside = std::any_of(
          token.ranges.begin(), token.ranges.end(),
          [&](const Range& r) { return r.low <= decoded.rune && decoded.rune <= r.high; });
      if (inside == token.negated) {
        return std::nullopt;
      }
    }
    at += decoded.width;
  }
  return at;
}

bool Glob::matches(std::string_view name) const {
  switch (kind_) {
    case Kind::kAny:
      return true;
    case Kind::kLiteral:
      return name == text_;
    case Kind::kPrefix:
      return name.starts_with(text_);
    case Kind::kSuffix:
      return name.ends_with(text_);
    case Kind::kGeneral:
      break;
  }
  // Each chunk takes the leftmost place where it fits; the last one must reach the end of the name.
  for (size_t i = 0; i < chunks_.size(); ++i) {
    const Chunk& chunk = chunks_[i];
    const bool last = i + 1 == chunks_.size();
    if (chunk.star && chunk.tokens.empty()) {
      return true;  // only the last chunk can be a star alone
    }
    std::optional<size_t> taken;
    const size_t attempts = chunk.star ? name.size() : 0;
    for (size_t skip = 0; skip <= attempts; ++skip) {
      taken = match_chunk(chunk, name.substr(skip));
      if (taken && last && skip + *taken != name.size()) {
        taken.reset();
      }
      if (taken) {
        name.remove_prefix(skip + *taken);
        break;
      }
    }
    if (!taken) {
      return false;
    }
  }
  return name.empty();
}

// ---- PathPatterns
// --------------------------------------------------------------------------------

std::optional<PathPatterns::Pattern> PathPatterns::parse(std::string_view text) {
  Pattern pattern;
  if (text.starts_with('!')) {
    pattern.negated = true;
    text.remove_prefix(1);
  }
  const std::string cleaned = clean_path(text);
  const SplitPath split = split_path(cleaned);
  pattern.absolute = split.absolute;
  const auto is_any_depth = [](std::string_view component) {
    return component == "**" || component.empty();
  };
  pattern.any_depths = static_cast<size_t>(
      std::count_if(split.components.begin(), split.components.end(), is_any_depth));
  bool before_any_depth = true;
  for (const std::string_view component : split.components) {
    Part part;
    part.any_depth = is_any_depth(component);
    if (!part.any_depth) {
      std::optional<Glob> glob = Glob::parse(component);
      if (!glob) {
        return std::nullopt;
      }
      part.glob = std::move(*glob);
    }
    before_any_depth = before_any_depth && !part.any_depth;
    pattern.child_parts += before_any_depth ? 1 : 0;
    // A pattern that is not anchored may start anywhere even without a leading "**", and "a/**"
    // also matches "a" and with it everything below.
    const bool floating = part.any_depth && pattern.parts.empty() && !pattern.absolute;
    if (!floating || pattern.any_depths > 1) {
      pattern.parts.push_back(std::move(part));
    }
  }
  while (pattern.any_depths < 2 && !pattern.parts.empty() && pattern.parts.back().any_depth) {
    pattern.parts.pop_back();
  }
  pattern.matches_root = pattern.parts.empty();
  return pattern;
}

PathPatterns::PathPatterns(std::span<const std::string> patterns, Case sensitivity)
    : insensitive_(sensitivity == Case::kInsensitive) {
  std::string malformed;
  for (const std::string& text : patterns) {
    if (text.empty()) {
      continue;
    }
    std::optional<Pattern> pattern = parse(insensitive_ ? to_lower(text) : text);
    if (!pattern) {
      malformed += (malformed.empty() ? "\"" : ", \"") + text + "\"";
      continue;
    }
    has_negation_ = has_negation_ || pattern->negated;
    patterns_.push_back(std::move(*pattern));
  }
  if (!malformed.empty()) {
    throw Error(
        ErrorCode::kUsage, "invalid pattern(s) " + malformed,
        "A `[` needs its `]` and a `\\` something after it; write `\\[` for the character itself.");
  }
  index_single_parts();
}

void PathPatterns::index_single_parts() {
  for (uint32_t i = 0; i < patterns_.size(); ++i) {
    Pattern& pattern = patterns_[i];
    if (pattern.any_depths > 1) {
      whole_path_.push_back(i);
      continue;
    }
    const bool single = !has_negation_ && !pattern.absolute && pattern.parts.size() == 1;
    if (!single) {
      pattern.reach_at = reach_size_;
      reach_size_ += pattern.parts.size() + 1;
      multi_part_.push_back(i);
      continue;
    }
    const Glob& glob = pattern.parts.front().glob;
    if (glob.kind() == Glob::Kind::kLiteral) {
      literal_names_.emplace(glob.text());
    } else if (glob.kind() == Glob::Kind::kSuffix) {
      suffixes_.emplace_back(glob.text());
      suffix_last_byte_[static_cast<unsigned char>(glob.text().back())] = true;
    } else {
      other_globs_.push_back(glob);
    }
  }
}

void PathPatterns::close_over(const Pattern& pattern, uint8_t* reach) {
  for (size_t j = 0; j < pattern.parts.size(); ++j) {
    if (reach[j] != 0 && pattern.parts[j].any_depth) {
      reach[j + 1] = 1;
    }
  }
}

PathPatterns::Scope PathPatterns::start(bool absolute) const {
  Scope scope;
  scope.absolute_ = absolute;
  scope.reach_.assign(reach_size_, 0);
  scope.matched_.assign(has_negation_ ? patterns_.size() : 0, 0);
  for (const uint32_t i : multi_part_) {
    const Pattern& pattern = patterns_[i];
    if (pattern.absolute && !absolute) {
      continue;
    }
    if (pattern.matches_root) {
      scope.all_ = scope.all_ || !has_negation_;
      if (has_negation_) {
        scope.matched_[i] = 1;
      }
      continue;
    }
    scope.reach_[pattern.reach_at] = 1;
    close_over(pattern, scope.reach_.data() + pattern.reach_at);
  }
  collect_active(scope);
  return scope;
}

void PathPatterns::collect_active(Scope& scope) const {
  scope.active_.clear();
  for (const uint32_t i : multi_part_) {
    const Pattern& pattern = patterns_[i];
    const size_t count = pattern.parts.size();
    if (count > 0 && scope.reach_[pattern.reach_at + count - 1] != 0) {
      scope.active_.push_back(i);
    }
  }
}

void PathPatterns::advance(Scope& scope, std::string_view name) const {
  if (scope.all_) {
    return;
  }
  if (!has_negation_ && name_matches(name)) {
    scope.all_ = true;
    return;
  }
  for (const uint32_t i : multi_part_) {
    const Pattern& pattern = patterns_[i];
    const size_t count = pattern.parts.size();
    if (count == 0) {
      continue;
    }
    uint8_t* const reach = scope.reach_.data() + pattern.reach_at;
    // From the back, so that each step still sees what the one before it was.
    for (size_t j = count; j-- > 0;) {
      const Part& part = pattern.parts[j];
      const bool steps = reach[j] != 0 && !part.any_depth && part.glob.matches(name);
      const bool stays = j + 1 < count && pattern.parts[j + 1].any_depth && reach[j + 1] != 0;
      reach[j + 1] = steps || stays ? 1 : 0;
    }
    // "**" in front keeps its own place; an unanchored pattern may start again at any depth.
    reach[0] = !pattern.absolute || (pattern.parts[0].any_depth && reach[0] != 0) ? 1 : 0;
    close_over(pattern, reach);
    if (reach[count] != 0) {
      if (!has_negation_) {
        scope.all_ = true;
        return;
      }
      scope.matched_[i] = 1;
    }
  }
  collect_active(scope);
  for (const uint32_t i : whole_path_) {
    if (completes_whole(i, scope, name)) {
      scope.all_ = scope.all_ || !has_negation_;
      if (has_negation_) {
        scope.matched_[i] = 1;
      }
    }
  }
  if (!whole_path_.empty()) {
    scope.path_.emplace_back(name);
  }
}

// restic expands the first "**" to at most as many components as leave one for each part behind it,
// "**" included, so that of several only the last can always be empty ("/**/**/a" does not match
// "/a"). The sum of what the first j of k have taken is thus bounded by what the whole path is
// longer than the other parts. The lengths taken so far follow from where in pattern and path one
// is: visited places need no second look.
bool PathPatterns::matches_whole(const Pattern& pattern,
                                 std::span<const std::string_view> components, bool absolute) {
  if (pattern.absolute && !absolute) {
    return false;
  }
  const size_t root = pattern.absolute ? 1 : 0;
  const size_t length = components.size() + (absolute ? 1 : 0);
  const size_t fixed = pattern.parts.size() - pattern.any_depths + root;
  if (fixed + pattern.any_depths > length + 1) {
    return false;
  }
  const size_t last_start = pattern.absolute ? 0 : components.size();
  for (size_t start = 0; start <= last_start; ++start) {
    std::vector<bool> visited((pattern.parts.size() + 1) * (components.size() + 1));
    struct Place {
      size_t part;
      size_t at;
      size_t taken;  // by "**"
      size_t left;   // "**" not yet passed
    };
    std::vector<Place> open{{0, start, 0, pattern.any_depths}};
    while (!open.empty()) {
      const Place place = open.back();
      open.pop_back();
      if (place.part == pattern.parts.size()) {
        if (place.at > start || root == 1) {
          return true;  // a pattern that has shrunk to nothing matches nothing
        }
        continue;
      }
      const size_t number = place.part * (components.size() + 1) + place.at;
      if (visited[number]) {
        continue;
      }
      visited[number] = true;
      const Part& part = pattern.parts[place.part];
      if (!part.any_depth) {
        if (place.at < components.size() && part.glob.matches(components[place.at])) {
          open.push_back({place.part + 1, place.at + 1, place.taken, place.left});
        }
        continue;
      }
      for (size_t more = 0; place.at + more <= components.size(); ++more) {
        if (place.taken + more + fixed + place.left - 1 > length) {
          break;
        }
        open.push_back({place.part + 1, place.at + more, place.taken + more, place.left - 1});
      }
    }
  }
  return false;
}

bool PathPatterns::completes_whole(size_t index, const Scope& scope, std::string_view name) const {
  std::vector<std::string_view> components(scope.path_.begin(), scope.path_.end());
  components.push_back(name);
  return matches_whole(patterns_[index], components, scope.absolute_);
}

PathPatterns::Scope PathPatterns::scope(std::string_view directory) const {
  const std::string lowered = insensitive_ ? to_lower(directory) : std::string();
  const SplitPath split = split_path(insensitive_ ? std::string_view(lowered) : directory);
  Scope scope = start(split.absolute);
  for (const std::string_view component : split.components) {
    if (!component.empty()) {
      advance(scope, component);
    }
  }
  return scope;
}

PathPatterns::Scope PathPatterns::enter(const Scope& scope, std::string_view name) const {
  Scope below = scope;
  if (insensitive_) {
    advance(below, to_lower(name));
  } else {
    advance(below, name);
  }
  return below;
}

bool PathPatterns::name_matches(std::string_view name) const {
  if (!literal_names_.empty() && literal_names_.find(name) != literal_names_.end()) {
    return true;
  }
  if (!name.empty() && suffix_last_byte_[static_cast<unsigned char>(name.back())]) {
    for (const std::string& suffix : suffixes_) {
      if (name.ends_with(suffix)) {
        return true;
      }
    }
  }
  return std::any_of(other_globs_.begin(), other_globs_.end(),
                     [&](const Glob& glob) { return glob.matches(name); });
}

bool PathPatterns::pattern_completes(size_t index, const Scope& scope,
                                     std::string_view name) const {
  const Pattern& pattern = patterns_[index];
  if (pattern.any_depths > 1) {
    return completes_whole(index, scope, name);
  }
  const size_t count = pattern.parts.size();
  return count > 0 && scope.reach_[pattern.reach_at + count - 1] != 0 &&
         pattern.parts.back().glob.matches(name);
}

bool PathPatterns::matches_lowered(const Scope& scope, std::string_view name) const {
  if (!has_negation_) {
    return scope.all_ || name_matches(name) ||
           std::any_of(scope.active_.begin(), scope.active_.end(),
                       [&](uint32_t i) { return patterns_[i].parts.back().glob.matches(name); }) ||
           std::any_of(whole_path_.begin(), whole_path_.end(),
                       [&](uint32_t i) { return completes_whole(i, scope, name); });
  }
  bool matched = false;
  for (size_t i = 0; i < patterns_.size(); ++i) {
    const bool negated = patterns_[i].negated;
    if (matched == !negated) {
      continue;  // this pattern cannot change the answer
    }
    if (scope.matched_[i] != 0 || pattern_completes(i, scope, name)) {
      matched = !negated;
    }
  }
  return matched;
}

bool PathPatterns::matches(const Scope& scope, std::string_view name) const {
  if (patterns_.empty()) {
    return false;
  }
  return insensitive_ ? matches_lowered(scope, to_lower(name)) : matches_lowered(scope, name);
}

bool PathPatterns::child_may_match(std::span<const std::string_view> components, bool absolute,
                                   const std::vector<bool>& matched) const {
  bool may = false;
  for (size_t i = 0; i < patterns_.size(); ++i) {
    const Pattern& pattern = patterns_[i];
    if (pattern.negated) {
      may = may && !matched[i];
      continue;
    }
    if (may) {
      continue;
    }
    if (!pattern.absolute) {
      may = true;
      continue;
    }
    may = absolute;
    const size_t count = std::min(components.size(), pattern.child_parts);
    for (size_t k = 0; k < count && may; ++k) {
      may = pattern.parts[k].glob.matches(components[k]);
    }
  }
  return may;
}

PathPatterns::Match PathPatterns::match(std::string_view path) const {
  if (patterns_.empty() || path.empty()) {
    return {};
  }
  const std::string lowered = insensitive_ ? to_lower(path) : std::string();
  const SplitPath split = split_path(insensitive_ ? std::string_view(lowered) : path);
  Scope scope = start(split.absolute);
  for (size_t i = 0; i + 1 < split.components.size(); ++i) {
    advance(scope, split.components[i]);
  }
  const std::string_view last = split.components.back();
  std::vector<bool> matched(patterns_.size());
  if (has_negation_) {
    for (size_t i = 0; i < patterns_.size(); ++i) {
      matched[i] = scope.matched_[i] != 0 || pattern_completes(i, scope, last);
    }
  }
  return {matches_lowered(scope, last), child_may_match(split.components, split.absolute, matched)};
}

}  // namespace salvor
