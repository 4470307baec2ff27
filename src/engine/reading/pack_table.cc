#include "engine/reading/pack_table.h"

#include <algorithm>

namespace salvor {

PackTable::PackTable(const Index& index) : index_(index), ids_(index.packs()) {
  // The index numbers a pack anew when another file lists other blobs for it.
  const std::vector<PackId> numbered = ids_;
  std::sort(ids_.begin(), ids_.end());
  ids_.erase(std::unique(ids_.begin(), ids_.end()), ids_.end());
  canonical_.reserve(numbered.size());
  for (const PackId& id : numbered) {
    canonical_.push_back(static_cast<uint32_t>(*find(id)));
  }

  const size_t count = index.entry_count();
  begin_.assign(ids_.size() + 1, 0);
  for (Index::EntryNumber number = 0; number < count; ++number) {
    ++begin_[pack_of(number) + 1];
  }
  for (size_t i = 0; i < ids_.size(); ++i) {
    begin_[i + 1] += begin_[i];
  }
  entries_.resize(count);
  std::vector<uint32_t> next(begin_.begin(), begin_.end() - 1);
  for (Index::EntryNumber number = 0; number < count; ++number) {
    entries_[next[pack_of(number)]++] = number;
  }
}

std::optional<size_t> PackTable::find(const PackId& id) const {
  const auto place = std::lower_bound(ids_.begin(), ids_.end(), id);
  if (place == ids_.end() || *place != id) {
    return std::nullopt;
  }
  return static_cast<size_t>(place - ids_.begin());
}

std::vector<PackedBlob> PackTable::blobs(size_t pack) const {
  std::vector<PackedBlob> result;
  result.reserve(entries(pack).size());
  for (const Index::EntryNumber number : entries(pack)) {
    result.push_back(index_.entry(number).blob);
  }
  std::sort(result.begin(), result.end(), [](const PackedBlob& left, const PackedBlob& right) {
    return left.offset < right.offset;
  });
  return result;
}

}  // namespace salvor
