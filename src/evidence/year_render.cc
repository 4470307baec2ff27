// Lays the year's overview out, as HTML and as PDF.
#include <algorithm>

#include <fmt/format.h>

#include "evidence/html.h"
#include "evidence/pdf_flow.h"
#include "evidence/year_page.h"

namespace salvor {
namespace {

using namespace pdf_colors;

constexpr std::array<const char*, 12> kShort{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                             "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

bool is_empty(const YearMonth& month) {
  return month.run == 0 && month.expected == 0;
}

std::vector<std::string> month_headers() {
  std::vector<std::string> headers{"Scenario"};
  headers.insert(headers.end(), kShort.begin(), kShort.end());
  return headers;
}

std::string compact(const YearMonth& month) {
  return is_empty(month) ? "-"
                         : fmt::format("{}/{}", month.passed, std::max(month.run, month.expected));
}

std::string html_evidence(const YearPage& page) {
  std::vector<std::vector<std::string>> rows;
  for (const YearEvidence& one : page.evidence) {
    rows.push_back({html_unbroken(html_text(one.date)), html_unbroken(html_text(one.scenario)),
                    html_mark(one.passed, one.problem.empty() ? (one.passed ? "passed" : "failed")
                                                              : "not authentic: " + one.problem),
                    html_unbroken(html_text(one.rto)), html_unbroken(html_text(one.rpo)),
                    html_unbroken("<code>" + html_text(one.id.substr(0, 8)) + "</code>"),
                    "<code>" + html_text(one.sha256) + "</code>"});
  }
  return html_table("Each is a signed file: salvor evidence export --all --to DIRECTORY",
                    {"Date", "Scenario", "Result", "Recovery", "Data lost", "Id", "SHA-256"}, rows);
}

}  // namespace

std::string year_html(const YearPage& page) {
  std::string body = "<h1>" + html_text(page.title) + "</h1>\n";
  body += "<section class=\"verdict " + std::string(page.good ? "good" : "bad") +
          "\" aria-label=\"Verdict\"><strong>" + (page.good ? "✓ " : "✗ ") +
          html_text(page.verdict) + "</strong><p>" + html_text(page.sentence) + "</p></section>\n";
  body += "<p class=\"soft\">" + html_text(page.basis) + "</p>\n";
  std::vector<std::vector<std::string>> rows;
  std::vector<std::vector<std::string>> rates;
  for (const YearScenario& scenario : page.scenarios) {
    std::vector<std::string>& row = rows.emplace_back();
    row.push_back(html_text(scenario.scenario));
    for (const YearMonth& month : scenario.months) {
      row.push_back(is_empty(month) ? "<span class=\"soft\">–</span>"
                                    : html_mark(month.good(), compact(month)));
    }
    rates.push_back({html_text(scenario.scenario), html_text(scenario.total.text()),
                     html_text(scenario.rate), html_text(scenario.best), html_text(scenario.median),
                     html_text(scenario.worst), html_text(scenario.objective)});
  }
  body += "<h2>By month</h2>\n" +
          html_table("Passed of those that were expected or run", month_headers(), rows);
  body += "<h2>By scenario</h2>\n" +
          html_table("Recovery times over the year, against the objective",
                     {"Scenario", "Passed", "Rate", "Best", "Median", "Worst", "Objective"}, rates);
  body += "<h2>Gaps</h2>\n";
  body += page.gaps.empty() ? "<p>None.</p>\n" : "<ul>\n";
  for (const std::string& gap : page.gaps) {
    body += "<li>" + html_text(gap) + "</li>\n";
  }
  body += page.gaps.empty() ? "" : "</ul>\n";
  body += "<h2>Evidence</h2>\n" + html_evidence(page);
  return html_document(page.title, body);
}

std::string year_pdf(const YearPage& page, WallTime created, const std::string& font) {
  PdfFlow flow({.title = page.title, .created = created, .font = font});
  flow.title(page.title);
  flow.verdict(page.good, page.verdict, page.sentence);
  flow.paragraph(page.basis, {.size = 9, .bold = false, .color = kSoft});
  std::vector<std::vector<PdfCell>> months;
  std::vector<std::vector<PdfCell>> rates;
  for (const YearScenario& scenario : page.scenarios) {
    std::vector<PdfCell>& row = months.emplace_back();
    row.push_back({scenario.scenario, kInk, true});
    for (const YearMonth& month : scenario.months) {
      row.push_back({compact(month), is_empty(month) ? kSoft : month.good() ? kGood : kBad, false});
    }
    rates.push_back({{scenario.scenario, kInk, true},
                     {scenario.total.text()},
                     {scenario.rate},
                     {scenario.best},
                     {scenario.median},
                     {scenario.worst},
                     {scenario.objective}});
  }
  flow.heading("By month: passed of those that were expected or run");
  std::vector<double> shares{0.16};
  shares.insert(shares.end(), 12, 0.07);
  flow.table(month_headers(), shares, months);
  flow.heading("By scenario: recovery times over the year");
  flow.table({"Scenario", "Passed", "Rate", "Best", "Median", "Worst", "Objective"},
             {0.18, 0.12, 0.10, 0.15, 0.15, 0.15, 0.15}, rates);
  flow.heading("Gaps");
  if (page.gaps.empty()) {
    flow.paragraph("None.", {.size = 9.5});
  }
  for (const std::string& gap : page.gaps) {
    flow.paragraph("• " + gap, {.size = 9.5, .bold = false, .color = kInk});
  }
  flow.heading("Evidence");
  std::vector<std::vector<PdfCell>> rows;
  for (const YearEvidence& one : page.evidence) {
    rows.push_back({{one.date},
                    {one.scenario},
                    {one.problem.empty() ? (one.passed ? "passed" : "failed") : "not authentic",
                     one.passed ? kGood : kBad, true},
                    {one.rto},
                    {one.id.substr(0, 8)},
                    {one.sha256}});
  }
  flow.table({"Date", "Scenario", "Result", "Recovery", "Id", "SHA-256"},
             {0.12, 0.13, 0.11, 0.13, 0.10, 0.41}, rows);
  return flow.finish(page.title);
}

}  // namespace salvor
