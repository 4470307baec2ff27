#include "engine/copies/replicator.h"

#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/maintenance/checker.h"
#include "storage/decorators/fault_storage.h"
#include "support/errors.h"
#include "support/small_repository.h"

namespace salvor {
namespace {

using test::Files;
using test::SmallRepository;
using test::some_content;

Files numbered(int from, int to) {
  Files files;
  for (int i = from; i < to; ++i) {
    files["dir/file" + std::to_string(i)] = some_content(1000 + static_cast<uint64_t>(i), 2500);
  }
  return files;
}

// Copies what is missing, as a process that starts now does; returns (source, copy) pairs.
std::vector<std::pair<SnapshotId, SnapshotId>> copy_missing(SmallRepository& from,
                                                            SmallRepository& to,
                                                            CopyOptions options = {}) {
  const std::unique_ptr<Repository> source = from.reopen();
  const std::unique_ptr<Repository> target = to.reopen();
  source->load_index(from.context());
  target->load_index(to.context());
  const std::vector<StoredSnapshot> stored = target->load_snapshots(to.context());
  std::vector<StoredSnapshot> missing;
  for (const StoredSnapshot& snapshot : source->load_snapshots(from.context())) {
    if (find_copy(stored, snapshot) == nullptr) {
      missing.push_back(snapshot);
    }
  }
  std::vector<std::pair<SnapshotId, SnapshotId>> copies;
  options.on_saved = [&](const StoredSnapshot& snapshot, const SnapshotId& id) {
    copies.emplace_back(snapshot.id, id);
  };
  Replicator(to.context(), *source, *target, options).copy(missing);
  return copies;
}

size_t blobs(SmallRepository& repository) {
  const std::unique_ptr<Repository> fresh = repository.reopen();
  fresh->load_index(repository.context());
  return fresh->index().blob_count();
}

void expect_sound(SmallRepository& repository) {
  const std::unique_ptr<Repository> fresh = repository.reopen();
  CheckOptions options;
  options.read = ReadAll{};
  const CheckReport report = Checker(repository.context(), *fresh, options).run();
  for (const Finding& finding : report.findings) {
    ADD_FAILURE() << finding.object << ": " << finding.what;
  }
}

TEST(Replicator, CopiesEveryByteOnceBetweenAllVersions) {
  for (const unsigned from_version : {1U, 2U}) {
    for (const unsigned to_version : {1U, 2U}) {
      SmallRepository from(from_version);
      SmallRepository to(to_version);
      const SnapshotId first = from.backup(numbered(0, 20), 1700000000);
      const SnapshotId second = from.backup(numbered(5, 25), 1700000001);
      const auto copies = copy_missing(from, to);
      ASSERT_EQ(copies.size(), 2U);
      EXPECT_EQ(copies[0].first, first);
      EXPECT_EQ(to.read(copies[0].second), numbered(0, 20));
      EXPECT_EQ(to.read(copies[1].second), numbered(5, 25));
      EXPECT_EQ(blobs(to), blobs(from));
      expect_sound(to);
      const Snapshot copy = to.repository().load_snapshot(to.context(), copies[1].second);
      EXPECT_EQ(copy.original, second);
      EXPECT_EQ(copy.tree, from.repository().load_snapshot(from.context(), second).tree);
      // There is nothing left to copy, and a copy back finds the originals.
      EXPECT_TRUE(copy_missing(from, to).empty());
      EXPECT_TRUE(copy_missing(to, from).empty());
    }
  }
}

TEST(Replicator, DropsTheParentAndKeepsTheFirstId) {
  SmallRepository from;
  SmallRepository to;
  Snapshot snapshot = from.repository().load_snapshot(from.context(), from.backup(numbered(0, 2)));
  snapshot.original = SnapshotId(sha256(as_bytes(std::string_view("first"))));
  snapshot.parent = SnapshotId(sha256(as_bytes(std::string_view("parent"))));
  snapshot.tags = {"b", "a"};
  const SnapshotId id = from.repository().save_snapshot(from.context(), snapshot);
  for (const auto& [source, copy_id] : copy_missing(from, to)) {
    if (source == id) {
      Snapshot expected = snapshot;
      expected.parent.reset();
      EXPECT_EQ(to.repository().load_snapshot(to.context(), copy_id), expected);
      return;
    }
  }
  FAIL() << "not copied";
}

TEST(Replicator, ReadsOnlyWhatTheTargetLacks) {
  SmallRepository from;
  SmallRepository to;
  to.backup(numbered(0, 10), 1600000000);
  from.backup(numbered(0, 20));
  CopyProgress progress;
  CopyOptions options;
  options.progress = &progress;
  copy_missing(from, to, options);
  EXPECT_EQ(progress.blobs_copied, 10U * 3 + 2);  // the new files and two trees
  EXPECT_EQ(progress.bytes_copied, progress.bytes);
  expect_sound(to);
}

// As a run does that has not seen what is stored.
void store_data_again(SmallRepository& repository, const Files& files) {
  const std::unique_ptr<Repository> fresh = repository.reopen();
  fresh->load_index(repository.context());
  WriteSession session(repository.context(), *fresh, {});
  {
    const std::unique_ptr<BlobWriter> writer = session.make_writer();
    for (const auto& [name, content] : files) {
      for (size_t at = 0; at < content.size(); at += test::kBlobSize) {
        const ByteView blob = as_bytes(std::string_view(content).substr(at, test::kBlobSize));
        writer->add_copy(BlobType::kData, BlobId(sha256(blob)), blob);
      }
    }
    writer->flush();
  }
  session.finish(repository.context());
}

TEST(Replicator, TakesAGoodCopyWhereTheFirstIsDamagedOrGone) {
  for (const bool gone : {false, true}) {
    SmallRepository from;
    const SnapshotId id = from.backup(numbered(0, 3));
    from.repository().load_index(from.context());
    PackId pack;
    from.repository().index().for_each([&](const PackId& holds, const PackedBlob& blob) {
      pack = blob.handle.type == BlobType::kData ? holds : pack;
    });
    if (gone) {
      from.storage().remove(from.context(), pack_object(pack));
    } else {
      from.flip_byte(pack_object(pack), 40);
    }
    SmallRepository to;
    EXPECT_THROW(copy_missing(from, to), Error);
    EXPECT_TRUE(to.list(ObjectKind::kSnapshot).empty());
    // What makes it whole again is in another pack.
    store_data_again(from, numbered(0, 3));
    const auto copies = copy_missing(from, to);
    ASSERT_EQ(copies.size(), 1U);
    EXPECT_EQ(copies[0].first, id);
    EXPECT_EQ(to.read(copies[0].second), numbered(0, 3));
  }
}

TEST(Replicator, WhicheverOfTwoPacksIsDamagedTheOtherServes) {
  SmallRepository from;
  from.backup(numbered(0, 3));
  store_data_again(from, numbered(0, 3));
  from.repository().load_index(from.context());
  std::set<PackId> packs;
  from.repository().index().for_each([&](const PackId& holds, const PackedBlob& blob) {
    if (blob.handle.type == BlobType::kData) {
      packs.insert(holds);
    }
  });
  ASSERT_EQ(packs.size(), 2U);
  for (const PackId& pack : packs) {
    from.flip_byte(pack_object(pack), 40);
    SmallRepository to;
    const auto copies = copy_missing(from, to);
    ASSERT_EQ(copies.size(), 1U);
    EXPECT_EQ(to.read(copies[0].second), numbered(0, 3));
    expect_sound(to);
    from.flip_byte(pack_object(pack), 40);  // as it was
  }
}

TEST(Replicator, ADamagedSnapshotKeepsNoOtherFromBeingCopied) {
  for (const bool tree : {false, true}) {
    SmallRepository from;
    SmallRepository to;
    const SnapshotId oldest = from.backup(numbered(0, 3), 1700000000);
    std::set<std::string> before;
    for (const ObjectInfo& info : from.list(ObjectKind::kPack)) {
      before.insert(info.name);
    }
    const SnapshotId damaged = from.backup(numbered(10, 13), 1700000001);
    from.repository().load_index(from.context());
    PackId pack;
    from.repository().index().for_each([&](const PackId& holds, const PackedBlob& blob) {
      const bool wanted = (blob.handle.type == BlobType::kTree) == tree;
      pack = wanted && !before.contains(holds.hex()) ? holds : pack;
    });
    const SnapshotId newest = from.backup(numbered(2, 5), 1700000002);
    from.flip_byte(pack_object(pack), 40);

    const std::unique_ptr<Repository> source = from.reopen();
    const std::unique_ptr<Repository> target = to.reopen();
    source->load_index(from.context());
    target->load_index(to.context());
    std::vector<SnapshotId> copied;
    CopyOptions options;
    options.on_saved = [&](const StoredSnapshot& stored, const SnapshotId& id) {
      copied.push_back(stored.id);
      EXPECT_EQ(to.read(id), from.read(stored.id));
    };
    const auto all = source->load_snapshots(from.context());
    ASSERT_EQ(all.size(), 3U);
    const std::vector<SourceDamaged> lost =
        copy_what_is_whole(to.context(), *source, *target, options, all);
    ASSERT_EQ(lost.size(), 1U) << tree;
    EXPECT_EQ(lost[0].snapshot, damaged);
    EXPECT_EQ(lost[0].code(), ErrorCode::kDamaged);
    EXPECT_EQ(copied, (std::vector{oldest, newest}));
    const Error said = not_all_copied(lost, all.size());
    EXPECT_THAT(said.message(),
                testing::HasSubstr("1 of 3 snapshots cannot be copied; " + damaged.short_hex()));
    expect_sound(to);
  }
}

TEST(Replicator, AStorageThatIsAwayIsNoDamage) {
  SmallRepository from;
  SmallRepository to;
  from.backup(numbered(0, 3));
  auto way = std::make_unique<FaultStorage>(borrow_storage(from.storage()));
  FaultStorage& faults = *way;
  const auto source = Repository::open(from.context(), std::move(way), Secret(test::kTestPassword));
  source->load_index(from.context());
  const std::vector<StoredSnapshot> snapshots = source->load_snapshots(from.context());
  CopyOptions options;
  options.threads = 1;
  // The trees are read, then the first of what is to be copied.
  for (uint64_t nth = 1;; ++nth) {
    const std::unique_ptr<Repository> target = to.reopen();
    target->load_index(to.context());
    faults.clear();
    faults.add({.call = StorageCall::kGetRange, .kind = ObjectKind::kPack, .nth = nth});
    const uint64_t hit = faults.faults_hit();
    const auto code =
        test::code_of([&] { Replicator(to.context(), *source, *target, options).copy(snapshots); });
    if (faults.faults_hit() == hit) {
      EXPECT_EQ(code, std::nullopt);
      EXPECT_GT(nth, 2U);
      break;
    }
    EXPECT_EQ(code, ErrorCode::kUnreachable) << nth;
    EXPECT_TRUE(to.list(ObjectKind::kSnapshot).empty());
  }
}

TEST(Replicator, GoesOnWhereItWasInterrupted) {
  SmallRepository from;
  SmallRepository to;
  from.backup(numbered(0, 40), 1700000000);
  from.backup(numbered(20, 60), 1700000001);
  CopyOptions options;
  options.threads = 1;
  options.write.pack_size_bytes = 20000;
  int confirmed = 0;
  options.on_start = [&](const StoredSnapshot&) {
    if (++confirmed == 2) {
      throw Error(ErrorCode::kCancelled, "interrupted");
    }
  };
  EXPECT_THROW(copy_missing(from, to, options), Error);
  EXPECT_TRUE(to.list(ObjectKind::kSnapshot).empty());
  const size_t kept = blobs(to);
  EXPECT_GT(kept, 60U);
  CopyProgress progress;
  CopyOptions again;
  again.progress = &progress;
  EXPECT_EQ(copy_missing(from, to, again).size(), 2U);
  EXPECT_EQ(progress.blobs_copied + kept, blobs(from));
  EXPECT_EQ(blobs(to), blobs(from));
  expect_sound(to);
}

TEST(Replicator, StoresNoSnapshotWithoutItsLocks) {
  SmallRepository from;
  SmallRepository to;
  from.backup(numbered(0, 5));
  CopyOptions options;
  options.write.confirm_lock = [](const Context&) { throw Error(ErrorCode::kLocked, "lost"); };
  EXPECT_THROW(copy_missing(from, to, options), Error);
  EXPECT_TRUE(to.list(ObjectKind::kSnapshot).empty());
}

TEST(FindCopy, TakesOnlyWhatIsTheSameForACopy) {
  const auto id = [](std::string_view text) { return SnapshotId(sha256(as_bytes(text))); };
  StoredSnapshot source{.id = id("source"), .snapshot = {}};
  source.snapshot.paths = {"/a", "/b"};
  StoredSnapshot copy = source;
  copy.id = id("copy");
  copy.snapshot.original = source.id;
  copy.snapshot.paths = {"/b", "/a"};
  EXPECT_NE(find_copy(std::span(&copy, 1), source), nullptr);
  StoredSnapshot other = copy;
  other.snapshot.hostname = "other";
  EXPECT_EQ(find_copy(std::span(&other, 1), source), nullptr);
  other = copy;
  other.snapshot.original.reset();
  EXPECT_EQ(find_copy(std::span(&other, 1), source), nullptr);
  other = source;  // the same file in both repositories
  EXPECT_NE(find_copy(std::span(&other, 1), source), nullptr);
}

}  // namespace
}  // namespace salvor
