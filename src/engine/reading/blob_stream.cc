#include "engine/reading/blob_stream.h"

namespace salvor {

BlobStream::BlobStream(const Context& context, const Repository& repository, unsigned threads)
    : context_(context), readers_(repository), pool_("salvor-stream", threads) {}

void BlobStream::start(std::span<const BlobId> content) {
  content_.assign(content.begin(), content.end());
  next_ = 0;
  ahead_.emplace(context_, readers_, pool_, content_);
}

ByteView BlobStream::next() {
  current_ = Buffer();
  // Blobs without content, which no known program writes, must not look like the end.
  while (next_ < content_.size() && current_.empty()) {
    current_ = ahead_->read(content_[next_++]);
  }
  return current_.view();
}

}  // namespace salvor
