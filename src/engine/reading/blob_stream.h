// Streams a file's content: several blobs are fetched, decoded and verified ahead, and handed out
// in order.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "engine/reading/blobs_ahead.h"

namespace salvor {

// One consumer thread. Memory: as BlobsAhead.
class BlobStream {
 public:
  BlobStream(const Context& context, const Repository& repository, unsigned threads);

  // Starts with another file; what was left of the one before is dropped.
  void start(std::span<const BlobId> content);
  // The next blob's bytes, valid until the next call; empty at the end. Throws Error{kDamaged}.
  [[nodiscard]] ByteView next();

 private:
  const Context context_;
  BlobReaders readers_;
  ThreadPool pool_;
  Buffer current_;
  std::optional<BlobsAhead> ahead_;
};

}  // namespace salvor
