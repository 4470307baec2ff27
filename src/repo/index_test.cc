#include "repo/index.h"

#include <map>
#include <thread>

#include <gtest/gtest.h>

#include "codec/index_codec.h"
#include "support/properties.h"

namespace salvor {
namespace {

BlobId blob_id(uint64_t number) {
  Digest digest{};
  std::memcpy(digest.data(), &number, sizeof number);
  const uint64_t spread = number * 0x9e3779b97f4a7c15U;
  std::memcpy(digest.data() + 8, &spread, sizeof spread);
  std::swap_ranges(digest.begin(), digest.begin() + 8, digest.begin() + 8);
  return BlobId(digest);
}

PackId pack_id(uint64_t number) {
  return PackId(blob_id(number ^ 0x5555).digest());
}

PackedBlob packed(uint64_t number, BlobType type = BlobType::kData) {
  return {{type, blob_id(number)}, static_cast<uint32_t>(number), 100, 0};
}

TEST(Index, FindsWhatWasAddedAndNothingElse) {
  Index index;
  const std::vector<PackedBlob> blobs{packed(1), packed(2), packed(2, BlobType::kTree)};
  index.add_pack(pack_id(7), blobs);
  EXPECT_EQ(index.find({BlobType::kData, blob_id(1)})->pack, pack_id(7));
  EXPECT_EQ(index.find({BlobType::kTree, blob_id(2)})->blob, blobs[2]);
  EXPECT_FALSE(index.find({BlobType::kTree, blob_id(1)}).has_value());
  EXPECT_EQ(index.blob_count(), 3U);
}

TEST(Index, ClaimReturnsPendingWhileUploadInFlight) {
  Index index;
  const BlobHandle handle{BlobType::kData, blob_id(5)};
  EXPECT_EQ(index.claim(handle), Index::Claim::kMine);
  EXPECT_EQ(index.claim(handle), Index::Claim::kPending);
  EXPECT_FALSE(index.contains(handle)) << "a claimed blob is not stored yet";
  const std::vector<PackedBlob> blobs{packed(5)};
  index.add_pack(pack_id(1), blobs);
  EXPECT_EQ(index.claim(handle), Index::Claim::kKnown);
  EXPECT_EQ(index.blob_count(), 1U);
  EXPECT_EQ(index.find_all(handle).size(), 1U);
}

TEST(Index, KeepsFurtherCopiesButDropsIdenticalEntries) {
  Index index;
  const std::vector<PackedBlob> blobs{packed(9)};
  index.add_pack(pack_id(1), blobs);
  index.add_pack(pack_id(2), blobs);
  index.add_pack(pack_id(1), blobs);
  EXPECT_EQ(index.find_all({BlobType::kData, blob_id(9)}).size(), 2U);
  EXPECT_EQ(index.pack_count(), 2U);
}

TEST(Index, ExactlyOneOfManyThreadsGetsEachClaim) {
  Index index;
  constexpr uint64_t kBlobs = 20000;
  std::atomic<uint64_t> mine = 0;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] {
        for (uint64_t number = 0; number < kBlobs; ++number) {
          mine += index.claim({BlobType::kData, blob_id(number)}) == Index::Claim::kMine ? 1 : 0;
        }
      });
    }
  }
  EXPECT_EQ(mine, kBlobs);
}

// Issue requirement: at most 64 bytes an indexed blob.
TEST(Index, HoldsABlobInAtMost64Bytes) {
  for (const size_t count : {size_t{100000}, size_t{1000000}}) {
    Index index;
    index.reserve(count);
    std::vector<PackedBlob> pack;
    for (size_t number = 0; number < count; ++number) {
      pack.push_back(packed(number));
      if (pack.size() == 400) {
        index.add_pack(pack_id(number), pack);
        pack.clear();
      }
    }
    EXPECT_LE(static_cast<double>(index.memory_bytes()) / static_cast<double>(index.blob_count()),
              64.0)
        << count;
    for (size_t number = 0; number < count; number += 997) {
      ASSERT_TRUE(index.contains({BlobType::kData, blob_id(number)}));
    }
  }
}

