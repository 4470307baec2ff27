#include "codec/pack_header.h"

#include "base/error.h"

namespace salvor {
namespace {

constexpr size_t kRawEntry = 37;
constexpr size_t kCompressedEntry = 41;
constexpr size_t kSealOverhead = 32;

// The type byte: bit 0 says tree, bit 1 says compressed. On disk: do not change.
constexpr unsigned kTreeBit = 1;
constexpr unsigned kCompressedBit = 2;

[[noreturn]] void fail(std::string_view what) {
  throw Error(ErrorCode::kDamaged, "pack header is damaged: " + std::string(what));
}

}  // namespace

size_t pack_entry_size(const PackedBlob& blob) {
  return blob.compressed() ? kCompressedEntry : kRawEntry;
}

void append_pack_header(Buffer& out, std::span<const PackedBlob> blobs) {
  size_t size = 0;
  for (const PackedBlob& blob : blobs) {
    size += pack_entry_size(blob);
  }
  std::byte* at = out.extend(size).data();
  for (const PackedBlob& blob : blobs) {
    const unsigned type = (blob.handle.type == BlobType::kTree ? kTreeBit : 0U) |
                          (blob.compressed() ? kCompressedBit : 0U);
    *at++ = static_cast<std::byte>(type);
    store_u32le(at, blob.length);
    at += 4;
    if (blob.compressed()) {
      store_u32le(at, blob.plain_length);
      at += 4;
    }
    std::memcpy(at, blob.handle.id.digest().data(), sizeof(Digest));
    at += sizeof(Digest);
  }
}

std::vector<PackedBlob> decode_pack_header(ByteView header) {
  std::vector<PackedBlob> blobs;
  blobs.reserve(header.size() / kRawEntry);
  uint64_t offset = 0;
  while (!header.empty()) {
    const auto type = std::to_integer<unsigned>(header[0]);
    if (type > (kTreeBit | kCompressedBit)) {
      fail("unknown blob type");
    }
    const bool compressed = (type & kCompressedBit) != 0;
    const size_t entry_size = compressed ? kCompressedEntry : kRawEntry;
    if (header.size() < entry_size) {
      fail("it ends within an entry");
    }
    PackedBlob blob;
    blob.handle.type = (type & kTreeBit) != 0 ? BlobType::kTree : BlobType::kData;
    blob.length = load_u32le(header.data() + 1);
    blob.plain_length = compressed ? load_u32le(header.data() + 5) : 0;
    if (compressed && blob.plain_length == 0) {
      fail("compressed blob of length 0");  // could not be told from a raw one afterwards
    }
    if (blob.length < kSealOverhead) {
      fail("blob shorter than its seal");
    }
    if (offset + blob.length > UINT32_MAX) {
      fail("blobs beyond 4 GiB");
    }
    blob.offset = static_cast<uint32_t>(offset);
    offset += blob.length;
    Digest digest;
    std::memcpy(digest.data(), header.data() + entry_size - digest.size(), digest.size());
    blob.handle.id = BlobId(digest);
    blobs.push_back(blob);
    header = header.subspan(entry_size);
  }
  return blobs;
}

}  // namespace salvor
