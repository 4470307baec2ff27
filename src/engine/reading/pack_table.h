// The index turned round: which blobs each pack holds.
//
// 4 bytes a blob beside the index itself, made in three passes over its entries.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "repo/index.h"

namespace salvor {

// A copy of the moment: packs that are entered into the index later are not in it. Const calls are
// thread-safe; the index must outlive it.
class PackTable {
 public:
  explicit PackTable(const Index& index);

  [[nodiscard]] size_t size() const { return ids_.size(); }
  // Ascending; each pack once, however many index files list it.
  [[nodiscard]] const std::vector<PackId>& ids() const { return ids_; }
  [[nodiscard]] const PackId& id(size_t pack) const { return ids_[pack]; }
  [[nodiscard]] std::optional<size_t> find(const PackId& id) const;
  // Numbers of the pack's index entries, in no particular order.
  [[nodiscard]] std::span<const Index::EntryNumber> entries(size_t pack) const {
    return std::span(entries_).subspan(begin_[pack], begin_[pack + 1] - begin_[pack]);
  }
  // The pack that an index entry lies in.
  [[nodiscard]] size_t pack_of(Index::EntryNumber entry) const {
    return canonical_[index_.pack_number_of(entry)];
  }
  // The pack's blobs in order of offset.
  [[nodiscard]] std::vector<PackedBlob> blobs(size_t pack) const;

 private:
  const Index& index_;
  std::vector<PackId> ids_;
  std::vector<uint32_t> canonical_;  // for each of the index's pack numbers
  std::vector<uint32_t> begin_;
  std::vector<Index::EntryNumber> entries_;
};

}  // namespace salvor