TEST(Index, EntryNumbersAreDenseAndStable) {
  Index index;
  const std::vector<PackedBlob> blobs{packed(1), packed(2)};
  index.add_pack(pack_id(1), blobs);
  const auto number = index.entry_number({BlobType::kData, blob_id(2)});
  const std::vector<PackedBlob> more{packed(3)};
  index.add_pack(pack_id(2), more);
  EXPECT_EQ(index.entry_number({BlobType::kData, blob_id(2)}), number);
  EXPECT_EQ(index.entry(number).blob, blobs[1]);
  EXPECT_EQ(index.pack_number_of(number), 0U);
  EXPECT_EQ(index.entry_number({BlobType::kData, blob_id(4)}), Index::kNoEntry);
  EXPECT_EQ(index.entry_count(), 3U);
}

// A model: every copy of every blob, as a pack was entered.
using Model = std::map<BlobHandle, std::vector<std::pair<PackId, PackedBlob>>>;

// Packs of few different blobs, so that copies, and types that share an id, are common.
std::vector<std::pair<PackId, std::vector<PackedBlob>>> any_packs() {
  std::vector<std::pair<PackId, std::vector<PackedBlob>>> packs;
  const auto sizes = *rc::gen::container<std::vector<int>>(rc::gen::inRange(1, 20));
  for (const int size : sizes) {
    std::vector<PackedBlob> blobs;
    uint32_t offset = 0;
    for (int i = 0; i < size; ++i) {
      const auto type = *rc::gen::element(BlobType::kData, BlobType::kTree);
      const auto length = *rc::gen::inRange<uint32_t>(33, 5000);
      const auto plain = *rc::gen::element<uint32_t>(0, 1, 100'000);
      blobs.push_back({{type, blob_id(*rc::gen::inRange<uint64_t>(0, 60))}, offset, length, plain});
      offset += length;
    }
    packs.emplace_back(pack_id(packs.size()), blobs);
  }
  return packs;
}

void expect_is(const Index& index, const Model& model) {
  size_t entries = 0;
  for (const auto& [handle, copies] : model) {
    RC_ASSERT(index.contains(handle));
    const std::vector<BlobLocation> found = index.find_all(handle);
    RC_ASSERT(found.size() == copies.size());
    for (const auto& [pack, blob] : copies) {
      RC_ASSERT(std::any_of(found.begin(), found.end(), [&](const BlobLocation& location) {
        return location.pack == pack && location.blob == blob;
      }));
    }
    entries += copies.size();
  }
  for (uint64_t number = 0; number < 70; ++number) {
    for (const BlobType type : {BlobType::kData, BlobType::kTree}) {
      const BlobHandle handle{type, blob_id(number)};
      RC_ASSERT(index.contains(handle) == model.contains(handle));
    }
  }
  size_t visited = 0;
  index.for_each([&](const PackId&, const PackedBlob&) { ++visited; });
  RC_ASSERT(visited == entries);
}

TEST(IndexProperties, WhatWasPutIsFoundAfterSavingLoadingAndMerging) {
  test::expect_property([] {
    const auto packs = any_packs();
    Model model;
    for (const auto& [pack, blobs] : packs) {
      for (const PackedBlob& blob : blobs) {
        model[blob.handle].emplace_back(pack, blob);
      }
    }
    Index index;
    for (const auto& [pack, blobs] : packs) {
      if (*rc::gen::arbitrary<bool>()) {
        (void)index.claim(blobs.front().handle);
      }
      index.add_pack(pack, blobs);
    }
    expect_is(index, model);
    // Into files of any number of packs each, some packs in two of them, and back into one index.
    Index loaded;
    IndexEncoder encoder;
    const auto load = [&] {
      const std::string json = encoder.finish();
      encoder = IndexEncoder();
      decode_index(as_bytes(json), [&](const PackId& pack, std::span<const PackedBlob> blobs) {
        loaded.add_pack(pack, blobs);
      });
    };
    for (const auto& [pack, blobs] : packs) {
      encoder.add_pack(pack, blobs);
      if (*rc::gen::inRange(0, 3) == 0) {
        load();
        if (*rc::gen::arbitrary<bool>()) {
          encoder.add_pack(pack, blobs);
        }
      }
    }
    load();
    expect_is(loaded, model);
  });
}

}  // namespace
}  // namespace salvor
