#include "evidence/pdf_flow.h"

#include <algorithm>

#include <fmt/format.h>

namespace salvor {
namespace {

using namespace pdf_colors;

constexpr double kBottom = PdfDocument::kHeight - 58;  // above the footer
constexpr double kGap = 8;                             // between columns
constexpr double kTableSize = 9;

double line_height(double size) {
  return size * 1.36;
}

// A cell is not longer than a page; what is cut off shows it. The statement has all of it.
void cut_to_page(std::vector<std::string>& lines, double size) {
  constexpr double kBesides = 40;  // the header, and what stands around the text
  const auto most =
      static_cast<size_t>((kBottom - PdfFlow::kMargin - kBesides) / line_height(size));
  if (lines.size() > most) {
    lines.resize(most);
    lines.back() = "…";
  }
}

}  // namespace

PdfFlow::PdfFlow(const PdfOptions& options) : document_(options) {
  document_.add_page();
}

void PdfFlow::need(double points) {
  if (y_ + points > kBottom && y_ > kMargin) {
    document_.add_page();
    y_ = kMargin;
  }
}

void PdfFlow::title(std::string_view text) {
  paragraph(text, {.size = 18, .bold = true, .color = kInk});
  skip(4);
}

void PdfFlow::heading(std::string_view text) {
  skip(12);
  need(96);  // with the beginning of what it stands above
  paragraph(text, {.size = 11.5, .bold = true, .color = kInk});
  document_.line(kMargin, y_ + 1, kMargin + kTextWidth, y_ + 1, kLine);
  skip(8);
}

void PdfFlow::paragraph(std::string_view text, const PdfStyle& style) {
  for (const std::string& line : document_.wrap(text, style, kTextWidth)) {
    need(line_height(style.size));
    y_ += line_height(style.size);
    document_.text(kMargin, y_ - style.size * 0.3, line, style);
  }
}

void PdfFlow::verdict(bool good, std::string_view headline, std::string_view sentence) {
  const PdfColor color = good ? kGood : kBad;
  const PdfStyle small{.size = 10.5, .bold = false, .color = kInk};
  const std::vector<std::string> lines = document_.wrap(sentence, small, kTextWidth - 28);
  const double height = 30 + line_height(small.size) * static_cast<double>(lines.size()) + 10;
  need(height);
  document_.box(kMargin, y_, kTextWidth, height, good ? kGoodPanel : kBadPanel);
  document_.box(kMargin, y_, 4, height, color);
  document_.text(kMargin + 16, y_ + 21, headline, {.size = 13, .bold = true, .color = color});
  double at = y_ + 24;
  for (const std::string& line : lines) {
    at += line_height(small.size);
    document_.text(kMargin + 16, at - 1, line, small);
  }
  y_ += height + 6;
}

// Short ones stand in two columns.
void PdfFlow::facts(const std::vector<std::pair<std::string, std::string>>& facts) {
  constexpr double kNames = 92;
  constexpr double kHalf = kTextWidth / 2;
  const PdfStyle name_style{.size = 9, .bold = false, .color = kSoft};
  const PdfStyle style{.size = 9, .bold = false, .color = kInk};
  bool right = false;
  for (size_t i = 0; i < facts.size(); ++i) {
    const auto fits = [&](size_t at) {
      return at < facts.size() && document_.width(facts[at].second, style) < kHalf - kNames - kGap;
    };
    const bool paired = right || (fits(i) && fits(i + 1));
    const auto lines =
        document_.wrap(facts[i].second, style, (paired ? kHalf : kTextWidth) - kNames);
    need(line_height(9) * static_cast<double>(lines.size()));
    const double x = kMargin + (right ? kHalf : 0);
    document_.text(x, y_ + 9, facts[i].first, name_style);
    double at = y_;
    for (const std::string& line : lines) {
      document_.text(x + kNames, at + 9, line, style);
      at += line_height(9);
    }
    right = paired && !right;
    y_ = right ? y_ : at;
  }
}

void PdfFlow::row(const std::vector<double>& shares, const std::vector<PdfCell>& cells,
                  double size) {
  std::vector<std::vector<std::string>> wrapped;
  size_t most = 1;
  for (size_t i = 0; i < cells.size(); ++i) {
    const PdfStyle style{.size = size, .bold = cells[i].bold, .color = cells[i].color};
    wrapped.push_back(document_.wrap(cells[i].text, style, shares[i] * kTextWidth - kGap));
    cut_to_page(wrapped.back(), size);
    most = std::max(most, wrapped.back().size());
  }
  const double height = line_height(size) * static_cast<double>(most) + 5;
  need(height);
  double x = kMargin;
  for (size_t i = 0; i < cells.size(); ++i) {
    const PdfStyle style{.size = size, .bold = cells[i].bold, .color = cells[i].color};
    double at = y_ + size + 2;
    for (const std::string& line : wrapped[i]) {
      document_.text(x, at, line, style);
      at += line_height(size);
    }
    x += shares[i] * kTextWidth;
  }
  y_ += height;
  document_.line(kMargin, y_, kMargin + kTextWidth, y_, kLine, 0.4);
}

void PdfFlow::table(const std::vector<std::string>& headers, const std::vector<double>& shares,
                    const std::vector<std::vector<PdfCell>>& rows) {
  std::vector<PdfCell> head;
  for (const std::string& header : headers) {
    head.push_back({header, kSoft, true});
  }
  need(46);
  row(shares, head, 8);
  size_t page = document_.pages();
  for (const std::vector<PdfCell>& cells : rows) {
    need(line_height(kTableSize) * 2);
    if (document_.pages() != page) {
      page = document_.pages();
      row(shares, head, 8);
    }
    row(shares, cells, kTableSize);
  }
  skip(2);
}

void PdfFlow::commands(const std::vector<std::string>& lines) {
  const PdfStyle style{.size = 8.5, .bold = false, .color = kInk};
  std::vector<std::string> all;
  for (const std::string& line : lines) {
    const auto wrapped = document_.wrap(line, style, kTextWidth - 20);
    all.insert(all.end(), wrapped.begin(), wrapped.end());
  }
  const double height = line_height(style.size) * static_cast<double>(all.size()) + 12;
  need(height);
  document_.box(kMargin, y_, kTextWidth, height, kPanel);
  double at = y_ + 5;
  for (const std::string& line : all) {
    at += line_height(style.size);
    document_.text(kMargin + 10, at - 2, line, style);
  }
  y_ += height;
}

std::string PdfFlow::finish(std::string_view footer) {
  const PdfStyle style{.size = 8, .bold = false, .color = kSoft};
  const size_t count = document_.pages();
  for (size_t page = 0; page < count; ++page) {
    document_.go_to(page);
    const double y = PdfDocument::kHeight - 34;
    document_.line(kMargin, y - 12, kMargin + kTextWidth, y - 12, kLine);
    document_.text(kMargin, y, footer, style);
    const std::string number = fmt::format("page {} of {}", page + 1, count);
    document_.text(kMargin + kTextWidth - document_.width(number, style), y, number, style);
  }
  return document_.save();
}

}  // namespace salvor
