#include "engine/reading/blob_stream.h"

namespace salvor {

BlobStream::BlobStream(const Context& context, const Repository& repository, unsigned threads)
    : context_(context), readers_(repository), pool_("salvor-stream", threads) {}

void BlobStream::start(std::span<const BlobId> content) {
  ahead_.emplace(context_, readers_, pool_, std::vector<BlobId>(content.begin(), content.end()));
}

ByteView BlobStream::next() {
  current_ = Buffer();
  // Blobs without content, which no known program writes, must not look like the end.
  while (ahead_ && current_.empty()) {
    std::optional<Buffer> bytes = ahead_->next();
    if (!bytes) {
      break;
    }
    current_ = std::move(*bytes);
  }
  return current_.view();
}

}  // namespace salvor
