#include "engine/reading/pack_reader.h"

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/reading/pack_table.h"
#include "storage/decorators/fault_storage.h"
#include "storage/decorators/forwarding_storage.h"
#include "support/small_repository.h"
#include "support/storage_helpers.h"

namespace salvor {
namespace {

using test::error_of;
using test::SmallRepository;
using test::some_content;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class PackReaderTest : public testing::Test {
 protected:
  // One pack of data blobs; what the index says of it in `blobs_`.
  void fill(size_t bytes) {
    small_.backup({{"f", some_content(1, bytes)}});
    small_.repository().load_index(context_);
    const PackTable packs(small_.repository().index());
    for (size_t i = 0; i < packs.size(); ++i) {
      if (packs.blobs(i).front().handle.type == BlobType::kData) {
        pack_ = packs.id(i);
        blobs_ = packs.blobs(i);
      }
    }
    size_ = small_.storage().stat(context_, pack_object(pack_))->size_bytes;
  }
  [[nodiscard]] PackVerdict verify() {
    PackReader reader(small_.repository());
    return reader.verify(context_, pack_, size_, blobs_);
  }
  // A pack of these bytes, under the name that they have; their own size.
  PackId store(ByteView bytes) {
    const PackId id(sha256(bytes));
    small_.storage().put(context_, pack_object(id), bytes);
    return id;
  }
  [[nodiscard]] Error header_error(ByteView bytes) {
    const PackId id = store(bytes);
    return error_of(
        [&] { (void)read_pack_header(context_, small_.repository(), id, bytes.size()); });
  }

  FaultStorage* faults_ = nullptr;
  SmallRepository small_{2, [this] {
                           auto storage = std::make_unique<FaultStorage>(make_memory_storage());
                           faults_ = storage.get();
                           return storage;
                         }()};
  const Context context_ = small_.context();
  PackId pack_;
  std::vector<PackedBlob> blobs_;
  uint64_t size_ = 0;
};

TEST_F(PackReaderTest, AHeaderLargerThanTheFirstReadIsReadWhole) {
  fill(2'000'000);
  ASSERT_THAT(blobs_, SizeIs(2000));  // 82 KB of header
  EXPECT_EQ(read_pack_header(context_, small_.repository(), pack_, size_), blobs_);
  EXPECT_EQ(pack_size_of(blobs_), size_);
}

TEST_F(PackReaderTest, HeadersThatAreNoneAreRefused) {
  fill(3000);
  const Buffer good = small_.storage().get(context_, pack_object(pack_));
  EXPECT_THAT(header_error(good.view().first(20)).message(), HasSubstr("too short for a header"));
  Buffer bytes = Buffer::copy_of(good.view());
  store_u32le(bytes.data() + bytes.size() - 4, 1U << 30);
  EXPECT_THAT(header_error(bytes.view()).message(), HasSubstr("impossible length"));
  bytes = Buffer::copy_of(good.view());
  bytes.data()[bytes.size() - 10] ^= std::byte{1};
  EXPECT_THAT(header_error(bytes.view()).message(), HasSubstr("does not decrypt"));
  // In order, but not all that the pack holds.
  bytes = Buffer::copy_of(as_bytes("in front of it all"));
  bytes.append(good.view());
  const Error error = header_error(bytes.view());
  EXPECT_EQ(error.code(), ErrorCode::kDamaged);
  EXPECT_THAT(error.message(), HasSubstr("its header accounts for " + std::to_string(good.size())));
}

TEST_F(PackReaderTest, WhatWasReadWronglyOnceIsAProblemButNotDamage) {
  fill(3000);
  EXPECT_THAT(verify().problems, IsEmpty());
  faults_->add({.call = StorageCall::kGetRange, .effect = FaultEffect::kFlipBit});
  const PackVerdict verdict = verify();
  EXPECT_THAT(verdict.damaged, IsEmpty());
  EXPECT_THAT(verdict.problems, ElementsAre(HasSubstr("and correctly the second")));
}

TEST_F(PackReaderTest, TroubleWithTheStorageIsNotThePacks) {
  fill(3000);
  faults_->add(
      {.call = StorageCall::kGetRange, .count = Fault::kForever, .code = ErrorCode::kUnreachable});
  EXPECT_EQ(error_of([&] { (void)verify(); }).code(), ErrorCode::kUnreachable);
  faults_->clear();
  // A bad sector is: all that can be had around it is had.
  faults_->add({.call = StorageCall::kGetRange,
                .count = 2,  // the batch, then its first blob
                .code = ErrorCode::kFailed});
  EXPECT_THAT(verify().damaged, IsEmpty()) << "the second look reads it";
  faults_->clear();
  small_.storage().remove(context_, pack_object(pack_));
  const PackVerdict gone = verify();
  EXPECT_TRUE(gone.unreadable);
  EXPECT_EQ(gone.damaged, blobs_);
}

TEST_F(PackReaderTest, AnIndexThatContradictsThePackIsFoundOut) {
  fill(3000);
  const std::vector<PackedBlob> right = blobs_;
  std::swap(blobs_[0].handle, blobs_[1].handle);
  PackVerdict verdict = verify();
  EXPECT_THAT(verdict.damaged, SizeIs(2));
  EXPECT_FALSE(verdict.sound());
  blobs_ = right;
  blobs_[1].offset += 1;
  EXPECT_THAT(verify().problems.front(), HasSubstr("gaps or overlap"));
  blobs_ = right;
  blobs_.back().length += 10'000;
  verdict = verify();
  EXPECT_THAT(verdict.damaged, ElementsAre(blobs_.back()));
  EXPECT_THAT(verdict.problems, Contains(HasSubstr("ends before blob")));
  blobs_ = right;
  blobs_.back().length = 3;  // less than a seal takes
  EXPECT_THAT(verify().damaged, ElementsAre(blobs_.back()));
  blobs_ = right;
  blobs_.pop_back();
  EXPECT_THAT(verify().problems, ElementsAre(HasSubstr("its header lists 3 blobs, the index 2")));
}

// As a disk with bad sectors: what is read in one go must be short.
class ShortReads final : public ForwardingStorage {
 public:
  ShortReads(Storage& base, size_t most) : ForwardingStorage(base), most_(most) {}
  void get_range(const Context& context, const ObjectName& object, uint64_t offset,
                 MutableBytes out) override {
    if (out.size() > most_) {
      throw Error(ErrorCode::kFailed, "a bad sector");
    }
    base_->get_range(context, object, offset, out);
  }

 private:
  const size_t most_;
};

TEST_F(PackReaderTest, WhatIsReadBlobByBlobIsVerifiedToo) {
  fill(3000);
  small_.flip_byte(pack_object(pack_), blobs_[1].offset + 20);
  const uint32_t longest = std::max({blobs_[0].length, blobs_[1].length, blobs_[2].length});
  const auto repository =
      Repository::open(context_, std::make_unique<ShortReads>(small_.storage(), longest),
                       Secret(test::kTestPassword));
  const PackVerdict verdict = PackReader(*repository).verify(context_, pack_, size_, blobs_);
  EXPECT_FALSE(verdict.unreadable);
  EXPECT_THAT(verdict.damaged, ElementsAre(blobs_[1]));
  EXPECT_THAT(verdict.problems,
              Contains(HasSubstr("blob " + blobs_[1].handle.id.hex() + " does not verify")));
}

}  // namespace
}  // namespace salvor
