#include "protect/runner.h"

#include <fstream>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "protect/job_lock.h"
#include "support/temp_directory.h"
#include "support/test_context.h"

namespace salvor {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class Worker final : public JobWorker {
 public:
  explicit Worker(std::vector<std::string>& log) : log_(log) {}
  RunRecord back_up(const Context& context, const Job& job) override { return work(context, job); }
  RunRecord copy(const Context& context, const Job& job) override { return work(context, job); }
  RunRecord retain(const Context& context, const Job& job) override { return work(context, job); }
  RunRecord verify(const Context& context, const Job& job) override { return work(context, job); }
  RunRecord check(const Context& context, const Job& job) override { return work(context, job); }
  RunRecord drill(const Context& context, const Job& job) override { return work(context, job); }

  std::string fails;  // the subject whose backup fails
  ErrorCode code = ErrorCode::kFailed;

 private:
  RunRecord work(const Context& context, const Job& job) {
    log_.push_back(job.display());
    if (job.kind == RunKind::kBackup && job.subject == fails) {
      throw Error(code, "no way");
    }
    RunRecord record;
    record.kind = job.kind;
    record.subject = job.subject;
    record.repository = job.repository;
    record.outcome = RunOutcome::kSucceeded;
    record.started = record.finished = context.clock.now();
    return record;
  }
  std::vector<std::string>& log_;
};

class Sink final : public RunSink {
 public:
  void add(const Context&, RunRecord record) override { records.push_back(std::move(record)); }
  FormerRuns former(const Job& job) override {
    FormerRuns former;
    for (const RunRecord& record : records) {
      if (record.kind == job.kind && (job.subject.empty() || record.subject == job.subject) &&
          (job.repository.empty() || record.repository == job.repository)) {
        former.last = record;
        if (record.outcome == RunOutcome::kSucceeded) {
          former.good = former.made = record;
        }
      }
    }
    return former;
  }
  std::vector<RunRecord> records;
};

class Quiet final : public RunObserver {
 public:
  void begins(const DueJob&) override {}
  void ended(const JobResult&) override {}
};

class RunnerTest : public ::testing::Test {
 protected:
  RunnerTest() {
    application_.name = "shop";
    application_.state_directory = directory_.path().string() + "/state";
    PolicySpec policy;
    policy.name = "p";
    policy.schedule = "daily 02:00";
    application_.policies = {policy};
    for (const char* name : {"one", "two"}) {
      SourceSpec source;
      source.name = name;
      source.repository = "main";
      source.policy = "p";
      application_.sources.push_back(source);
    }
    application_.repositories.resize(1);
    application_.repositories[0].name = "main";
  }
  std::vector<JobResult> run(const std::string& only = "") {
    return run_due(*context_, application_, worker_, sink_, quiet_, {.only = only, .who = "me"});
  }
  // A hook that writes a line into the log file.
  [[nodiscard]] std::vector<std::string> hook(const std::string& word) const {
    return {"echo " + word + " >>" + directory_.path().string() + "/hooks"};
  }
  [[nodiscard]] std::vector<std::string> hooks() const {
    std::ifstream file(directory_.path().string() + "/hooks");
    std::vector<std::string> words;
    for (std::string word; file >> word;) {
      words.push_back(word);
    }
    return words;
  }

  test::TempDirectory directory_;
  test::TestContext context_;
  Application application_;
  std::vector<std::string> log_;
  Worker worker_{log_};
  Sink sink_;
  Quiet quiet_;
};

TEST_F(RunnerTest, DoesWhatIsDueOnceAndWhatFollowsFromIt) {
  application_.sources[0].copies = {{.to = "offsite", .schedule = "", .retention = {}}};
  EXPECT_EQ(run().size(), 5U);
  EXPECT_THAT(log_, ElementsAre("backup of one", "backup of two", "copy of one to offsite",
                                "retention of one", "retention of two"));
  EXPECT_THAT(run(), IsEmpty());
  for (const RunRecord& record : sink_.records) {
    EXPECT_EQ(record.who, "me");
    EXPECT_EQ(record.id.size(), 32U);
    EXPECT_NE(record.due, WallTime{});
  }
}

TEST_F(RunnerTest, AFailureKeepsNothingElseFromRunning) {
  worker_.fails = "one";
  const auto results = run();
  EXPECT_THAT(log_, ElementsAre("backup of one", "backup of two", "retention of two"));
  EXPECT_EQ(results[0].record.outcome, RunOutcome::kFailed);
  EXPECT_EQ(sink_.records[0].error, "no way");
  EXPECT_EQ(sink_.records[0].outcome, RunOutcome::kFailed);
}

TEST_F(RunnerTest, AnInterruptionIsWrittenDownAndEndsTheRun) {
  worker_.fails = "one";
  worker_.code = ErrorCode::kCancelled;
  EXPECT_THROW((void)run(), Error);
  EXPECT_THAT(log_, ElementsAre("backup of one"));
  ASSERT_EQ(sink_.records.size(), 1U);
  EXPECT_EQ(sink_.records[0].outcome, RunOutcome::kInterrupted);
}

TEST_F(RunnerTest, WritesAreResumedWhateverHappens) {
  for (SourceSpec& source : application_.sources) {
    source.hooks.quiesce = hook("stop-" + source.name);
    source.hooks.resume = hook("go-" + source.name);
  }
  worker_.fails = "one";
  worker_.code = ErrorCode::kCancelled;
  EXPECT_THROW((void)run(), Error);
  EXPECT_THAT(hooks(), ElementsAre("stop-one", "stop-two", "go-two", "go-one"));
}

TEST_F(RunnerTest, WhatCannotBeStoppedIsNotBackedUp) {
  application_.sources[0].hooks.quiesce = {"exit 3"};
  application_.sources[0].hooks.resume = hook("go");
  const auto results = run();
  EXPECT_EQ(results[0].record.outcome, RunOutcome::kFailed);
  EXPECT_THAT(log_, ElementsAre("backup of two", "retention of two"));
  EXPECT_THAT(hooks(), ElementsAre("go"));
}

TEST_F(RunnerTest, LeavesToAnotherRunWhatItIsAt) {
  const auto other = JobLock::take(application_.state_directory, "backup-one");
  ASSERT_TRUE(other);
  EXPECT_FALSE(JobLock::take(application_.state_directory, "backup-one"));
  const auto results = run();
  EXPECT_TRUE(results[0].skipped);
  EXPECT_THAT(log_, ElementsAre("backup of two", "retention of two"));
}

TEST_F(RunnerTest, OnlyWhatIsNamed) {
  EXPECT_EQ(run("two").size(), 2U);
  EXPECT_THROW((void)run("three"), Error);
}

}  // namespace
}  // namespace salvor
