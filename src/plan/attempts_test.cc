// Attempts that had their effect although they failed: it must be there once.
#include <atomic>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "support/plan_runs.h"

namespace salvor::plan {
namespace {

using test::PlanRuns;
using test::shell_step;
using testing::AllOf;
using testing::HasSubstr;

// As `sql` with `changes`: notes its transaction, commits, and then the connection breaks.
class Payment final : public Step {
 public:
  // For what the attempts after the first one do.
  enum class Later : uint8_t { kPays, kFailsBeforeItNotes };

  [[nodiscard]] const StepKind& kind() const override {
    static const StepKind kind{.name = "payment", .summary = "pays", .fields = {}};
    return kind;
  }
  [[nodiscard]] std::string describe(const Settings&) const override { return "pay"; }
  [[nodiscard]] ProbeAnswer probe(StepScene& scene) const override {
    ++probed;
    if (blind > 0) {
      --blind;
      throw Error(ErrorCode::kUnreachable, "nobody answers");
    }
    if (scene.note_of("transaction").empty()) {
      return {.state = Probed::kNotDone, .result = {}, .why = "it had not been committed"};
    }
    return {
        .state = server_says,
        .result = {.summary = "it had been committed", .outputs = {}, .checks = {}, .facts = {}},
        .why = "it is in progress"};
  }
  [[nodiscard]] StepResult run(StepScene& scene) const override {
    if (++begun > 1 && later == Later::kFailsBeforeItNotes) {
      throw Error(ErrorCode::kUnreachable, "no connection");
    }
    scene.note("transaction", std::to_string(begun));
    ++paid;
    if (begun == 1) {
      throw Error(ErrorCode::kUnreachable, "the connection broke");
    }
    return {.summary = "paid", .outputs = {}, .checks = {}, .facts = {}};
  }

  Probed server_says = Probed::kDone;
  Later later = Later::kPays;
  mutable std::atomic<int> blind = 0;  // so often it cannot be asked
  mutable std::atomic<int> begun = 0;
  mutable std::atomic<int> paid = 0;
  mutable std::atomic<int> probed = 0;
};

class Attempts : public PlanRuns {
 protected:
  [[nodiscard]] PlanGraph plan(unsigned retries) const {
    StepSpec step = shell_step("pay", "true");
    step.retries = retries;
    PlanGraph resolved = graph({step});
    resolved.nodes.at(0).step = &payment_;
    return resolved;
  }
  RunEnd pay(unsigned retries) { return execute(*start(plan(retries))); }
  RunEnd pay_on(unsigned retries, const std::string& decision = {}) {
    const auto run = PlanRun::resume(context_now_, folder_, tools(), plan(retries), id_, true);
    if (!decision.empty()) {
      run->decide("pay", decision);
    }
    return execute(*run);
  }
  RunEnd execute(PlanRun& run) {
    const RunEnd end = run.execute();
    state_ = run.state();
    error_ = run.error();
    hint_ = run.hint();
    return end;
  }

  Payment payment_;
};

TEST_F(Attempts, ARetryLooksWhetherTheOneBeforeHadItsEffect) {
  EXPECT_EQ(pay(1), RunEnd::kSucceeded);
  EXPECT_EQ(payment_.paid, 1);
  EXPECT_EQ(state_.steps.at("pay").result.summary, "it had been committed");
}

TEST_F(Attempts, SoDoesAResumeAfterAFailure) {
  EXPECT_EQ(pay(0), RunEnd::kFailed);
  EXPECT_EQ(payment_.probed, 0);
  EXPECT_EQ(pay_on(0), RunEnd::kSucceeded);
  EXPECT_EQ(payment_.paid, 1);
}

TEST_F(Attempts, WhatWasNotDoneIsDoneAgain) {
  payment_.server_says = Probed::kNotDone;
  EXPECT_EQ(pay(1), RunEnd::kSucceeded);
  EXPECT_EQ(payment_.begun, 2);
  EXPECT_EQ(state_.steps.at("pay").result.summary, "paid");
}

TEST_F(Attempts, AServerThatCannotBeAskedIsAskedWithTheNextRetry) {
  payment_.blind = 2;
  EXPECT_EQ(pay(3), RunEnd::kSucceeded);
  EXPECT_EQ(payment_.probed, 3);
  EXPECT_EQ(payment_.paid, 1);
  EXPECT_THAT(events_.text(),
              HasSubstr("whether it was done all the same cannot be seen: nobody answers"));
}

TEST_F(Attempts, WhatNobodyKnowsIsNotDoneAgainButByAPersonsWord) {
  payment_.server_says = Probed::kUnknown;
  EXPECT_EQ(pay(2), RunEnd::kFailed);
  EXPECT_EQ(pay_on(2), RunEnd::kFailed);
  EXPECT_EQ(payment_.paid, 1);
  EXPECT_THAT(error_, HasSubstr("it may have been done all the same: it is in progress"));
  EXPECT_THAT(hint_, AllOf(HasSubstr("--skip pay"), HasSubstr("--redo pay")));
  EXPECT_EQ(pay_on(0, "skip"), RunEnd::kSucceeded);
  EXPECT_EQ(payment_.paid, 1);
}

// A person has judged what was noted before: it says nothing of the attempts since.
TEST_F(Attempts, AfterARedoOldNotesProveNothing) {
  EXPECT_EQ(pay(0), RunEnd::kFailed);
  payment_.later = Payment::Later::kFailsBeforeItNotes;
  EXPECT_EQ(pay_on(1, "redo"), RunEnd::kFailed);
  EXPECT_EQ(payment_.begun, 3) << "the retry was taken for done";
  EXPECT_EQ(pay_on(0), RunEnd::kFailed);
  payment_.later = Payment::Later::kPays;
  EXPECT_EQ(pay_on(0), RunEnd::kSucceeded);
  EXPECT_EQ(payment_.paid, 2);
  EXPECT_EQ(payment_.probed, 0);
}

}  // namespace
}  // namespace salvor::plan
