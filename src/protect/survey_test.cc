#include "protect/survey.h"

#include <gtest/gtest.h>

#include "catalog/run_log.h"
#include "protect/run_facts.h"
#include "support/small_repository.h"
#include "support/temp_directory.h"

namespace salvor {
namespace {

// A store whose points are the repository's snapshots.
class SnapshotStore final : public Store {
 public:
  SnapshotStore(const SourceSpec& spec, Repository& repository)
      : spec_(spec), repository_(repository) {}
  const SourceSpec& spec() const override { return spec_; }
  TextMap outputs() const override { return {}; }
  std::vector<CheckResult> check(const Context&) override { return {}; }
  RunRecord back_up(const Context&, const BackupOrder&) override { return {}; }
  std::vector<RecoveryRange> ranges(const Context& context) override {
    std::vector<RecoveryRange> ranges;
    for (const StoredSnapshot& stored : repository_.load_snapshots(context)) {
      const WallTime time = stored.snapshot.time.wall();
      ranges.insert(
          ranges.begin(),
          {.snapshot = stored.id.hex(), .captured = time, .until = time, .durable = time});
    }
    return ranges;
  }
  RestoreOutcome restore(const Context&, const RestoreOrder&) override { return {}; }
  std::string would_destroy(const Context&, const RestoreOrder&) override { return {}; }
  void put_back(const Context&, const RestoreOutcome&, const RestoreOrder&) override {}
  void discard_old(const Context&, const RestoreOutcome&) override {}
  std::unique_ptr<SandboxedStore> open_sandbox(const Context&, const SandboxSpec&,
                                               const RestoreOrder&) override {
    return nullptr;
  }
  std::vector<ProbeResult> probe(const Context&) override { return {}; }

 private:
  const SourceSpec& spec_;
  Repository& repository_;
};

class SurveyTest : public ::testing::Test, protected Stores {
 protected:
  SurveyTest() {
    app_.name = "shop";
    app_.repositories = {{.name = "main", .location = "/srv/a"},
                         {.name = "far", .location = "s3:s3.amazonaws.com/bucket"}};
    app_.sources = {{.name = "files", .repository = "main", .copies = {{.to = "far"}}}};
  }

  std::unique_ptr<Store> open(const std::string& source) override {
    return std::make_unique<SnapshotStore>(*find_named(app_.sources, source), main_.repository());
  }
  Survey take() {
    return survey(*context_,
                  {.application = app_,
                   .stores = *this,
                   .with_repository =
                       [this](const Context& context, const std::string& name, const auto& body) {
                         if (dead_.contains(name)) {
                           throw Error(ErrorCode::kUnreachable, name + " is away", "Look.");
                         }
                         // The snapshots are asked for first, then the history.
                         if (hangs_ || (slow_history_ && again(name))) {
                           while (true) {
                             context.check_stopped();
                             std::this_thread::sleep_for(std::chrono::milliseconds(5));
                           }
                         }
                         body(context, name == "main" ? main_.repository() : far_.repository());
                       },
                   .catalog = catalog_,
                   .host = "here",
                   .patience = std::chrono::seconds(hangs_ || slow_history_ ? 1 : 60)});
  }
  bool again(const std::string& name) {
    const std::scoped_lock lock(mutex_);
    return !asked_.insert(name).second;
  }
  void copy(const SnapshotId& id) {
    Snapshot snapshot = main_.repository().load_snapshot(*context_, id);
    snapshot.original = id;
    far_.save(snapshot);
  }

