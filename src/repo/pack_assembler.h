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
#include <stop_token>
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
//
// Memory: at most two packs more than `uploads`, but no more than six, exist at a time, from the
// first blob until their upload has ended; whoever needs one more waits for an upload. The first
// pack of the second slot is closed at half the target, so that the two slots fill up in turn and
// not together.
class PackAssembler {
 public:
  // A stretch of an open pack that a thread has undertaken to hash.
  struct HashStretch {
    OpenPack* pack = nullptr;
    ByteView bytes;
  };
  struct Appended {
    size_t count = 0;                  // blobs taken from the front of the span
    std::optional<OpenPack> finished;  // a pack that is full now: upload it, then append the rest
  };

  PackAssembler(uint64_t target_bytes, unsigned uploads, Random& random);

  // Copies blobs in until a pack is full. Waits for a buffer; throws Error{kCancelled} when `stop`
  // fires meanwhile. The caller must not hold a finished pack.
  [[nodiscard]] Appended append(std::span<const SealedBlob> blobs, const std::stop_token& stop);
  // What is left, merged into as few packs as fit the target. Nobody may append or hash meanwhile.
  [[nodiscard]] std::vector<OpenPack> take_rest();

  // Stretches worth hashing now; every one must be given back with `hashed`.
  [[nodiscard]] std::vector<HashStretch> begin_hashing(size_t at_least_bytes);
  void hashed(const HashStretch& stretch);

  // Ends a finished pack: its buffer can be filled again (fresh memory costs page faults).
  void recycle(Buffer buffer);

 private:
  struct OpenSlot {
    OpenPack pack;
    uint64_t target;
  };

  void place(OpenPack& pack, const SealedBlob& blob, std::unique_lock<std::mutex>& lock);
  void provide_buffer(OpenPack& pack, std::unique_lock<std::mutex>& lock,
                      const std::stop_token& stop);
  [[nodiscard]] static bool full(const OpenSlot& slot);

  const uint64_t target_;
  const size_t most_buffers_;
  Random& random_;
  std::mutex mutex_;
  std::condition_variable hashing_done_;
  std::condition_variable_any recycled_;
  std::array<OpenSlot, 2> open_;
  std::vector<Buffer> spare_;
  size_t buffers_ = 0;        // in use or spare
  uint64_t random_bits_ = 0;  // slots of the next blobs
  unsigned random_left_ = 0;
};

// Adds the sealed header (verified) and completes the hash.
[[nodiscard]] FinishedPack finish_pack(OpenPack pack, Sealer& sealer);

}  // namespace salvor
