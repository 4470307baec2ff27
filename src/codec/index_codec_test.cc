#include "codec/index_codec.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/random.h"

namespace salvor {
namespace {

struct Listed {
  PackId pack;
  std::vector<PackedBlob> blobs;
  friend bool operator==(const Listed&, const Listed&) = default;
};

// Both ways of reading must agree, on what is refused too.
std::vector<Listed> decode(std::string_view text) {
  std::vector<Listed> packs;
  std::vector<Listed> plain;
  const auto into = [](std::vector<Listed>& list) {
    return [&list](const PackId& pack, std::span<const PackedBlob> blobs) {
      list.push_back({pack, {blobs.begin(), blobs.end()}});
    };
  };
  try {
    decode_index_any_form(as_bytes(text), into(plain));
  } catch (const Error&) {
    EXPECT_THROW(decode_index(as_bytes(text), into(packs)), Error);
    throw;
  }
  decode_index(as_bytes(text), into(packs));
  EXPECT_EQ(packs, plain);
  return packs;
}

const std::string kId(64, 'a');

std::string blob_json(std::string_view offset, std::string_view length,
                      std::string_view type = "data") {
  return "{\"id\":\"" + kId + "\",\"type\":\"" + std::string(type) +
         "\",\"offset\":" + std::string(offset) + ",\"length\":" + std::string(length) + "}";
}

std::string index_json(std::string_view blob) {
  return "{\"packs\":[{\"id\":\"" + kId + "\",\"blobs\":[" + std::string(blob) + "]}]}\n";
}

TEST(IndexCodec, WritesWhatResticWrites) {
  // restic 0.19.1
  const std::string text =
      R"({"packs":[{"id":"ae5e2b13d12f37e45403fd21c17683035a7029cda22c7ffa6642193ab3158143","blobs":[{"id":"ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb","type":"data","offset":0,"length":42,"uncompressed_length":1}]},{"id":"8cd648ed314b274d7e50433f6ef4bd58c8be8da647be862cd53efd73ed25abd9","blobs":[{"id":"ac08ce34ba4f8123618661bef2425f7028ffb9ac740578a3ee88684d2523fee8","type":"tree","offset":0,"length":54},{"id":"c72fe61c649ebd3673ee9e05fb4921a6871356661b1c6c1f0c6158227cb42155","type":"tree","offset":54,"length":522,"uncompressed_length":1360}]}]})"
      "\n";
  const auto packs = decode(text);
  ASSERT_EQ(packs.size(), 2U);
  EXPECT_EQ(packs[0].pack.short_hex(), "ae5e2b13");
  ASSERT_EQ(packs[1].blobs.size(), 2U);
  EXPECT_EQ(packs[1].blobs[0].handle.type, BlobType::kTree);
  EXPECT_FALSE(packs[1].blobs[0].compressed());
  EXPECT_EQ(packs[1].blobs[1].offset, 54U);
  EXPECT_EQ(packs[1].blobs[1].plain_length, 1360U);
  IndexEncoder encoder;
  EXPECT_TRUE(encoder.empty());
  for (const Listed& listed : packs) {
    encoder.add_pack(listed.pack, listed.blobs);
  }
  EXPECT_FALSE(encoder.empty());
  EXPECT_EQ(encoder.finish(), text);
}

TEST(IndexCodec, IsIndifferentToOrderAndUnknownFields) {
  const auto packs =
      decode(" { \"supersedes\" : [\"" + kId +
             R"("], "new":{"packs":[]}, "packs" : [ { "blobs" : [ { "uncompressed_length":9,
      "length" : 32, "x":[1], "offset": 4294967263, "type":"tree", "id":")" +
             kId + "\" } ], \"note\":null, \"id\":\"" + kId + "\" } ] } ");
  ASSERT_EQ(packs.size(), 1U);
  ASSERT_EQ(packs[0].blobs.size(), 1U);
  EXPECT_EQ(packs[0].blobs[0].offset, 4294967263U);
  EXPECT_EQ(packs[0].pack.hex(), kId);
}

// The form changes in the middle: what the fast path has handed over must not come twice.
// As Go does: a field that is null is one that is not there. rustic's prune writes such indexes.
TEST(IndexCodec, TakesNullForNothing) {
  std::string blob = blob_json("0", "100");
  blob.insert(blob.size() - 1, ",\"uncompressed_length\":null");
  const auto packs = decode(index_json(blob));
  ASSERT_EQ(packs.size(), 1U);
  ASSERT_EQ(packs[0].blobs.size(), 1U);
  EXPECT_FALSE(packs[0].blobs[0].compressed());
  EXPECT_EQ(packs[0].blobs[0].length, 100U);
}

// "packs_to_delete" as rustic 0.11 writes it: a second list, with the time of the mark.
TEST(IndexCodec, KeepsMarkedPacksApart) {
  IndexEncoder encoder;
  PackedBlob blob;
  blob.offset = 7;
  blob.length = 100;
  const PackId listed(Digest{std::byte{1}});
  const PackId waiting(Digest{std::byte{2}});
  encoder.add_pack(listed, std::span(&blob, 1));
  encoder.add_marked({waiting, {blob, blob}, Timestamp{1772851145, 500'000'000, 0}});
  encoder.add_marked({listed, {}, std::nullopt});
  const std::string json = encoder.finish();
  EXPECT_NE(json.find("\"time\":\"2026-03-07T02:39:05.5Z\"}"), std::string::npos) << json;

  std::vector<MarkedPack> marked;
  const auto on_marked = [&](MarkedPack pack) { marked.push_back(std::move(pack)); };
  std::vector<PackId> packs;
  decode_index(as_bytes(json), [&](const PackId& id, auto) { packs.push_back(id); }, on_marked);
  EXPECT_EQ(packs, std::vector<PackId>{listed});
  ASSERT_EQ(marked.size(), 2U);
  EXPECT_EQ(marked[0].id, waiting);
  EXPECT_EQ(marked[0].blobs, (std::vector<PackedBlob>{blob, blob}));
  EXPECT_EQ(marked[0].time, (Timestamp{1772851145, 500'000'000, 0}));
  EXPECT_FALSE(marked[1].time);
  EXPECT_EQ(decode(json).size(), 1U);

  // A time in another form must not cost the index.
  marked.clear();
  for (const char* time : {"\"yesterday\"", "17", "null", "{}"}) {
    const std::string text = R"({"packs":[],"packs_to_delete":[{"id":")" + kId + R"(","time":)" +
                             time + R"(,"blobs":[]}]})";
    decode_index(as_bytes(text), [](const PackId&, auto) {}, on_marked);
  }
  EXPECT_EQ(marked.size(), 4U);
}

TEST(IndexCodec, HandsOverEveryPackOnce) {
  const std::string first = R"({"id":")" + kId + R"(","blobs":[]})";
  const std::string odd = R"({"blobs":[],"id":")" + std::string(64, 'b') + R"("})";
  EXPECT_EQ(decode("{\"packs\":[" + first + "," + first + "," + odd + "," + first + "]}\n").size(),
            4U);
}

TEST(IndexCodec, EmptyIndexAndEmptyPack) {
  EXPECT_EQ(IndexEncoder().finish(), "{\"packs\":[]}\n");
  EXPECT_TRUE(decode("{\"packs\":[]}").empty());
  EXPECT_TRUE(decode("{\"packs\":null}").empty());
  IndexEncoder encoder;
  encoder.add_pack(PackId(), {});
  EXPECT_TRUE(decode(encoder.finish()).at(0).blobs.empty());
}

TEST(IndexCodec, RefusesWhatCannotBeTrue) {
  EXPECT_EQ(decode(index_json(blob_json("0", "32"))).size(), 1U);
  for (const std::string& text :
       {std::string(),
        std::string("{}"),
        std::string("[]"),
        std::string("{\"packs\":{}}"),
        std::string("{\"packs\":[{}]}"),
        std::string("{\"packs\":[]}x"),
        std::string("{\"packs\":[{\"blobs\":[]}]}"),
        index_json(blob_json("0", "31")),
        index_json(blob_json("4294967264", "32")),
        index_json(blob_json("-1", "40")),
        index_json(blob_json("4294967296", "40")),
        index_json(blob_json("0", "4294967296")),
        index_json(blob_json("0.5", "40")),
        index_json(blob_json("\"0\"", "40")),
        index_json(blob_json("0", "40", "blob")),
        index_json("{\"type\":\"data\",\"offset\":0,\"length\":40}"),
        index_json("{\"id\":\"" + kId + "\",\"offset\":0,\"length\":40}"),
        index_json("{\"id\":\"" + kId.substr(1) +
                   "\",\"type\":\"data\",\"offset\":0,\"length\":40}"),
        index_json("{\"id\":\"g" + kId.substr(1) +
                   "\",\"type\":\"data\",\"offset\":0,\"length\":40}"),
        index_json("{\"id\":\"" + kId + "\",\"type\":\"data\",\"offset\":0}"),
        std::string(200'000, '['),
        "{\"packs\":" + std::string(200'000, '[')}) {
    try {
      (void)decode(text);
      ADD_FAILURE() << "accepted: " << text.substr(0, 300);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kDamaged) << error.what();
    }
  }
}

TEST(IndexCodec, RandomIndexesSurvive) {
  SeededRandom random(3);
  std::vector<Listed> packs(200);
  IndexEncoder encoder;
  for (Listed& listed : packs) {
    Digest digest;
    random.fill(digest);
    listed.pack = PackId(digest);
    listed.blobs.resize(random.next_u64() % 30);
    for (PackedBlob& blob : listed.blobs) {
      random.fill(digest);
      blob.handle = {random.next_u64() % 2 == 0 ? BlobType::kData : BlobType::kTree,
                     BlobId(digest)};
      blob.offset = static_cast<uint32_t>(random.next_u64() >> (33 + random.next_u64() % 31));
      blob.length = 32 + static_cast<uint32_t>(random.next_u64() >> (33 + random.next_u64() % 31));
      blob.plain_length = random.next_u64() % 2 == 0 ? 0 : static_cast<uint32_t>(random.next_u64());
    }
    encoder.add_pack(listed.pack, listed.blobs);
  }
  const std::string text = encoder.finish();
  EXPECT_EQ(decode(text), packs);
  for (size_t length = 0; length + 2 < text.size(); length += 97) {
    EXPECT_THROW((void)decode(text.substr(0, length)), Error) << length;
  }
}

}  // namespace
}  // namespace salvor
