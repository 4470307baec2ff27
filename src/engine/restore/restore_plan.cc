#include "engine/restore/restore_plan.h"

#include <algorithm>

#include "base/error.h"

namespace salvor {

StretchQueue::StretchQueue(size_t count, size_t threads) : stretches_(threads) {
  for (size_t i = 0; i < threads; ++i) {
    stretches_[i] = {count * i / threads, count * (i + 1) / threads};
  }
}

std::optional<size_t> StretchQueue::next(size_t thread) {
  const std::scoped_lock lock(mutex_);
  Stretch& own = stretches_[thread];
  if (own.begin == own.end) {
    Stretch& longest = *std::max_element(stretches_.begin(), stretches_.end(),
                                         [](const Stretch& left, const Stretch& right) {
                                           return left.end - left.begin < right.end - right.begin;
                                         });
    if (longest.begin == longest.end) {
      return std::nullopt;
    }
    own.end = longest.end;
    own.begin = longest.end = longest.begin + (longest.end - longest.begin) / 2;
  }
  return own.begin++;
}

// An index entry for each of the file's blobs. Where the lengths do not add up to the file's size,
// an index may lie about one of them: a copy that another entry describes is taken if it makes them
// fit.
void RestorePlan::choose_entries(const Node& node) {
  entries_.clear();
  uint64_t total = 0;
  for (const BlobId& id : node.content) {
    const Index::EntryNumber entry = index_.entry_number({BlobType::kData, id});
    if (entry == Index::kNoEntry) {
      throw Error(ErrorCode::kNotFound, "data blob " + id.short_hex() + " is not in the index");
    }
    entries_.push_back(entry);
    total += index_.entry(entry).blob.content_length();
  }
  for (size_t i = 0; i < entries_.size() && total != node.size; ++i) {
    const uint64_t others = total - index_.entry(entries_[i]).blob.content_length();
    for (const Index::EntryNumber copy : index_.entry_numbers({BlobType::kData, node.content[i]})) {
      if (others + index_.entry(copy).blob.content_length() == node.size) {
        entries_[i] = copy;
        total = node.size;
        break;
      }
    }
  }
}

void RestorePlan::add(RestoreFile& file, uint32_t number) {
  choose_entries(file.node);
  uint64_t offset = 0;
  uint32_t remaining = 0;
  for (size_t i = 0; i < entries_.size(); ++i) {
    const Index::EntryNumber entry = entries_[i];
    const BlobLocation at = index_.entry(entry);
    if (file.matches.empty() || !file.matches[i]) {
      const uint32_t pack = index_.pack_number_of(entry);
      if (pack >= pack_ranks_.size()) {
        pack_ranks_.resize(std::max<size_t>(index_.pack_count(), pack + 1), 0);
      }
      if (pack_ranks_[pack] == 0) {
        pack_ranks_[pack] = ++packs_used_;
      }
      const uint64_t key = (uint64_t{pack_ranks_[pack]} << 32) | at.blob.offset;
      wanted_.push_back({key, offset, entry, number});
      ++remaining;
    }
    offset += at.blob.content_length();
  }
  file.remaining = remaining;
}

void RestorePlan::finish(const FetchLimits& limits) {
  std::sort(wanted_.begin(), wanted_.end(), [](const Wanted& a, const Wanted& b) {
    return a.key != b.key       ? a.key < b.key
           : a.entry != b.entry ? a.entry < b.entry
           : a.file != b.file   ? a.file < b.file
                                : a.file_offset < b.file_offset;
  });
  uses_.reserve(wanted_.size());
  uint64_t last_key = 0;
  uint64_t content_bytes = 0;  // of the last range
  Index::EntryNumber last_entry = Index::kNoEntry;
  for (const Wanted& one : wanted_) {
    uses_.push_back({one.file_offset, one.file});
    // By entry, not by place: an index that lies may put two blobs at one place.
    if (one.entry == last_entry) {
      ++blobs_.back().use_count;
      continue;
    }
    const BlobLocation at = index_.entry(one.entry);
    const uint64_t end = uint64_t{at.blob.offset} + at.blob.length;
    const bool same_pack = !ranges_.empty() && (one.key >> 32) == (last_key >> 32);
    last_key = one.key;
    last_entry = one.entry;
    blobs_.push_back({at.blob, static_cast<uint32_t>(uses_.size() - 1), 1});
    if (same_pack) {
      Range& range = ranges_.back();
      const uint64_t range_end = range.begin + range.length;
      const bool near = at.blob.offset <= range_end + limits.gap_bytes;
      if (near && std::max(end, range_end) - range.begin <= limits.request_bytes &&
          content_bytes + at.blob.content_length() <= limits.content_bytes) {
        content_bytes += at.blob.content_length();
        range.length = std::max(end, range_end) - range.begin;
        ++range.blob_count;
        continue;
      }
    }
    content_bytes = at.blob.content_length();
    ranges_.push_back(
        {at.pack, at.blob.offset, at.blob.length, static_cast<uint32_t>(blobs_.size() - 1), 1});
  }
  wanted_.clear();
  wanted_.shrink_to_fit();
}

}  // namespace salvor
