#include <cstdlib>
#include <fstream>

#include <gmock/gmock.h>

#include "evidence/html.h"
#include "evidence/report_html.h"
#include "evidence/report_page.h"
#include "evidence/report_pdf.h"
#include "evidence/test_reports.h"
#include "evidence/year_page.h"
#include "model/utc_text.h"

namespace salvor {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

Evidence signed_evidence(const DrillReport& report = test::drill_report()) {
  SeededRandom random(1);
  const SigningKey key = SigningKey::generate(random);
  const TrustedKey trusted{key.public_key(), {}, {}};
  return verify_evidence(
      encode_envelope(sign_envelope(std::string(kStatementPayload), encode_statement(report), key)),
      std::span(&trusted, 1));
}

// For looking at: SALVOR_KEEP_REPORTS=directory.
void keep(const std::string& name, const std::string& content) {
  if (const char* directory = std::getenv("SALVOR_KEEP_REPORTS")) {
    std::ofstream(std::string(directory) + "/" + name, std::ios::binary) << content;
  }
}

TEST(Report, SaysTheVerdictFirst) {
  const ReportPage page = report_page(signed_evidence());
  EXPECT_TRUE(page.passed);
  EXPECT_EQ(page.verdict, "PASSED");
  EXPECT_EQ(page.sentence,
            "Everything was recovered in 6 min 12 s (objective 15 min), losing 30 min 30 s of data "
            "(objective 1 h). All 5 checks passed.");
  const std::string text = report_text(page);
  EXPECT_TRUE(text.starts_with("PASSED  Recovery drill of Shop (production)\n"));
  EXPECT_THAT(text, HasSubstr("rows of orders: 1204331\n"));
}

TEST(Report, AMissedObjectiveAndAFailedCheckAreSaid) {
  DrillReport report = test::drill_report();
  report.checks[2].passed = false;
  report.measures[0].rto_seconds = 1200;
  report.measures[0].met = false;
  report.steps[5].state = "failed";
  report.steps[5].error = "connection refused";
  const ReportPage page = report_page(signed_evidence(report));
  EXPECT_FALSE(page.passed);
  EXPECT_EQ(page.verdict, "FAILED");
  EXPECT_THAT(page.sentence, HasSubstr("1 of 5 checks failed. An objective was missed."));
  EXPECT_FALSE(page.measures[0].rto_met);
  EXPECT_TRUE(page.measures[0].rpo_met);
  const std::string html = report_html(page);
  EXPECT_THAT(html, HasSubstr("✗ FAILED"));
  EXPECT_THAT(html, HasSubstr("failed: 1 min 25 s, connection refused"));
  EXPECT_THAT(html, HasSubstr("✗ failed"));
  EXPECT_EQ(page.steps[5].what, "connection refused");
  EXPECT_EQ(page.steps[4].after, "4 min 47 s");
  keep("failed.html", html);
  keep("failed.pdf", report_pdf(page, report.finished, ""));
}

TEST(Report, EvidenceThatIsNotAuthenticNeverReadsAsPassed) {
  Evidence evidence = signed_evidence();
  evidence.key_id.clear();
  evidence.problem = "the signature does not match";
  const ReportPage page = report_page(evidence);
  EXPECT_FALSE(page.passed);
  EXPECT_EQ(page.verdict, "NOT VERIFIED");
  EXPECT_THAT(report_html(page), HasSubstr("cannot be believed: the signature does not match"));
}

// What nobody has signed may be made by anybody, to be looked at in a terminal.
TEST(Report, NoTextOfAStatementReachesTheTerminalAsItIs) {
  const std::string hostile =
      "a\x1b]0;owned\x07\xc2\x9b"
      "2J\nPASSED";
  DrillReport report = test::drill_report();
  for (std::string* text : {&report.application,
                            &report.environment,
                            &report.name,
                            &report.scenario,
                            &report.plan,
                            &report.sandbox,
                            &report.who,
                            &report.program,
                            &report.plan_hash,
                            &report.points[0].source,
                            &report.points[0].fault,
                            &report.steps[0].title,
                            &report.steps[0].state,
                            &report.steps[0].summary,
                            &report.steps[1].error,
                            &report.checks[0].name,
                            &report.checks[0].value,
                            &report.checks[0].expected,
                            &report.measures[1].source,
                            &report.findings[0]}) {
    *text = hostile;
  }
  Evidence evidence{
      .report = report, .envelope = {}, .sha256 = {}, .key_id = {}, .problem = hostile};
  const std::string text = report_text(report_page(evidence));
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
  EXPECT_EQ(text.find('\x07'), std::string::npos);
  EXPECT_EQ(text.find("\xc2\x9b"), std::string::npos);
  EXPECT_EQ(text.find("\nPASSED"), std::string::npos);
}

TEST(Report, TheTimelineKeepsTheProportions) {
  const ReportTimeline line = report_page(signed_evidence()).timeline;
  ASSERT_EQ(line.bars.size(), 7U) << "the sandboxes' first";
  EXPECT_NEAR(line.bars[0].to, 31.0 / 412, 1e-9);
  EXPECT_NEAR(line.bars[2].from, 36.0 / 412, 1e-9);
  EXPECT_NEAR(line.bars[2].to, 278.0 / 412, 1e-9);
  EXPECT_NEAR(*line.declared, 31.0 / 412, 1e-9);
  EXPECT_NEAR(*line.service_ok, 403.0 / 412, 1e-9);
  ASSERT_EQ(line.ticks.size(), 7U);
  EXPECT_EQ(line.ticks[0].label, "0") << "recovery counts from the failure";
  EXPECT_NEAR(line.ticks[0].at, 31.0 / 412, 1e-9);
  EXPECT_EQ(line.ticks[1].label, "1 min");
}

// What comes from a hostile server must stay text.
TEST(Report, HtmlIsSelfContainedAndEscaped) {
  DrillReport report = test::drill_report();
  report.application = "<script>alert(1)</script>";
  report.checks[0].value = "\"><img src=x onerror=alert(1)>";
  report.steps[0].title = "</svg><script>";
  report.findings = {"a & b \xe2\x80\xae gnp.exe", "\x1b[31m\xff"};
  const std::string html = report_html(report_page(signed_evidence(report)));
  EXPECT_THAT(html, Not(HasSubstr("<script")));
  EXPECT_THAT(html, Not(HasSubstr("<img")));
  EXPECT_THAT(html, Not(HasSubstr("\xe2\x80\xae")));
  EXPECT_THAT(html, HasSubstr("a &amp; b \\u{202e} gnp.exe"));
  EXPECT_THAT(html, HasSubstr("\\x1b[31m"));
  EXPECT_THAT(html, HasSubstr("default-src 'none'; style-src 'sha256-"));
  for (const char* outside :
       {"http://", "https://", "url(", "@import", " src=\"", " href=\"", " style=\""}) {
    EXPECT_THAT(html, Not(HasSubstr(outside))) << outside;
  }
  keep("hostile.html", html);
}

TEST(Report, IsTheSameFileForTheSameEvidence) {
  const Evidence evidence = signed_evidence();
  const std::string html = report_html(report_page(evidence));
  const std::string pdf = report_pdf(report_page(evidence), evidence.report.finished, "");
  EXPECT_EQ(html, report_html(report_page(evidence)));
  EXPECT_EQ(pdf, report_pdf(report_page(evidence), evidence.report.finished, ""));
  EXPECT_TRUE(pdf.starts_with("%PDF-1."));
  keep("passed.html", html);
  keep("passed.pdf", pdf);
}

TEST(Report, PdfTakesWhateverTextsSay) {
  DrillReport report = test::drill_report();
  report.application = "Łódź – Größe 中文 \x01";
  report.checks[1].name = std::string(3000, 'W');
  report.findings.assign(120, "A long list of findings has more than one page.");
  report.steps.clear();
  report.measures.clear();
  const ReportPage page = report_page(signed_evidence(report));
  const std::string plain = report_pdf(page, report.finished, "");
  keep("odd.pdf", plain);
  EXPECT_GT(plain.size(), 5000U);
  const std::string font = "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf";
  if (std::ifstream(font).good()) {
    const std::string embedded = report_pdf(page, report.finished, font);
    EXPECT_GT(embedded.size(), plain.size());
    EXPECT_EQ(embedded, report_pdf(page, report.finished, font));
    keep("odd-font.pdf", embedded);
  }
  EXPECT_THROW((void)report_pdf(page, report.finished, "/etc/passwd"), Error);
  DrillReport nothing;
  nothing.id = "00";
  EXPECT_FALSE(report_pdf(report_page(signed_evidence(nothing)), {}, "").empty());
}

TEST(Year, CountsAgainstWhatWasExpected) {
  Application application;
  application.drills = {{.name = "monthly",
                         .plan = {},
                         .scenario = "deletion",
                         .schedule = "first Monday 06:00",
                         .sandbox = {},
                         .time_zone = {}},
                        {.name = "quarterly",
                         .plan = {},
                         .scenario = "loss",
                         .schedule = "quarterly first Monday 06:00",
                         .sandbox = {},
                         .time_zone = {}}};
  const auto until = WallTime(std::chrono::sys_days(std::chrono::year(2026) / 11 / 15));
  const auto before = WallTime(std::chrono::sys_days(std::chrono::year(2025) / 6 / 1));
  const ExpectedYear expected = expected_drills(application, 2026, before, until);
  ASSERT_EQ(expected.drills.size(), 2U);
  EXPECT_EQ(expected.drills[0].months,
            (std::array<size_t, 12>{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0}));
  EXPECT_EQ(expected.drills[1].months,
            (std::array<size_t, 12>{1, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0}));
  std::vector<Evidence> all;
  for (unsigned month = 1; month <= 11; ++month) {
    if (month == 8) {
      continue;  // forgotten
    }
    DrillReport report = test::drill_report();
    report.id[0] = static_cast<char>('0' + month % 10);
    report.started =
        WallTime(std::chrono::sys_days(std::chrono::year(2026) / std::chrono::month(month) / 5));
    report.measures[0].rto_seconds = 300.0 + 20 * month;
    report.checks[0].passed = month != 3;
    all.push_back(signed_evidence(report));
    if (month % 3 == 1) {
      report.scenario = "loss";
      report.id[1] = 'b';
      report.measures[0].rto_seconds = 700.0 + 20 * month;
      all.push_back(signed_evidence(report));
    }
  }
  YearPage page = year_page(2026, "Shop", all, expected);
  EXPECT_FALSE(page.good);
  EXPECT_EQ(page.sentence, "14 of 15 expected drills were run; 13 of 14 passed.");
  EXPECT_EQ(page.gaps,
            std::vector<std::string>{"August: deletion: 0 of 1 expected drills were run"});
  EXPECT_EQ(page.scenarios[0].rate, "82 %");
  EXPECT_EQ(page.scenarios[1].rate, "100 %");
  EXPECT_EQ(page.scenarios[0].best, "5 min 20 s");
  EXPECT_EQ(page.scenarios[0].worst, "8 min 40 s");
  keep("year.html", year_html(page));
  keep("year.pdf", year_pdf(page, until, ""));
  EXPECT_EQ(year_pdf(page, until, ""), year_pdf(page, until, ""));
  // Other years, and what is not authentic, do not count.
  all[0].problem = "forged";
  page = year_page(2026, "Shop", all, expected);
  EXPECT_THAT(page.sentence, HasSubstr("13 of 15"));
  EXPECT_THAT(page.sentence, HasSubstr("1 piece of evidence is not authentic"));
  EXPECT_THAT(year_html(page), HasSubstr("not authentic: forged"));
  EXPECT_EQ(year_page(2025, "Shop", all, {}).verdict, "NO EVIDENCE");
}

// Nobody could rehearse the recovery of what was not there yet.
TEST(Year, DoesNotExpectDrillsBeforeTheApplicationWasProtected) {
  Application application;
  application.drills = {{.name = "monthly",
                         .plan = {},
                         .scenario = "deletion",
                         .schedule = "first Monday 06:00",
                         .sandbox = {},
                         .time_zone = {}}};
  const auto since = WallTime(std::chrono::sys_days(std::chrono::year(2026) / 10 / 20));
  const auto until = WallTime(std::chrono::sys_days(std::chrono::year(2026) / 11 / 15));
  DrillReport scheduled = test::drill_report();  // on 2 November
  DrillReport extra = test::drill_report();
  extra.scenario = "loss";
  const std::vector<Evidence> all{signed_evidence(scheduled), signed_evidence(extra)};
  const YearPage page =
      year_page(2026, "Shop", all, expected_drills(application, 2026, since, until));
  EXPECT_TRUE(page.good);
  EXPECT_EQ(page.sentence,
            "1 of 1 expected drill was run, and 1 that nobody had asked for; 2 of 2 passed.");
  EXPECT_THAT(page.gaps, IsEmpty());
  EXPECT_THAT(page.basis, HasSubstr("from 2026-10-20 on"));
  const YearPage alone = year_page(2026, "Shop", all, {});
  EXPECT_FALSE(alone.good) << "without the schedules nobody knows what is missing";
  EXPECT_EQ(alone.verdict, "NOT KNOWN WHETHER COMPLETE");
}

}  // namespace
}  // namespace salvor
