// Removal in two runs, for programs that know no locks (S4; ADR 0006).
#include <gtest/gtest.h>

#include "codec/hex.h"
#include "codec/index_codec.h"
#include "crypto/sha256.h"
#include "engine/maintenance/checker.h"
#include "engine/maintenance/pruner.h"
#include "engine/maintenance/repair.h"
#include "support/small_repository.h"

namespace salvor {
namespace {

using test::Files;
using test::SmallRepository;
using test::some_content;

constexpr std::chrono::hours kDay{24};

class ShiftedClock final : public Clock {
 public:
  explicit ShiftedClock(std::chrono::nanoseconds ahead) : ahead_(ahead) {}
  [[nodiscard]] WallTime now() const override { return system_.now() + ahead_; }
  [[nodiscard]] MonotonicTime monotonic() const override { return system_.monotonic(); }

 private:
  const SystemClock system_;
  const std::chrono::nanoseconds ahead_;
};

PruneResult prune(SmallRepository& repository, std::optional<std::chrono::seconds> keep_delete,
                  std::chrono::nanoseconds later = {}) {
  const std::unique_ptr<Repository> fresh = repository.reopen();
  PruneOptions options;
  options.limits.max_unused = {MaxUnused::Kind::kBytes, 0, 0};
  options.keep_delete = keep_delete;
  const ShiftedClock clock(later);
  const Context usual = repository.context();
  Pruner pruner({usual.stop, usual.events, clock, usual.random}, *fresh, std::move(options));
  (void)pruner.plan();
  return pruner.execute();
}

Files numbered(int from, int to) {
  Files files;
  for (int i = from; i < to; ++i) {
    files["dir/file" + std::to_string(i)] = some_content(1000 + static_cast<uint64_t>(i), 2500);
  }
  return files;
}

void forget(SmallRepository& repository, const SnapshotId& id) {
  repository.storage().remove(repository.context(), snapshot_object(id));
}

size_t findings(SmallRepository& repository) {
  const std::unique_ptr<Repository> fresh = repository.reopen();
  CheckOptions options;
  options.read = ReadAll{};
  return Checker(repository.context(), *fresh, options).run().findings.size();
}

size_t packs(SmallRepository& repository) {
  return repository.list(ObjectKind::kPack).size();
}

size_t marked(SmallRepository& repository) {
  const std::unique_ptr<Repository> fresh = repository.reopen();
  fresh->load_index(repository.context());
  return fresh->marked_packs().size();
}

TEST(PrunerMarks, RemovesWhatWasMarkedLongAgo) {
  SmallRepository repository;
  const SnapshotId first = repository.backup(numbered(0, 20));
  const SnapshotId second = repository.backup(numbered(5, 25));
  forget(repository, first);
  const size_t before = packs(repository);

  const PruneResult marking = prune(repository, kDay);
  EXPECT_EQ(marking.packs_removed, 0U);
  EXPECT_GT(marking.packs_marked, 0U);
  EXPECT_EQ(packs(repository), before + marking.packs_written);
  EXPECT_EQ(marked(repository), marking.packs_marked);
  EXPECT_EQ(findings(repository), 0U);

  const PruneResult too_early = prune(repository, kDay, kDay - std::chrono::minutes(1));
  EXPECT_EQ(too_early.packs_removed + too_early.packs_marked + too_early.index_files_removed, 0U);

  const PruneResult removing = prune(repository, kDay, kDay + std::chrono::minutes(1));
  EXPECT_EQ(removing.packs_removed, marking.packs_marked);
  EXPECT_EQ(marked(repository), 0U);
  EXPECT_EQ(packs(repository), before + marking.packs_written - marking.packs_marked);
  EXPECT_EQ(findings(repository), 0U);
  EXPECT_EQ(repository.read(second), numbered(5, 25));
}

// A mark may come without the pack's blobs: it waits like any other.
TEST(PrunerMarks, AMarkThatNamesNoBlobsWaitsToo) {
  SmallRepository repository;
  const SnapshotId kept = repository.backup(numbered(0, 5));
  const Buffer content = Buffer::copy_of(as_bytes(std::string_view(some_content(1, 500))));
  const ObjectName pack{ObjectKind::kPack, to_hex(sha256(content.view()))};
  repository.storage().put(repository.context(), pack, content.view());
  const auto now = std::chrono::floor<std::chrono::seconds>(repository.context().clock.now());
  IndexEncoder encoder;
  encoder.add_marked(
      {*PackId::parse(pack.name), {}, Timestamp{now.time_since_epoch().count(), 0, 0}});
  repository.repository().save_document(repository.context(), ObjectKind::kIndex,
                                        as_bytes(encoder.finish()));
  const size_t before = packs(repository);
  EXPECT_EQ(prune(repository, kDay).packs_removed, 0U);
  EXPECT_EQ(packs(repository), before);
  EXPECT_EQ(marked(repository), 1U);
  EXPECT_EQ(prune(repository, kDay, kDay + std::chrono::minutes(1)).packs_removed, 1U);
  EXPECT_EQ(packs(repository), before - 1);
  EXPECT_EQ(marked(repository), 0U);
  EXPECT_EQ(repository.read(kept), numbered(0, 5));
}

TEST(PrunerMarks, TakesBackWhatABackupWithoutALockHasComeToNeed) {
  SmallRepository repository;
  const SnapshotId gone = repository.backup(numbered(0, 20));
  repository.backup(numbered(30, 35));
  const std::unique_ptr<Repository> other = repository.reopen();
  const Snapshot theirs = other->load_snapshot(repository.context(), gone);
  forget(repository, gone);

  EXPECT_GT(prune(repository, kDay).packs_marked, 0U);
  // A program that read the index before the prune has found all its data stored already.
  const SnapshotId late = other->save_snapshot(repository.context(), theirs);
  EXPECT_GT(findings(repository), 0U);

  const PruneResult recovering = prune(repository, kDay, 2 * kDay);
  EXPECT_GT(recovering.packs_recovered, 0U);
  EXPECT_EQ(findings(repository), 0U);
  EXPECT_EQ(repository.read(late), numbered(0, 20));
  EXPECT_EQ(marked(repository), 0U);
}

TEST(PrunerMarks, RemovingAtOnceTakesMarkedPacksBackTooWhenTheyAreNeeded) {
  SmallRepository repository;
  const SnapshotId gone = repository.backup(numbered(0, 20));
  const Snapshot theirs = repository.repository().load_snapshot(repository.context(), gone);
  forget(repository, gone);
  prune(repository, kDay);
  const SnapshotId late = repository.repository().save_snapshot(repository.context(), theirs);
  prune(repository, std::chrono::seconds(0));
  EXPECT_EQ(findings(repository), 0U);
  EXPECT_EQ(repository.read(late), numbered(0, 20));
}

TEST(PrunerMarks, LeavesPacksThatNobodyHasListedYet) {
  SmallRepository repository;
  repository.backup(numbered(0, 5));
  // As a backup without a lock leaves it in mid-run: packs stored, index not yet.
  const std::unique_ptr<Repository> other = repository.reopen();
  std::vector<std::string> known;
  for (const ObjectInfo& info : repository.list(ObjectKind::kIndex)) {
    known.push_back(info.name);
  }
  const SnapshotId running = repository.backup(numbered(10, 20));
  const Snapshot theirs = repository.repository().load_snapshot(repository.context(), running);
  forget(repository, running);
  Buffer index;
  ObjectName index_name;
  for (const ObjectInfo& info : repository.list(ObjectKind::kIndex)) {
    if (std::find(known.begin(), known.end(), info.name) == known.end()) {
      index_name = {ObjectKind::kIndex, info.name};
      index = repository.storage().get(repository.context(), index_name);
      repository.storage().remove(repository.context(), index_name);
    }
  }

  EXPECT_GT(prune(repository, kDay).packs_marked, 0U);
  repository.storage().put(repository.context(), index_name, index.view());
  const SnapshotId finished = other->save_snapshot(repository.context(), theirs);
  EXPECT_EQ(findings(repository), 0U);

  EXPECT_EQ(prune(repository, kDay, 2 * kDay).packs_removed, 0U);
  EXPECT_EQ(repository.read(finished), numbered(10, 20));
  EXPECT_EQ(findings(repository), 0U);
}

TEST(PrunerMarks, APackThatNobodyEverListsGoesInTwoRunsToo) {
  SmallRepository repository;
  const SnapshotId kept = repository.backup(numbered(0, 5));
  const ObjectName left_over{ObjectKind::kPack, std::string(64, 'a')};
  repository.storage().put(repository.context(), left_over, as_bytes("left over"));
  const auto there = [&] {
    return repository.storage().stat(repository.context(), left_over).has_value();
  };
  EXPECT_EQ(prune(repository, kDay).packs_removed, 0U);
  EXPECT_EQ(marked(repository), 1U);
  EXPECT_EQ(prune(repository, kDay, kDay - std::chrono::minutes(1)).packs_removed, 0U);
  EXPECT_TRUE(there());
  // A new index does not forget the mark.
  (void)repair_index(repository.context(), *repository.reopen(), true, {});
  EXPECT_EQ(marked(repository), 1U);
  EXPECT_EQ(prune(repository, kDay, kDay + std::chrono::minutes(1)).packs_removed, 1U);
  EXPECT_FALSE(there());
  EXPECT_EQ(marked(repository), 0U);
  EXPECT_EQ(findings(repository), 0U);
  EXPECT_EQ(repository.read(kept), numbered(0, 5));
}

TEST(PrunerMarks, WaitsByItselfWhereRusticHasWorked) {
  for (const char* program : {"restic 0.19.1", "rustic 0.11.4"}) {
    SmallRepository repository;
    const SnapshotId kept = repository.backup(numbered(0, 5));
    Snapshot snapshot = repository.repository().load_snapshot(repository.context(), kept);
    snapshot.program_version = program;
    (void)repository.repository().save_snapshot(repository.context(), snapshot);
    forget(repository, repository.backup(numbered(10, 20)));
    const bool waits = std::string_view(program).starts_with("rustic");
    {
      const std::unique_ptr<Repository> fresh = repository.reopen();
      Pruner pruner(repository.context(), *fresh, {});
      (void)pruner.plan();
      EXPECT_EQ(pruner.keep_delete(), waits ? kKeepDeleteBesideRustic : std::chrono::seconds(0));
    }
    const PruneResult result = prune(repository, std::nullopt);
    EXPECT_EQ(result.packs_marked > 0, waits) << program;
    EXPECT_EQ(result.packs_removed > 0, !waits) << program;
  }
}

}  // namespace
}  // namespace salvor
