#include "evidence/report_pdf.h"

#include <algorithm>

#include <fmt/format.h>

#include "evidence/pdf_flow.h"

namespace salvor {
namespace {

using namespace pdf_colors;

constexpr double kLabels = 118;
constexpr double kRow = 19;

double x_of(double share) {
  return PdfFlow::kMargin + kLabels + share * (PdfFlow::kTextWidth - kLabels);
}

std::string fitted(PdfDocument& document, const std::string& text, const PdfStyle& style,
                   double width) {
  if (document.width(text, style) <= width) {
    return text;
  }
  const std::vector<std::string> lines =
      document.wrap(text, style, std::max(10.0, width - document.width("…", style)));
  return lines.empty() ? "" : lines[0] + "…";
}

void draw_bar(PdfDocument& document, const ReportBar& bar, double y) {
  const PdfStyle label{.size = 8.5, .bold = false, .color = kInk};
  const PdfStyle note{.size = 7.5, .bold = false, .color = kSoft};
  document.text(PdfFlow::kMargin, y + 12, fitted(document, bar.title, label, kLabels - 8), label);
  if (!bar.shown) {
    document.text(x_of(0) + 2, y + 12, bar.note, note);
    return;
  }
  const double from = x_of(bar.from);
  const double to = std::max(from + 1.5, x_of(bar.to));
  document.box(from, y + 5, to - from, kRow - 9,
               bar.mark == Mark::kGood  ? kBar
               : bar.mark == Mark::kBad ? kBad
                                        : kLine);
  const double room_left = from - x_of(0) - 8;
  const double room_right = PdfFlow::kMargin + PdfFlow::kTextWidth - to - 6;
  const std::string text = fitted(document, bar.note, note, std::max(room_left, room_right));
  const double width = document.width(text, note);
  const double x = width > room_right ? from - 5 - width : to + 5;
  document.box(x - 1.5, y + 4, width + 3, 11, kPaper);  // no line runs through it
  document.text(x, y + 12, text, note);
}

void draw_marker(PdfDocument& document, double share, const std::string& text,
                 const PdfColor& color, double top, double bottom) {
  const PdfStyle style{.size = 7.5, .bold = true, .color = color};
  const double x = x_of(share);
  document.line(x, top + 10, x, bottom, color, 0.9, true);
  const double width = document.width(text, style);
  document.text(share > 0.75 ? x - width - 3 : x + 3, top + 8, text, style);
}

void draw_timeline(PdfFlow& flow, const ReportTimeline& line) {
  const double height = 14 + kRow * static_cast<double>(line.bars.size()) + 18;
  flow.need(height);
  PdfDocument& document = flow.document();
  const double top = flow.y();
  const double bottom = top + height - 16;
  const PdfStyle tick_style{.size = 7.5, .bold = false, .color = kSoft};
  for (const ReportTick& tick : line.ticks) {
    document.line(x_of(tick.at), top + 12, x_of(tick.at), bottom, kLine, 0.4);
    const double width = document.width(tick.label, tick_style);
    const double right = PdfFlow::kMargin + PdfFlow::kTextWidth;
    document.text(std::min(x_of(tick.at) - width / 2, right - width), bottom + 10, tick.label,
                  tick_style);
  }
  if (line.declared) {
    draw_marker(document, *line.declared, "failure", kBad, top, bottom);
  }
  if (line.service_ok) {
    draw_marker(document, *line.service_ok, "service is back", kGood, top, bottom);
  }
  // Notes stand before all lines.
  double y = top + 13;
  for (const ReportBar& bar : line.bars) {
    draw_bar(document, bar, y);
    y += kRow;
  }
  flow.skip(height);
}

PdfCell mark(bool good, const std::string& text) {
  return {text, good ? kGood : kBad, true};
}

void tiles(PdfFlow& flow, const ReportPage& page) {
  if (page.measures.empty()) {
    return;
  }
  const ReportMeasure& first = page.measures.front();
  const auto passed = std::count_if(page.checks.begin(), page.checks.end(),
                                    [](const ReportCheck& check) { return check.passed; });
  struct Tile {
    std::string value;
    bool good;
    std::string label;
  };
  const Tile all[] = {{first.rto, first.rto_met, "recovery time, objective " + first.rto_objective},
                      {first.rpo, first.rpo_met, "data lost, objective " + first.rpo_objective},
                      {fmt::format("{} of {}", passed, page.checks.size()),
                       passed == static_cast<long>(page.checks.size()), "checks passed"}};
  constexpr double kGap = 10;
  constexpr double kHeight = 44;
  const double width = (PdfFlow::kTextWidth - 2 * kGap) / 3;
  flow.need(kHeight);
  double x = PdfFlow::kMargin;
  for (const Tile& tile : all) {
    flow.document().box(x, flow.y(), width, kHeight, kPanel);
    flow.document().text(x + 10, flow.y() + 20, tile.value,
                         {.size = 14, .bold = true, .color = tile.good ? kGood : kBad});
    flow.document().text(x + 10, flow.y() + 35, tile.label,
                         {.size = 8, .bold = false, .color = kSoft});
    x += width + kGap;
  }
  flow.skip(kHeight + 4);
}

void steps_table(PdfFlow& flow, const ReportPage& page) {
  std::vector<std::vector<PdfCell>> rows;
  for (const ReportStep& step : page.steps) {
    rows.push_back({{step.title},
                    step.mark == Mark::kNeutral ? PdfCell{step.state}
                                                : mark(step.mark == Mark::kGood, step.state),
                    {step.took},
                    {step.after},
                    {step.what}});
  }
  if (!rows.empty()) {
    flow.heading("Steps");
    flow.table({"Step", "Result", "Took", "After the failure", "What it did"},
               {0.22, 0.10, 0.12, 0.15, 0.41}, rows);
  }
}

void tables(PdfFlow& flow, const ReportPage& page) {
  std::vector<std::vector<PdfCell>> rows;
  for (const ReportMeasure& row : page.measures) {
    const bool met = row.rto_met && row.rpo_met;
    rows.push_back({{row.what},
                    {row.rto},
                    {row.rto_objective},
                    {row.rpo},
                    {row.rpo_objective},
                    mark(met, met ? "met" : "missed")});
  }
  if (!rows.empty()) {
    flow.heading("Objectives");
    flow.table({"What", "Recovery time", "Objective", "Data lost", "Objective", ""},
               {0.24, 0.18, 0.16, 0.18, 0.14, 0.10}, rows);
  }
  rows.clear();
  for (const std::vector<std::string>& point : page.points) {
    rows.push_back({{point[0]}, {point[1]}, {point[2]}, {point[3]}, {point[4]}});
  }
  if (!rows.empty()) {
    flow.heading("What was restored");
    flow.table({"Source", "Snapshot", "Asked for", "Data until", "Restored"},
               {0.22, 0.14, 0.24, 0.26, 0.14}, rows);
  }
  rows.clear();
  for (const ReportCheck& check : page.checks) {
    rows.push_back({mark(check.passed, check.passed ? "passed" : "FAILED"),
                    {check.name},
                    {check.value},
                    {check.expected},
                    {check.duration}});
  }
  flow.heading("Checks");
  if (rows.empty()) {
    flow.paragraph("Nothing was checked.");
  } else {
    flow.table({"Result", "Check", "Found", "Expected", "Took"}, {0.11, 0.40, 0.20, 0.17, 0.12},
               rows);
  }
}

}  // namespace

std::string report_pdf(const ReportPage& page, WallTime created, const std::string& font) {
  PdfFlow flow({.title = page.title, .created = created, .font = font});
  flow.title(page.title);
  flow.verdict(page.passed, page.verdict, page.sentence);
  tiles(flow, page);
  flow.heading("The drill");
  flow.facts(page.facts);
  if (!page.timeline.bars.empty()) {
    flow.heading("Timeline");
    draw_timeline(flow, page.timeline);
  }
  steps_table(flow, page);
  tables(flow, page);
  flow.heading("Findings");
  if (page.findings.empty()) {
    flow.paragraph("None.", {.size = 9.5});
  }
  for (const std::string& finding : page.findings) {
    flow.paragraph("• " + finding, {.size = 9.5, .bold = false, .color = kInk});
  }
  flow.heading("Signature");
  flow.paragraph(page.signature,
                 {.size = 9.5, .bold = true, .color = page.believed ? kGood : kBad});
  flow.skip(3);
  flow.facts(page.signature_facts);
  flow.skip(5);
  flow.need(70);
  flow.paragraph("To verify it yourself, with nothing but the file and the public key:",
                 {.size = 9, .bold = false, .color = kSoft});
  flow.skip(3);
  flow.commands(page.how_to_verify);
  return flow.finish(page.title);
}

}  // namespace salvor
