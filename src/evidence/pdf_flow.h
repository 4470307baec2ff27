// Text and tables down the pages of a PDF: what an evidence report is made of.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "evidence/pdf.h"

namespace salvor {

namespace pdf_colors {
inline constexpr PdfColor kInk{0.11F, 0.12F, 0.14F};
inline constexpr PdfColor kSoft{0.35F, 0.39F, 0.43F};
inline constexpr PdfColor kLine{0.82F, 0.85F, 0.88F};
inline constexpr PdfColor kPanel{0.96F, 0.97F, 0.98F};
inline constexpr PdfColor kPaper{1.0F, 1.0F, 1.0F};
inline constexpr PdfColor kGood{0.07F, 0.39F, 0.16F};
inline constexpr PdfColor kGoodPanel{0.86F, 0.98F, 0.88F};
inline constexpr PdfColor kBad{0.64F, 0.05F, 0.15F};
inline constexpr PdfColor kBadPanel{1.0F, 0.92F, 0.91F};
inline constexpr PdfColor kBar{0.18F, 0.44F, 0.86F};
}  // namespace pdf_colors

struct PdfCell {
  std::string text;
  PdfColor color = pdf_colors::kInk;
  bool bold = false;
};

// Keeps the place on the page and begins new pages. Not thread-safe.
class PdfFlow {
 public:
  static constexpr double kMargin = 48;
  static constexpr double kTextWidth = PdfDocument::kWidth - 2 * kMargin;

  explicit PdfFlow(const PdfOptions& options);

  [[nodiscard]] PdfDocument& document() { return document_; }
  [[nodiscard]] double y() const { return y_; }
  void skip(double points) { y_ += points; }
  // Begins a new page when less than so much is left.
  void need(double points);

  void title(std::string_view text);
  void heading(std::string_view text);
  void paragraph(std::string_view text, const PdfStyle& style = {});
  // A box with a headline and a sentence.
  void verdict(bool good, std::string_view headline, std::string_view sentence);
  void facts(const std::vector<std::pair<std::string, std::string>>& facts);
  // Shares of the width; they should add up to 1. The header comes again on each page.
  void table(const std::vector<std::string>& headers, const std::vector<double>& shares,
             const std::vector<std::vector<PdfCell>>& rows);
  void commands(const std::vector<std::string>& lines);

  // Footers on all pages ("text - page 1 of 2"); then the file.
  [[nodiscard]] std::string finish(std::string_view footer);

 private:
  void row(const std::vector<double>& shares, const std::vector<PdfCell>& cells, double size);

  PdfDocument document_;
  double y_ = kMargin;
};

}  // namespace salvor
