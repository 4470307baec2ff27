#include "engine/backup/earlier_snapshot.h"

#include <condition_variable>
#include <mutex>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "storage/decorators/forwarding_storage.h"
#include "support/errors.h"
#include "support/small_repository.h"

namespace salvor {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

// Where reading waits until so many readings of packs are under way, if it is told to.
class CountingStorage final : public ForwardingStorage {
 public:
  CountingStorage() : ForwardingStorage(make_memory_storage()) {}
  void get_range(const Context& context, const ObjectName& object, uint64_t offset,
                 MutableBytes out) override {
    if (object.kind == ObjectKind::kPack) {
      std::unique_lock lock(mutex_);
      ++requests_;
      most_ = std::max(most_, ++under_way_);
      changed_.notify_all();
      changed_.wait_for(lock, std::chrono::seconds(20), [&] { return most_ >= together_; });
      --under_way_;
    }
    base_->get_range(context, object, offset, out);
  }
  void wait_for(unsigned together) {
    const std::scoped_lock lock(mutex_);
    together_ = together;
  }
  [[nodiscard]] size_t requests() const {
    const std::scoped_lock lock(mutex_);
    return requests_;
  }
  [[nodiscard]] unsigned most() const {
    const std::scoped_lock lock(mutex_);
    return most_;
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  size_t requests_ = 0;
  unsigned together_ = 0;
  unsigned under_way_ = 0;
  unsigned most_ = 0;
};

constexpr size_t kMany = 500;

// A file of many blobs.
struct Many {
  Many() {
    const SnapshotId id = small.backup({{"file", test::some_content(1, kMany * test::kBlobSize)}});
    tree = small.repository().load_snapshot(context, id).tree;
    small.repository().load_index(context);
  }
  CountingStorage slow;
  test::SmallRepository small{2, borrow_storage(slow)};
  const Context context = small.context();
  BlobId tree;
};

class EarlierSnapshotTest : public testing::Test {
 protected:
  EarlierSnapshotTest() {
    tree_ = small_.repository()
                .load_snapshot(context_, small_.backup({{"a/one", "1"}, {"b/two", "22"}}))
                .tree;
    small_.repository().load_index(context_);
  }
  [[nodiscard]] BlobLocation locate(BlobType type, const BlobId& id) {
    return small_.repository().index().find({type, id}).value();
  }

