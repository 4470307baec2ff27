// Where a run spends its time, stage by stage, so that the next bottleneck is always visible
// (`--profile`).
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace salvor {

enum class Stage : uint8_t {
  kOpen,        // reading config and deriving the key
  kIndex,       // loading the index
  kList,        // listing directories and reading metadata
  kParent,      // loading and comparing the parent snapshot's trees
  kRead,        // opening and reading source files
  kChunk,       // finding chunk boundaries
  kHash,        // SHA-256 of content, of what is verified and of packs
  kCompress,    // compressing
  kSeal,        // encrypting
  kVerify,      // undoing all that (the hash is in kHash)
  kStore,       // writing objects to the storage
  kTree,        // encoding and decoding trees
  kFetch,       // reading objects from the storage
  kDecode,      // decrypting and decompressing
  kWrite,       // writing restored files
  kMetadata,    // restoring metadata
  kWaitMemory,  // readers waiting for the memory budget
  kWaitStore,   // workers waiting for uploads
  kCount,
};

[[nodiscard]] std::string_view stage_name(Stage stage);

// Sums over all threads. Thread-safe.
class Profile {
 public:
  void add(Stage stage, std::chrono::nanoseconds time, uint64_t bytes) {
    Sum& sum = sums_[static_cast<size_t>(stage)];
    sum.nanoseconds.fetch_add(static_cast<uint64_t>(time.count()), std::memory_order_relaxed);
    sum.bytes.fetch_add(bytes, std::memory_order_relaxed);
    sum.calls.fetch_add(1, std::memory_order_relaxed);
  }
  // A table for people: stage, thread time, share, bytes, rate.
  [[nodiscard]] std::string report() const;

 private:
  struct Sum {
    std::atomic<uint64_t> nanoseconds = 0;
    std::atomic<uint64_t> bytes = 0;
    std::atomic<uint64_t> calls = 0;
  };
  std::array<Sum, static_cast<size_t>(Stage::kCount)> sums_;
};

// Books the time of a scope. Costs two clock reads (about 50 ns), nothing without a profile.
class StageTimer {
 public:
  StageTimer(Profile* profile, Stage stage, uint64_t bytes = 0)
      : profile_(profile), stage_(stage), bytes_(bytes) {
    if (profile_ != nullptr) {
      begin_ = std::chrono::steady_clock::now();
    }
  }
  ~StageTimer() {
    if (profile_ != nullptr) {
      profile_->add(stage_, std::chrono::steady_clock::now() - begin_, bytes_);
    }
  }
  StageTimer(const StageTimer&) = delete;
  StageTimer& operator=(const StageTimer&) = delete;
  void add_bytes(uint64_t bytes) { bytes_ += bytes; }

 private:
  Profile* profile_;
  Stage stage_;
  uint64_t bytes_;
  std::chrono::steady_clock::time_point begin_;
};

}  // namespace salvor
