#include "protect/drill.h"

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "protect/recovery_points.h"
#include "protect/run_facts.h"
#include "support/fake_site.h"
#include "support/temp_directory.h"
#include "support/test_context.h"

namespace salvor {
namespace {

using std::chrono::hours;
using std::chrono::seconds;

// Moved on by what takes long.
class MovedClock final : public Clock {
 public:
  [[nodiscard]] WallTime now() const override { return std::chrono::system_clock::now() + moved; }
  [[nodiscard]] MonotonicTime monotonic() const override {
    return std::chrono::steady_clock::now();
  }
  hours moved{0};
};

// How a source and its sandbox behave.
struct Behaviour {
  ErrorCode open_fails = ErrorCode::kCancelled;  // kCancelled: it does not
  hours restore_takes{0};
  std::vector<CheckResult> checks{{.name = "counts", .passed = true, .value = "3"}};
  bool broken = false;
  bool follows_log = false;  // it reaches to now, always
};

class FakeSandbox final : public SandboxedStore {
 public:
  explicit FakeSandbox(Behaviour& behaviour) : behaviour_(behaviour) {}
  TextMap outputs() const override { return {}; }
  std::vector<CheckResult> check(const Context&) override {
    if (behaviour_.broken) {
      return {{.name = "counts", .passed = false, .value = "0"}};
    }
    return behaviour_.checks;
  }
  std::string break_it(const Context&, const std::string&) override {
    behaviour_.broken = true;
    return "all of it was deleted";
  }
  RestoreOutcome restored() const override { return {}; }
  KeptStore leave(const Context&) override { return {}; }
  RestoreOutcome recover(const Context&, const RestoreOrder& order) override {
    behaviour_.broken = false;
    return {.snapshot = order.base, .restored_bytes = 7};
  }

 private:
  Behaviour& behaviour_;
};

class FakeStore final : public Store {
 public:
  FakeStore(const SourceSpec& spec, Behaviour& behaviour, MovedClock& clock, WallTime begun)
      : spec_(spec), behaviour_(behaviour), clock_(clock), begun_(begun) {}
  const SourceSpec& spec() const override { return spec_; }
  TextMap outputs() const override { return {}; }
  std::vector<CheckResult> check(const Context&) override { return {}; }
  RunRecord back_up(const Context&, const BackupOrder&) override { return {}; }
  std::vector<RecoveryRange> ranges(const Context&) override {
    const WallTime captured = begun_ - std::chrono::minutes(1);
    return {{.snapshot = spec_.name + "-1",
             .captured = captured,
             .until = behaviour_.follows_log ? clock_.now() : captured,
             .durable = captured,
             .open_ended = behaviour_.follows_log}};
  }
  RestoreOutcome restore(const Context&, const RestoreOrder&) override { return {}; }
  std::string would_destroy(const Context&, const RestoreOrder&) override { return {}; }
  void put_back(const Context&, const RestoreOutcome&, const RestoreOrder&) override {}
  void discard_old(const Context&, const RestoreOutcome&) override {}
  std::unique_ptr<SandboxedStore> open_sandbox(const Context&, const SandboxSpec&,
                                               const RestoreOrder&) override {
    clock_.moved += behaviour_.restore_takes;
    if (behaviour_.open_fails != ErrorCode::kCancelled) {
      throw Error(behaviour_.open_fails, "no way");
    }
    return std::make_unique<FakeSandbox>(behaviour_);
  }
  std::vector<ProbeResult> probe(const Context&) override { return {}; }

 private:
  const SourceSpec& spec_;
  Behaviour& behaviour_;
  MovedClock& clock_;
  const WallTime begun_;
};

class DrillTest : public ::testing::Test, protected Stores {
 protected:
  DrillTest() {
    app_.name = "shop";
    for (const char* name : {"db", "uploads"}) {
      app_.sources.push_back({.name = name, .kind = "files", .repository = "main"});
    }
  }