  test::SmallRepository small_;
  const Context context_ = small_.context();
  BlobId tree_;
};

TEST_F(EarlierSnapshotTest, GivesItsFilesAndTheirContent) {
  const EarlierSnapshot earlier(context_, small_.repository(), tree_);
  const Node* const two = earlier.find("b/two");
  ASSERT_NE(two, nullptr);
  const std::vector<PartReader::Part> parts = earlier.parts(*two);
  ASSERT_THAT(parts, SizeIs(1));
  EXPECT_EQ(as_text(earlier.blobs(context_, two->content)->read(two->content[0]).view()), "22");
  EXPECT_EQ(earlier.find("b"), nullptr) << "no file";
  EXPECT_EQ(earlier.find("c"), nullptr);
}

TEST_F(EarlierSnapshotTest, GivesBlobsInTheAnnouncedOrderAndOthersInBetween) {
  Many many;
  const EarlierSnapshot earlier(many.context, many.small.repository(), many.tree);
  const Node* const file = earlier.find("file");
  ASSERT_NE(file, nullptr);
  // Every second one, one of them twice.
  std::vector<BlobId> order;
  for (size_t i = 0; i < kMany; i += 2) {
    order.push_back(file->content[i]);
  }
  order.push_back(file->content[0]);
  const std::unique_ptr<EarlierBlobs> blobs = earlier.blobs(many.context, order);
  for (const BlobId& blob : order) {
    const Buffer bytes = blobs->read(blob);
    EXPECT_EQ(BlobId(sha256(bytes.view())), blob);
    EXPECT_EQ(BlobId(sha256(blobs->read(file->content[1]).view())), file->content[1]);
  }
  EXPECT_EQ(as_text(blobs->read(file->content[2]).view()).size(), test::kBlobSize) << "at the end";
}

TEST_F(EarlierSnapshotTest, BlobsFarFromEachOtherAreFetchedAtTheSameTime) {
  Many many;
  const EarlierSnapshot earlier(many.context, many.small.repository(), many.tree);
  const Node* const file = earlier.find("file");
  std::vector<BlobId> order;
  for (size_t i = 0; i < kMany; i += kMany / 5) {
    order.push_back(file->content[i]);
  }
  const std::unique_ptr<EarlierBlobs> blobs = earlier.blobs(many.context, order);
  const size_t before = many.slow.requests();
  many.slow.wait_for(2);
  for (const BlobId& blob : order) {
    EXPECT_EQ(BlobId(sha256(blobs->read(blob).view())), blob);
  }
  EXPECT_GE(many.slow.most(), 2U);
  EXPECT_EQ(many.slow.requests() - before, order.size());
}

TEST_F(EarlierSnapshotTest, NeighboursAreFetchedTogether) {
  Many many;
  const EarlierSnapshot earlier(many.context, many.small.repository(), many.tree);
  const Node* const file = earlier.find("file");
  const size_t before = many.slow.requests();
  const std::unique_ptr<EarlierBlobs> blobs = earlier.blobs(many.context, file->content);
  for (const BlobId& blob : file->content) {
    EXPECT_EQ(BlobId(sha256(blobs->read(blob).view())), blob);
  }
  EXPECT_LT(many.slow.requests() - before, 10U);
}

// A whole request comes damaged, or none does: another copy may be good.
TEST_F(EarlierSnapshotTest, WhatIsDamagedInOnePackIsTakenFromAnother) {
  Many many;
  const EarlierSnapshot earlier(many.context, many.small.repository(), many.tree);
  const Node* const file = earlier.find("file");
  const BlobHandle first{BlobType::kData, file->content[0]};
  const PackId pack = many.small.repository().index().find(first).value().pack;
  const auto again = many.small.reopen();  // knows nothing of the other: stores all again
  {
    WriteSession session(many.context, *again, {});
    const std::unique_ptr<BlobWriter> writer = session.make_writer();
    BlobReader reader(many.small.repository());
    for (const BlobId& blob : file->content) {
      writer->add(BlobType::kData, blob, reader.load(many.context, {BlobType::kData, blob}).view());
    }
    writer->flush();
    session.finish(many.context);
  }
  many.small.repository().load_index(many.context);
  many.small.storage().remove(many.context, pack_object(pack));
  const std::unique_ptr<EarlierBlobs> blobs = earlier.blobs(many.context, file->content);
  for (const BlobId& blob : file->content) {
    EXPECT_EQ(BlobId(sha256(blobs->read(blob).view())), blob);
  }
}

// The others are there; and nobody need take them.
TEST_F(EarlierSnapshotTest, ADamagedBlobIsToldWhereItComes) {
  Many many;
  const EarlierSnapshot earlier(many.context, many.small.repository(), many.tree);
  const Node* const file = earlier.find("file");
  const BlobHandle third{BlobType::kData, file->content[2]};
  const BlobLocation place = many.small.repository().index().find(third).value();
  many.small.flip_byte(pack_object(place.pack), place.blob.offset + 20);
  const std::unique_ptr<EarlierBlobs> blobs = earlier.blobs(many.context, file->content);
  EXPECT_EQ(blobs->read(file->content[0]).size(), test::kBlobSize);
  EXPECT_EQ(blobs->read(file->content[1]).size(), test::kBlobSize);
  EXPECT_EQ(test::code_of([&] { static_cast<void>(blobs->read(file->content[2])); }),
            ErrorCode::kDamaged);
  EXPECT_EQ(blobs->read(file->content[3]).size(), test::kBlobSize);
}

TEST_F(EarlierSnapshotTest, AStopEndsTheWaiting) {
  Many many;
  const EarlierSnapshot earlier(many.context, many.small.repository(), many.tree);
  const Node* const file = earlier.find("file");
  std::stop_source stop;
  const Context context = many.context.with_stop(stop.get_token());
  const std::unique_ptr<EarlierBlobs> blobs = earlier.blobs(context, file->content);
  static_cast<void>(blobs->read(file->content[0]));
  stop.request_stop();
  EXPECT_EQ(test::code_of([&] {
              for (size_t i = 1; i < kMany; ++i) {
                static_cast<void>(blobs->read(file->content[i]));
              }
            }),
            ErrorCode::kCancelled);
}

TEST_F(EarlierSnapshotTest, WhatIsDamagedIsNotThereAndTheRestIs) {
  const Tree root = BlobReader(small_.repository()).load_tree(context_, tree_);
  const BlobLocation place = locate(BlobType::kTree, *root.find("a")->subtree);
  small_.flip_byte(pack_object(place.pack), place.blob.offset + 20);
  const EarlierSnapshot earlier(context_, small_.repository(), tree_);
  EXPECT_EQ(earlier.find("a/one"), nullptr);
  EXPECT_NE(earlier.find("b/two"), nullptr);
  std::vector<std::string> warnings;
  for (const Event& event : small_.test_context().events.events()) {
    if (const auto* warning = std::get_if<Warning>(&event)) {
      warnings.push_back(warning->message);
    }
  }
  EXPECT_THAT(warnings, ElementsAre(HasSubstr("cannot be used for /a: ")));
}

}  // namespace
}  // namespace salvor
