#include "codec/pack_header.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace salvor {
namespace {

PackedBlob make(BlobType type, uint32_t offset, uint32_t length, uint32_t plain, unsigned fill) {
  Digest digest;
  digest.fill(static_cast<std::byte>(fill));
  return {{type, BlobId(digest)}, offset, length, plain};
}

TEST(PackHeader, WorkedExample) {
  // restic-format, 17.2: type 2, sealed length 59, plain length 18
  Buffer header;
  const std::vector<PackedBlob> blobs{make(BlobType::kData, 0, 59, 18, 0x5f)};
  append_pack_header(header, blobs);
  EXPECT_EQ(to_hex(header.view()),
            "023b00000012000000" + std::string(32 * 2, '5').replace(0, 64, [] {
              std::string fill;
              for (int i = 0; i < 32; ++i) {
                fill += "5f";
              }
              return fill;
            }()));
  EXPECT_EQ(decode_pack_header(header.view()), blobs);
}

TEST(PackHeader, AllTypesWithImpliedOffsets) {
  const std::vector<PackedBlob> blobs{make(BlobType::kData, 0, 100, 0, 1),
                                      make(BlobType::kTree, 100, 32, 0, 2),
                                      make(BlobType::kData, 132, 50, 7, 3),
                                      make(BlobType::kTree, 182, 4'000'000'000, 4'294'967'295, 4)};
  Buffer header = Buffer::copy_of(as_bytes("x"));
  append_pack_header(header, blobs);
  EXPECT_EQ(header.size(), 1U + 37 + 37 + 41 + 41);
  EXPECT_EQ(decode_pack_header(header.view().subspan(1)), blobs);
  EXPECT_EQ(header.data()[1], std::byte{0});
  EXPECT_EQ(header.data()[1 + 37], std::byte{1});
  EXPECT_EQ(header.data()[1 + 74], std::byte{2});
  EXPECT_EQ(header.data()[1 + 115], std::byte{3});
  EXPECT_TRUE(decode_pack_header({}).empty());
}

void expect_refused(ByteView header) {
  try {
    (void)decode_pack_header(header);
    ADD_FAILURE() << "accepted " << to_hex(header);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kDamaged);
  }
}

TEST(PackHeader, RefusesWhatCannotBeTrue) {
  const auto header_of = [](std::vector<PackedBlob> blobs) {
    Buffer header;
    append_pack_header(header, blobs);
    return header;
  };
  Buffer unknown = header_of({make(BlobType::kData, 0, 100, 0, 1)});
  unknown.data()[0] = std::byte{4};
  expect_refused(unknown.view());
  const Buffer whole = header_of({make(BlobType::kData, 0, 100, 5, 1)});
  for (size_t length = 1; length < whole.size(); ++length) {
    expect_refused(whole.view(0, length));
  }
  expect_refused(header_of({make(BlobType::kData, 0, 31, 0, 1)}).view());
  expect_refused(header_of({make(BlobType::kData, 0, 4'294'967'200, 0, 1),
                            make(BlobType::kData, 0, 100, 0, 1)})
                     .view());
  Buffer zero = header_of({make(BlobType::kData, 0, 100, 5, 1)});
  store_u32le(zero.data() + 5, 0);
  expect_refused(zero.view());
}

}  // namespace
}  // namespace salvor
