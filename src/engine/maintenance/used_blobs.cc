#include "engine/maintenance/used_blobs.h"

#include <algorithm>
#include <mutex>
#include <vector>

#include "base/task.h"
#include "crypto/sha256.h"
#include "engine/maintenance/damage.h"
#include "repo/repository.h"

namespace salvor {
namespace {

// Trees of one pack at most this far apart are fetched together: reading the gap costs less than
// another request.
constexpr uint32_t kLargestGap = 128 * 1024;
constexpr uint32_t kLargestRead = 2 * 1024 * 1024;
// Plaintext that is decoded before it is hashed, several trees interleaved.
constexpr size_t kHashBatch = size_t{1} << 20;

struct PlacedTree {
  uint32_t pack_number;
  uint32_t offset;
  uint32_t length;
  Index::EntryNumber entry;
  friend auto operator<=>(const PlacedTree&, const PlacedTree&) = default;
};

class TreeWalk {
 public:
  TreeWalk(const Context& context, const Repository& repository, unsigned threads,
           const TreeWalkHandlers& handlers, EntrySet& marked)
      : context_(context),
        repository_(repository),
        index_(repository.index()),
        handlers_(handlers),
        marked_(marked),
        pool_("salvor-trees", threads) {}

  void run(std::span<const BlobId> roots) {
    for (const BlobId& root : roots) {
      enter(root, found_);
    }
    while (!found_.empty()) {
      std::vector<PlacedTree> level;
      level.swap(found_);
      std::sort(level.begin(), level.end());
      read_level(level);
    }
  }

 private:
  // One thread's tools, lent to one task at a time.
  struct Worker {
    explicit Worker(const Repository& repository) : reader(repository) {}
    BlobReader reader;
    Buffer sealed;
    Buffer plain;
    std::vector<PackedBlob> blobs;
    std::vector<ByteView> messages;
    std::vector<Digest> digests;
  };

  void enter(const BlobId& tree, std::vector<PlacedTree>& found);
  void read_level(std::span<const PlacedTree> level);
  void read_range(const Context& context, std::span<const PlacedTree> trees);
  void read_batch(const Context& context, Worker& worker, std::span<const PackedBlob> blobs,
                  uint32_t range_begin, std::vector<PlacedTree>& found);
  void read_alone(const Context& context, Worker& worker, const BlobId& id,
                  std::vector<PlacedTree>& found);
  void visit(Worker& worker, const BlobId& id, ByteView blob, std::vector<PlacedTree>& found);
  void mark_references(const BlobId& id, const Tree& tree, std::vector<PlacedTree>& found);
  void tell_unreadable(const BlobId& id, const Error& error);
  void tell_missing(const BlobId& tree, const Node& node, const BlobHandle& handle);

  std::unique_ptr<Worker> borrow_worker();
  void give_back(std::unique_ptr<Worker> worker);