  std::unique_ptr<Store> open(const std::string& source) override {
    return std::make_unique<FakeStore>(*find_named(app_.sources, source), behaviours_[source],
                                       clock_, begun_);
  }
  DrillResult run(const std::string& scenario = "", std::vector<StepSpec> steps = {}) {
    DrillOrder order{.id = plan::RunFolder::new_id(random_),
                     .name = "monthly",
                     .sources = {"db", "uploads"},
                     .scenario = scenario};
    order.sandbox.name = "default";
    order.sandbox.directory = (directory_ / "sandboxes").string();
    order.sandbox.network = true;
    if (!steps.empty()) {
      order.plan = plan::resolve_plan({.name = "recover", .steps = std::move(steps)}, {});
    }
    const DrillTools tools{.application = app_,
                           .stores = *this,
                           .folder = folder_,
                           .secrets = secrets_,
                           .observer = events_,
                           .people = people_,
                           .say = [](const std::string&) {}};
    return run_drill(Context{context_.stop.get_token(), context_.events, clock_, random_}, tools,
                     order);
  }
  // The drill's own first, then by source.
  std::map<std::string, RunRecord> records(const DrillResult& result) {
    std::map<std::string, RunRecord> by_subject;
    for (RunRecord& record : drill_records(app_, result)) {
      by_subject[record.subject] = std::move(record);
    }
    return by_subject;
  }
  // What status makes of it: "proven", "refuted" or "nothing".
  std::string said_of(const std::string& source, const DrillResult& result) {
    const auto proofs = proofs_among(std::vector<RunRecord>{records(result).at(source)});
    return proofs.empty() ? "nothing" : proofs[0].passed ? "proven" : "refuted";
  }

