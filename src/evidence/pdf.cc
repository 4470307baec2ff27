#include "evidence/pdf.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <hpdf.h>

#include "base/error.h"
#include "base/format.h"
#include "codec/utf8.h"

namespace salvor {
namespace {

constexpr size_t kLongestText = 2000;  // of one line; the library ends at 32 kB

// Windows-1252 between 0x80 and 0x9f.
constexpr std::array<uint32_t, 32> kWindows{
    0x20ac, 0,      0x201a, 0x192,  0x201e, 0x2026, 0x2020, 0x2021, 0x2c6,  0x2030, 0x160,
    0x2039, 0x152,  0,      0x17d,  0,      0,      0x2018, 0x2019, 0x201c, 0x201d, 0x2022,
    0x2013, 0x2014, 0x2dc,  0x2122, 0x161,  0x203a, 0x153,  0,      0x17e,  0x178};

// U+0100 to U+017F, where a letter stands for itself without its accent.
constexpr std::string_view kLatinExtendedA =
    "AaAaAaCcCcCcCcDdDdEeEeEeEeEeGgGgGgGgHhHhIiIiIiIiIiIiJjKkkLlLlLlLlLlNnNnNnnNnOoOo"
    "OoOoRrRrRrSsSsSsSsTtTtTtUuUuUuUuUuUuWwYyYZzZzZzs";

std::string transliterated(uint32_t rune) {
  if (rune == 0x132 || rune == 0x133) {
    return rune == 0x132 ? "IJ" : "ij";
  }
  if (rune >= 0x100 && rune <= 0x17f) {
    return std::string(1, kLatinExtendedA[rune - 0x100]);
  }
  switch (rune) {
    case 0x218:
      return "S";
    case 0x219:
      return "s";
    case 0x21a:
      return "T";
    case 0x21b:
      return "t";
    case 0x2192:
      return "->";
    case 0x2212:
      return "-";
    case 0x2264:
      return "<=";
    case 0x2265:
      return ">=";
    case 0x2713:
      return "+";
    case 0x2717:
      return "x";
    case 0x202f:
    case 0x2009:
      return " ";
    default:
      return fmt::format("\\u{{{:x}}}", rune);
  }
}

std::string to_windows(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const Rune rune = decode_rune(text);
    const size_t length = rune.length == 0 ? 1 : rune.length;
    const auto* windows = std::find(kWindows.begin(), kWindows.end(), rune.value);
    if (rune.value >= 0x20 && rune.value < 0x7f) {
      out += static_cast<char>(rune.value);
    } else if (rune.value >= 0xa0 && rune.value <= 0xff) {
      out += static_cast<char>(rune.value);
    } else if (rune.value > 0xff && windows != kWindows.end()) {
      out += static_cast<char>(0x80 + (windows - kWindows.begin()));
    } else {
      out += transliterated(rune.value);
    }
    text.remove_prefix(length);
  }
  return out;
}

// What is cut off shows it.
std::string shortened(std::string_view text) {
  if (text.size() <= kLongestText) {
    return std::string(text);
  }
  size_t end = kLongestText;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0U) == 0x80) {
    --end;
  }
  return std::string(text.substr(0, end)) + " …";
}

std::string ascii(std::string_view text) {
  std::string out = to_windows(text);
  std::replace_if(out.begin(), out.end(), [](char c) { return (c & 0x80) != 0; }, '?');
  return out;
}

}  // namespace

struct PdfDocument::State {
  HPDF_Doc document = nullptr;
  std::vector<HPDF_Page> pages;
  HPDF_Page page = nullptr;
  HPDF_Font regular = nullptr;
  HPDF_Font bold = nullptr;
  bool unicode = false;
  HPDF_STATUS error = 0;

  [[nodiscard]] std::string encoded(std::string_view text) const {
    const std::string clean = printable(text.substr(0, kLongestText));
    return unicode ? clean : to_windows(clean);
  }
  [[nodiscard]] HPDF_Font font(const PdfStyle& style) const { return style.bold ? bold : regular; }
  // From encoded text.
  [[nodiscard]] double width(const std::string& text, const PdfStyle& style) const {
    const HPDF_TextWidth measured =
        HPDF_Font_TextWidth(font(style), reinterpret_cast<const HPDF_BYTE*>(text.data()),
                            static_cast<HPDF_UINT>(text.size()));
    return measured.width * style.size / 1000;
  }
};

namespace {

void note_error(HPDF_STATUS error, HPDF_STATUS, void* to) {
  auto* first = static_cast<HPDF_STATUS*>(to);
  if (*first == 0) {
    *first = error;
  }
}

HPDF_Date date_of(WallTime time) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(time);
  const auto day = std::chrono::floor<std::chrono::days>(seconds);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(seconds - day);
  return {.year = static_cast<int>(date.year()),
          .month = static_cast<int>(static_cast<unsigned>(date.month())),
          .day = static_cast<int>(static_cast<unsigned>(date.day())),
          .hour = static_cast<int>(clock.hours().count()),
          .minutes = static_cast<int>(clock.minutes().count()),
          .seconds = static_cast<int>(clock.seconds().count()),
          .ind = 'Z',
          .off_hour = 0,
          .off_minutes = 0};
}

}  // namespace

