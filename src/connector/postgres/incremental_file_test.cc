// Rebuilding files from incremental ones, against the definition of it; and how files are cut.
#include "connector/postgres/incremental_file.h"

#include <algorithm>
#include <random>

#include <gtest/gtest.h>

#include "base/clock.h"
#include "connector/postgres/page_parts.h"
#include "connector/postgres/streamed_file.h"
#include "crypto/sha256.h"
#include "support/test_context.h"

namespace salvor::postgres {
namespace {

using Parts = std::vector<PartReader::Part>;

// An earlier snapshot of one file, in memory.
class MemoryFiles final : public EarlierFiles {
 public:
  MemoryFiles(Buffer content, const std::vector<uint64_t>& sizes) : content_(std::move(content)) {
    size_t at = 0;
    for (const uint64_t size : sizes) {
      const BlobId id{sha256(content_.view(at, size))};
      node_.content.push_back(id);
      parts_.push_back({size, id});
      blobs_.emplace(id.hex(), content_.view(at, size));
      at += size;
    }
    node_.size = content_.size();
  }
  const Node* find(const std::string&) const override { return &node_; }
  Parts parts(const Node&) const override { return parts_; }
  std::unique_ptr<EarlierBlobs> blobs(const Context&, std::vector<BlobId> order) const override {
    announced += order.size();
    return std::make_unique<MemoryBlobs>(*this, std::move(order));
  }
  [[nodiscard]] ByteView blob(const BlobId& id) const { return blobs_.at(id.hex()); }
  [[nodiscard]] ByteView content() const { return content_.view(); }

  mutable size_t announced = 0;
  mutable size_t reads = 0;

 private:
  // Knows which comes next.
  class MemoryBlobs final : public EarlierBlobs {
   public:
    MemoryBlobs(const MemoryFiles& files, std::vector<BlobId> order)
        : files_(files), order_(std::move(order)) {}
    Buffer read(const BlobId& blob) override {
      EXPECT_LT(at_, order_.size());
      EXPECT_EQ(order_.at(at_++), blob);
      ++files_.reads;
      return Buffer::copy_of(files_.blob(blob));
    }

   private:
    const MemoryFiles& files_;
    const std::vector<BlobId> order_;
    size_t at_ = 0;
  };

