#include "engine/postgres/postgres_proof.h"

#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/decorators/fault_storage.h"
#include "support/errors.h"
#include "support/small_repository.h"
#include "support/temp_directory.h"
#include "support/wal_segments.h"

namespace salvor {
namespace {

using ::testing::HasSubstr;

constexpr uid_t kSomebody = 54321;  // has no account and owns nothing

mode_t mode_of(const std::filesystem::path& path) {
  struct stat status{};
  return ::stat(path.c_str(), &status) == 0 ? status.st_mode & 07777U : 0;
}

class Umask {
 public:
  explicit Umask(mode_t mask) : before_(::umask(mask)) {}
  ~Umask() { ::umask(before_); }
  Umask(const Umask&) = delete;
  Umask& operator=(const Umask&) = delete;

 private:
  mode_t before_;
};

TEST(SandboxPassage, DirectoriesAreMadeForPassingWhateverTheUmask) {
  const test::TempDirectory directory;
  const mode_t wanted = ::geteuid() == 0 ? 0711 : 0700;
  for (const mode_t mask : {0022U, 0077U, 0777U}) {
    const Umask masked(mask);
    const std::filesystem::path top = directory.path() / std::to_string(mask);
    make_passable((top / "state" / "sandbox").string());
    for (const std::filesystem::path& made : {top, top / "state", top / "state" / "sandbox"}) {
      EXPECT_EQ(mode_of(made), wanted) << made;
    }
  }
}

TEST(SandboxPassage, WhatIsThereStaysAsItIs) {
  const test::TempDirectory directory;
  ASSERT_EQ(::mkdir((directory / "closed").c_str(), 0750), 0);
  const mode_t before = mode_of(directory / "closed");
  make_passable((directory / "closed").string() + "/in/");
  EXPECT_EQ(mode_of(directory / "closed"), before);
  EXPECT_TRUE(std::filesystem::is_directory(directory.path() / "closed/in"));
}

TEST(SandboxPassage, TheDirectoryInTheWayIsNamed) {
  if (::geteuid() != 0) {
    GTEST_SKIP() << "only a server that root starts runs as another user";
  }
  const test::TempDirectory directory;
  ASSERT_EQ(::chmod(directory.path().c_str(), 0711), 0);
  const std::string sandbox = (directory.path() / "state" / "sandbox").string();
  make_passable(sandbox);
  EXPECT_NO_THROW(require_passage(sandbox, {kSomebody, kSomebody}));
  ASSERT_EQ(::chmod((directory / "state").c_str(), 0700), 0);
  try {
    require_passage(sandbox, {kSomebody, kSomebody});
    FAIL() << "nobody was told";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kPermission);
    EXPECT_THAT(error.message(), HasSubstr((directory / "state").string() + " is closed"));
    EXPECT_THAT(error.hint(), HasSubstr("chmod o+x " + (directory / "state").string()));
  }
  EXPECT_NO_THROW(require_passage(sandbox, {0, 0}));
}

TEST(Proof, ARestoreThatFailsIsAnOutcomeAndAStorageThatIsAwayIsNone) {
  auto way = std::make_unique<FaultStorage>(make_memory_storage());
  FaultStorage& faults = *way;
  test::SmallRepository small(2, std::move(way));
  const WalArchive archive(small.repository(), test::kWalSystem, {test::kWalSegment});
  const SnapshotId id = small.backup({{"file", "x"}});
  small.repository().load_index(small.context());
  RecoveryPlan plan;
  plan.backup.facts.system_identifier = test::kWalSystem;
  plan.backup.snapshot = {id, small.repository().load_snapshot(small.context(), id)};
  const auto prove = [&] {
    return prove_recovery(small.context(), small.repository(), archive, plan, {});
  };
  faults.add({.call = StorageCall::kGetRange, .kind = ObjectKind::kPack});
  EXPECT_EQ(test::code_of([&] { (void)prove(); }), ErrorCode::kUnreachable);
  BlobId& tree = plan.backup.snapshot.snapshot.tree;
  tree = BlobId(sha256(as_bytes(std::string_view("never stored"))));
  const Proof proof = prove();
  EXPECT_FALSE(proof.proven());
  EXPECT_THAT(proof.failure, HasSubstr(tree.short_hex()));
  EXPECT_EQ(proof.system_identifier, test::kWalSystem);
  EXPECT_THAT(format_proof(proof), HasSubstr("\"proven\":false"));
}

}  // namespace
}  // namespace salvor