  test::TempDirectory directory_;
  test::TestContext context_;
  SystemRandom random_;
  MovedClock clock_;
  const WallTime begun_ = clock_.now();
  Application app_;
  std::map<std::string, Behaviour> behaviours_;
  plan::Secrets secrets_{[](const SecretReference&) { return Secret(); }};
  test::EventList events_;
  test::FakePeople people_;
  plan::RunFolder folder_{directory_.path() / "state"};
};

TEST_F(DrillTest, AllWellIsAProofOfEachSource) {
  const DrillResult result = run();
  EXPECT_EQ(result.report.outcome, RunOutcome::kSucceeded);
  EXPECT_TRUE(result.passed);
  EXPECT_EQ(said_of("db", result), "proven");
  EXPECT_EQ(said_of("uploads", result), "proven");
  const RunRecord whole = records(result).at("monthly");
  EXPECT_THAT(facts_of(whole, kSourceFact), ::testing::ElementsAre("db", "uploads"));
  EXPECT_EQ(records(result).at("db").snapshot, "db-1");
  EXPECT_THAT(facts_of(records(result).at("db"), kSourceFact), ::testing::IsEmpty());
}

// A full disk, a repository that is away for a moment: no sandbox was ever there.
TEST_F(DrillTest, WhatIsNotTheBackupsFaultRefutesNone) {
  for (const ErrorCode code : {ErrorCode::kStorageFull, ErrorCode::kUnreachable,
                               ErrorCode::kNotFound, ErrorCode::kPermission}) {
    behaviours_["db"].open_fails = code;
    const DrillResult result = run();
    EXPECT_EQ(result.report.outcome, RunOutcome::kFailed);
    EXPECT_EQ(said_of("db", result), "nothing") << static_cast<int>(code);
    EXPECT_EQ(said_of("uploads", result), "nothing");
    EXPECT_EQ(records(result).at("monthly").outcome, RunOutcome::kFailed);
  }
}

TEST_F(DrillTest, ABackupThatCannotBeRestoredIsRefutedAloneOfAll) {
  behaviours_["uploads"].open_fails = ErrorCode::kDamaged;
  const DrillResult result = run();
  EXPECT_EQ(said_of("uploads", result), "refuted");
  EXPECT_EQ(records(result).at("uploads").error, "no way");
  EXPECT_EQ(said_of("db", result), "nothing") << "nobody came to look into it";
}

TEST_F(DrillTest, ACheckThatFailsRefutesItsOwnSource) {
  behaviours_["db"].checks.push_back({.name = "balance", .passed = false, .value = "12"});
  const DrillResult result = run();
  EXPECT_EQ(result.report.outcome, RunOutcome::kFailed);
  EXPECT_EQ(said_of("db", result), "refuted");
  EXPECT_EQ(records(result).at("db").error, "balance: 12");
  EXPECT_NE(said_of("uploads", result), "refuted");
}

TEST_F(DrillTest, AStepThatFailsElsewhereTakesNoProofAway) {
  Settings db;
  db.set("source", std::string("db"));
  const DrillResult result = run(
      "deletion", {test::restore_of("back", "db"), test::make_step("look", "check", db, {"back"}),
                   test::restore_of("files", "uploads", {"look"}), [] {
                     StepSpec wrong = test::shell_step("wrong", "exit 3", {"files"});
                     wrong.only = StepScope::kDrill;
                     return wrong;
                   }()});
  EXPECT_EQ(result.report.outcome, RunOutcome::kFailed);
  EXPECT_EQ(said_of("db", result), "proven") << "restored and looked into, before that";
  EXPECT_EQ(said_of("uploads", result), "nothing") << "restored, and nobody looked";
  EXPECT_EQ(records(result).at("db").outcome, RunOutcome::kSucceeded);
  EXPECT_EQ(fact_of(records(result).at("monthly"), kProofFact), "");
}

// The checks that found what was broken on purpose say nothing of the backup.
TEST_F(DrillTest, WhatTheScenarioBrokeRefutesNothing) {
  StepSpec first = test::shell_step("first", "exit 3");
  first.only = StepScope::kDrill;
  const DrillResult result = run("deletion", {first, test::restore_of("back", "db", {"first"}),
                                              test::restore_of("files", "uploads", {"first"})});
  EXPECT_EQ(result.report.outcome, RunOutcome::kFailed);
  EXPECT_EQ(said_of("db", result), "nothing");
  EXPECT_EQ(said_of("uploads", result), "nothing");
}

// What was left out by rule stands among the findings, too, and in front of it.
TEST_F(DrillTest, TheRecordNamesWhatWentWrong) {
  StepSpec outside = test::shell_step("page", "true");
  StepSpec wrong = test::shell_step("wrong", "exit 3", {"page"});
  wrong.only = StepScope::kDrill;
  const auto steps = [&] {
    return std::vector<StepSpec>{outside, test::restore_of("back", "db", {"page"}),
                                 test::restore_of("files", "uploads", {"page"})};
  };
  std::vector<StepSpec> failing = steps();
  failing.push_back(wrong);
  DrillResult result = run("deletion", std::move(failing));
  EXPECT_THAT(result.report.findings.front(), ::testing::HasSubstr("not exercised: page"));
  EXPECT_THAT(records(result).at("monthly").error, ::testing::HasSubstr("wrong"));
  // Of one that succeeded there is nothing to name.
  Settings db;
  db.set("source", std::string("db"));
  std::vector<StepSpec> good = steps();
  good.push_back(test::make_step("look", "check", db, {"back"}));
  result = run("deletion", std::move(good));
  EXPECT_EQ(result.report.outcome, RunOutcome::kSucceeded);
  EXPECT_THAT(result.report.findings.front(), ::testing::HasSubstr("not exercised: page"));
  EXPECT_EQ(records(result).at("monthly").error, "");
}

// The plan passes; of what it left as the scenario had made it, it proves nothing.
TEST_F(DrillTest, WhatNoStepBroughtBackIsNotProven) {
  Settings db;
  db.set("source", std::string("db"));
  StepSpec files = test::restore_of("files", "uploads", {"look"});
  files.only = StepScope::kProduction;
  const DrillResult result =
      run("deletion", {test::restore_of("back", "db"),
                       test::make_step("look", "check", db, {"back"}), std::move(files)});
  EXPECT_TRUE(result.passed) << ::testing::PrintToString(result.report.findings);
  EXPECT_EQ(said_of("db", result), "proven");
  EXPECT_EQ(said_of("uploads", result), "nothing");
  EXPECT_THAT(facts_of(records(result).at("monthly"), kSourceFact), ::testing::ElementsAre("db"))
      << "it is no drill of the whole";
}

// A second too late is a breach of the objective, not a bad backup.
TEST_F(DrillTest, AMissedObjectiveIsNoFailedProof) {
  app_.objectives = {{.rto = seconds(1), .rpo = hours(9)}};
  behaviours_["uploads"].restore_takes = hours(2);
  const DrillResult result = run();
  EXPECT_EQ(result.report.outcome, RunOutcome::kIncomplete);
  EXPECT_TRUE(result.passed);
  EXPECT_EQ(said_of("db", result), "proven");
  EXPECT_EQ(said_of("uploads", result), "proven");
  const RunRecord whole = records(result).at("monthly");
  EXPECT_EQ(whole.outcome, RunOutcome::kIncomplete);
  EXPECT_EQ(fact_of(whole, kProofFact), kProofPassed);
  EXPECT_GT(*whole.rto_seconds, 7000);
}

// The log goes on while the sandboxes are made: that time is not lost data.
TEST_F(DrillTest, TheLossIsWhatAFailureAtThatInstantWouldHaveCost) {
  app_.objectives = {{.rto = hours(9), .rpo = seconds(60)}};
  for (const char* name : {"db", "uploads"}) {
    behaviours_[name].follows_log = true;
    behaviours_[name].restore_takes = hours(1);
  }
  const DrillResult result = run("deletion");
  EXPECT_EQ(result.report.outcome, RunOutcome::kSucceeded)
      << ::testing::PrintToString(result.report.findings);
  ASSERT_EQ(result.report.measures.size(), 3U);
  for (const DrillMeasure& measure : result.report.measures) {
    EXPECT_LT(*measure.rpo_seconds, 60) << measure.source;
    EXPECT_TRUE(measure.met) << measure.source;
  }
}

}  // namespace
}  // namespace salvor