PdfDocument::PdfDocument(const PdfOptions& options) : state_(std::make_unique<State>()) {
  State& state = *state_;
  state.document = HPDF_New(note_error, &state.error);
  if (state.document == nullptr) {
    throw Error(ErrorCode::kFailed, "out of memory while making a PDF");
  }
  HPDF_SetCompressionMode(state.document, HPDF_COMP_ALL);
  HPDF_SetInfoAttr(state.document, HPDF_INFO_TITLE, ascii(options.title).c_str());
  HPDF_SetInfoAttr(state.document, HPDF_INFO_CREATOR, "Salvor");
  HPDF_SetInfoDateAttr(state.document, HPDF_INFO_CREATION_DATE, date_of(options.created));
  if (options.font.empty()) {
    state.regular = HPDF_GetFont(state.document, "Helvetica", "WinAnsiEncoding");
    state.bold = HPDF_GetFont(state.document, "Helvetica-Bold", "WinAnsiEncoding");
    return;
  }
  HPDF_UseUTFEncodings(state.document);
  const char* name = HPDF_LoadTTFontFromFile(state.document, options.font.c_str(), HPDF_TRUE);
  state.regular = name == nullptr ? nullptr : HPDF_GetFont(state.document, name, "UTF-8");
  state.bold = state.regular;
  state.unicode = true;
  if (state.regular == nullptr) {
    HPDF_Free(state.document);
    throw Error(ErrorCode::kUsage,
                fmt::format("{} is no TrueType font that can be embedded (0x{:04x})", options.font,
                            static_cast<unsigned>(state.error)),
                "Debian's fonts-dejavu-core has /usr/share/fonts/truetype/dejavu/DejaVuSans.ttf.");
  }
}

PdfDocument::~PdfDocument() {
  HPDF_Free(state_->document);
}

void PdfDocument::add_page() {
  state_->page = HPDF_AddPage(state_->document);
  HPDF_Page_SetWidth(state_->page, static_cast<float>(kWidth));
  HPDF_Page_SetHeight(state_->page, static_cast<float>(kHeight));
  state_->pages.push_back(state_->page);
}

void PdfDocument::go_to(size_t page) {
  state_->page = state_->pages.at(page);
}

size_t PdfDocument::pages() const {
  return state_->pages.size();
}

double PdfDocument::width(std::string_view text, const PdfStyle& style) {
  return state_->width(state_->encoded(text), style);
}

std::vector<std::string> PdfDocument::wrap(std::string_view text, const PdfStyle& style,
                                           double columns) {
  std::vector<std::string> lines;
  std::string line;
  const std::string limited = shortened(text);
  text = limited;
  while (!text.empty()) {
    const size_t space = std::min(text.find(' '), text.size());
    std::string word(text.substr(0, space));
    text.remove_prefix(std::min(space + 1, text.size()));
    const std::string longer = line.empty() ? word : line + " " + word;
    if (width(longer, style) <= columns) {
      line = longer;
      continue;
    }
    if (!line.empty()) {
      lines.push_back(line);
    }
    while (width(word, style) > columns) {
      size_t cut = 0;
      for (size_t next = 0; next < word.size();) {
        next += std::max(1U, decode_rune(std::string_view(word).substr(next)).length);
        if (cut > 0 && width(word.substr(0, next), style) > columns) {
          break;
        }
        cut = next;
      }
      lines.push_back(word.substr(0, cut));
      word.erase(0, cut);
      if (word.empty()) {
        break;
      }
    }
    line = word;
  }
  if (!line.empty() || lines.empty()) {
    lines.push_back(line);
  }
  return lines;
}

void PdfDocument::text(double x, double y, std::string_view text, const PdfStyle& style) {
  HPDF_Page page = state_->page;
  HPDF_Page_BeginText(page);
  HPDF_Page_SetFontAndSize(page, state_->font(style), static_cast<float>(style.size));
  HPDF_Page_SetRGBFill(page, style.color.red, style.color.green, style.color.blue);
  HPDF_Page_TextOut(page, static_cast<float>(x), static_cast<float>(kHeight - y),
                    state_->encoded(text).c_str());
  HPDF_Page_EndText(page);
}

void PdfDocument::box(double x, double y, double width, double height, const PdfColor& fill) {
  HPDF_Page page = state_->page;
  HPDF_Page_SetRGBFill(page, fill.red, fill.green, fill.blue);
  HPDF_Page_Rectangle(page, static_cast<float>(x), static_cast<float>(kHeight - y - height),
                      static_cast<float>(width), static_cast<float>(height));
  HPDF_Page_Fill(page);
}

void PdfDocument::line(double x1, double y1, double x2, double y2, const PdfColor& color,
                       double width, bool dashed) {
  HPDF_Page page = state_->page;
  static constexpr HPDF_UINT16 kDash[] = {3, 2};
  HPDF_Page_SetDash(page, dashed ? kDash : nullptr, dashed ? 2 : 0, 0);
  HPDF_Page_SetLineWidth(page, static_cast<float>(width));
  HPDF_Page_SetRGBStroke(page, color.red, color.green, color.blue);
  HPDF_Page_MoveTo(page, static_cast<float>(x1), static_cast<float>(kHeight - y1));
  HPDF_Page_LineTo(page, static_cast<float>(x2), static_cast<float>(kHeight - y2));
  HPDF_Page_Stroke(page);
}

std::string PdfDocument::save() {
  HPDF_SaveToStream(state_->document);
  std::string out(HPDF_GetStreamSize(state_->document), '\0');
  auto size = static_cast<HPDF_UINT32>(out.size());
  HPDF_ResetStream(state_->document);
  HPDF_ReadFromStream(state_->document, reinterpret_cast<HPDF_BYTE*>(out.data()), &size);
  // Reading to the very end is an "error" to the library.
  constexpr HPDF_STATUS kEndOfStream = HPDF_STREAM_EOF;
  if ((state_->error != 0 && state_->error != kEndOfStream) || size != out.size()) {
    throw Error(ErrorCode::kFailed, fmt::format("the PDF could not be made (libharu 0x{:04x})",
                                                static_cast<unsigned>(state_->error)));
  }
  return out;
}

}  // namespace salvor
