// The blob writers that the tasks of a run share.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "base/task.h"
#include "repo/write_session.h"

namespace salvor {

// Hands each task a BlobWriter of its own for as long as it runs. Writers keep unfinished batches
// between tasks, so that many small files share one. Thread-safe.
class WriterPool {
 public:
  explicit WriterPool(WriteSession& session) : session_(session) {}

  class Loan {
   public:
    explicit Loan(WriterPool& pool) : pool_(pool), writer_(pool.take()) {}
    ~Loan() { pool_.give_back(std::move(writer_)); }
    Loan(const Loan&) = delete;
    Loan& operator=(const Loan&) = delete;
    BlobWriter* operator->() { return writer_.get(); }

   private:
    WriterPool& pool_;
    std::unique_ptr<BlobWriter> writer_;
  };

  [[nodiscard]] Loan borrow() { return Loan(*this); }
  // Stores what the writers still hold. No loan may be out.
  void flush() {
    for (const std::unique_ptr<BlobWriter>& writer : idle_) {
      writer->flush();
    }
    idle_.clear();
  }

 private:
  std::unique_ptr<BlobWriter> take() {
    const std::scoped_lock lock(mutex_);
    if (idle_.empty()) {
      return session_.make_writer();
    }
    std::unique_ptr<BlobWriter> writer = std::move(idle_.back());
    idle_.pop_back();
    return writer;
  }
  void give_back(std::unique_ptr<BlobWriter> writer) {
    const std::scoped_lock lock(mutex_);
    idle_.push_back(std::move(writer));
  }

  WriteSession& session_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<BlobWriter>> idle_;
};

}  // namespace salvor
