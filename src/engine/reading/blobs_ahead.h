// Reads blobs in an order that is known beforehand: those that come next are fetched meanwhile,
// neighbours in a pack with one request. One at a time, each would wait for a round trip.
#pragma once

#include <condition_variable>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "base/context.h"
#include "base/task.h"
#include "engine/reading/blob_readers.h"

namespace salvor {

// How many threads are worth reading blobs with: all processors, or as many requests as a storage
// far away takes at a time.
[[nodiscard]] unsigned reading_threads(const Repository& repository);

// Data blobs. Not thread-safe; must not outlive what it is made with. Memory: about 8 MiB of
// content, unless two blobs are larger, and up to 1 MiB for each thread of the pool.
class BlobsAhead {
 public:
  BlobsAhead(const Context& context, BlobReaders& readers, ThreadPool& pool,
             std::vector<BlobId> order);

  // One blob's bytes, verified: the next one in the order, or any other, which is read now. Throws
  // as BlobReader::load does.
  [[nodiscard]] Buffer read(const BlobId& blob);
  // The next one's bytes, verified; nothing at the end.
  [[nodiscard]] std::optional<Buffer> next();

 private:
  struct Slot {
    BlobId id;
    uint64_t size = 0;
    bool done = false;
    Buffer bytes;
    std::exception_ptr error;
  };
  struct Wanted {
    BlobLocation place;
    Slot* slot = nullptr;
  };

  void begin_windows();
  void begin_window();
  void begin_request(std::span<const Wanted> blobs);
  [[nodiscard]] size_t in_one_request(std::span<const Wanted> wanted) const;
  void fetch(const std::vector<Wanted>& blobs);
  void fetch_together(BlobReader& reader, const std::vector<Wanted>& blobs,
                      std::vector<Buffer>& contents) const;
  void load(BlobReader& reader, const BlobId& id, Buffer& content, std::exception_ptr& error) const;
  [[nodiscard]] Slot take();

  const Context context_;
  BlobReaders& readers_;
  const std::vector<BlobId> order_;
  const uint64_t largest_gap_;
  size_t taken_ = 0;
  size_t begun_ = 0;
  uint64_t ahead_bytes_ = 0;  // of what has begun and was not taken
  std::mutex mutex_;          // guards slots_, whose places tasks know
  std::condition_variable_any changed_;
  std::deque<Slot> slots_;
  TaskGroup group_;  // last: its tasks use all the others
};

}  // namespace salvor
