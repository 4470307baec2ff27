// Loads trees ahead of a depth-first walk, so that decoding them uses the other processors too.
#pragma once

#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "base/context.h"
#include "base/task.h"
#include "engine/reading/blob_readers.h"

namespace salvor {

// `take` and `expect` come from one thread.
class TreePrefetch {
 public:
  TreePrefetch(const Context& context, const Repository& repository, unsigned threads);
  ~TreePrefetch();

  // These trees will be taken soon, the first one first. Loads some of them; the number under way
  // is bounded.
  void expect(const std::vector<BlobId>& ids);
  // The tree, loaded now if it was not expected. Throws Error.
  [[nodiscard]] Tree take(const BlobId& id);

 private:
  struct Slot {
    bool done = false;
    Tree tree;
    std::exception_ptr error;
  };

  void load(const BlobId& id, Slot& slot);

  const Context& context_;
  BlobReaders readers_;
  std::mutex mutex_;
  std::condition_variable loaded_;
  std::unordered_map<BlobId, std::shared_ptr<Slot>, IdHash> slots_;
  ThreadPool pool_;
  TaskGroup group_;
};

}  // namespace salvor
