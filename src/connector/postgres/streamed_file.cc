#include "connector/postgres/streamed_file.h"

#include <algorithm>

namespace salvor::postgres {
namespace {

constexpr size_t kPieceBytes = size_t{1} << 20;
constexpr size_t kQueuedPieces = 8;

class BufferReader final : public ByteReader {
 public:
  explicit BufferReader(ByteView content) : content_(content) {}
  size_t read(MutableBytes out) override {
    const size_t part = std::min(out.size(), content_.size());
    if (part > 0) {
      std::memcpy(out.data(), content_.data(), part);
    }
    content_ = content_.subspan(part);
    return part;
  }
  void refresh(Node& node) override { (void)node; }
  bool changed_since_refresh() override { return false; }

 private:
  ByteView content_;
};

}  // namespace

std::unique_ptr<ByteReader> read_memory(ByteView content) {
  return std::make_unique<BufferReader>(content);
}

std::unique_ptr<ByteReader> BufferedFile::open(const Node& node) {
  (void)node;
  return read_memory(content_.view());
}

std::string BufferedFile::path_of(const Node& node) const {
  (void)node;
  return path_;
}

class StreamedFile::Reader final : public ByteReader {
 public:
  explicit Reader(std::shared_ptr<StreamedFile> file) : file_(std::move(file)) {}
  ~Reader() override {
    file_->pieces_->give_back(std::move(piece_));
    const std::scoped_lock lock(file_->mutex_);
    file_->abandoned_ = true;
    file_->queue_.clear();
    file_->changed_.notify_all();
  }
  size_t read(MutableBytes out) override {
    if (left_.empty() && !take()) {
      return 0;
    }
    const size_t part = std::min(out.size(), left_.size());
    std::memcpy(out.data(), left_.data(), part);
    left_ = left_.subspan(part);
    return part;
  }
  void refresh(Node& node) override { (void)node; }
  bool changed_since_refresh() override { return false; }

 private:
  // The next piece; false at the end.
  bool take() {
    file_->pieces_->give_back(std::move(piece_));
    std::unique_lock lock(file_->mutex_);
    file_->changed_.wait(lock,
                         [&] { return !file_->queue_.empty() || file_->ended_ || file_->failed_; });
    if (!file_->queue_.empty()) {
      piece_ = std::move(file_->queue_.front());
      file_->queue_.pop_front();
      left_ = piece_.view();
      file_->changed_.notify_all();
      return true;
    }
    if (file_->failed_) {
      throw cancelled();
    }
    return false;
  }

  const std::shared_ptr<StreamedFile> file_;
  Buffer piece_;
  ByteView left_;
};

std::shared_ptr<BufferPool> StreamedFile::make_pool() {
  return std::make_shared<BufferPool>(kQueuedPieces + 2);
}

void StreamedFile::write(ByteView bytes, const std::stop_token& stop) {
  while (!bytes.empty()) {
    if (filling_.capacity() == 0) {
      filling_ = pieces_->take();
      filling_.reserve(kPieceBytes);
    }
    const size_t part = std::min(bytes.size(), kPieceBytes - filling_.size());
    filling_.append(bytes.first(part));
    bytes = bytes.subspan(part);
    if (filling_.size() == kPieceBytes) {
      hand_over(stop);
    }
  }
}

void StreamedFile::hand_over(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  const bool room =
      changed_.wait(lock, stop, [this] { return queue_.size() < kQueuedPieces || abandoned_; });
  if (!room) {
    throw cancelled();
  }
  if (!abandoned_) {
    queue_.push_back(std::move(filling_));
    changed_.notify_all();
  }
  filling_ = Buffer();
}

void StreamedFile::finish(const std::stop_token& stop) {
  if (!filling_.empty()) {
    hand_over(stop);
  }
  const std::scoped_lock lock(mutex_);
  ended_ = true;
  changed_.notify_all();
}

void StreamedFile::fail() {
  const std::scoped_lock lock(mutex_);
  failed_ = true;
  changed_.notify_all();
}

std::unique_ptr<ByteReader> StreamedFile::open(const Node& node) {
  (void)node;
  return std::make_unique<Reader>(shared_from_this());
}

std::string StreamedFile::path_of(const Node& node) const {
  (void)node;
  return path_;
}

}  // namespace salvor::postgres
