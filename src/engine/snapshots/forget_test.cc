#include "engine/snapshots/forget.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "storage/decorators/fault_storage.h"
#include "support/small_repository.h"
#include "support/storage_helpers.h"

namespace salvor {
namespace {

using test::error_of;
using test::SmallRepository;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr WallTime kNow{std::chrono::seconds(1'800'000'000)};

StoredSnapshot snapshot(int number, const std::string& host, std::vector<std::string> tags = {}) {
  StoredSnapshot stored;
  stored.id = SnapshotId(sha256(as_bytes(host + std::to_string(number))));
  stored.snapshot.time = {1'700'000'000 + 86'400 * number, 0, 0};
  stored.snapshot.hostname = host;
  stored.snapshot.paths = {"/data"};
  stored.snapshot.tags = std::move(tags);
  return stored;
}

TEST(Forget, EachGroupKeepsItsOwn) {
  ForgetRules rules;
  rules.policy.last = 1;
  const ForgetPlan plan =
      plan_forget({snapshot(1, "a"), snapshot(2, "a"), snapshot(1, "b")}, rules, kNow);
  EXPECT_THAT(plan.groups, SizeIs(2));
  EXPECT_THAT(plan.remove, ElementsAre(snapshot(1, "a").id));
}

TEST(Forget, NothingGoesWithoutAPolicy) {
  ForgetRules rules;
  const auto refused = [&] {
    return error_of([&] { (void)plan_forget({snapshot(1, "a")}, rules, kNow); });
  };
  EXPECT_THAT(refused().message(), HasSubstr("no policy was specified"));
  rules.allow_remove_all = true;
  EXPECT_THAT(refused().hint(), HasSubstr("--host, --tag or --path"));
  rules.filtered = true;
  EXPECT_THAT(plan_forget({snapshot(1, "a")}, rules, kNow).remove, SizeIs(1));
}

TEST(Forget, APolicyThatKeepsNothingOfAGroupIsATypingMistake) {
  ForgetRules rules;
  rules.policy.keep_tags = {{"montly"}};
  const Error error = error_of([&] {
    (void)plan_forget({snapshot(1, "a", {"montly"}), snapshot(1, "b", {"monthly"})}, rules, kNow);
  });
  EXPECT_THAT(error.message(), HasSubstr("refusing to delete last snapshot of snapshot group"));
  EXPECT_THAT(error.message(), HasSubstr("b"));
}

TEST(Forget, WhatCouldNotBeRemovedIsNotSaidToBe) {
  auto storage = std::make_unique<FaultStorage>(make_memory_storage());
  FaultStorage& faults = *storage;
  SmallRepository repository(2, std::move(storage));
  const SnapshotId first = repository.backup({{"f", "one"}}, 1'700'000'000);
  const SnapshotId second = repository.backup({{"f", "two"}}, 1'700'000'001);
  const std::vector<SnapshotId> both{first, second};
  int asked = 0;
  EXPECT_EQ(error_of([&] {
              (void)remove_snapshots(repository.context(), repository.repository(), both,
                                     [] { throw Error(ErrorCode::kLocked, "lost"); });
            }).code(),
            ErrorCode::kLocked);
  EXPECT_THAT(repository.list(ObjectKind::kSnapshot), SizeIs(2));
  // Together, and one of them alone.
  faults.add({.call = StorageCall::kRemove, .count = 2, .code = ErrorCode::kPermission});
  const ForgetResult result =
      remove_snapshots(repository.context(), repository.repository(), both, [&] { ++asked; });
  EXPECT_EQ(asked, 1);
  EXPECT_EQ(result.not_removed, 1U);
  EXPECT_THAT(result.removed, SizeIs(1));
  const std::vector<ObjectInfo> left = repository.list(ObjectKind::kSnapshot);
  ASSERT_THAT(left, SizeIs(1));
  EXPECT_NE(left[0].name, result.removed[0].hex());
  EXPECT_THAT(
      remove_snapshots(repository.context(), repository.repository(), {}, [&] { ++asked; }).removed,
      IsEmpty());
  EXPECT_EQ(asked, 1) << "nothing to confirm";
}

}  // namespace
}  // namespace salvor
