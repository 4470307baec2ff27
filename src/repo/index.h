// The repository's index in memory: where each blob is.
//
// Built for millions of blobs: an entry is 48 bytes, and an open-addressing table of 32-bit entry
// numbers finds it, 53 to 58 bytes a blob in all. A claimed blob has an entry from the moment of
// the claim on, so two threads that meet the same new content cannot both store it.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <shared_mutex>
#include <span>
#include <vector>

#include "model/blob.h"

namespace salvor {

// Thread-safe.
class Index {
 public:
  enum class Claim : uint8_t {
    kKnown,    // stored in a pack that the index lists
    kPending,  // another thread has claimed it and will store it in this run
    kMine,     // the caller must store it
  };

  Index();
  ~Index();

  // Enters a pack's blobs; completes claims. Entries identical to an existing one are dropped;
  // further copies of a blob in other packs are kept.
  void add_pack(const PackId& pack, std::span<const PackedBlob> blobs);
  // Makes room for `blobs` more entries at once.
  void reserve(size_t blobs);

  [[nodiscard]] Claim claim(const BlobHandle& handle);

  // The first copy of a blob; nothing when unknown or only claimed.
  [[nodiscard]] std::optional<BlobLocation> find(const BlobHandle& handle) const;
  [[nodiscard]] bool contains(const BlobHandle& handle) const;
  // Every copy, for when the first one turns out to be damaged.
  [[nodiscard]] std::vector<BlobLocation> find_all(const BlobHandle& handle) const;
  // Content length of a blob without building a location.
  [[nodiscard]] std::optional<uint32_t> content_length(const BlobHandle& handle) const;

  [[nodiscard]] size_t blob_count() const;
  [[nodiscard]] size_t pack_count() const;
  // Bytes of memory held; docs/performance.md reports it divided by blob_count.
  [[nodiscard]] size_t memory_bytes() const;

  // Calls for every stored entry, in order of entry. The index is locked against changes meanwhile.
  void for_each(const std::function<void(const PackId&, const PackedBlob&)>& visit) const;
  [[nodiscard]] std::vector<PackId> packs() const;

  // Dense numbers for packs and entries, for bitmaps in check and prune. An entry's number is
  // stable as long as nothing is cleared.
  using EntryNumber = uint32_t;
  static constexpr EntryNumber kNoEntry = UINT32_MAX;
  [[nodiscard]] EntryNumber entry_number(const BlobHandle& handle) const;  // the first copy
  [[nodiscard]] std::vector<EntryNumber> entry_numbers(
      const BlobHandle& handle) const;       // all copies
  [[nodiscard]] size_t entry_count() const;  // one past the largest number
  [[nodiscard]] BlobLocation entry(EntryNumber number) const;
  [[nodiscard]] uint32_t pack_number_of(EntryNumber number) const;  // index into packs()

 private:
  struct Entry;
  static constexpr size_t kBlockEntries = 16384;
  static constexpr uint32_t kNoPack = 0x7fffffffU;

  [[nodiscard]] Entry& at(uint32_t number) const;
  [[nodiscard]] uint32_t find_slot_entry(const BlobHandle& handle) const;
  uint32_t push_entry(const BlobHandle& handle);
  void link(uint32_t number);
  void rebuild_table(size_t slots);
  [[nodiscard]] BlobLocation location(const Entry& entry) const;

  mutable std::shared_mutex mutex_;
  std::vector<std::unique_ptr<Entry[]>> blocks_;
  uint32_t entries_ = 0;
  size_t stored_ = 0;
  std::vector<uint32_t> table_;  // entry number + 1; 0 = free
  std::vector<PackId> packs_;
};

}  // namespace salvor
