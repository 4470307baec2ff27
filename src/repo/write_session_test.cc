#include "repo/write_session.h"

#include <algorithm>
#include <condition_variable>
#include <map>
#include <mutex>

#include <gtest/gtest.h>

#include "codec/tree_codec.h"
#include "crypto/sha256.h"
#include "repo/repository.h"
#include "storage/decorators/fault_storage.h"
#include "storage/decorators/forwarding_storage.h"
#include "storage/memory_storage.h"
#include "support/errors.h"
#include "support/storage_helpers.h"
#include "support/test_context.h"

namespace salvor {
namespace {

constexpr ScryptParameters kCheapKey{16, 1, 1};  // tests must not spend half a second on each key

struct Made {
  explicit Made(unsigned version = 2, std::unique_ptr<Storage> storage = make_memory_storage()) {
    CreateOptions options;
    options.version = version;
    options.kdf = kCheapKey;
    repository = Repository::create(*test, std::move(storage), Secret("secret"), options);
  }
  // The index as another process would find it.
  size_t stored_blobs() {
    repository->load_index(*test);
    return repository->index().blob_count();
  }
  size_t objects(ObjectKind kind) { return repository->storage().list_all(*test, kind).size(); }

  test::TestContext test;
  std::unique_ptr<Repository> repository;
};

Buffer random_blob(Made& made, size_t size) {
  Buffer blob(size);
  made.repository->random().fill(blob.bytes());
  return blob;
}

BlobId id_of(ByteView bytes) {
  return BlobId(sha256(bytes));
}

TEST(WriteSession, WhatIsCommittedCanBeReadByAnotherProcess) {
  for (const unsigned version : {1U, 2U}) {
    Made made(version);
    const Buffer noise = random_blob(made, 700000);
    const std::string text(300000, 'x');
    const std::string tree = encode_tree({});
    std::optional<SnapshotId> id;
    {
      WriteSession session(*made.test, *made.repository, {});
      {
        const auto writer = session.make_writer();
        EXPECT_TRUE(writer->add(BlobType::kData, id_of(noise.view()), noise.view()).added);
        EXPECT_TRUE(writer->add(BlobType::kData, id_of(as_bytes(text)), as_bytes(text)).added);
        EXPECT_FALSE(writer->add(BlobType::kData, id_of(as_bytes(text)), as_bytes(text)).added);
        EXPECT_TRUE(writer->add(BlobType::kTree, id_of(as_bytes(tree)), as_bytes(tree)).added);
        writer->flush();
      }
      Snapshot snapshot;
      snapshot.tree = id_of(as_bytes(tree));
      snapshot.paths = {"/"};
      id = session.commit(*made.test, snapshot);
      EXPECT_EQ(session.counters().data_blobs, 2U);
      EXPECT_EQ(session.counters().raw_blobs, version == 1 ? 3U : 1U) << "noise must be stored raw";
    }
    ASSERT_TRUE(id.has_value());
    made.repository->load_index(*made.test);
    BlobReader reader(*made.repository);
    EXPECT_EQ(as_text(reader.load(*made.test, {BlobType::kData, id_of(noise.view())}).view()),
              as_text(noise.view()));
    EXPECT_EQ(as_text(reader.load(*made.test, {BlobType::kData, id_of(as_bytes(text))}).view()),
              text);
    EXPECT_EQ(made.repository->load_snapshot(*made.test, *id).paths, std::vector<std::string>{"/"});
    EXPECT_EQ(made.objects(ObjectKind::kPack), 2U) << "data and trees never share a pack";
  }
}

TEST(WriteSession, PacksAreClosedAtTheirTargetAndNameTheirContent) {
  Made made;
  WriteOptions options;
  options.pack_size_bytes = uint64_t{1} << 20;
  WriteSession session(*made.test, *made.repository, options);
  {
    const auto writer = session.make_writer();
    for (int i = 0; i < 40; ++i) {
      const Buffer blob = random_blob(made, 200000);
      writer->add(BlobType::kData, id_of(blob.view()), blob.view());
    }
    writer->flush();
  }
  session.finish(*made.test);
  for (const ObjectInfo& pack :
       made.repository->storage().list_all(*made.test, ObjectKind::kPack)) {
    const Buffer bytes = made.repository->storage().get(*made.test, {ObjectKind::kPack, pack.name});
    EXPECT_EQ(to_hex(sha256(bytes.view())), pack.name);
    EXPECT_LT(bytes.size(), options.pack_size_bytes + 300000);
  }
  EXPECT_EQ(made.stored_blobs(), 40U);
}

TEST(WriteSession, InterruptedRunKeepsWhatWasUploaded) {
  Made made;
  {
    WriteOptions options;
    options.pack_size_bytes = uint64_t{1} << 20;
    WriteSession session(*made.test, *made.repository, options);
    const auto writer = session.make_writer();
    for (int i = 0; i < 40; ++i) {
      const Buffer blob = random_blob(made, 200000);
      writer->add(BlobType::kData, id_of(blob.view()), blob.view());
    }
    made.test.stop.request_stop();
    EXPECT_THROW(session.finish(*made.test), Error);
  }
  test::TestContext fresh;
  EXPECT_TRUE(made.repository->storage().list_all(*fresh, ObjectKind::kSnapshot).empty());
  made.repository->load_index(*fresh);
  EXPECT_GT(made.repository->index().blob_count(), 5U) << "finished packs must be indexed";
}

TEST(WriteSession, InterruptedRunIndexesNothingOnceItsLockIsLost) {
  Made made;
  bool lost = false;
  {
    WriteOptions options;
    options.pack_size_bytes = uint64_t{1} << 20;
    options.confirm_lock = [&](const Context&) {
      if (lost) {
        throw Error(ErrorCode::kLocked, "lost");
      }
    };
    WriteSession session(*made.test, *made.repository, options);
    const auto writer = session.make_writer();
    for (int i = 0; i < 40; ++i) {
      const Buffer blob = random_blob(made, 200000);
      writer->add(BlobType::kData, id_of(blob.view()), blob.view());
    }
    lost = true;
    made.test.stop.request_stop();
    EXPECT_THROW(session.finish(*made.test), Error);
  }
  test::TestContext fresh;
  EXPECT_TRUE(made.repository->storage().list_all(*fresh, ObjectKind::kIndex).empty());
}

TEST(WriteSession, NoSnapshotIsMadeOnceTheLockIsLost) {
  Made made;
  bool lost = false;
  WriteOptions options;
  options.confirm_lock = [&](const Context&) {
    if (lost) {
      throw Error(ErrorCode::kLocked, "lost");
    }
  };
  WriteSession session(*made.test, *made.repository, options);
  {
    const auto writer = session.make_writer();
    const Buffer blob = random_blob(made, 1000);
    writer->add(BlobType::kData, id_of(blob.view()), blob.view());
    writer->flush();
  }
  session.finish(*made.test);
  lost = true;
  EXPECT_THROW((void)session.commit(*made.test, Snapshot{}), Error);
  EXPECT_EQ(made.objects(ObjectKind::kSnapshot), 0U);
}

TEST(WriteSession, NothingIsIndexedBeforeTheLockIsConfirmed) {
  Made made;
  {
    WriteOptions options;
    options.pack_size_bytes = uint64_t{1} << 20;
    options.confirm_lock = [](const Context&) { throw Error(ErrorCode::kLocked, "lost"); };
    WriteSession session(*made.test, *made.repository, options);
    {
      const auto writer = session.make_writer();
      for (int i = 0; i < 20; ++i) {
        const Buffer blob = random_blob(made, 200000);
        writer->add(BlobType::kData, id_of(blob.view()), blob.view());
      }
      writer->flush();
    }
    EXPECT_THROW(session.finish(*made.test), Error);
  }
  EXPECT_EQ(made.objects(ObjectKind::kIndex), 0U);
}

TEST(WriteSession, EachIndexIsStoredOnlyUnderALockThatIsStillHeld) {
  Made made;
  {
    WriteOptions options;
    options.pack_size_bytes = uint64_t{256} << 10;
    options.confirm_lock = [&](const Context&) {
      if (made.objects(ObjectKind::kIndex) > 0) {
        throw Error(ErrorCode::kLocked, "lost after the first index");
      }
    };
    WriteSession session(*made.test, *made.repository, options);
    {
      const auto writer = session.make_writer();
      for (uint32_t i = 0; i < 80'000; ++i) {
        const ByteView blob = std::as_bytes(std::span(&i, 1));
        writer->add(BlobType::kData, id_of(blob), blob);
      }
      writer->flush();
    }
    EXPECT_EQ(test::code_of([&] { session.finish(*made.test); }), ErrorCode::kLocked);
  }
  EXPECT_EQ(made.objects(ObjectKind::kIndex), 1U);
  EXPECT_GE(made.stored_blobs(), 50'000U);
  EXPECT_LT(made.stored_blobs(), 80'000U);
}

// The packs are on their way until somebody lets them arrive.
class HeldStorage final : public ForwardingStorage {
 public:
  HeldStorage() : ForwardingStorage(make_memory_storage()) {}
  using Storage::put;
  void put(const Context& context, const ObjectName& object,
           std::span<const ByteView> parts) override {
    if (object.kind == ObjectKind::kPack) {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return released_; });
    }
    base_->put(context, object, parts);
  }
  void release() {
    {
      const std::scoped_lock lock(mutex_);
      released_ = true;
    }
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool released_ = false;
};

TEST(WriteSession, ALockThatGoesDuringTheLastUploadsLeavesThemWithoutAnIndex) {
  auto storage = std::make_unique<HeldStorage>();
  HeldStorage& held = *storage;
  Made made(2, std::move(storage));
  {
    WriteOptions options;
    unsigned looks = 0;
    options.confirm_lock = [&](const Context&) {
      if (++looks > 1) {
        throw Error(ErrorCode::kLocked, "lost");
      }
      held.release();
    };
    WriteSession session(*made.test, *made.repository, options);
    {
      const auto writer = session.make_writer();
      const Buffer blob = random_blob(made, 1000);
      writer->add(BlobType::kData, id_of(blob.view()), blob.view());
      writer->flush();
    }
    EXPECT_EQ(test::code_of([&] { session.finish(*made.test); }), ErrorCode::kLocked);
  }
  EXPECT_EQ(made.objects(ObjectKind::kPack), 1U);
  EXPECT_EQ(made.objects(ObjectKind::kIndex), 0U);
}

TEST(WriteSession, AnIndexThatCouldNotBeStoredIsStoredAtTheEndOfTheRun) {
  auto storage = std::make_unique<FaultStorage>(make_memory_storage());
  storage->add({.call = StorageCall::kPut, .kind = ObjectKind::kIndex});
  Made made(2, std::move(storage));
  {
    WriteSession session(*made.test, *made.repository, {});
    {
      const auto writer = session.make_writer();
      const Buffer blob = random_blob(made, 1000);
      writer->add(BlobType::kData, id_of(blob.view()), blob.view());
      writer->flush();
    }
    EXPECT_THROW(session.finish(*made.test), Error);
    EXPECT_EQ(made.objects(ObjectKind::kIndex), 0U);
  }
  EXPECT_EQ(made.stored_blobs(), 1U);
}

// Far away; a pack arrives when so many others are on their way, or after a while.
class SlowStorage final : public ForwardingStorage {
 public:
  SlowStorage(unsigned together, std::chrono::milliseconds patience)
      : ForwardingStorage(make_memory_storage()), together_(together), patience_(patience) {}
  [[nodiscard]] StorageTraits traits() const override {
    return {.connections = 8, .remote = true, .description = "far away"};
  }
  using Storage::put;
  void put(const Context& context, const ObjectName& object,
           std::span<const ByteView> parts) override {
    if (object.kind == ObjectKind::kPack) {
      std::unique_lock lock(mutex_);
      most_ = std::max(most_, ++under_way_);
      changed_.notify_all();
      changed_.wait_for(lock, patience_, [&] { return most_ >= together_; });
      --under_way_;
    }
    base_->put(context, object, parts);
  }
  [[nodiscard]] unsigned most() const {
    const std::scoped_lock lock(mutex_);
    return most_;
  }

 private:
  const unsigned together_;
  const std::chrono::milliseconds patience_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  unsigned under_way_ = 0;
  unsigned most_ = 0;
};

TEST(WriteSession, FourPacksAreOnTheirWayToARemoteStorageAndSixAtMost) {
  // Of the six buffers two are open, or chance has filled those as well: a seventh is waited for in
  // vain.
  for (const auto& [together, patience] : {std::pair(4U, 20'000), std::pair(7U, 100)}) {
    auto storage = std::make_unique<SlowStorage>(together, std::chrono::milliseconds(patience));
    const SlowStorage& slow = *storage;
    Made made(2, std::move(storage));
    WriteOptions options;
    options.pack_size_bytes = uint64_t{1} << 20;
    WriteSession session(*made.test, *made.repository, options);
    {
      const auto writer = session.make_writer();
      for (int i = 0; i < 60; ++i) {
        const Buffer blob = random_blob(made, 200000);
        writer->add(BlobType::kData, id_of(blob.view()), blob.view());
      }
      writer->flush();
    }
    EXPECT_LE(slow.most(), 6U);
    EXPECT_GE(slow.most(), together == 4 ? 4U : 1U);
    session.finish(*made.test);
    EXPECT_EQ(made.stored_blobs(), 60U);
  }
}

TEST(WriteSession, DryRunStoresNothing) {
  Made made;
  WriteOptions options;
  options.dry_run = true;
  options.confirm_lock = [](const Context&) { FAIL() << "a dry run does not write"; };
  WriteSession session(*made.test, *made.repository, options);
  const Buffer blob = random_blob(made, 1000);
  {
    const auto writer = session.make_writer();
    writer->add(BlobType::kData, id_of(blob.view()), blob.view());
    writer->flush();
  }
  EXPECT_EQ(session.commit(*made.test, Snapshot{}), std::nullopt);
  EXPECT_EQ(made.objects(ObjectKind::kPack) + made.objects(ObjectKind::kIndex), 0U);
  EXPECT_EQ(session.counters().data_blobs, 1U);
}

TEST(WriteSession, SmallRestsAreMergedIntoOnePackAtTheEnd) {
  Made made;
  WriteSession session(*made.test, *made.repository, {});
  {
    const auto writer = session.make_writer();
    for (int i = 0; i < 64; ++i) {
      const Buffer blob = random_blob(made, 1000);
      writer->add(BlobType::kData, id_of(blob.view()), blob.view());
    }
    writer->flush();
  }
  session.finish(*made.test);
  EXPECT_EQ(made.objects(ObjectKind::kPack), 1U);
  EXPECT_EQ(made.stored_blobs(), 64U);
}

TEST(WriteSession, DamagedSealedBytesAreRefused) {
  Made made;
  WriteSession session(*made.test, *made.repository, {});
  const auto writer = session.make_writer();
  Sealer sealer = made.repository->make_sealer();
  const std::string text = "some content";
  Buffer sealed = sealer.seal(as_bytes(text));
  sealed.bytes()[20] ^= std::byte{1};
  const PackedBlob blob{
      {BlobType::kData, id_of(as_bytes(text))}, 0, static_cast<uint32_t>(sealed.size()), 0};
  writer->add_sealed(blob, sealed.view());
  EXPECT_THROW(writer->flush(), Error);
}

TEST(WriteSession, AWriterThatDiesWithBlobsFailsTheSession) {
  Made made;
  WriteSession session(*made.test, *made.repository, {});
  {
    const auto writer = session.make_writer();
    const Buffer blob = random_blob(made, 1000);
    writer->add(BlobType::kData, id_of(blob.view()), blob.view());
  }
  EXPECT_THROW(session.finish(*made.test), Error);
}

TEST(Repository, WrongPasswordAndMissingRepositoryAreToldApart) {
  test::TestContext test;
  try {
    (void)Repository::open(*test, make_memory_storage(), Secret("x"));
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kNoRepository);
  }
}

TEST(WriteSession, EachCompressionCanBeReadAndTakesAsMuchAsItsNameSays) {
  // Words of a language: some are frequent, most are not.
  std::string text;
  uint64_t state = 1;
  while (text.size() < 800'000) {
    state = state * 6364136223846793005U + 1442695040888963407U;
    const uint64_t draw = state >> 40U;
    text += "w" + std::to_string((draw % 61) * (draw % 53) * (draw % 3)) + (draw % 9 ? " " : ".\n");
  }
  std::map<Compression, uint64_t> stored;
  for (const Compression compression :
       {Compression::kOff, Compression::kFastest, Compression::kAuto, Compression::kBetter,
        Compression::kMax}) {
    Made made;
    WriteSession session(*made.test, *made.repository, {.compression = compression});
    {
      const auto writer = session.make_writer();
      writer->add(BlobType::kData, id_of(as_bytes(text)), as_bytes(text));
      writer->flush();
    }
    session.finish(*made.test);
    stored[compression] = session.counters().stored_bytes;
    made.repository->load_index(*made.test);
    BlobReader reader(*made.repository);
    EXPECT_EQ(as_text(reader.load(*made.test, {BlobType::kData, id_of(as_bytes(text))}).view()),
              text);
  }
  EXPECT_GT(stored[Compression::kOff], text.size());
  EXPECT_LT(stored[Compression::kFastest], text.size() / 2);
  EXPECT_LT(stored[Compression::kBetter], stored[Compression::kFastest]);
  EXPECT_LT(stored[Compression::kMax], stored[Compression::kBetter]);
}

// A disk that confirms what it has not written.
class HalfStorage final : public ForwardingStorage {
 public:
  HalfStorage() : ForwardingStorage(make_memory_storage()) {}
  using Storage::put;
  void put(const Context& context, const ObjectName& object,
           std::span<const ByteView> parts) override {
    const ByteView half = parts.front().first(parts.front().size() / 2);
    ForwardingStorage::put(context, object,
                           object.kind == ObjectKind::kPack ? std::span(&half, 1) : parts);
  }
};

TEST(WriteSession, APackThatIsNotThereAfterItWasStoredIsNotIndexed) {
  Made made(2, std::make_unique<HalfStorage>());
  const Buffer noise = random_blob(made, 100'000);
  const Error error = test::error_of([&] {
    WriteSession session(*made.test, *made.repository, {});
    {
      const auto writer = session.make_writer();
      writer->add(BlobType::kData, id_of(noise.view()), noise.view());
      writer->flush();
    }
    session.finish(*made.test);
  });
  EXPECT_EQ(error.code(), ErrorCode::kDamaged);
  EXPECT_NE(error.message().find("was stored with the wrong length"), std::string::npos);
  EXPECT_EQ(made.objects(ObjectKind::kIndex), 0U);
}

TEST(WriteSession, ABlobAsLargeAsAPackHasOneForItself) {
  Made made;
  const Buffer large = random_blob(made, 5 << 20);
  const Buffer small = random_blob(made, 1000);
  WriteSession session(*made.test, *made.repository, {.pack_size_bytes = 4 << 20});
  {
    const auto writer = session.make_writer();
    writer->add(BlobType::kData, id_of(small.view()), small.view());
    writer->add(BlobType::kData, id_of(large.view()), large.view());
    writer->flush();
  }
  session.finish(*made.test);
  EXPECT_EQ(made.objects(ObjectKind::kPack), 2U);
  made.repository->load_index(*made.test);
  BlobReader reader(*made.repository);
  for (const Buffer* blob : {&large, &small}) {
    EXPECT_TRUE(std::ranges::equal(
        reader.load(*made.test, {BlobType::kData, id_of(blob->view())}).view(), blob->view()));
  }
}

}  // namespace
}  // namespace salvor
