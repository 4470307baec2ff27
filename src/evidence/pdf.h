// A PDF being drawn: A4 pages, texts, lines and boxes. Lengths are points (1/72 inch), y grows
// downwards from the upper edge.
//
// Without a font file the text is set in Helvetica, which every reader has, and which knows the
// characters of Windows-1252 (Western Europe). Others are written without their accents where that
// is the custom (Polish l for l with stroke), else as their code, "\u{4e2d}": nothing disappears
// silently. With a TrueType font, which is embedded, everything is written that the font has.
//
// The same calls give the same bytes.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"

namespace salvor {

struct PdfColor {
  float red = 0;
  float green = 0;
  float blue = 0;
};

struct PdfOptions {
  std::string title;
  WallTime created;  // the document's date
  std::string font;  // a TrueType file; empty: Helvetica
};

struct PdfStyle {
  double size = 10;
  bool bold = false;
  PdfColor color = {};
};

// Not thread-safe. Errors of the library are thrown by `save` as Error{kFailed}; a font that cannot
// be read by the constructor as Error{kUsage}.
class PdfDocument {
 public:
  static constexpr double kWidth = 595.276;
  static constexpr double kHeight = 841.89;

  explicit PdfDocument(const PdfOptions& options);
  ~PdfDocument();
  PdfDocument(const PdfDocument&) = delete;
  PdfDocument& operator=(const PdfDocument&) = delete;

  void add_page();  // and go there
  void go_to(size_t page);
  [[nodiscard]] size_t pages() const;

  [[nodiscard]] double width(std::string_view text, const PdfStyle& style);
  // Lines of at most `columns` points; words that are longer are broken.
  [[nodiscard]] std::vector<std::string> wrap(std::string_view text, const PdfStyle& style,
                                              double columns);
  // `y` is the base line.
  void text(double x, double y, std::string_view text, const PdfStyle& style);
  void box(double x, double y, double width, double height, const PdfColor& fill);
  void line(double x1, double y1, double x2, double y2, const PdfColor& color, double width = 0.5,
            bool dashed = false);

  [[nodiscard]] std::string save();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace salvor