  test::TestContext context_;
  test::SmallRepository main_;
  test::SmallRepository far_;
  Application app_;
  Catalog catalog_ = Catalog::in_memory();
  std::set<std::string> dead_;
  bool hangs_ = false;
  bool slow_history_ = false;
  std::mutex mutex_;
  std::set<std::string> asked_;
};

TEST_F(SurveyTest, CountsCopiesWhereTheyAre) {
  const SnapshotId first = main_.backup({{"a", "1"}}, 1'700'000'000);
  const SnapshotId second = main_.backup({{"a", "2"}}, 1'700'000'100);
  copy(first);
  const SourceFacts facts = take().facts.at("files");
  ASSERT_EQ(facts.places.size(), 2U);
  EXPECT_EQ(facts.unreachable, "");
  EXPECT_EQ(facts.places[0].snapshots, (std::vector<std::string>{second.hex(), first.hex()}));
  EXPECT_EQ(facts.places[1].snapshots, std::vector<std::string>{first.hex()});
  EXPECT_TRUE(facts.places[1].offsite);
  EXPECT_EQ(facts.places[1].kind, "s3");
}

// Tens of thousands of records on a machine that knows none, over a slow line.
TEST_F(SurveyTest, AHistoryThatTakesTooLongHidesNoSnapshots) {
  const SnapshotId id = main_.backup({{"a", "1"}});
  slow_history_ = true;
  const SourceFacts facts = take().facts.at("files");
  EXPECT_EQ(facts.unreachable, "");
  ASSERT_EQ(facts.ranges.size(), 1U);
  EXPECT_EQ(facts.ranges[0].snapshot, id.hex());
  std::string warnings;
  for (const Event& event : context_.events.events()) {
    if (const auto* warning = std::get_if<Warning>(&event)) {
      warnings += warning->message;
    }
  }
  EXPECT_NE(warnings.find("main knows of are not all known here yet"), std::string::npos);
}

TEST_F(SurveyTest, ADeadRepositoryLeavesWhatWasSeen) {
  copy(main_.backup({{"a", "1"}}));
  const Survey before = take();
  dead_ = {"main", "far"};
  const SourceFacts facts = take().facts.at("files");
  EXPECT_EQ(facts.unreachable, "main is away");
  EXPECT_EQ(facts.hint, "Look.");
  ASSERT_EQ(facts.ranges.size(), 1U);
  EXPECT_EQ(facts.seen_at, before.facts.at("files").seen_at);
  EXPECT_FALSE(facts.places[1].reachable);
  EXPECT_EQ(facts.places[1].snapshots.size(), 1U);
}

TEST_F(SurveyTest, OneThatHangsIsGivenUp) {
  hangs_ = true;
  EXPECT_EQ(take().facts.at("files").unreachable, "it has not answered within 1 s");
}

TEST_F(SurveyTest, BeingStoppedIsNotADeadRepository) {
  main_.backup({{"a", "1"}});
  context_.stop.request_stop();
  EXPECT_THROW(static_cast<void>(take()), Error);
}

// Issue: the catalog is rebuildable; a new machine says the same.
TEST_F(SurveyTest, ANewMachineSeesTheSameStatus) {
  const SnapshotId id = main_.backup({{"a", "1"}}, 1'700'000'000);
  RunRecord proof;
  proof.kind = RunKind::kVerify;
  proof.outcome = RunOutcome::kSucceeded;
  proof.subject = "files";
  proof.snapshot = id.hex();
  proof.started = proof.finished = context_.operator*().clock.now();
  record_run(*context_, &main_.repository(), catalog_, proof);
  const WallTime now = proof.finished + std::chrono::minutes(1);
  const auto told = [&] {
    const Survey found = take();
    const StatusReport report = assess_status(app_, found.facts, found.drills, now);
    return std::tuple(report.state, report.stores[0].last_proof->run, report.proven_common->time,
                      found.facts.at("files").runs.size());
  };
  const auto here = told();
  catalog_ = Catalog::in_memory();
  EXPECT_EQ(told(), here);
  EXPECT_EQ(std::get<0>(here), Assurance::kProven);
}

// Saturday's check found a damaged pack; five minutes later another share of the packs was well.
TEST_F(SurveyTest, DamageIsNotForgottenForAnotherShareThatIsWell) {
  main_.backup({{"a", "1"}});
  const WallTime start = (*context_).clock.now() - std::chrono::hours(1);
  unsigned minute = 0;
  const auto check = [&](RunOutcome outcome, const std::string& share) {
    RunRecord run;
    run.kind = RunKind::kCheck;
    run.outcome = outcome;
    run.subject = run.repository = "main";
    run.started = run.finished = start + std::chrono::minutes(++minute);
    if (!share.empty()) {
      set_fact(run, kShareFact, share);
      set_fact(run, kErrorsFact, outcome == RunOutcome::kFailed ? "1" : "0");
    }
    record_run(*context_, &main_.repository(), catalog_, run);
    return take().facts.at("files").places[0].errors;
  };
  EXPECT_EQ(check(RunOutcome::kSucceeded, "2/20"), 0U);
  EXPECT_EQ(check(RunOutcome::kFailed, "3/20"), 1U);
  EXPECT_EQ(check(RunOutcome::kInterrupted, ""), 1U);
  EXPECT_EQ(check(RunOutcome::kSucceeded, "4/20"), 1U);
  EXPECT_EQ(check(RunOutcome::kSucceeded, "3/20"), 0U);
}

TEST_F(SurveyTest, RunsOfAnotherApplicationInTheRepositoryAreNotOurs) {
  RunRecord run;
  run.subject = "files";
  run.facts = {{"application", "shop:production"}};
  EXPECT_FALSE(belongs_to(run, app_));
  app_.environment = "production";
  EXPECT_TRUE(belongs_to(run, app_));
  run.facts.clear();
  EXPECT_TRUE(belongs_to(run, app_));
}

}  // namespace
}  // namespace salvor
