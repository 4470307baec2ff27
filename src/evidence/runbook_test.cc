#include "evidence/runbook.h"

#include <gmock/gmock.h>

namespace salvor {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Application shop() {
  Application application;
  application.name = "shop";
  application.environment = "production";
  application.repositories = {{.name = "main",
                               .location = "s3:https://s3.example.com/bucket",
                               .password = {SecretReference::kFile, "/etc/salvor/it's key"},
                               .environment = {{"AWS_ACCESS_KEY_ID", "env:KEY_ID"}}}};
  application.sources = {{.name = "db", .kind = "postgres", .repository = "main"},
                         {.name = "dump", .kind = "postgres", .repository = "main"},
                         {.name = "uploads", .kind = "files", .repository = "main"}};
  application.sources[1].settings.set("method", "logical");
  return application;
}

std::string markdown(const Application& application, std::vector<RunRecord> measured = {}) {
  return make_runbook({.application = application,
                       .measured = std::move(measured),
                       .now = WallTime(std::chrono::seconds(1793599200)),
                       .program = "salvor 0"})
      .markdown();
}

TEST(ShellWords, AreOneWordWhateverTheyHold) {
  EXPECT_EQ(shell_word("/srv/a-b_c.d"), "/srv/a-b_c.d");
  EXPECT_EQ(shell_word("a b"), "'a b'");
  EXPECT_EQ(shell_word("it's $(x)"), "'it'\\''s $(x)'");
  EXPECT_EQ(shell_word(""), "''");
}

TEST(Document, TextsStayTexts) {
  Document document;
  document.heading(1, "A *b* " + Document::literal("x`y|z<script>"));
  document.table({"h|1"}, {{"a|b"}});
  EXPECT_THAT(document.markdown(), HasSubstr("# A \\*b\\* `x'y\\|z<script>`"));
  EXPECT_THAT(document.markdown(), HasSubstr("| a\\|b |"));
  EXPECT_THAT(document.html(), HasSubstr("<h1>A *b* <code>x&#39;y|z&lt;script&gt;</code></h1>"));
  EXPECT_THAT(document.html(), Not(HasSubstr("<script")));
}

TEST(Runbook, SaysWhereEverythingIs) {
  const std::string text = markdown(shop());
  EXPECT_THAT(text, HasSubstr("export RESTIC_PASSWORD_FILE='/etc/salvor/it'\\''s key'"));
  EXPECT_THAT(text, HasSubstr("export AWS_ACCESS_KEY_ID=\"${KEY_ID}\""));
  EXPECT_THAT(text, HasSubstr("--tag salvor:source=shop:production/uploads"));
  EXPECT_THAT(text, HasSubstr("psql -X -v ON_ERROR_STOP=1 --single-transaction -f restore.sql"));
  EXPECT_THAT(text, HasSubstr("The configuration names nobody"));
  EXPECT_THAT(text, HasSubstr("any moment"));
}

TEST(Runbook, QuotesTheLastMeasurementOfEach) {
  RunRecord old{
      .id = "1", .kind = RunKind::kDrill, .outcome = RunOutcome::kSucceeded, .subject = "shop"};
  old.started = WallTime(std::chrono::seconds(1793500000));
  old.rto_seconds = 1000;
  RunRecord recent = old;
  recent.started += std::chrono::hours(1);
  recent.rto_seconds = 372;
  RunRecord failed = recent;
  failed.started += std::chrono::hours(1);
  failed.outcome = RunOutcome::kFailed;
  failed.rto_seconds = 5;
  const std::string text = markdown(shop(), {recent, failed, old});
  EXPECT_THAT(text, HasSubstr("6 min 12 s"));
  EXPECT_THAT(text, Not(HasSubstr("16 min 40 s")));
  EXPECT_THAT(text, Not(HasSubstr("5.0 s")));
  // One that took longer than promised is no reason to quote the faster one before.
  RunRecord late = failed;
  late.outcome = RunOutcome::kIncomplete;
  late.rto_seconds = 7200;
  const std::string told = markdown(shop(), {late, recent});
  EXPECT_THAT(told, HasSubstr("| 2 h |"));
  EXPECT_THAT(told, Not(HasSubstr("6 min 12 s")));
}

}  // namespace
}  // namespace salvor
