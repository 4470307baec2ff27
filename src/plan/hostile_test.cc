// What an enemy of a plan would try: values that become syntax, references or arguments; outputs
// without end or meaning; processes that slip away; secrets that show.
#include <algorithm>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "plan/process.h"
#include "support/plan_runs.h"

namespace salvor::plan {
namespace {

using test::make_step;
using test::PlanRuns;
using test::read_text;
using test::shell_step;
using test::texts;
using test::write_text;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

using Hostile = PlanRuns;

std::string output_of(const RunState& state, const std::string& step, const std::string& name) {
  for (const auto& [key, value] : state.steps.at(step).result.outputs) {
    if (key == name) {
      return value;
    }
  }
  return "(none)";
}

TEST(Secrets, HidesTheLongerOfTwoAndThePasswordOfAnAddress) {
  Secrets secrets([](const SecretReference& reference) {
    return Secret(reference.name == "SHORT" ? "hunter"
                  : reference.name == "URL" ? "postgresql://shop:p%40ss-word@db/shop"
                                            : "hunter22-and-more");
  });
  for (const char* const name : {"env:SHORT", "env:LONG", "env:URL"}) {
    static_cast<void>(secrets.resolve(name));
  }
  EXPECT_EQ(secrets.hide("it is hunter22-and-more"), "it is ***");
  EXPECT_EQ(secrets.hide("password p@ss-word, p%40ss-word"), "password ***, ***");
  EXPECT_EQ(secrets.longest(), std::string("postgresql://shop:p%40ss-word@db/shop").size());
}

// `cmd:` and `file:` are the configuration's to write, not a program's to print.
TEST_F(Hostile, TakesNoOutputForAReference) {
  const std::string trap = "cmd:touch " + (root() / "pwned").string();
  StepSpec use = shell_step("use", "printf %s \"$VALUE\"", {"print"});
  use.action.settings.set("environment", TextMap{{"VALUE", "${print.output}"}});
  StepSpec tell = make_step(
      "tell", "notify",
      texts("command", {"printf %s \"$SALVOR_MESSAGE\" > " + (root() / "told").string()}), {"use"});
  tell.action.settings.set("message", std::string("${print.output}"));
  // Called with a value of an outer plan it stays one.
  EXPECT_EQ(run({shell_step("print", "echo '" + trap + "'"), use, tell}), RunEnd::kSucceeded)
      << error_;
  EXPECT_EQ(output_of(state_, "use", "output"), trap);
  EXPECT_EQ(read_text(root() / "told"), trap);
  EXPECT_FALSE(std::filesystem::exists(root() / "pwned"));
  // What the plan itself says is one.
  StepSpec plain = shell_step("plain", "printf %s \"$VALUE\"");
  plain.action.settings.set("environment", TextMap{{"VALUE", "env:ANY"}});
  EXPECT_EQ(run({plain}), RunEnd::kSucceeded);
  EXPECT_EQ(output_of(state_, "plain", "output"), "***");
}

TEST_F(Hostile, KeepsBinaryOutputAsTextThatSurvivesTheJournal) {
  StepSpec use = make_step("use", "command",
                           texts("command", {"printf", "<%s>", "${bytes.output}"}), {"bytes"});
  EXPECT_EQ(run({shell_step("bytes", "printf 'a\\000b\\377c\\355\\240\\200'"), use}),
            RunEnd::kSucceeded)
      << error_;
  const std::string text =
      "a\xef\xbf\xbd"
      "b\xef\xbf\xbd"
      "c\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd";
  EXPECT_EQ(output_of(state_, "bytes", "output"), text);
  EXPECT_EQ(output_of(state_, "use", "output"), "<" + text + ">");
  const RunState read = RunState::of(read_journal(folder_.journal_of(id_)));
  EXPECT_EQ(output_of(read, "bytes", "output"), text) << "another process would see something else";
}

TEST_F(Hostile, KeepsTheEndOfEndlessErrorsAndTheBeginningOfEndlessOutput) {
  EXPECT_EQ(run({shell_step("noisy",
                            "head -c 3000000 /dev/zero | tr '\\0' x >&2; echo the reason "
                            ">&2; exit 1")}),
            RunEnd::kFailed);
  EXPECT_THAT(error_, HasSubstr("the reason"));
  EXPECT_LT(error_.size(), 1000U);
  EXPECT_EQ(run({shell_step("long", "echo begin; head -c 3000000 /dev/zero | tr '\\0' x")}),
            RunEnd::kSucceeded);
  EXPECT_THAT(output_of(state_, "long", "output"), testing::StartsWith("begin\n"));
  EXPECT_LE(output_of(state_, "long", "output").size(), size_t{64} << 10);
  EXPECT_THAT(events_.text(), HasSubstr("more than can be kept"));
}

// The limit cuts the secret in two: the half must not show.
TEST_F(Hostile, ShowsNoHalfOfASecretThatTheLimitCuts) {
  StepSpec leak = shell_step(
      "leak", "head -c 262140 /dev/zero | tr '\\0' ' '; printf %s \"$TOKEN$TOKEN\"; exit 1");
  leak.action.settings.set("environment", TextMap{{"TOKEN", "env:TOKEN"}});
  EXPECT_EQ(run({leak}), RunEnd::kFailed);
  EXPECT_THAT(error_, Not(HasSubstr("hunt")));
}

TEST_F(Hostile, FindsWhatSlippedOutOfTheProcessGroup) {
  const std::string pid = (root() / "pid").string();
  StepSpec step = shell_step(
      "slow", "setsid sh -c 'setsid sleep 300 & echo $! > " + pid + "; wait' & sleep 300");
  step.timeout = std::chrono::seconds(1);
  EXPECT_EQ(run({step}), RunEnd::kFailed);
  EXPECT_THAT(error_, HasSubstr("not done after 1 s"));
  const std::string status =
      read_text("/proc/" + read_text(pid).substr(0, read_text(pid).find('\n')) + "/status");
  EXPECT_TRUE(status.empty() || status.find("State:\tZ") != std::string::npos) << status;
  EXPECT_THAT(processes_marked({"SALVOR_RUN=" + id_}), ElementsAre());
}

TEST_F(Hostile, AnUndoThatHangsEndsInTime) {
  StepSpec step = shell_step("step", "true");
  step.timeout = std::chrono::seconds(1);
  step.undo = ActionSpec{.kind = "command", .settings = texts("command", {"sleep 300"})};
  StepSpec bad = shell_step("bad", "exit 1", {"step"});
  bad.on_failure = OnFailure::kUndo;
  EXPECT_EQ(run({step, bad}), RunEnd::kUndoFailed);
  EXPECT_THAT(error_, HasSubstr("step step could not be undone: not undone after 1 s"));
}

TEST_F(Hostile, HidesSecretsInChecksToo) {
  StepSpec step = shell_step("look", "echo \"$TOKEN\"");
  step.action.settings.set("environment", TextMap{{"TOKEN", "env:TOKEN"}});
  step.action.settings.set("expect", std::string("hunter22"));
  run({step});
  site_.checks = {
      {.name = "leak", .passed = true, .value = "hunter22", .expected = "", .seconds = 0}};
  Settings source;
  source.set("source", std::string("db"));
  StepSpec good = step;
  good.action.settings.set("expect", std::string("~ ."));
  EXPECT_EQ(run({good, make_step("check", "check", source, {"look"})}), RunEnd::kSucceeded);
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory_.path())) {
    if (entry.is_regular_file()) {
      EXPECT_THAT(read_text(entry.path()), Not(HasSubstr("value\":\"hunter22"))) << entry.path();
    }
  }
}

