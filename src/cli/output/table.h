// Tables as restic prints them: header, rule, rows, rule, footer.
#pragma once

#include <string>
#include <vector>

namespace salvor::cli {

// Columns are as wide as their widest cell, by what a terminal shows (wide characters count two).
// Cells may have several lines. Not thread-safe.
class Table {
 public:
  enum class Align : uint8_t { kLeft, kRight };

  void add_column(std::string header, Align align = Align::kLeft);
  // As many cells as columns. Cells must be printable already (base/format.h); '\n' parts lines.
  void add_row(std::vector<std::string> cells);
  void add_footer(std::string line);
  [[nodiscard]] size_t rows() const { return rows_.size(); }

  // Ends in a newline. No trailing spaces.
  [[nodiscard]] std::string text() const;

 private:
  using Cell = std::vector<std::string>;  // its lines

  struct Column {
    std::string header;
    Align align;
    size_t width;
  };
  void append_row(std::string& out, const std::vector<Cell>& cells) const;

  std::vector<Column> columns_;
  std::vector<std::vector<Cell>> rows_;
  std::vector<std::string> footer_;
};

}  // namespace salvor::cli
