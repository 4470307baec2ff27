#include "cli/output/table.h"

#include <algorithm>

#include "cli/output/text.h"

namespace salvor::cli {

namespace {
constexpr std::string_view kGap = "  ";
}

void Table::add_column(std::string header, Align align) {
  const size_t width = display_width(header);
  columns_.push_back({std::move(header), align, width});
}

void Table::add_row(std::vector<std::string> cells) {
  cells.resize(columns_.size());
  std::vector<Cell> row;
  for (size_t i = 0; i < cells.size(); ++i) {
    Cell lines;
    std::string_view rest = cells[i];
    for (;;) {
      const size_t end = rest.find('\n');
      lines.emplace_back(rest.substr(0, end));
      columns_[i].width = std::max(columns_[i].width, display_width(lines.back()));
      if (end == std::string_view::npos) {
        break;
      }
      rest.remove_prefix(end + 1);
    }
    row.push_back(std::move(lines));
  }
  rows_.push_back(std::move(row));
}

void Table::add_footer(std::string line) {
  footer_.push_back(std::move(line));
}

void Table::append_row(std::string& out, const std::vector<Cell>& cells) const {
  size_t height = 1;
  for (const Cell& cell : cells) {
    height = std::max(height, cell.size());
  }
  for (size_t line = 0; line < height; ++line) {
    std::string text;
    for (size_t i = 0; i < columns_.size(); ++i) {
      const std::string content = line < cells[i].size() ? cells[i][line] : std::string();
      const std::string padding(columns_[i].width - display_width(content), ' ');
      text += i == 0 ? "" : kGap;
      text += columns_[i].align == Align::kRight ? padding + content : content + padding;
    }
    text.erase(text.find_last_not_of(' ') + 1);
    out += text + "\n";
  }
}

std::string Table::text() const {
  size_t width = columns_.empty() ? 0 : kGap.size() * (columns_.size() - 1);
  std::vector<Cell> header;
  for (const Column& column : columns_) {
    width += column.width;
    header.push_back({column.header});
  }
  const std::string rule = std::string(width, '-') + "\n";
  std::string out;
  append_row(out, header);
  out += rule;
  for (const auto& row : rows_) {
    append_row(out, row);
  }
  out += rule;
  for (const std::string& line : footer_) {
    out += line + "\n";
  }
  return out;
}

}  // namespace salvor::cli
