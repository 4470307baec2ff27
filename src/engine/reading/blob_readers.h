// The blob readers that tasks share.
#pragma once

#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "repo/repository.h"

namespace salvor {

// Hands each task a BlobReader of its own for as long as it runs: they keep memory between blobs.
// Thread-safe.
class BlobReaders {
 public:
  explicit BlobReaders(const Repository& repository) : repository_(repository) {}

  class Loan {
   public:
    explicit Loan(BlobReaders& from) : from_(from), reader_(from.take()) {}
    ~Loan() { from_.give_back(std::move(reader_)); }
    Loan(const Loan&) = delete;
    Loan& operator=(const Loan&) = delete;
    BlobReader& operator*() const { return *reader_; }
    BlobReader* operator->() const { return reader_.get(); }

   private:
    BlobReaders& from_;
    std::unique_ptr<BlobReader> reader_;
  };

  [[nodiscard]] Loan borrow() { return Loan(*this); }
  [[nodiscard]] const Repository& repository() const { return repository_; }

 private:
  [[nodiscard]] std::unique_ptr<BlobReader> take() {
    const std::scoped_lock lock(mutex_);
    if (idle_.empty()) {
      return std::make_unique<BlobReader>(repository_);
    }
    std::unique_ptr<BlobReader> reader = std::move(idle_.back());
    idle_.pop_back();
    return reader;
  }
  void give_back(std::unique_ptr<BlobReader> reader) {
    const std::scoped_lock lock(mutex_);
    idle_.push_back(std::move(reader));
  }

  const Repository& repository_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<BlobReader>> idle_;
};

}  // namespace salvor
