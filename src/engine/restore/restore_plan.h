// Which parts of which packs have to be read for a set of files, each only once.
#pragma once

#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "engine/restore/restore_file.h"
#include "repo/index.h"

namespace salvor {

struct FetchLimits {
  uint64_t gap_bytes;      // unwanted bytes that are read rather than asking twice
  uint64_t request_bytes;  // largest request, unless one blob is larger
  // Most that a request yields, unless one blob is larger: what compresses well would be too much
  // work for one thread.
  uint64_t content_bytes = UINT64_MAX;
};

// Deals the numbers below `count` to threads: each goes through a stretch of its own, and one that
// has come to the end of its stretch takes half of the longest that is left. So two threads seldom
// write to one file, which the system lets only one do at a time. Thread-safe.
class StretchQueue {
 public:
  StretchQueue(size_t count, size_t threads);
  // The next one for this thread, below `threads`; nothing: all are dealt.
  [[nodiscard]] std::optional<size_t> next(size_t thread);

 private:
  struct Stretch {
    size_t begin = 0;
    size_t end = 0;
  };
  std::mutex mutex_;
  std::vector<Stretch> stretches_;
};

// Not thread-safe while it is made, immutable afterwards.
class RestorePlan {
 public:
  // Where a blob goes.
  struct Use {
    uint64_t file_offset;
    uint32_t file;
  };
  struct Blob {
    PackedBlob blob;
    uint32_t first_use;
    uint32_t use_count;
  };
  // One request.
  struct Range {
    PackId pack;
    uint64_t begin;
    uint64_t length;
    uint32_t first_blob;
    uint32_t blob_count;
  };

  explicit RestorePlan(const Index& index) : index_(index) {}

  // Enters the blobs of files[number] that do not match yet and sets `remaining`. All of them must
  // be in the index.
  void add(RestoreFile& file, uint32_t number);
  // Sorts by pack, packs in the order of their first use, and merges neighbours.
  void finish(const FetchLimits& limits);

  [[nodiscard]] const std::vector<Range>& ranges() const { return ranges_; }
  [[nodiscard]] std::span<const Blob> blobs(const Range& range) const {
    return std::span(blobs_).subspan(range.first_blob, range.blob_count);
  }
  [[nodiscard]] std::span<const Use> uses(const Blob& blob) const {
    return std::span(uses_).subspan(blob.first_use, blob.use_count);
  }
  [[nodiscard]] size_t pending() const { return wanted_.size(); }

 private:
  struct Wanted {
    uint64_t key;  // rank of the pack, offset in it
    uint64_t file_offset;
    uint32_t entry;
    uint32_t file;
  };

  void choose_entries(const Node& node);

  const Index& index_;
  std::vector<Index::EntryNumber> entries_;  // of the file that is being added
  std::vector<uint32_t> pack_ranks_;         // by the index's pack number; 0: not used yet
  uint32_t packs_used_ = 0;
  std::vector<Wanted> wanted_;
  std::vector<Use> uses_;
  std::vector<Blob> blobs_;
  std::vector<Range> ranges_;
};

}  // namespace salvor
