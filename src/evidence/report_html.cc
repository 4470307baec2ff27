#include "evidence/report_html.h"

#include <algorithm>

#include <fmt/format.h>

#include "codec/utf8.h"
#include "evidence/html.h"

namespace salvor {
namespace {

constexpr double kWidth = 900;
constexpr double kLabels = 210;  // left of the bars
constexpr double kRow = 30;
constexpr double kTop = 24;
constexpr size_t kTitleRunes = 30;
constexpr size_t kNoteRunes = 60;
constexpr double kRuneWidth = 6.2;  // of the notes, on average

std::string shortened(std::string_view text, size_t runes) {
  size_t at = 0;
  for (size_t count = 0; at < text.size(); ++count) {
    if (count == runes) {
      return std::string(text.substr(0, at)) + "…";
    }
    at += std::max(1U, decode_rune(text.substr(at)).length);
  }
  return std::string(text);
}

double x_of(double share) {
  return kLabels + share * (kWidth - kLabels - 10);
}

std::string svg_marker(double share, std::string_view css, std::string_view label, double height) {
  const double x = x_of(share);
  // The label stands on the side that has room.
  const bool left = share > 0.75;
  return fmt::format(
      "<line class=\"{0}\" x1=\"{1:.1f}\" y1=\"{2:.1f}\" x2=\"{1:.1f}\" y2=\"{3:.1f}\"/>"
      "<text class=\"{0}-text\" x=\"{4:.1f}\" y=\"13\" text-anchor=\"{5}\">{6}</text>\n",
      css, x, kTop - 6, height - 22, left ? x - 4 : x + 4, left ? "end" : "start", label);
}

std::string svg_bar(const ReportBar& bar, double y) {
  std::string out = fmt::format("<text x=\"{:.0f}\" y=\"{:.1f}\" text-anchor=\"end\">{}</text>",
                                kLabels - 12, y + 18, html_text(shortened(bar.title, kTitleRunes)));
  if (!bar.shown) {
    return out + fmt::format("<text class=\"tick note\" x=\"{:.1f}\" y=\"{:.1f}\">{}</text>\n",
                             x_of(0) + 4, y + 18, html_text(shortened(bar.note, kNoteRunes)));
  }
  const double from = x_of(bar.from);
  const double width = std::max(2.0, x_of(bar.to) - from);
  const char* css = bar.mark == Mark::kGood ? "bar" : bar.mark == Mark::kBad ? "fail" : "idle";
  out += fmt::format(
      "<rect class=\"{}\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.0f}\" "
      "rx=\"3\"><title>{}: {}</title></rect>",
      css, from, y + 6, width, kRow - 14, html_text(bar.title), html_text(bar.text));
  // The note stands behind the bar where it has room there, and takes no more than there is.
  const double room_left = from - x_of(0);
  const double room_right = kWidth - from - width;
  const auto runes = static_cast<size_t>(std::max(room_left, room_right) / kRuneWidth);
  const std::string note = html_text(shortened(bar.note, std::min(runes, kNoteRunes)));
  const bool left = room_right < static_cast<double>(bar.note.size()) * kRuneWidth + 12;
  out += fmt::format(
      "<text class=\"tick note\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\">{}</text>\n",
      left ? from - 6 : from + width + 6, y + 18, left ? "end" : "start", note);
  return out;
}

std::string timeline_svg(const ReportTimeline& line) {
  const double height = kTop + kRow * static_cast<double>(line.bars.size()) + 26;
  std::string out = fmt::format(
      "<svg viewBox=\"0 0 {:.0f} {:.0f}\" role=\"img\" aria-labelledby=\"timeline-title "
      "timeline-text\">\n<title id=\"timeline-title\">Timeline of the recovery</title>\n<desc "
      "id=\"timeline-text\">{}</desc>\n",
      kWidth, height, html_text(line.summary));
  for (const ReportTick& tick : line.ticks) {
    out += fmt::format(
        "<line class=\"grid\" x1=\"{0:.1f}\" y1=\"{1:.0f}\" x2=\"{0:.1f}\" y2=\"{2:.1f}\"/>"
        "<text class=\"tick\" x=\"{0:.1f}\" y=\"{3:.1f}\" text-anchor=\"{4}\">{5}</text>\n",
        x_of(tick.at), kTop, height - 22, height - 7, tick.at > 0.97 ? "end" : "middle",
        html_text(tick.label));
  }
  if (line.declared) {
    out += svg_marker(*line.declared, "from", "failure", height);
  }
  if (line.service_ok) {
    out += svg_marker(*line.service_ok, "until", "service is back", height);
  }
  // Notes stand before all lines.
  double y = kTop;
  for (const ReportBar& bar : line.bars) {
    out += svg_bar(bar, y);
    y += kRow;
  }
  return out + "</svg>\n";
}

std::string tiles(const ReportPage& page) {
  if (page.measures.empty()) {
    return "";
  }
  const ReportMeasure& first = page.measures.front();
  const auto tile = [](const std::string& value, bool met, const std::string& label) {
    return "<div class=\"tile\"><b class=\"" + std::string(met ? "good" : "bad") + "\">" +
           html_text(value) + "</b><span>" + html_text(label) + "</span></div>\n";
  };
  const auto passed = std::count_if(page.checks.begin(), page.checks.end(),
                                    [](const ReportCheck& check) { return check.passed; });
  return "<div class=\"tiles\">\n" +
         tile(first.rto, first.rto_met, "recovery time, objective " + first.rto_objective) +
         tile(first.rpo, first.rpo_met, "data lost, objective " + first.rpo_objective) +
         tile(fmt::format("{} of {}", passed, page.checks.size()),
              passed == static_cast<long>(page.checks.size()), "checks passed") +
         "</div>\n";
}

std::string measures_table(const ReportPage& page) {
  std::vector<std::vector<std::string>> rows;
  for (const ReportMeasure& row : page.measures) {
    const bool met = row.rto_met && row.rpo_met;
    rows.push_back({html_text(row.what), html_text(row.rto), html_text(row.rto_objective),
                    html_text(row.rpo), html_text(row.rpo_objective),
                    html_mark(met, met ? "met" : "missed")});
  }
  return html_table("Recovery time (RTO) and data loss (RPO), measured against what was promised",
                    {"What", "Recovery time", "Objective", "Data lost", "Objective", ""}, rows);
}

std::string steps_table(const ReportPage& page) {
  std::vector<std::vector<std::string>> rows;
  for (const ReportStep& step : page.steps) {
    rows.push_back({step.title.size() > kTitleRunes ? html_text(step.title)
                                                    : html_unbroken(html_text(step.title)),
                    html_unbroken(step.mark == Mark::kNeutral
                                      ? html_text(step.state)
                                      : html_mark(step.mark == Mark::kGood, step.state)),
                    html_unbroken(html_text(step.took)), html_unbroken(html_text(step.after)),
                    html_text(step.what)});
  }
  return html_table("", {"Step", "Result", "Took", "After the failure", "What it did"}, rows);
}

std::string checks_table(const ReportPage& page) {
  std::vector<std::vector<std::string>> rows;
  for (const ReportCheck& check : page.checks) {
    rows.push_back({html_mark(check.passed, check.passed ? "passed" : "failed"),
                    html_text(check.name), html_text(check.value), html_text(check.expected),
                    html_text(check.duration)});
  }
  return html_table("", {"Result", "Check", "Found", "Expected", "Took"}, rows);
}

std::string signature_section(const ReportPage& page) {
  std::string out = "<h2>Signature</h2>\n<p>" + html_mark(page.believed, page.signature) + "</p>\n";
  out += html_facts(page.signature_facts);
  out += "<p>To verify it yourself, with nothing but the file and the public key:</p>\n<pre>";
  for (const std::string& command : page.how_to_verify) {
    out += html_text(command) + "\n";
  }
  return out + "</pre>\n";
}

}  // namespace

std::string report_html(const ReportPage& page) {
  std::string body = "<h1>" + html_text(page.title) + "</h1>\n";
  body += "<section class=\"verdict " + std::string(page.passed ? "good" : "bad") +
          "\" aria-label=\"Verdict\"><strong>" + (page.passed ? "✓ " : "✗ ") +
          html_text(page.verdict) + "</strong><p>" + html_text(page.sentence) + "</p></section>\n";
  body += tiles(page);
  body += "<h2>The drill</h2>\n" + html_facts(page.facts);
  if (!page.timeline.bars.empty()) {
    body += "<h2>Timeline</h2>\n" + timeline_svg(page.timeline);
  }
  if (!page.steps.empty()) {
    body += "<h2>Steps</h2>\n" + steps_table(page);
  }
  if (!page.measures.empty()) {
    body += "<h2>Objectives</h2>\n" + measures_table(page);
  }
  if (!page.points.empty()) {
    std::vector<std::vector<std::string>> rows;
    for (const std::vector<std::string>& point : page.points) {
      std::vector<std::string>& row = rows.emplace_back();
      std::transform(point.begin(), point.end(), std::back_inserter(row),
                     [](const std::string& cell) { return html_text(cell); });
    }
    body += "<h2>What was restored</h2>\n" +
            html_table("", {"Source", "Snapshot", "Asked for", "Data until", "Restored"}, rows);
  }
  body += "<h2>Checks</h2>\n" +
          (page.checks.empty() ? "<p>Nothing was checked.</p>\n" : checks_table(page));
  body += "<h2>Findings</h2>\n";
  if (page.findings.empty()) {
    body += "<p>None.</p>\n";
  } else {
    body += "<ul>\n";
    for (const std::string& finding : page.findings) {
      body += "<li>" + html_text(finding) + "</li>\n";
    }
    body += "</ul>\n";
  }
  body += signature_section(page);
  return html_document(page.title, body);
}

}  // namespace salvor