  const Context& context_;
  const Repository& repository_;
  const Index& index_;
  const TreeWalkHandlers& handlers_;
  EntrySet& marked_;
  std::mutex mutex_;  // guards the two below
  std::vector<PlacedTree> found_;
  std::vector<std::unique_ptr<Worker>> idle_;
  ThreadPool pool_;  // last: its threads use everything above
};

void TreeWalk::enter(const BlobId& tree, std::vector<PlacedTree>& found) {
  const Index::EntryNumber number = index_.entry_number({BlobType::kTree, tree});
  if (number == Index::kNoEntry) {
    const Error why = repository_.not_indexed({BlobType::kTree, tree});
    tell_unreadable(tree, Error(ErrorCode::kDamaged, why.message(), why.hint()));
    return;
  }
  if (marked_.insert(number)) {
    const PackedBlob blob = index_.entry(number).blob;
    found.push_back({index_.pack_number_of(number), blob.offset, blob.length, number});
  }
}

void TreeWalk::read_level(std::span<const PlacedTree> level) {
  TaskGroup group(pool_, context_.stop, size_t{2} * pool_.size());
  const Context inner = context_.with_stop(group.stop_token());
  size_t begin = 0;
  while (begin < level.size()) {
    const PlacedTree& first = level[begin];
    uint64_t range_end = uint64_t{first.offset} + first.length;
    size_t end = begin + 1;
    while (end < level.size() && level[end].pack_number == first.pack_number &&
           level[end].offset <= range_end + kLargestGap &&
           uint64_t{level[end].offset} + level[end].length <=
               uint64_t{first.offset} + kLargestRead) {
      range_end = std::max(range_end, uint64_t{level[end].offset} + level[end].length);
      ++end;
    }
    group.run(
        [this, inner, trees = level.subspan(begin, end - begin)] { read_range(inner, trees); });
    begin = end;
  }
  group.wait();
}

void TreeWalk::read_range(const Context& context, std::span<const PlacedTree> trees) {
  std::unique_ptr<Worker> worker = borrow_worker();
  std::vector<PlacedTree> found;
  std::vector<PackedBlob>& blobs = worker->blobs;
  blobs.clear();
  uint64_t end = 0;
  for (const PlacedTree& tree : trees) {
    const PackedBlob blob = index_.entry(tree.entry).blob;
    if (is_large(blob)) {
      read_alone(context, *worker, blob.handle.id, found);
      continue;
    }
    blobs.push_back(blob);
    end = std::max(end, uint64_t{tree.offset} + tree.length);
  }
  const uint32_t begin = blobs.empty() ? 0 : blobs.front().offset;
  const PackId pack = index_.entry(trees.front().entry).pack;
  bool fetched = false;
  try {
    if (!blobs.empty()) {
      worker->sealed.resize(end - begin);
      repository_.storage().get_range(context, pack_object(pack), begin, worker->sealed.bytes());
      fetched = true;
    }
  } catch (const Error& error) {
    if (!is_damage(error)) {
      throw;
    }
  }
  if (fetched) {
    for (size_t first = 0; first < blobs.size();) {
      size_t last = first;
      for (size_t bytes = 0; last < blobs.size() && bytes < kHashBatch; ++last) {
        bytes += blobs[last].content_length();
      }
      read_batch(context, *worker, std::span(blobs).subspan(first, last - first), begin, found);
      first = last;
    }
  } else {
    const std::vector<PackedBlob> alone = blobs;
    for (const PackedBlob& blob : alone) {
      read_alone(context, *worker, blob.handle.id, found);
    }
  }
  give_back(std::move(worker));
  const std::scoped_lock lock(mutex_);
  found_.insert(found_.end(), found.begin(), found.end());
}

void TreeWalk::read_batch(const Context& context, Worker& worker, std::span<const PackedBlob> blobs,
                          uint32_t range_begin, std::vector<PlacedTree>& found) {
  context.check_stopped();
  size_t plain_bytes = 0;
  for (const PackedBlob& blob : blobs) {
    plain_bytes += blob.content_length();
  }
  worker.plain.resize(plain_bytes);
  worker.messages.clear();
  size_t begin = 0;
  for (const PackedBlob& blob : blobs) {
    const MutableBytes plain = worker.plain.bytes().subspan(begin, blob.content_length());
    begin += plain.size();
    const bool good = worker.reader.decode(
        blob, worker.sealed.view(blob.offset - range_begin, blob.length), plain);
    worker.messages.push_back(good ? ByteView(plain) : ByteView());
  }
  worker.digests.resize(blobs.size());
  sha256_many(worker.messages, worker.digests);
  for (size_t i = 0; i < blobs.size(); ++i) {
    const BlobId& id = blobs[i].handle.id;
    // What did not decode has the hash of nothing, which is no tree's.
    if (worker.digests[i] == id.digest() && !worker.messages[i].empty()) {
      visit(worker, id, worker.messages[i], found);
    } else {
      read_alone(context, worker, id, found);
    }
  }
}

// Looks for an undamaged copy anywhere.
void TreeWalk::read_alone(const Context& context, Worker& worker, const BlobId& id,
                          std::vector<PlacedTree>& found) {
  Buffer blob;
  try {
    blob = worker.reader.load(context, {BlobType::kTree, id});
  } catch (const Error& error) {
    if (!is_damage(error)) {
      throw;
    }
    tell_unreadable(id, error);
    return;
  }
  visit(worker, id, blob.view(), found);
}

void TreeWalk::visit(Worker& worker, const BlobId& id, ByteView blob,
                     std::vector<PlacedTree>& found) {
  Tree tree;
  try {
    tree = worker.reader.tree_decoder().decode(blob);
  } catch (Error& error) {
    error.within("tree " + id.short_hex());
    tell_unreadable(id, error);
    return;
  }
  mark_references(id, tree, found);
  if (handlers_.on_tree) {
    handlers_.on_tree(id, tree);
  }
  if (handlers_.trees_read != nullptr) {
    handlers_.trees_read->fetch_add(1, std::memory_order_relaxed);
  }
}

void TreeWalk::mark_references(const BlobId& id, const Tree& tree, std::vector<PlacedTree>& found) {
  for (const Node& node : tree.nodes) {
    if (node.type == NodeType::kFile) {
      for (const BlobId& content : node.content) {
        const BlobHandle handle{BlobType::kData, content};
        const Index::EntryNumber number = index_.entry_number(handle);
        if (number == Index::kNoEntry) {
          tell_missing(id, node, handle);
        } else {
          marked_.insert(number);
        }
      }
    } else if (node.type == NodeType::kDir && node.subtree && !node.subtree->is_null()) {
      const BlobHandle handle{BlobType::kTree, *node.subtree};
      if (index_.contains(handle)) {
        enter(*node.subtree, found);
      } else {
        tell_missing(id, node, handle);
      }
    }
  }
}

void TreeWalk::tell_unreadable(const BlobId& id, const Error& error) {
  if (!handlers_.on_unreadable) {
    throw error;
  }
  handlers_.on_unreadable(id, error);
}

void TreeWalk::tell_missing(const BlobId& tree, const Node& node, const BlobHandle& handle) {
  if (!handlers_.on_missing) {
    throw Error(ErrorCode::kDamaged,
                std::string(handle.type == BlobType::kTree ? "tree" : "data") + " blob " +
                    handle.id.short_hex() + " is not in the index, but tree " + tree.short_hex() +
                    " needs it",
                "Run `salvor check` to see what is affected.");
  }
  handlers_.on_missing(tree, node, handle);
}

std::unique_ptr<TreeWalk::Worker> TreeWalk::borrow_worker() {
  {
    const std::scoped_lock lock(mutex_);
    if (!idle_.empty()) {
      std::unique_ptr<Worker> worker = std::move(idle_.back());
      idle_.pop_back();
      return worker;
    }
  }
  return std::make_unique<Worker>(repository_);
}

void TreeWalk::give_back(std::unique_ptr<Worker> worker) {
  const std::scoped_lock lock(mutex_);
  idle_.push_back(std::move(worker));
}

}  // namespace

EntrySet::EntrySet(size_t entries)
    : entries_(entries), words_(std::make_unique<std::atomic<uint64_t>[]>((entries + 63) / 64)) {}

void mark_used_blobs(const Context& context, const Repository& repository,
                     std::span<const BlobId> roots, unsigned threads,
                     const TreeWalkHandlers& handlers, EntrySet& marked) {
  TreeWalk(context, repository, threads, handlers, marked).run(roots);
}

}  // namespace salvor
