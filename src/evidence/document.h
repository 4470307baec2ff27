// A document of headings, paragraphs, lists, tables and commands, as Markdown or as a page
// (html.h).
//
// In texts, `...` is code; everything else is taken literally, whatever it holds. Values from a
// configuration go through `literal`, so that they cannot end a code span.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace salvor {

class Document {
 public:
  void heading(int level, std::string text);  // 1 to 3
  void paragraph(std::string text);
  void list(std::vector<std::string> items);
  void table(std::vector<std::string> headers, std::vector<std::vector<std::string>> rows);
  // `name` tells blocks apart for those who run them: "files-uploads"; language "sh" or "python".
  void code(std::string language, std::string name, std::string text);

  [[nodiscard]] std::string markdown() const;
  [[nodiscard]] std::string html() const;  // the title is the first heading
  // As code, without back quotes and line breaks.
  [[nodiscard]] static std::string literal(std::string_view value);

 private:
  enum class Kind : uint8_t { kHeading, kParagraph, kList, kTable, kCode };
  struct Block {
    Kind kind = Kind::kParagraph;
    int level = 0;
    std::string text;
    std::string language;
    std::string name;
    std::vector<std::string> items;
    std::vector<std::vector<std::string>> rows;
  };
  std::vector<Block> blocks_;
};

// 'it'\''s': one word for a shell.
[[nodiscard]] std::string shell_word(std::string_view text);

}  // namespace salvor
