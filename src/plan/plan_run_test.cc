#include "plan/plan_run.h"

#include <algorithm>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "plan/plan_text.h"
#include "support/plan_runs.h"

namespace salvor::plan {
namespace {

using test::make_step;
using test::PlanRuns;
using test::range;
using test::read_text;
using test::restore_of;
using test::shell_step;
using test::texts;
using test::write_text;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

TEST_F(PlanRuns, RunsStepsInOrderAndPassesOutputsOn) {
  StepSpec first = shell_step("first", "echo answer=42; echo noise");
  first.action.settings.set("outputs", std::vector<std::string>{"answer"});
  EXPECT_EQ(run({first, shell_step("second", line("${first.answer}"), {"first"}),
                 restore_of("restore", "db", {"second"}),
                 shell_step("third", line("${restore.snapshot}"), {"restore"})}),
            RunEnd::kSucceeded);
  EXPECT_THAT(log(), ElementsAre("42", "aaaa1111"));
  EXPECT_EQ(read_text(root() / "db"), "restored snapshot:aaaa1111 from aaaa1111");
  EXPECT_EQ(state_.outcome, "succeeded");
  EXPECT_EQ(state_.points.at("restore").snapshot, "aaaa1111");
}

TEST_F(PlanRuns, RunsIndependentStepsSideBySide) {
  // Each waits for the other's file: one after the other they would never end.
  const std::string a = (root() / "a").string();
  const std::string b = (root() / "b").string();
  const auto meet = [](const std::string& mine, const std::string& other) {
    return "touch " + mine + "; while [ ! -e " + other + " ]; do sleep 0.02; done";
  };
  EXPECT_EQ(run({shell_step("left", meet(a, b)), shell_step("right", meet(b, a))}),
            RunEnd::kSucceeded);
}

TEST_F(PlanRuns, BeginsNothingAfterAFailureAndSaysWhatTheCommandSaid) {
  EXPECT_EQ(run({shell_step("bad", "echo no such disk >&2; exit 3"),
                 shell_step("next", line("next"), {"bad"})}),
            RunEnd::kFailed);
  EXPECT_THAT(error_, AllOf(HasSubstr("step bad failed"), HasSubstr("exit status 3"),
                            HasSubstr("no such disk")));
  EXPECT_THAT(log(), ElementsAre());
  // Put right, the same run goes on.
  EXPECT_EQ(resume({shell_step("bad", "echo no such disk >&2; exit 3"),
                    shell_step("next", line("next"), {"bad"})}),
            RunEnd::kFailed);
}

TEST_F(PlanRuns, RetriesAndCountsAttempts) {
  StepSpec step = shell_step(
      "flaky", line("try") + "; test $(wc -l < " + (root() / "log").string() + ") -ge 3");
  step.retries = 2;
  EXPECT_EQ(run({step}), RunEnd::kSucceeded);
  EXPECT_EQ(state_.steps.at("flaky").attempts, 3U);
  EXPECT_EQ(log().size(), 3U);
}

// The time limit is an attempt's, not that of the pause before the next one.
TEST_F(PlanRuns, RetriesAfterAPauseThatIsLongerThanTheTimeLimit) {
  StepSpec step = shell_step("refused", line("try") + "; echo refused >&2; exit 1");
  step.timeout = std::chrono::seconds(1);
  step.retries = 2;
  step.retry_delay = std::chrono::seconds(2);
  EXPECT_EQ(run({step}), RunEnd::kFailed);
  EXPECT_THAT(log(), ElementsAre("try", "try", "try"));
  EXPECT_EQ(state_.steps.at("refused").attempts, 3U);
  EXPECT_THAT(error_, HasSubstr("refused")) << "it did not run out of time";
}

TEST_F(PlanRuns, CtrlCInAPauseBeginsNoFurtherAttempt) {
  StepSpec step = shell_step("refused", line("try") + "; exit 1");
  step.retries = 1;
  step.retry_delay = std::chrono::seconds(60);
  const auto run = start(graph({step}));
  std::jthread other([&] {
    while (events_.text().find("exit status 1") == std::string::npos) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    context_.stop.request_stop();
  });
  EXPECT_EQ(run->execute(), RunEnd::kInterrupted);
  EXPECT_THAT(log(), ElementsAre("try"));
  EXPECT_EQ(run->state().steps.at("refused").state, StepState::kFailed)
      << "its end is known: nobody need judge it";
}

TEST_F(PlanRuns, GoesOnAfterFailuresThatAreAllowed) {
  StepSpec step = shell_step("optional", "exit 1");
  step.on_failure = OnFailure::kContinue;
  EXPECT_EQ(run({step, shell_step("next", line("next"), {"optional"})}), RunEnd::kIncomplete);
  EXPECT_THAT(log(), ElementsAre("next"));
}

TEST_F(PlanRuns, EndsTheWholeProcessGroupAtTheTimeout) {
  const std::string pid = (root() / "pid").string();
  StepSpec step = shell_step("slow", "sleep 100 & echo $! > " + pid + "; wait");
  step.timeout = std::chrono::seconds(1);
  EXPECT_EQ(run({step}), RunEnd::kFailed);
  EXPECT_THAT(error_, HasSubstr("not done after 1 s"));
  const std::string child = "/proc/" + read_text(pid).substr(0, read_text(pid).find('\n'));
  for (int i = 0; i < 100 && std::filesystem::exists(child); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  // A zombie whose parent has died may be waiting for init.
  const std::string status = read_text(child + "/status");
  EXPECT_TRUE(status.empty() || status.find("State:\tZ") != std::string::npos) << status;
}

TEST_F(PlanRuns, UndoesLastFirstAndBringsTheOldDataBack) {
  StepSpec one = shell_step("one", line("one"));
  one.undo = ActionSpec{.kind = "command", .settings = texts("command", {line("not-one")})};
  StepSpec two = shell_step("two", line("two"), {"restore"});
  two.undo = ActionSpec{.kind = "command", .settings = texts("command", {line("not-two")})};
  StepSpec bad = shell_step("bad", "exit 1", {"two"});
  bad.on_failure = OnFailure::kUndo;
  EXPECT_EQ(run({one, restore_of("restore", "db", {"one"}), two, bad}), RunEnd::kUndone);
  EXPECT_THAT(log(), ElementsAre("one", "two", "not-two", "not-one"));
  EXPECT_EQ(read_text(root() / "db"), "the old data");
  EXPECT_EQ(state_.steps.at("restore").state, StepState::kUndone);
}

TEST_F(PlanRuns, KeepsTheOldDataUntilFinish) {
  const std::vector<StepSpec> steps{restore_of("restore", "db")};
  EXPECT_EQ(run(steps), RunEnd::kSucceeded);
  const std::string old = state_.steps.at("restore").result.facts.at(0).second;
  EXPECT_EQ(read_text(old), "the old data");
  // Who looks at it and does nothing does not make it a run that was never proven.
  static_cast<void>(PlanRun::resume(context_now_, folder_, tools(), graph(steps), id_, false));
  {
    const auto run = PlanRun::resume(context_now_, folder_, tools(), graph(steps), id_, false);
    EXPECT_EQ(run->state().outcome, "succeeded");
    EXPECT_TRUE(run->finish().empty());
  }
  EXPECT_FALSE(std::filesystem::exists(old));
  EXPECT_THROW(
      static_cast<void>(PlanRun::resume(context_now_, folder_, tools(), graph(steps), id_, false)),
      Error);
}

TEST_F(PlanRuns, WaitsForTheApprovalThatAnotherProcessLeaves) {
  StepSpec step = shell_step("careful", line("done"));
  step.approval = ApprovalSpec{.question = "really?", .by = {}};
  const auto run = start(graph({step}));
  std::jthread other([&] {
    while (events_.text().find("really?") == std::string::npos) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    EXPECT_THAT(log(), ElementsAre()) << "it acted before the answer";
    folder_.leave_approval(id_, "careful", {.granted = true, .by = "ann", .comment = "go"});
  });
  EXPECT_EQ(run->execute(), RunEnd::kSucceeded);
  EXPECT_THAT(log(), ElementsAre("done"));
  EXPECT_EQ(run->state().steps.at("careful").approval->by, "ann");
}

TEST_F(PlanRuns, StopsWhenSomebodySaysNo) {
  people_.answer = Approval{.granted = false, .by = "bob", .comment = "not now"};
  Settings settings;
  settings.set("question", std::string("go?"));
  EXPECT_EQ(run({make_step("ask", "approve", settings), shell_step("next", line("next"), {"ask"})}),
            RunEnd::kFailed);
  EXPECT_THAT(error_, HasSubstr("bob did not approve: not now"));
  EXPECT_THAT(log(), ElementsAre());
}

TEST_F(PlanRuns, RefusesToResumeAChangedPlanAndShowsTheChange) {
  EXPECT_EQ(run({shell_step("a", line("a")), shell_step("b", "exit 1", {"a"})}), RunEnd::kFailed);
  const std::vector<StepSpec> changed{shell_step("a", line("a")),
                                      shell_step("b", line("b"), {"a"})};
  try {
    resume(changed);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.message(), AllOf(HasSubstr("-      command: [\"exit 1\"]"),
                                       HasSubstr("+      command: [\"echo b")));
  }
  EXPECT_EQ(resume(changed, true), RunEnd::kSucceeded);
  EXPECT_THAT(log(), ElementsAre("a", "b"));
}

TEST_F(PlanRuns, AnAnswerThatCannotBeReadIsNotOneThatNeverCame) {
  StepSpec step = shell_step("careful", line("careful"));
  step.approval = ApprovalSpec{.question = "really?", .by = {}};
  const auto run = start(graph({step}));
  test::write_text(folder_.of(id_) / "approval-careful", "yes, do it");
  EXPECT_EQ(run->execute(), RunEnd::kFailed);
  EXPECT_THAT(run->error(), HasSubstr("approval-careful is no answer to an approval"));
  EXPECT_THAT(run->hint(), HasSubstr("approve again"));
  EXPECT_THAT(log(), ElementsAre());
}

// Somebody agreed to a step as it was; another one in its place was agreed to by nobody.
TEST_F(PlanRuns, AsksAgainWhenWhatWasApprovedHasChanged) {
  const auto steps = [&](const std::string& command) {
    StepSpec first = shell_step("a", "test ! -e " + (root() / "fail").string());
    first.approval = ApprovalSpec{.question = "first?", .by = {}};
    StepSpec second = shell_step("b", command, {"a"});
    second.approval = ApprovalSpec{.question = "really?", .by = {}};
    return std::vector{first, second};
  };
  const Approval yes{.granted = true, .by = "ann", .comment = ""};
  const Approval no{.granted = false, .by = "bob", .comment = ""};
  people_.answer = yes;
  EXPECT_EQ(run(steps("exit 1")), RunEnd::kFailed);
  people_.answer = no;  // from now on every question is answered so
  EXPECT_EQ(resume(steps("exit 1")), RunEnd::kFailed);
  EXPECT_THAT(error_, HasSubstr("exit status 1")) << "it was asked again for nothing";
  EXPECT_EQ(resume(steps(line("b")), true), RunEnd::kFailed);
  EXPECT_THAT(error_, HasSubstr("step b failed: bob did not approve"));
  // Answers in files: to the step as it was, and one of which nobody knows to what.
  for (const std::string& hash :
       {approval_hash(graph(steps("exit 1")).nodes.at(1)), std::string()}) {
    folder_.leave_approval(id_, "b", {.granted = true, .by = "ann", .comment = "", .hash = hash});
    EXPECT_EQ(resume(steps(line("b"))), RunEnd::kFailed);
    EXPECT_THAT(error_, HasSubstr("bob did not approve"));
  }
  EXPECT_THAT(log(), ElementsAre());
  folder_.leave_approval(id_, "b",
                         {.granted = true,
                          .by = "ann",
                          .comment = "",
                          .hash = approval_hash(graph(steps(line("b"))).nodes.at(1))});
  EXPECT_EQ(resume(steps(line("b"))), RunEnd::kSucceeded);
  EXPECT_THAT(log(), ElementsAre("b"));
}

// Journals of older versions do not say what was approved.
TEST_F(PlanRuns, AnApprovalWithoutAHashCountsUntilThePlanChanges) {
  const auto steps = [&](const std::string& command) {
    StepSpec step = shell_step("a", command);
    step.approval = ApprovalSpec{.question = "really?", .by = {}};
    return std::vector{step};
  };
  people_.answer = Approval{.granted = true, .by = "ann", .comment = ""};
  EXPECT_EQ(run(steps("exit 1")), RunEnd::kFailed);
  const JournalContent content = read_journal(folder_.journal_of(id_));
  std::filesystem::remove(folder_.journal_of(id_));
  {
    RunJournal journal(folder_.journal_of(id_), clock_, {});
    for (JournalEntry entry : content.entries) {
      if (entry.type == "approval") {
        std::erase_if(entry.values, [](const auto& one) { return one.first == "hash"; });
      }
      journal.append(std::move(entry));
    }
  }
  people_.answer = Approval{.granted = false, .by = "bob", .comment = ""};
  EXPECT_EQ(resume(steps("exit 1")), RunEnd::kFailed);
  EXPECT_THAT(error_, HasSubstr("exit status 1"));
  EXPECT_EQ(resume(steps(line("a")), true), RunEnd::kFailed);
  EXPECT_THAT(error_, HasSubstr("bob did not approve"));
  EXPECT_THAT(log(), ElementsAre());
}

TEST_F(PlanRuns, RefusesASecondRunOfThePlanAtTheSameTime) {
  const auto first = start(graph({shell_step("a", "true")}));
  try {
    static_cast<void>(start(graph({shell_step("a", "true")})));
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kLocked);
  }
}

TEST_F(PlanRuns, InterruptedByCtrlCItCanBeResumed) {
  const auto wait = "touch " + (root() / "there").string() + "; sleep 100";
  StepSpec slow =
      shell_step("slow", "test -e " + (root() / "there").string() + " || { " + wait + "; }");
  slow.action.settings.set("repeatable", std::string("true"));
  const std::vector<StepSpec> steps{slow, shell_step("next", line("next"), {"slow"})};
  const auto run = start(graph(steps));
  std::jthread other([&] {
    while (!std::filesystem::exists(root() / "there")) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    context_.stop.request_stop();
  });
  EXPECT_EQ(run->execute(), RunEnd::kInterrupted);
  EXPECT_THAT(run->hint(), HasSubstr("salvor plan resume"));
  other.join();
  test::TestContext fresh;
  const Context again = *fresh;
  // The locks go with the run.
  EXPECT_THROW(
      static_cast<void>(PlanRun::resume(again, folder_, tools(), graph(steps), id_, false)), Error);
}

TEST_F(PlanRuns, TakesSecretsOutOfWhatCommandsSay) {
  StepSpec step = shell_step("leak", "echo \"token $TOKEN\"; echo \"$TOKEN\" >&2; exit 1");
  step.action.settings.set("environment", TextMap{{"TOKEN", "env:TOKEN"}});
  EXPECT_EQ(run({step}), RunEnd::kFailed);
  StepSpec good = shell_step("good", "echo \"token $TOKEN\"");
  good.action.settings.set("environment", TextMap{{"TOKEN", "env:TOKEN"}});
  EXPECT_EQ(run({good}), RunEnd::kSucceeded);
  EXPECT_EQ(state_.steps.at("good").result.outputs.at(0).second, "token ***");
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory_.path())) {
    if (entry.is_regular_file()) {
      EXPECT_THAT(read_text(entry.path()), Not(HasSubstr("hunter22"))) << entry.path();
    }
  }
  EXPECT_THAT(events_.text(), Not(HasSubstr("hunter22")));
}

