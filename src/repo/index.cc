#include "repo/index.h"

#include <mutex>

#include "base/error.h"

namespace salvor {

struct Index::Entry {
  Digest id;
  uint32_t pack_and_type;  // pack number, top bit: tree
  uint32_t offset;
  uint32_t length;
  uint32_t plain_length;

  static constexpr uint32_t kTreeBit = 1U << 31;

  [[nodiscard]] bool is(const BlobHandle& handle) const {
    const bool tree = (pack_and_type & kTreeBit) != 0;
    return tree == (handle.type == BlobType::kTree) && id == handle.id.digest();
  }
  [[nodiscard]] uint32_t pack() const { return pack_and_type & ~kTreeBit; }
  [[nodiscard]] bool stored() const { return pack() != kNoPack; }
  void set_pack(uint32_t pack) { pack_and_type = (pack_and_type & kTreeBit) | pack; }
  [[nodiscard]] PackedBlob blob() const {
    const BlobType type = (pack_and_type & kTreeBit) != 0 ? BlobType::kTree : BlobType::kData;
    return {{type, BlobId(id)}, offset, length, plain_length};
  }
};

Index::Index() = default;
Index::~Index() = default;

Index::Entry& Index::at(uint32_t number) const {
  return blocks_[number / kBlockEntries][number % kBlockEntries];
}

void Index::rebuild_table(size_t slots) {
  std::vector<uint32_t>().swap(table_);  // freed before the larger one is made
  table_.resize(slots);
  for (uint32_t number = 0; number < entries_; ++number) {
    link(number);
  }
}

void Index::link(uint32_t number) {
  const size_t mask = table_.size() - 1;
  size_t slot = BlobId(at(number).id).hash() & mask;
  while (table_[slot] != 0) {
    slot = (slot + 1) & mask;
  }
  table_[slot] = number + 1;
}

void Index::reserve(size_t blobs) {
  const std::unique_lock lock(mutex_);
  const size_t wanted = entries_ + blobs;
  size_t slots = table_.empty() ? 1024 : table_.size();
  while (wanted > slots / 5 * 4) {
    slots *= 2;
  }
  if (slots != table_.size()) {
    rebuild_table(slots);
  }
}

uint32_t Index::push_entry(const BlobHandle& handle) {
  if (entries_ == kNoPack) {
    throw Error(ErrorCode::kFailed, "the index holds more than 2^31 blobs");
  }
  if (entries_ / kBlockEntries == blocks_.size()) {
    blocks_.push_back(std::make_unique_for_overwrite<Entry[]>(kBlockEntries));
  }
  const uint32_t number = entries_++;
  Entry& entry = at(number);
  entry = {handle.id.digest(), kNoPack, 0, 0, 0};
  if (handle.type == BlobType::kTree) {
    entry.pack_and_type |= Entry::kTreeBit;
  }
  if (entries_ > table_.size() / 5 * 4) {
    rebuild_table(table_.empty() ? 1024 : table_.size() * 2);  // links the new entry too
  } else {
    link(number);
  }
  return number;
}

uint32_t Index::find_slot_entry(const BlobHandle& handle) const {
  if (table_.empty()) {
    return kNoEntry;
  }
  const size_t mask = table_.size() - 1;
  for (size_t slot = handle.id.hash() & mask; table_[slot] != 0; slot = (slot + 1) & mask) {
    const uint32_t number = table_[slot] - 1;
    if (at(number).is(handle)) {
      return number;
    }
  }
  return kNoEntry;
}

void Index::add_pack(const PackId& pack, std::span<const PackedBlob> blobs) {
  const std::unique_lock lock(mutex_);
  const auto pack_number = static_cast<uint32_t>(packs_.size());
  bool used = false;
  for (const PackedBlob& blob : blobs) {
    uint32_t number = kNoEntry;
    bool duplicate = false;
    if (!table_.empty()) {
      const size_t mask = table_.size() - 1;
      for (size_t slot = blob.handle.id.hash() & mask; table_[slot] != 0;
           slot = (slot + 1) & mask) {
        Entry& entry = at(table_[slot] - 1);
        if (!entry.is(blob.handle)) {
          continue;
        }
        if (!entry.stored()) {
          number = table_[slot] - 1;
          break;
        }
        if (packs_.size() > entry.pack() && packs_[entry.pack()] == pack &&
            entry.offset == blob.offset && entry.length == blob.length &&
            entry.plain_length == blob.plain_length) {
          duplicate = true;
          break;
        }
      }
    }
    if (duplicate) {
      continue;
    }
    if (number == kNoEntry) {
      number = push_entry(blob.handle);
    }
    Entry& entry = at(number);
    entry.set_pack(pack_number);
    entry.offset = blob.offset;
    entry.length = blob.length;
    entry.plain_length = blob.plain_length;
    ++stored_;
    used = true;
  }
  if (used || blobs.empty()) {
    packs_.push_back(pack);
  }
}

Index::Claim Index::claim(const BlobHandle& handle) {
  {
    const std::shared_lock lock(mutex_);
    const uint32_t number = find_slot_entry(handle);
    if (number != kNoEntry) {
      return at(number).stored() ? Claim::kKnown : Claim::kPending;
    }
  }
  const std::unique_lock lock(mutex_);
  const uint32_t number = find_slot_entry(handle);
  if (number != kNoEntry) {
    return at(number).stored() ? Claim::kKnown : Claim::kPending;
  }
  push_entry(handle);
  return Claim::kMine;
}

BlobLocation Index::location(const Entry& entry) const {
  return {packs_[entry.pack()], entry.blob()};
}

std::optional<BlobLocation> Index::find(const BlobHandle& handle) const {
  const std::shared_lock lock(mutex_);
  const uint32_t number = find_slot_entry(handle);
  if (number == kNoEntry || !at(number).stored()) {
    return std::nullopt;
  }
  return location(at(number));
}

bool Index::contains(const BlobHandle& handle) const {
  const std::shared_lock lock(mutex_);
  const uint32_t number = find_slot_entry(handle);
  return number != kNoEntry && at(number).stored();
}

std::optional<uint32_t> Index::content_length(const BlobHandle& handle) const {
  const std::shared_lock lock(mutex_);
  const uint32_t number = find_slot_entry(handle);
  if (number == kNoEntry || !at(number).stored()) {
    return std::nullopt;
  }
  return at(number).blob().content_length();
}

std::vector<BlobLocation> Index::find_all(const BlobHandle& handle) const {
  std::vector<BlobLocation> found;
  for (const EntryNumber number : entry_numbers(handle)) {
    found.push_back(entry(number));
  }
  return found;
}

std::vector<Index::EntryNumber> Index::entry_numbers(const BlobHandle& handle) const {
  const std::shared_lock lock(mutex_);
  std::vector<EntryNumber> found;
  if (table_.empty()) {
    return found;
  }
  const size_t mask = table_.size() - 1;
  for (size_t slot = handle.id.hash() & mask; table_[slot] != 0; slot = (slot + 1) & mask) {
    const uint32_t number = table_[slot] - 1;
    if (at(number).is(handle) && at(number).stored()) {
      found.push_back(number);
    }
  }
  return found;
}

size_t Index::blob_count() const {
  const std::shared_lock lock(mutex_);
  return stored_;
}

size_t Index::pack_count() const {
  const std::shared_lock lock(mutex_);
  return packs_.size();
}

size_t Index::memory_bytes() const {
  const std::shared_lock lock(mutex_);
  return blocks_.size() * kBlockEntries * sizeof(Entry) + table_.capacity() * sizeof(uint32_t) +
         packs_.capacity() * sizeof(PackId);
}

void Index::for_each(const std::function<void(const PackId&, const PackedBlob&)>& visit) const {
  const std::shared_lock lock(mutex_);
  for (uint32_t number = 0; number < entries_; ++number) {
    const Entry& entry = at(number);
    if (entry.stored()) {
      visit(packs_[entry.pack()], entry.blob());
    }
  }
}

std::vector<PackId> Index::packs() const {
  const std::shared_lock lock(mutex_);
  return packs_;
}

Index::EntryNumber Index::entry_number(const BlobHandle& handle) const {
  const std::shared_lock lock(mutex_);
  const uint32_t number = find_slot_entry(handle);
  return number != kNoEntry && at(number).stored() ? number : kNoEntry;
}

size_t Index::entry_count() const {
  const std::shared_lock lock(mutex_);
  return entries_;
}

BlobLocation Index::entry(EntryNumber number) const {
  const std::shared_lock lock(mutex_);
  return location(at(number));
}

uint32_t Index::pack_number_of(EntryNumber number) const {
  const std::shared_lock lock(mutex_);
  return at(number).pack();
}

}  // namespace salvor