  Buffer content_;
  Node node_;
  Parts parts_;
  std::map<std::string, ByteView> blobs_;
};

Buffer random_pages(std::mt19937& random, size_t pages) {
  Buffer bytes(pages * kPageBytes);
  for (size_t page = 0; page < pages; ++page) {
    std::memset(bytes.data() + page * kPageBytes, static_cast<int>(random() % 251 + 1), kPageBytes);
    const uint32_t number = random();
    std::memcpy(bytes.data() + page * kPageBytes + 100, &number, sizeof number);
  }
  return bytes;
}

void append_word(Buffer& out, uint32_t word) {
  std::byte bytes[4];
  store_u32le(bytes, word);
  out.append(ByteView(bytes));
}

Buffer incremental_file(const std::vector<uint32_t>& blocks, uint32_t truncation, ByteView pages) {
  Buffer out;
  append_word(out, 0xd3ae1f0d);
  append_word(out, static_cast<uint32_t>(blocks.size()));
  append_word(out, truncation);
  for (const uint32_t block : blocks) {
    append_word(out, block);
  }
  while (!blocks.empty() && out.size() % kPageBytes != 0) {
    out.append(std::string_view("\0", 1));
  }
  out.append(pages);
  return out;
}

// The definition, block by block.
Buffer reconstruct(ByteView old, const std::vector<uint32_t>& blocks, uint32_t truncation,
                   ByteView pages) {
  const uint32_t length = blocks.empty() ? truncation : std::max(truncation, blocks.back() + 1);
  Buffer out(size_t{length} * kPageBytes);
  for (uint32_t block = 0; block < length; ++block) {
    std::byte* to = out.data() + size_t{block} * kPageBytes;
    const auto listed = std::find(blocks.begin(), blocks.end(), block);
    if (listed != blocks.end()) {
      std::memcpy(to, pages.data() + static_cast<size_t>(listed - blocks.begin()) * kPageBytes,
                  kPageBytes);
    } else if (block < truncation && size_t{block} * kPageBytes < old.size()) {
      std::memcpy(to, old.data() + size_t{block} * kPageBytes, kPageBytes);
    } else {
      std::memset(to, 0, kPageBytes);
    }
  }
  return out;
}

struct Rebuilt {
  Buffer content;
  Parts parts;
  RebuiltFile told;
};

Rebuilt rebuild(const MemoryFiles& files, ByteView incremental, uint64_t cell) {
  test::TestContext test;
  Rebuilt result;
  const Node* node = files.find("");
  RebuiltParts reader(*test, read_memory(incremental), files,
                      {.node = node, .crc = crc32c(files.content())},
                      {.cell = cell, .on_page = {}, .on_end = [&](const RebuiltFile& told) {
                         result.told = told;
                       }});
  Buffer bytes;
  while (const auto part = reader.next(bytes)) {
    if (part->stored) {
      result.content.append(files.blob(*part->stored));
    } else {
      EXPECT_EQ(bytes.size(), part->size);
      result.content.append(bytes.view());
    }
    bytes.clear();
    result.parts.push_back(*part);
  }
  return result;
}

TEST(RebuiltParts, AreTheFileThatTheDefinitionGives) {
  std::mt19937 random(20261121);
  for (int round = 0; round < 400; ++round) {
    const uint32_t old_pages = random() % 60 + 1;
    const Buffer old = random_pages(random, old_pages);
    // Cut anyhow, at borders of pages.
    std::vector<uint64_t> sizes;
    for (uint32_t at = 0; at < old_pages;) {
      const uint32_t take = std::min<uint32_t>(random() % 9 + 1, old_pages - at);
      sizes.push_back(uint64_t{take} * kPageBytes);
      at += take;
    }
    const MemoryFiles files(Buffer::copy_of(old.view()), sizes);
    std::vector<uint32_t> blocks;
    const uint32_t density = random() % 12 + 1;
    for (uint32_t block = 0; block < 80; ++block) {
      if (random() % density == 0 && random() % 3 == 0) {
        blocks.push_back(block);
      }
    }
    const uint32_t truncation = random() % 3 == 0 ? old_pages : random() % 90;
    const Buffer pages = random_pages(random, blocks.size());
    const Buffer incremental = incremental_file(blocks, truncation, pages.view());
    const Buffer expected = reconstruct(old.view(), blocks, truncation, pages.view());

    const Rebuilt result = rebuild(files, incremental.view(), uint64_t{64} << 10);
    ASSERT_EQ(as_text(result.content.view()), as_text(expected.view())) << "round " << round;
    EXPECT_EQ(result.told.size, expected.size());
    EXPECT_EQ(result.told.crc, crc32c(expected.view())) << "round " << round;
    EXPECT_TRUE(page_aligned(result.parts));
    EXPECT_EQ(files.reads, files.announced);
  }
}

TEST(RebuiltParts, ReadOnlyWhatChanges) {
  std::mt19937 random(7);
  const Buffer old = random_pages(random, 128);
  const MemoryFiles files(Buffer::copy_of(old.view()), std::vector<uint64_t>(16, 8 * kPageBytes));
  const Buffer page = random_pages(random, 1);
  const Rebuilt one = rebuild(files, incremental_file({19}, 128, page.view()).view(), 65536);
  EXPECT_EQ(files.reads, 1U);
  // Blob 2 of 16 is divided: 2 pages with the changed one, 2 and 4 without.
  ASSERT_EQ(one.parts.size(), 18U);
  EXPECT_EQ(one.parts[2].size, 2 * kPageBytes);
  EXPECT_EQ(one.parts[3].size, 2 * kPageBytes);
  EXPECT_EQ(one.parts[4].size, 4 * kPageBytes);
  EXPECT_TRUE(one.parts[1].stored && one.parts[5].stored);
}

TEST(RebuiltParts, RefuseWhatNoServerSends) {
  std::mt19937 random(8);
  const MemoryFiles files(random_pages(random, 4), {4 * kPageBytes});
  const Buffer two = random_pages(random, 2);
  Buffer unordered = incremental_file({3, 2}, 4, two.view());
  Buffer twice = incremental_file({2, 2}, 4, two.view());
  Buffer beyond = incremental_file({1, kSegmentPages}, 4, two.view());
  Buffer missing = incremental_file({1, 2}, 4, two.view().first(kPageBytes + 5));
  Buffer longer = incremental_file({1}, 4, two.view());
  Buffer other = incremental_file({1}, 4, two.view().first(kPageBytes));
  other.data()[0] = std::byte{0};
  for (const Buffer* wrong : {&unordered, &twice, &beyond, &missing, &longer, &other}) {
    EXPECT_THROW(static_cast<void>(rebuild(files, wrong->view(), 65536)), Error);
  }
}

TEST(Crc32c, OfJoinedAndDividedData) {
  std::mt19937 random(9);
  const Buffer data = random_pages(random, 9);
  for (const size_t cut : {size_t{0}, size_t{1}, size_t{4711}, data.size() - 1, data.size()}) {
    const ByteView a = data.view(0, cut);
    const ByteView b = data.view().subspan(cut);
    EXPECT_EQ(crc32c_append(crc32c(a), b.size()) ^ crc32c(b), crc32c(data.view()));
    EXPECT_EQ(crc32c_remove(crc32c(data.view()) ^ crc32c(b), b.size()), crc32c(a));
  }
}

Buffer pages_with_lsn(const std::vector<uint32_t>& lsns) {
  Buffer bytes(lsns.size() * kPageBytes);
  std::ranges::fill(bytes.bytes(), std::byte{1});
  for (size_t i = 0; i < lsns.size(); ++i) {
    store_u32le(bytes.data() + i * kPageBytes, 0);
    store_u32le(bytes.data() + i * kPageBytes + 4, lsns[i]);
  }
  return bytes;
}

std::vector<uint64_t> cut(ByteView content, CuttingRules rules,
                          const std::vector<uint64_t>& earlier) {
  Parts parts;
  for (const uint64_t pages : earlier) {
    parts.push_back({.size = pages * kPageBytes, .stored = {}});
  }
  WholeFileParts reader(read_memory(content), rules, parts);
  std::vector<uint64_t> pages;
  Buffer bytes;
  while (const auto part = reader.next(bytes)) {
    pages.push_back(part->size / kPageBytes);
  }
  EXPECT_EQ(as_text(bytes.view()), as_text(content)) << "all bytes, in order";
  return pages;
}

TEST(WholeFileParts, KeepTheShapeDivideWhereChangedAndJoinWhatIsCold) {
  using Sizes = std::vector<uint64_t>;
  const CuttingRules rules{.cell = 65536, .changed_since = {1000}, .hot_since = {500}};
  std::vector<uint32_t> lsns(24, 600);
  EXPECT_EQ(cut(pages_with_lsn(lsns).view(), rules, {}), (Sizes{8, 8, 8})) << "new";
  EXPECT_EQ(cut(pages_with_lsn(lsns).view(), rules, {8, 2, 2, 4, 8}), (Sizes{8, 2, 2, 4, 8}));
  lsns[3] = 1000;
  EXPECT_EQ(cut(pages_with_lsn(lsns).view(), rules, {8, 8, 8}), (Sizes{2, 2, 4, 8, 8}))
      << "changed";
  lsns.assign(24, 400);
  EXPECT_EQ(cut(pages_with_lsn(lsns).view(), rules, {8, 2, 2, 4, 8}), (Sizes{8, 8, 8})) << "cold";
  EXPECT_EQ(cut(pages_with_lsn(lsns).view(), rules, {8, 2, 2, 1}), (Sizes{8, 8, 8})) << "grown";
  EXPECT_EQ(cut(pages_with_lsn(lsns).view(), rules, {24}), (Sizes{24})) << "larger cells before";
  EXPECT_EQ(cut(pages_with_lsn({}).view(), rules, {8}), Sizes{});
  const CuttingRules never{.cell = 65536, .changed_since = {1000}, .hot_since = {0}};
  EXPECT_EQ(cut(pages_with_lsn(lsns).view(), never, {8, 2, 2, 4, 8}), (Sizes{8, 2, 2, 4, 8}));
}

TEST(WholeFileParts, CellsGrowWithTheRootOfTheCluster) {
  EXPECT_EQ(cell_bytes_for(0), 64U << 10);
  EXPECT_EQ(cell_bytes_for((uint64_t{16} << 30) - 1), 64U << 10);
  EXPECT_EQ(cell_bytes_for(uint64_t{16} << 30), 128U << 10);
  EXPECT_EQ(cell_bytes_for(uint64_t{64} << 30), 256U << 10);
  EXPECT_EQ(cell_bytes_for(uint64_t{1} << 60), 1U << 20);
}

}  // namespace
}  // namespace salvor::postgres