// A host that cannot be asked is not a service that was stopped: its undo must not stop it.
TEST_F(Hostile, AServiceThatCannotBeAskedIsNotTakenForStopped) {
  write_text(root() / "systemctl", "#!/bin/sh\nexit 127\n");
  std::filesystem::permissions(root() / "systemctl", std::filesystem::perms::owner_all);
  Settings service;
  service.set("service", std::string("shop"));
  service.set("run", std::vector<std::string>{"true"});
  service.set("undo-run", std::vector<std::string>{line("undone")});
  service.set("status", std::vector<std::string>{"exit 127"});
  StepSpec bad = shell_step("bad", "exit 1", {"start"});
  bad.on_failure = OnFailure::kUndo;
  EXPECT_EQ(run({make_step("start", "start", service), bad}), RunEnd::kUndoFailed);
  EXPECT_THAT(error_, HasSubstr("nobody knows how the service was before"));
  EXPECT_THAT(log(), ElementsAre());
  service.set("service", std::string("--help"));
  EXPECT_THROW(run({make_step("start", "start", service)}), Error);
}

TEST(PlainValues, OfStatementsAreWordsAndTimes) {
  for (const char* const good : {"42", "orders", "2026-11-21 12:00:00 UTC", "a@b.c", "0/3000028"}) {
    EXPECT_TRUE(is_plain_in_sql(good)) << good;
  }
  for (const char* const bad :
       {"1 or true", "x'", "1--", "a;b", "$1", "(select 1)", "\"", "a\nb", "1 --", "\\"}) {
    EXPECT_FALSE(is_plain_in_sql(bad)) << bad;
  }
}

}  // namespace
}  // namespace salvor::plan
