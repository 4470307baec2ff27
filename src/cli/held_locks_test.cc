#include "cli/held_locks.h"

#include <gtest/gtest.h>

namespace salvor::cli {
namespace {

const Error kInterrupted(ErrorCode::kCancelled, "interrupted");

TEST(HeldLocks, AnInterruptionThatNobodyAskedForIsALostLock) {
  const std::stop_source asked;
  HeldLocks locks;
  EXPECT_EQ(locks.told(kInterrupted, asked.get_token()).code(), ErrorCode::kCancelled);
  std::stop_source one;
  {
    std::stop_source other;
    locks.add(one.get_token());
    locks.add(other.get_token());
  }
  EXPECT_EQ(locks.told(kInterrupted, asked.get_token()).code(), ErrorCode::kCancelled)
      << "not confirmed, for example";
  one.request_stop();
  EXPECT_EQ(locks.told(kInterrupted, asked.get_token()).code(), ErrorCode::kLocked);
  const Error advised(ErrorCode::kCancelled, "interrupted", "The old cluster is whole.");
  EXPECT_TRUE(
      locks.told(advised, asked.get_token()).hint().ends_with("\nThe old cluster is whole."));
  const Error other(ErrorCode::kDamaged, "damaged");
  EXPECT_EQ(locks.told(other, asked.get_token()).message(), "damaged");
}

TEST(HeldLocks, CtrlCIsNoLostLock) {
  std::stop_source asked;
  asked.request_stop();
  HeldLocks locks;
  locks.add(asked.get_token());
  EXPECT_EQ(locks.told(kInterrupted, asked.get_token()).code(), ErrorCode::kCancelled);
}

}  // namespace
}  // namespace salvor::cli
