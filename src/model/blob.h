// Blobs and where they are (restic format, sections 4 and 5).
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/id.h"
#include "model/timestamp.h"

namespace salvor {

enum class BlobType : uint8_t { kData = 0, kTree = 1 };

// Type is part of a blob's identity: the same id may exist as data and as tree.
struct BlobHandle {
  BlobType type = BlobType::kData;
  BlobId id;
  friend bool operator==(const BlobHandle&, const BlobHandle&) = default;
  friend auto operator<=>(const BlobHandle&, const BlobHandle&) = default;
};

struct BlobHandleHash {
  size_t operator()(const BlobHandle& handle) const {
    return handle.id.hash() ^ static_cast<size_t>(handle.type);
  }
};

// One blob inside a pack.
struct PackedBlob {
  BlobHandle handle;
  uint32_t offset = 0;        // of the sealed bytes within the pack
  uint32_t length = 0;        // sealed bytes, 32 more than what they hold
  uint32_t plain_length = 0;  // uncompressed; 0 means "stored raw" (the only mark of compression)

  [[nodiscard]] bool compressed() const { return plain_length != 0; }
  // Bytes after unsealing and decompressing.
  [[nodiscard]] uint32_t content_length() const {
    return compressed() ? plain_length : length - 32;
  }
  friend bool operator==(const PackedBlob&, const PackedBlob&) = default;
};

// A pack that a prune has taken out of the index but left in the storage for a while, because a
// program that knows no locks may be referring to it just now (rustic's "packs_to_delete").
struct MarkedPack {
  PackId id;
  std::vector<PackedBlob> blobs;  // empty for a pack that no index listed
  std::optional<Timestamp> time;  // when it was marked
};

// Programs cut files into blobs of up to 8 MiB, and only the tree of a directory with a hundred
// thousand entries is larger than this: what claims to be is read with care, because the claim may
// be a lie and its content a bomb (repo/repository.h).
inline constexpr uint32_t kLargeBlob = uint32_t{64} << 20;
// No program writes data blobs beyond this; they are taken for damaged.
inline constexpr uint32_t kLargestDataBlob = uint32_t{512} << 20;

[[nodiscard]] inline bool is_large(const PackedBlob& blob) {
  return blob.length > kLargeBlob || blob.plain_length > kLargeBlob;
}

struct BlobLocation {
  PackId pack;
  PackedBlob blob;
};

}  // namespace salvor
