// What is wrong with a configuration, and where: every mistake has a place, the line it stands in
// with a mark below it, and the fix.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace salvor::config {

// Where a value was written. Lines and columns count from 1, columns in bytes; line 0: the source
// as a whole (a variable has no lines).
struct Place {
  uint32_t source = 0;  // index into SourceTexts
  uint32_t line = 0;
  uint32_t column = 0;
  uint32_t length = 1;  // of the text that is marked
  auto operator<=>(const Place&) const = default;
};

// Something that values come from.
struct SourceText {
  enum Kind : uint8_t {
    kFile,
    kVariable,  // SALVOR_SOURCES_DB_SCHEDULE
    kFlag,      // --set
    kUsual,     // a variable that everybody knows: DATABASE_URL
    kDefault,   // nobody said it
  };
  Kind kind = kFile;
  std::string name;  // as messages show it
  std::string text;  // of a file: its content with "\n" line ends
};

// All sources of one load, in the order in which mistakes are shown. Not thread-safe.
class SourceTexts {
 public:
  uint32_t add(SourceText source) {
    sources_.push_back(std::move(source));
    return static_cast<uint32_t>(sources_.size() - 1);
  }
  [[nodiscard]] const SourceText& at(uint32_t index) const { return sources_.at(index); }
  // "salvor.yaml:3:5", "SALVOR_SCHEDULE", "default".
  [[nodiscard]] std::string describe(const Place& place) const;
  // Without the column: "salvor.yaml:3".
  [[nodiscard]] std::string origin(const Place& place) const;
  // The line of a place, printable, without its newline and with everything that may be a secret
  // replaced by "***". Empty for what has no lines.
  [[nodiscard]] std::string safe_line(const Place& place) const;
  // From now on the text at `place` to the end of its line, and the lines up to `last_line`, are
  // shown as "***".
  void hide(const Place& place, uint32_t last_line = 0) { hidden_.emplace(place, last_line); }

 private:
  std::vector<SourceText> sources_;
  std::map<Place, uint32_t> hidden_;
};

struct Problem {
  Place place;
  std::string what;  // lower case, no full stop
  std::string hint;  // sentences; may be empty
  bool warning = false;
  auto operator<=>(const Problem&) const = default;
};

// Collects; the same problem counts once. Beyond kMost only the number is kept. Not thread-safe.
class Problems {
 public:
  static constexpr size_t kMost = 200;

  void add(const Place& place, std::string what, std::string hint = {});
  void warn(const Place& place, std::string what, std::string hint = {});
  [[nodiscard]] size_t errors() const;
  // By source, line and column.
  [[nodiscard]] std::vector<Problem> sorted() const;

 private:
  std::set<Problem> all_;
  size_t more_ = 0;
};

// "salvor.yaml:3:5: unknown key \"retension\"", the line, the mark, "HINT: ...". Ends in a newline.
[[nodiscard]] std::string render(const Problem& problem, const SourceTexts& sources);
// The same without the place, for a document that has it elsewhere: JSON.
[[nodiscard]] std::string shown(std::string_view text);
// ` Did you mean "retention"?`, or the list of what is possible when nothing is near and it is
// short.
[[nodiscard]] std::string did_you_mean(std::string_view typed,
                                       const std::vector<std::string>& candidates);
// "a", "a and b", "a, b and c".
[[nodiscard]] std::string enumerate(const std::vector<std::string>& words,
                                    std::string_view last = "and");

// Whether a key of that name usually has a secret as its value.
[[nodiscard]] bool names_secret(std::string_view key);
// Replaces passwords in URLs and what follows a key that names a secret by "***".
[[nodiscard]] std::string mask_secrets(std::string_view line);
// Whether a URL with a password stands in it.
[[nodiscard]] bool has_url_password(std::string_view text);

}  // namespace salvor::config
