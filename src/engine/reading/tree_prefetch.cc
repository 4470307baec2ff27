#include "engine/reading/tree_prefetch.h"

#include "base/profile.h"

namespace salvor {
namespace {

constexpr size_t kAhead = 64;  // trees

}  // namespace

TreePrefetch::TreePrefetch(const Context& context, const Repository& repository, unsigned threads)
    : context_(context),
      readers_(repository),
      pool_("trees", threads),
      group_(pool_, context.stop) {}

TreePrefetch::~TreePrefetch() = default;

void TreePrefetch::load(const BlobId& id, Slot& slot) {
  Tree tree;
  std::exception_ptr error;
  try {
    const StageTimer timer(context_.profile, Stage::kTree);
    tree = readers_.borrow()->load_tree(context_, id);
  } catch (...) {
    error = std::current_exception();
  }
  const std::scoped_lock lock(mutex_);
  slot.tree = std::move(tree);
  slot.error = std::move(error);
  slot.done = true;
  loaded_.notify_all();
}

void TreePrefetch::expect(const std::vector<BlobId>& ids) {
  for (const BlobId& id : ids) {
    std::shared_ptr<Slot> slot;
    {
      const std::scoped_lock lock(mutex_);
      if (slots_.size() >= kAhead) {
        return;
      }
      const auto [at, added] = slots_.try_emplace(id);
      if (!added) {
        continue;
      }
      slot = at->second = std::make_shared<Slot>();
    }
    group_.run([this, id, slot] { load(id, *slot); });
  }
}

Tree TreePrefetch::take(const BlobId& id) {
  {
    std::unique_lock lock(mutex_);
    const auto at = slots_.find(id);
    if (at != slots_.end()) {
      const std::shared_ptr<Slot> slot = at->second;
      while (!slot->done) {
        // Woken now and then, because a stopped group drops what has not begun.
        loaded_.wait_for(lock, std::chrono::milliseconds(100));
        context_.check_stopped();
      }
      slots_.erase(id);
      if (slot->error) {
        std::rethrow_exception(slot->error);
      }
      return std::move(slot->tree);
    }
  }
  const StageTimer timer(context_.profile, Stage::kTree);
  return readers_.borrow()->load_tree(context_, id);
}

}  // namespace salvor