TEST_F(PlanRuns, LetsNoValueBecomeShellSyntax) {
  EXPECT_EQ(run({shell_step("evil", "echo 'a; touch " + (root() / "pwned").string() + "'"),
                 shell_step("use", "echo ${evil.output}", {"evil"})}),
            RunEnd::kFailed);
  EXPECT_THAT(error_, HasSubstr("characters that the shell would take apart"));
  EXPECT_FALSE(std::filesystem::exists(root() / "pwned"));
  // As one of several arguments it stays one.
  StepSpec list =
      make_step("use", "command", texts("command", {"echo", "${evil.output}"}), {"evil"});
  EXPECT_EQ(run({shell_step("evil", "echo 'a; b'"), list}), RunEnd::kSucceeded);
  EXPECT_EQ(state_.steps.at("use").result.outputs.at(0).second, "a; b");
}

TEST_F(PlanRuns, FindsAllProblemsBeforeAnythingIsTouched) {
  StepSpec secret = shell_step("secret", line("x"));
  secret.action.settings.set("environment", TextMap{{"KEY", "env:MISSING"}});
  try {
    run({secret, make_step("gone", "command", texts("command", {"/no/such/program", "x"})),
         restore_of("other", "nothing"), shell_step("colour", "echo ${target.colour}")});
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.message(),
                AllOf(HasSubstr("secret: secret for KEY: variable MISSING is not set"),
                      HasSubstr("gone: there is no program /no/such/program"),
                      HasSubstr("other: there is no source \"nothing\""),
                      HasSubstr("colour: the target does not offer ${target.colour}")));
  }
  EXPECT_THAT(log(), ElementsAre());
  EXPECT_THAT(folder_.list(), testing::IsEmpty());
}

