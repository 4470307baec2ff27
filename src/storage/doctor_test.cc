#include "storage/doctor.h"

#include <fstream>

#include <gtest/gtest.h>

#include "storage/decorators/forwarding_storage.h"
#include "storage/export/export_storage.h"
#include "storage/local/local_storage.h"
#include "storage/memory_storage.h"
#include "support/storage_helpers.h"
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
      {"not known whether it may change the policy",
       {.overwrite = kNo, .remove = kNo, .remove_versions = kNo, .change_bucket = kUnknown},
       kUnknown},
      {"nor that, but everything may go anyway", with([](auto& r) { r.change_bucket = kUnknown; }),
       kYes},
      {"nor that, and versions stay", with([](auto& r) {
         r.versioned = kYes, r.remove_versions = kNo, r.change_bucket = kUnknown;
       }),
       kUnknown},
      {"nor that, but all is locked for everybody", with([](auto& r) {
         r.all_locked = r.compliance = true, r.locked_until = kEnd, r.change_bucket = kUnknown;
       }),
       kNo},
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

// Keeps what it is told.
class KeptStorage final : public ForwardingStorage {
 public:
  using ForwardingStorage::ForwardingStorage;
  std::optional<Retention> retention(const Context& context, const ObjectName& object) override {
    return object == free
               ? std::nullopt
               : std::optional(Retention{.until = context.clock.now() + kDay, .compliance = true});
  }
  static constexpr auto kDay = std::chrono::hours(24);
  ObjectName free;
};

TEST(Doctor, LockedForEverybodyIsWhatEveryKindShows) {
  TestContext context;
  KeptStorage storage(make_memory_storage());
  std::vector<ObjectName> objects{{ObjectKind::kConfig, ""}, {ObjectKind::kSalvor, "a/b"}};
  for (const ObjectKind kind :
       {ObjectKind::kKey, ObjectKind::kSnapshot, ObjectKind::kIndex, ObjectKind::kPack}) {
    objects.push_back(named_by_hash(kind, as_bytes("content")));
  }
  for (int i = 0; i < 30; ++i) {  // of the keys each is looked at
    objects.push_back(named_by_hash(ObjectKind::kKey, as_bytes(std::to_string(i))));
  }
  for (const ObjectName& object : objects) {
    storage.put(*context, object, as_bytes(object.name));
  }
  // Locks must be removable, so that their protection says nothing.
  storage.free = named_by_hash(ObjectKind::kLock, as_bytes("lock"));
  storage.put(*context, storage.free, as_bytes("lock"));
  StorageReport report{.repository = true};
  sample_retention(*context, storage, report);
  EXPECT_TRUE(report.rights.all_locked);
  EXPECT_TRUE(report.rights.compliance);
  for (const ObjectName& object : objects) {
    storage.free = object;
    report = {.repository = true};
    sample_retention(*context, storage, report);
    EXPECT_FALSE(report.rights.all_locked) << object.display();
  }
  // Of the others ten are enough.
  storage.free = named_by_hash(ObjectKind::kLock, as_bytes("lock"));
  for (int i = 0; i < 30; ++i) {
    const ObjectName pack = named_by_hash(ObjectKind::kPack, as_bytes(std::to_string(i)));
    storage.put(*context, pack, as_bytes(pack.name));
  }
  report = {.repository = true};
  sample_retention(*context, storage, report);
  EXPECT_TRUE(report.rights.all_locked);
  EXPECT_EQ(report.checks.back().text, "45 of 45 sampled objects are kept by a retention");
}

// Whoever takes this machine over starts rclone as he likes.
TEST(Doctor, ARuleThatThisMachineEnforcesIsNone) {
  TestContext context;
  TempDirectory directory(TempPlace::kMemory);
  const std::string folder = (directory / "repository").string();
  open_local_storage(folder)->create(*context);
  StorageOptions options;
  const auto examine = [&] { return examine_storage(*context, "rclone:" + folder, options); };
  EXPECT_EQ(examine().verdict.destroyable, kYes);
  options.extended["rclone.args"] = "serve restic --append-only";
  const StorageReport report = examine();
  EXPECT_EQ(report.rights.remove, kUnknown);
  EXPECT_EQ(report.verdict.destroyable, kUnknown);
}

TEST(Doctor, AnExportIsOnlyReadButAFileCanBeRemoved) {
  TestContext context;
  TempDirectory directory(TempPlace::kMemory);
  const std::string path = (directory / "archive.tar").string();
  {
    std::ofstream file(path, std::ios::binary);
    TarWriteStorage archive([&](ByteView bytes) { file << as_text(bytes); }, "archive.tar", 1);
    archive.create(*context);
    archive.put(*context, {ObjectKind::kConfig, ""}, as_bytes("config"));
    archive.finish();
  }
  const StorageReport report = examine_storage(*context, "tar:" + path, {});
  EXPECT_TRUE(report.repository);
  EXPECT_EQ(report.rights.create, kNo);
  EXPECT_EQ(report.verdict.destroyable, kYes) << report.verdict.sentence;
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
