#include "protect/check_shares.h"

#include <algorithm>
#include <set>

#include <gtest/gtest.h>

#include "protect/run_facts.h"

namespace salvor {
namespace {

RunRecord check(RunOutcome outcome, const std::string& share) {
  RunRecord run;
  run.kind = RunKind::kCheck;
  run.outcome = outcome;
  if (!share.empty()) {
    set_fact(run, kShareFact, share);
  }
  set_fact(run, kErrorsFact, outcome == RunOutcome::kFailed ? "2" : "0");
  return run;
}

RunRecord well(const std::string& share) {
  return check(RunOutcome::kSucceeded, share);
}
RunRecord errors(const std::string& share) {
  return check(RunOutcome::kFailed, share);
}

// `checks` oldest first, as they are told.
std::vector<RunRecord> newest_first(std::vector<RunRecord> checks) {
  std::ranges::reverse(checks);
  return checks;
}
size_t standing(const std::vector<RunRecord>& checks) {
  return standing_errors(newest_first(checks)).size();
}
std::string next(const std::vector<RunRecord>& checks, unsigned parts = 20) {
  return next_share(newest_first(checks), parts).text();
}

TEST(CheckShares, AllOfTheRepositoryIsReadOverTheTime) {
  EXPECT_EQ(parts_for(5), 20U);
  EXPECT_EQ(parts_for(3), 34U) << "never less than was asked for";
  EXPECT_EQ(parts_for(100), 1U);
  EXPECT_EQ(parts_for(1), 100U);
  std::vector<RunRecord> done;
  std::set<std::string> read;
  for (int i = 0; i < 20; ++i) {
    read.insert(next(done));
    done.push_back(well(next(done)));
  }
  EXPECT_EQ(read.size(), 20U);
  EXPECT_EQ(next(done), "1/20");
  EXPECT_EQ(next(done, 10), "1/10") << "the configuration has changed";
}

TEST(CheckShares, ErrorsStayUntilTheSamePacksWereReadAgain) {
  EXPECT_EQ(standing({well("2/20"), errors("3/20")}), 1U);
  EXPECT_EQ(standing({errors("3/20"), check(RunOutcome::kInterrupted, "3/20")}), 1U);
  EXPECT_EQ(standing({errors("3/20"), check(RunOutcome::kMissed, "")}), 1U);
  EXPECT_EQ(standing({errors("3/20"), well("4/20")}), 1U);
  EXPECT_EQ(standing({errors("3/20"), well("")}), 1U) << "by chance, of an older Salvor";
  EXPECT_EQ(standing({errors("3/20"), well("3/20")}), 0U);
  EXPECT_EQ(standing({errors("3/20"), well("1/1")}), 0U);
  EXPECT_EQ(standing({errors("3/20"), well("3/10")}), 0U) << "a half that holds it";
  EXPECT_EQ(standing({errors("3/10"), well("3/20")}), 1U);
  EXPECT_EQ(standing({errors("3/10"), well("3/20"), well("13/20")}), 0U);
  EXPECT_EQ(standing({well("3/20"), errors("3/20"), errors("3/20")}), 2U);
}

TEST(CheckShares, WhatHasErrorsIsReadAgainFirst) {
  EXPECT_EQ(next({well("2/20"), errors("3/20")}), "3/20");
  EXPECT_EQ(next({errors("3/20"), check(RunOutcome::kInterrupted, "3/20")}), "3/20");
  EXPECT_EQ(next({errors("3/20"), well("3/20")}), "4/20");
  EXPECT_EQ(next({well("2/20"), check(RunOutcome::kInterrupted, "3/20")}), "3/20");
}

TEST(CheckShares, ACheckThatCouldNotBeMadeFoundNothing) {
  RunRecord locked;
  locked.kind = RunKind::kCheck;
  locked.outcome = RunOutcome::kFailed;
  locked.error = "the repository is locked";
  EXPECT_EQ(standing({well("2/20"), locked}), 0U);
  EXPECT_EQ(standing({errors("3/20"), locked}), 1U);
  EXPECT_EQ(next({well("2/20"), locked}), "3/20");
}

// Before shares were written down, packs were chosen at random.
TEST(CheckShares, OfOlderRecordsTheLastOneCounts) {
  EXPECT_EQ(standing({errors("")}), 1U);
  EXPECT_EQ(next({errors("")}), "1/1") << "nobody knows where";
  EXPECT_EQ(standing({errors(""), well("")}), 0U);
  EXPECT_EQ(standing({errors(""), well("1/20")}), 1U);
  EXPECT_EQ(standing({errors(""), well("1/1")}), 0U);
  EXPECT_EQ(next({well("")}), "1/20");
  for (const char* wrong : {"0/20", "21/20", "1", "1/", "/2", "1/2x", "1/257", "-1/2"}) {
    EXPECT_EQ(next({well(wrong)}), "1/20") << wrong;
  }
}

}  // namespace
}  // namespace salvor