// A server that runs on the data: one restore would fail when another has replaced its source.
TEST_F(PlanRuns, DoesNotBeginWhenNothingClearsTheWay) {
  site_.stand_in_the_way("a server runs on db");
  site_.add("files", {range("bbbb2222", clock_.now() - std::chrono::hours(1))});
  write_text(root() / "files", "the old files");
  try {
    static_cast<void>(
        run({restore_of("restore-files", "files", {}), restore_of("restore", "db", {})}));
    FAIL() << "it began";
  } catch (const Error& error) {
    EXPECT_THAT(error.message(), HasSubstr("restore: a server runs on db. Stop it first"));
  }
  EXPECT_EQ(read_text(root() / "files"), "the old files") << "nothing was touched";
  // A step in front of it may: a person is told which.
  const plan::PlanGraph cleared =
      graph({shell_step("stop", line("stopped")), restore_of("restore", "db", {"stop"})});
  const Preflight ahead = look_ahead(*context_, cleared, site_, secrets_, {.run = "0"});
  EXPECT_THAT(ahead.problems, ElementsAre());
  EXPECT_THAT(ahead.warnings,
              ElementsAre("restore: a server runs on db now; stop must change that"));
}

TEST_F(PlanRuns, InADrillOnlyTouchesTheTarget) {
  test::FakeSite drill(root(), Mode::kDrill);
  drill.add("db", {range("aaaa1111", clock_.now())});
  StepSpec production = shell_step("production", line("production"));
  production.only = StepScope::kProduction;
  StepSpec told = shell_step("told", line("told"));
  told.action.settings.set("in-drill", std::string("run"));
  PlanGraph plan =
      graph({shell_step("outside", line("outside")), production, told,
             shell_step("inside", line("inside") + "; test -e ${target.directory}"),
             shell_step("needs", "echo ${outside.output} ${target.directory}", {"outside"})});
  const Preflight preflight = look_ahead(*context_, plan, drill, secrets_, {.run = "x"});
  RunTools drill_tools{.site = drill, .secrets = secrets_, .observer = events_, .people = people_};
  const auto run = PlanRun::start(context_now_, folder_, drill_tools, std::move(plan), preflight,
                                  {.id = RunFolder::new_id(random_), .mode = "drill", .who = "me"});
  EXPECT_EQ(run->execute(), RunEnd::kSucceeded);
  std::vector<std::string> lines = log();
  std::sort(lines.begin(), lines.end());
  EXPECT_THAT(lines, ElementsAre("inside", "told"));
  EXPECT_EQ(run->state().steps.at("needs").skipped,
            "it needs what outside gives, which was skipped");
}

