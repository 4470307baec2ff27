// Walks the trees of snapshots and marks every blob they reach.
//
// Snapshots share most of their trees: each tree is read once, whatever reaches it. The walk goes
// down level by level, because a whole level can be sorted by place: neighbouring trees of a pack
// are fetched in one read, and every thread has work. Marks are bits over Index entry numbers, one
// bit a blob.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <span>

#include "base/context.h"
#include "model/node.h"
#include "repo/index.h"

namespace salvor {

class Repository;

// A set of index entries. Marking and asking are thread-safe; resizing there is none.
class EntrySet {
 public:
  explicit EntrySet(size_t entries);

  // True when it was not in the set before.
  bool insert(Index::EntryNumber number) {
    const uint64_t bit = uint64_t{1} << (number % 64);
    std::atomic<uint64_t>& word = words_[number / 64];
    return (word.load(std::memory_order_relaxed) & bit) == 0 &&
           (word.fetch_or(bit, std::memory_order_relaxed) & bit) == 0;
  }
  // False for entries that did not exist when the set was made.
  [[nodiscard]] bool contains(Index::EntryNumber number) const {
    return number < entries_ &&
           (words_[number / 64].load(std::memory_order_relaxed) >> (number % 64) & 1) != 0;
  }
  // Entries that the set can hold: numbers below this.
  [[nodiscard]] size_t capacity() const { return entries_; }

 private:
  size_t entries_;
  std::unique_ptr<std::atomic<uint64_t>[]> words_;
};

// What a walk tells while it goes. All are called from worker threads, at the same time for
// different trees. Without a handler for a problem the walk throws Error{kDamaged} at the first
// one.
struct TreeWalkHandlers {
  // A tree that could be read.
  std::function<void(const BlobId& tree, const Tree&)> on_tree;
  // A tree that no pack holds undamaged. The walk goes on without what is below it.
  std::function<void(const BlobId& tree, const Error&)> on_unreadable;
  // A node refers to a blob (content or subtree) that no index lists. A subtree that is missing is
  // told here only. Nodes without the reference that their type demands are not told at all.
  std::function<void(const BlobId& tree, const Node&, const BlobHandle&)> on_missing;
  std::atomic<uint64_t>* trees_read = nullptr;  // counted up as the walk goes, for progress
};

// Marks, for each blob that the trees `roots` reach, its first copy in the index (the number that
// Index::entry_number gives), and the roots themselves. Roots that the index lacks are told as
// unreadable. `marked` may hold marks already: what is below a marked tree is not visited again.
// Throws Error{kCancelled} when stopped, kUnreachable and the like when the storage fails.
void mark_used_blobs(const Context& context, const Repository& repository,
                     std::span<const BlobId> roots, unsigned threads,
                     const TreeWalkHandlers& handlers, EntrySet& marked);

}  // namespace salvor
