// Fills packs in memory: two open ones a blob type, each new blob goes to one of them at random,
// which hides the order and so the lengths of a file's chunks from whoever sees the stored packs
// (restic 0.18).
//
// A pack's hash is computed while it fills, in stretches, together with the hashes that verify new
// blobs: several streams at once keep the SHA unit busy (crypto/sha256.h).
#pragma once

#include <array>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "base/random.h"
#include "crypto/seal.h"
#include "crypto/sha256.h"
#include "model/blob.h"

namespace salvor {

// A pack with its header, ready to be stored under its name.
struct FinishedPack {
  PackId id;
  Buffer bytes;
  std::vector<PackedBlob> blobs;
};

// A sealed blob on its way into a pack; `blob.offset` is not yet meaningful.
struct SealedBlob {
  PackedBlob blob;
  ByteView sealed;
};

// A pack being filled.
struct OpenPack {
  Buffer bytes;
  std::vector<PackedBlob> blobs;
  size_t header_size = 0;  // plaintext
  Sha256 hash;
  size_t hashed = 0;     // bytes that `hash` has seen
  bool hashing = false;  // a thread is reading [hashed, ...) outside the lock
};

// The open packs of one blob type. Thread-safe.
class PackAssembler {
 public:
  // A stretch of an open pack that a thread has undertaken to hash.
  struct HashStretch {
    OpenPack* pack = nullptr;
    ByteView bytes;
  };

  PackAssembler(uint64_t target_bytes, Random& random) : target_(target_bytes), random_(random) {}

  // Copies the blobs in; returns packs that are full.
  [[nodiscard]] std::vector<OpenPack> append(std::span<const SealedBlob> blobs);
  // What is left, merged into as few packs as fit the target. Nobody may append or hash meanwhile.
  [[nodiscard]] std::vector<OpenPack> take_rest();

  // Stretches worth hashing now; every one must be given back with `hashed`.
  [[nodiscard]] std::vector<HashStretch> begin_hashing(size_t at_least_bytes);
  void hashed(const HashStretch& stretch);

  // A buffer to fill, if one can be used again (fresh memory costs page faults).
  void recycle(Buffer buffer);

 private:
  void place(OpenPack& pack, const SealedBlob& blob, std::unique_lock<std::mutex>& lock);
  [[nodiscard]] bool full(const OpenPack& pack) const;

  const uint64_t target_;
  Random& random_;
  std::mutex mutex_;
  std::condition_variable hashing_done_;
  std::array<OpenPack, 2> open_;
  std::vector<Buffer> spare_;
};

// Adds the sealed header (verified) and completes the hash.
[[nodiscard]] FinishedPack finish_pack(OpenPack pack, Sealer& sealer);

}  // namespace salvor