TEST_F(PlanRuns, ADrillTakesNothingBackInProduction) {
  test::FakeSite drill(root(), Mode::kDrill);
  drill.add("db", {range("aaaa1111", clock_.now())});
  const auto undo = [](std::vector<std::string> command, const std::string& in_drill) {
    Settings settings = texts("command", std::move(command));
    settings.set("in-drill", in_drill);
    return ActionSpec{.kind = "command", .settings = std::move(settings)};
  };
  const std::string inside = "; test -e ${target.directory}";
  StepSpec restore = restore_of("restore", "db");
  restore.undo = undo({line("restart")}, "auto");
  StepSpec migrate = shell_step("migrate", line("migrate") + inside, {"restore"});
  migrate.undo = undo({"/no/such/program", "0041"}, "auto");
  StepSpec load = shell_step("load", line("load") + inside, {"migrate"});
  load.undo = undo({line("unload") + inside}, "auto");
  StepSpec told = shell_step("told", line("told") + inside, {"load"});
  told.undo = undo({line("untold")}, "run");
  StepSpec kept = shell_step("kept", line("kept") + inside, {"told"});
  kept.undo = undo({line("unkept") + inside}, "skip");
  PlanGraph plan = graph({restore, migrate, load, told, kept});
  const Preflight preflight = look_ahead(*context_, plan, drill, secrets_, {.run = "x"});
  EXPECT_THAT(preflight.problems, ElementsAre()) << "what a drill does not run may be missing";
  RunTools drill_tools{.site = drill, .secrets = secrets_, .observer = events_, .people = people_};
  const auto run = PlanRun::start(context_now_, folder_, drill_tools, std::move(plan), preflight,
                                  {.id = RunFolder::new_id(random_), .mode = "drill", .who = "me"});
  EXPECT_EQ(run->execute(), RunEnd::kSucceeded);
  EXPECT_EQ(run->undo(), RunEnd::kUndone);
  EXPECT_THAT(log(), ElementsAre("migrate", "load", "told", "kept", "untold", "unload"));
  EXPECT_EQ(run->state().steps.at("migrate").state, StepState::kDone);
  EXPECT_THAT(events_.text(),
              AllOf(HasSubstr("restore: left as it is, its undo: it does not refer to the target"),
                    HasSubstr("kept: left as it is, its undo: in-drill: skip")));
}

TEST_F(PlanRuns, AFailedCheckFailsTheStepAndKeepsItsValues) {
  site_.checks.push_back(
      {.name = "rows", .passed = false, .value = "2", .expected = "3", .seconds = 0});
  Settings settings;
  settings.set("source", std::string("db"));
  EXPECT_EQ(run({make_step("check", "check", settings)}), RunEnd::kFailed);
  EXPECT_THAT(error_, HasSubstr("1 of 2 checks failed: rows: found 2, expected 3"));
  EXPECT_EQ(state_.steps.at("check").result.checks.size(), 2U);
}

}  // namespace
}  // namespace salvor::plan
