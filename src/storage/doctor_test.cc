#include "storage/doctor.h"

#include <gtest/gtest.h>

#include "storage/local/local_storage.h"
#include "support/temp_directory.h"
#include "support/test_context.h"

namespace salvor::test {
namespace {

constexpr Answer kYes = Answer::kYes;
constexpr Answer kNo = Answer::kNo;
constexpr Answer kUnknown = Answer::kUnknown;
constexpr WallTime kEnd{std::chrono::days(21'000)};

struct Case {
  const char* what;
  StorageRights rights;
  Answer destroyable;
};

TEST(Doctor, TheVerdictFollowsFromTheRights) {
  const StorageRights all{
      .create = kYes, .overwrite = kYes, .remove = kYes, .remove_versions = kYes};
  const auto with = [&](auto change) {
    StorageRights rights = all;
    change(rights);
    return rights;
  };
  const std::vector<Case> cases{
      {"everything is permitted", all, kYes},
      {"removal alone is enough",
       {.overwrite = kNo, .remove = kYes, .remove_versions = kYes},
       kYes},
      {"so is replacing", {.overwrite = kYes, .remove = kNo, .remove_versions = kNo}, kYes},
      {"neither", {.overwrite = kNo, .remove = kNo, .remove_versions = kNo}, kNo},
      {"neither, versions not known", {.overwrite = kNo, .remove = kNo}, kNo},
      {"versions stay", with([](auto& r) { r.versioned = kYes, r.remove_versions = kNo; }), kNo},
      {"versions may go", with([](auto& r) { r.versioned = kYes; }), kYes},
      {"versions may go, but nothing else",
       {.overwrite = kNo, .remove = kNo, .versioned = kYes, .remove_versions = kYes},
       kYes},
      {"not known whether versions may go",
       with([](auto& r) { r.versioned = kYes, r.remove_versions = kUnknown; }), kUnknown},
      {"not known whether versions stay",
       with([](auto& r) { r.versioned = kUnknown, r.remove_versions = kNo; }), kUnknown},
      {"it may change the policy",
       {.overwrite = kNo, .remove = kNo, .remove_versions = kNo, .change_bucket = kYes},
       kYes},
      {"locked for everybody", with([](auto& r) {
         r.versioned = r.change_bucket = kYes;
         r.all_locked = r.compliance = true;
         r.locked_until = kEnd;
       }),
       kNo},
      {"governance, no bypass", with([](auto& r) {
         r.versioned = kYes, r.all_locked = true, r.bypass = kNo, r.locked_until = kEnd;
       }),
       kNo},
      {"governance, bypass not known",
       with([](auto& r) { r.versioned = kYes, r.all_locked = true; }), kUnknown},
      {"governance, and it may bypass that",
       with([](auto& r) { r.all_locked = true, r.bypass = kYes; }), kYes},
      {"governance, but it may grant itself the bypass", with([](auto& r) {
         r.versioned = r.change_bucket = kYes, r.all_locked = true, r.bypass = kNo;
       }),
       kYes},
      {"nothing is known", {}, kUnknown},
  };
  for (const Case& one : cases) {
    const Verdict verdict = judge(one.rights);
    EXPECT_EQ(verdict.destroyable, one.destroyable) << one.what << ": " << verdict.sentence;
    EXPECT_EQ(verdict.sentence.back(), '.');
    EXPECT_EQ(verdict.sentence.find('\n'), std::string::npos);
  }
}

TEST(Doctor, ADirectoryIsLeftAsItWas) {
  TestContext context;
  TempDirectory directory(TempPlace::kMemory);
  const auto storage = open_local_storage(directory.path().string());
  storage->create(*context);
  storage->put(*context, {ObjectKind::kConfig, ""}, as_bytes("config"));
  const StorageReport report = examine_storage(*context, directory.path().string(), {});
  EXPECT_TRUE(report.repository);
  EXPECT_EQ(report.verdict.destroyable, kYes);
  EXPECT_TRUE(storage->list_all(*context, ObjectKind::kSalvor).empty());
}

TEST(Doctor, WithoutARepositoryNothingIsTried) {
  TestContext context;
  TempDirectory directory(TempPlace::kMemory);
  const StorageReport report = examine_storage(*context, directory.path().string(), {});
  EXPECT_FALSE(report.repository);
  EXPECT_FALSE(report.enough_for_backups());
  EXPECT_TRUE(std::filesystem::is_empty(directory.path()));
}

}  // namespace
}  // namespace salvor::test
