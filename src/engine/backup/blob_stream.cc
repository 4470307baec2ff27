#include "engine/backup/blob_stream.h"

namespace salvor {

BlobStream::BlobStream(const Context& context, const Repository& repository, unsigned threads,
                       size_t ahead)
    : context_(context),
      repository_(repository),
      ahead_(ahead),
      pool_("salvor-stream", threads),
      group_(pool_, context.stop) {}

BlobStream::~BlobStream() = default;

void BlobStream::start(std::span<const BlobId> content) {
  slots_.clear();  // tasks still under way keep their own
  content_ = content;
  requested_ = 0;
  fill();
}

void BlobStream::fill() {
  while (slots_.size() < ahead_ && requested_ < content_.size()) {
    auto slot = std::make_shared<Slot>();
    slots_.push_back(slot);
    group_.run([this, id = content_[requested_], slot] { load(id, slot); });
    ++requested_;
  }
}

void BlobStream::load(const BlobId& id, const std::shared_ptr<Slot>& slot) {
  std::unique_ptr<BlobReader> reader;
  {
    const std::scoped_lock lock(mutex_);
    if (!readers_.empty()) {
      reader = std::move(readers_.back());
      readers_.pop_back();
    }
  }
  if (!reader) {
    reader = std::make_unique<BlobReader>(repository_);
  }
  Buffer bytes;
  std::exception_ptr error;
  try {
    bytes = reader->load(context_, {BlobType::kData, id});
  } catch (...) {
    error = std::current_exception();
  }
  const std::scoped_lock lock(mutex_);
  readers_.push_back(std::move(reader));
  slot->bytes = std::move(bytes);
  slot->error = error;
  slot->done = true;
  loaded_.notify_all();
}

ByteView BlobStream::next() {
  current_ = Buffer();
  // Blobs without content, which no known program writes, must not look like the end.
  while (!slots_.empty() && current_.size() == 0) {
    const std::shared_ptr<Slot> slot = slots_.front();
    slots_.pop_front();
    {
      std::unique_lock lock(mutex_);
      // A stopped group drops tasks: look at the token as well.
      while (!slot->done) {
        context_.check_stopped();
        loaded_.wait_for(lock, std::chrono::milliseconds(100));
      }
      if (slot->error) {
        std::rethrow_exception(slot->error);
      }
      current_ = std::move(slot->bytes);
    }
    fill();
  }
  return current_.view();
}

}  // namespace salvor
