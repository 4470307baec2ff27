// restic's include and exclude patterns ("Excluding Files" in restic's manual), decided quickly.
//
// A pattern is split at "/" into components; each is matched like a shell glob: `*` (any run), `?`
// (one character), `[a-z]`, `[^a-z]`, `\x`; a component `**` stands for any number of components. A
// pattern that begins with "/" starts at the root, any other may start at any depth. A pattern that
// matches a path matches everything below it. `!pattern` takes back what earlier patterns matched.
//
// Walking: matching a whole path against every pattern for every entry would cost more than listing
// it. A Scope holds what a directory's path has already decided, so an entry costs a look at its
// own name:
//
//   PathPatterns::Scope scope = patterns.scope("/home/me");
//   if (!patterns.matches(scope, "notes.txt")) ...
//   PathPatterns::Scope below = patterns.enter(scope, "src");
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

namespace salvor {

// One path component's glob, compiled. Follows Go's filepath.Match, which defines restic's
// behaviour, to the letter (bytes that are not UTF-8 count as one character each). Immutable.
class Glob {
 public:
  // Nothing when `text` is malformed: unclosed or empty class, trailing backslash.
  [[nodiscard]] static std::optional<Glob> parse(std::string_view text);
  // `name` must not contain '/'.
  [[nodiscard]] bool matches(std::string_view name) const;

  enum class Kind : uint8_t { kAny, kLiteral, kPrefix, kSuffix, kGeneral };
  [[nodiscard]] Kind kind() const { return kind_; }
  // The fixed text of kLiteral, kPrefix and kSuffix.
  [[nodiscard]] std::string_view text() const { return text_; }

 private:
  struct Range {
    char32_t low;
    char32_t high;
  };
  struct Token {
    enum class Type : uint8_t { kByte, kAnyRune, kClass } type = Type::kByte;
    char byte = 0;
    bool negated = false;
    std::vector<Range> ranges;
  };
  // A run of tokens, preceded by a star or not.
  struct Chunk {
    bool star = false;
    std::vector<Token> tokens;
  };

  [[nodiscard]] static std::optional<Token> parse_class(std::string_view& rest);
  // Bytes of `name` that the chunk takes from its start; nothing when it does not match there.
  [[nodiscard]] static std::optional<size_t> match_chunk(const Chunk& chunk, std::string_view name);
  void simplify();

  Kind kind_ = Kind::kGeneral;
  std::string text_;
  std::vector<Chunk> chunks_;
};

// A list of patterns, in order. Immutable once made; thread-safe.
class PathPatterns {
 public:
  enum class Case { kSensitive, kInsensitive };

  // Matches nothing.
  PathPatterns() = default;
  // Empty patterns are ignored. Throws Error{kUsage} that names every malformed pattern.
  explicit PathPatterns(std::span<const std::string> patterns, Case sensitivity = Case::kSensitive);

  [[nodiscard]] bool empty() const { return patterns_.empty(); }

  struct Match {
    bool matched = false;
    // For include lists: something below this path might match.
    bool child_may_match = false;
  };
  // `path` is cleaned ("/a/b", "a/b"); an empty one matches nothing.
  [[nodiscard]] Match match(std::string_view path) const;

  // What a directory's path decides about its entries. A value; belongs to the list that made it.
  class Scope {
    friend class PathPatterns;
    bool all_ = false;              // everything below matches (lists without negation)
    std::vector<uint8_t> reach_;    // per multi-component pattern: its leading parts that end here
    std::vector<uint8_t> matched_;  // per pattern: it matched a parent (lists with negation)
    std::vector<uint32_t>
        active_;  // multi-component patterns of which only the last part is missing
    // For patterns with several "**", which look at whole paths.
    bool absolute_ = false;
    std::vector<std::string> path_;
  };
  [[nodiscard]] Scope scope(std::string_view directory) const;
  // The scope of a sub-directory.
  [[nodiscard]] Scope enter(const Scope& scope, std::string_view name) const;
  // As match(directory + "/" + name).matched.
  [[nodiscard]] bool matches(const Scope& scope, std::string_view name) const;

 private:
  struct Part {
    bool any_depth = false;  // "**"
    Glob glob;
  };
  struct Pattern {
    bool negated = false;
    bool absolute = false;
    std::vector<Part> parts;    // without the leading "/" and trailing "**"
    size_t child_parts = 0;     // parts before the first "**"
    size_t reach_at = 0;        // where its parts.size() + 1 flags stand in Scope::reach_
    bool matches_root = false;  // "/" and "/**": everything absolute
    size_t any_depths = 0;      // how many "**" it has; with several, `parts` has them all
  };

  [[nodiscard]] static std::optional<Pattern> parse(std::string_view text);
  void index_single_parts();
  [[nodiscard]] Scope start(bool absolute) const;
  void advance(Scope& scope, std::string_view name) const;
  // Leading parts reached without consuming a component.
  static void close_over(const Pattern& pattern, uint8_t* reach);
  void collect_active(Scope& scope) const;
  [[nodiscard]] bool name_matches(std::string_view name) const;
  [[nodiscard]] bool child_may_match(std::span<const std::string_view> components, bool absolute,
                                     const std::vector<bool>& matched) const;
  [[nodiscard]] bool matches_lowered(const Scope& scope, std::string_view name) const;
  [[nodiscard]] bool pattern_completes(size_t index, const Scope& scope,
                                       std::string_view name) const;

  [[nodiscard]] static bool matches_whole(const Pattern& pattern,
                                          std::span<const std::string_view> components,
                                          bool absolute);
  // As pattern_completes, for a pattern with several "**".
  [[nodiscard]] bool completes_whole(size_t index, const Scope& scope, std::string_view name) const;

  struct TextHash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };

  bool insensitive_ = false;
  bool has_negation_ = false;
  std::vector<Pattern> patterns_;
  size_t reach_size_ = 0;
  // Lists without negation: patterns of one component, sorted by how they can be decided.
  std::unordered_set<std::string, TextHash, std::equal_to<>> literal_names_;
  std::vector<std::string> suffixes_;
  bool suffix_last_byte_[256] = {};
  std::vector<Glob> other_globs_;
  std::vector<uint32_t> multi_part_;  // indexes of the rest,
  std::vector<uint32_t> whole_path_;  // except those with several "**"
};

}  // namespace salvor
