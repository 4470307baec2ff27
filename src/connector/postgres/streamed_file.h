// Files that arrive one after the other in a stream, handed to readers that ask for them when they
// like.
//
// Small ones are kept in memory until they are read. A large one is read while it arrives: what has
// come waits in a short queue, and the stream waits when the queue is full. That cannot deadlock: a
// large file is given to a reader at once, and readers that are still busy with small ones do not
// depend on the stream.
#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>

#include "base/buffer_pool.h"
#include "base/memory_budget.h"
#include "connector/source.h"

namespace salvor::postgres {

// Reads memory that outlives the reader.
[[nodiscard]] std::unique_ptr<ByteReader> read_memory(ByteView content);

// A file that is all there.
class BufferedFile final : public FileOpener {
 public:
  BufferedFile(std::string path, Buffer content, MemoryBudget::Lease lease)
      : path_(std::move(path)), content_(std::move(content)), lease_(std::move(lease)) {}
  std::unique_ptr<ByteReader> open(const Node& node) override;
  [[nodiscard]] std::string path_of(const Node& node) const override;

 private:
  const std::string path_;
  const Buffer content_;
  const MemoryBudget::Lease lease_;
};

// A file that is still arriving. One writer, one reader.
class StreamedFile final : public FileOpener, public std::enable_shared_from_this<StreamedFile> {
 public:
  // What waits is in buffers of `pieces`, which the files of a stream share: on fresh memory the
  // page faults take longer than the copying.
  StreamedFile(std::string path, std::shared_ptr<BufferPool> pieces)
      : path_(std::move(path)), pieces_(std::move(pieces)) {}
  // For one file at a time: what waits, what is being filled and what is being read.
  [[nodiscard]] static std::shared_ptr<BufferPool> make_pool();

  // The stream's side. `write` blocks while the reader is behind; throws Error{kCancelled} when the
  // token fires.
  void write(ByteView bytes, const std::stop_token& stop);
  void finish(const std::stop_token& stop);
  // The stream broke: the reader gets Error{kCancelled} instead of an end. The cause is the
  // stream's to tell.
  void fail();

  // The engine's side.
  std::unique_ptr<ByteReader> open(const Node& node) override;
  [[nodiscard]] std::string path_of(const Node& node) const override;

 private:
  class Reader;
  void hand_over(const std::stop_token& stop);

  const std::string path_;
  const std::shared_ptr<BufferPool> pieces_;
  Buffer filling_;    // the writer's
  std::mutex mutex_;  // guards what follows
  std::condition_variable_any changed_;
  std::deque<Buffer> queue_;
  bool ended_ = false;
  bool abandoned_ = false;  // nobody will read the rest
  bool failed_ = false;
};

}  // namespace salvor::postgres
