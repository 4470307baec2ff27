#include "engine/snapshots/snapshot_view.h"

#include <algorithm>
#include <cstring>

namespace salvor {
namespace {

constexpr uint32_t kReadableDirectory = go_mode::kDir | 0555;

// The entry of `list` with this key, moved to the front; nullptr when there is none.
template <class List, class Key>
auto* touch(List& list, const Key& key) {
  for (auto it = list.begin(); it != list.end(); ++it) {
    if (it->first == key) {
      list.splice(list.begin(), list, it);
      return &list.front();
    }
  }
  return static_cast<typename List::value_type*>(nullptr);
}

}  // namespace

SnapshotView::SnapshotView(const Context& context, Repository& repository,
                           SnapshotViewOptions options)
    : context_(context),
      repository_(repository),
      readers_(repository),
      options_(std::move(options)) {
  repository_.load_index(context_);
  build();
  refreshed_ = context_.clock.monotonic();
}

SnapshotView::~SnapshotView() = default;

void SnapshotView::build() {
  std::vector<UnreadableObject> unreadable;
  const std::vector<StoredSnapshot> snapshots = repository_.load_snapshots(context_, &unreadable);
  std::vector<std::string> names;
  for (const UnreadableObject& one : unreadable) {
    names.push_back(one.object.name);
    if (!std::binary_search(known_.begin(), known_.end(), one.object.name)) {
      context_.events.on(Warning{one.reason + ", so that it is not shown",
                                 "`salvor check` says what is affected."});
    }
  }
  std::vector<StoredSnapshot> shown;
  for (const StoredSnapshot& stored : snapshots) {
    names.push_back(stored.id.hex());
    if (options_.filter.matches(stored.snapshot)) {
      shown.push_back(stored);
    }
  }
  std::sort(names.begin(), names.end());
  known_ = std::move(names);
  root_ = lay_out(options_.layout, shown);
}

void SnapshotView::refresh_if_old() {
  {
    const std::shared_lock lock(list_mutex_);
    if (context_.clock.monotonic() - refreshed_ < options_.refresh_after) {
      return;
    }
  }
  const std::unique_lock lock(list_mutex_);
  if (context_.clock.monotonic() - refreshed_ < options_.refresh_after) {
    return;  // another thread was quicker
  }
  refreshed_ = context_.clock.monotonic();
  std::vector<std::string> names;
  for (const ObjectInfo& info : repository_.storage().list_all(context_, ObjectKind::kSnapshot)) {
    names.push_back(info.name);
  }
  std::sort(names.begin(), names.end());
  if (names == known_) {
    return;
  }
  repository_.load_index(context_);
  build();
}

std::shared_ptr<const Tree> SnapshotView::tree(const BlobId& id) {
  {
    const std::scoped_lock lock(cache_mutex_);
    if (const CachedTree* found = touch(trees_, id)) {
      return found->second;
    }
  }
  auto loaded = std::make_shared<const Tree>(readers_.borrow()->load_tree(context_, id));
  const std::scoped_lock lock(cache_mutex_);
  trees_.emplace_front(id, loaded);
  if (trees_.size() > options_.tree_cache_entries) {
    trees_.pop_back();
  }
  return loaded;
}

std::shared_ptr<const Buffer> SnapshotView::blob(const BlobId& id) {
  {
    const std::scoped_lock lock(cache_mutex_);
    if (const CachedBlob* found = touch(blobs_, id)) {
      return found->second;
    }
  }
  auto loaded =
      std::make_shared<const Buffer>(readers_.borrow()->load(context_, {BlobType::kData, id}));
  const std::scoped_lock lock(cache_mutex_);
  blobs_.emplace_front(id, loaded);
  blob_bytes_ += loaded->size();
  while (blob_bytes_ > options_.blob_cache_bytes && blobs_.size() > 1) {
    blob_bytes_ -= blobs_.back().second->size();
    blobs_.pop_back();
  }
  return loaded;
}

// list_mutex_ is held (shared) while a Place is in use.
std::optional<SnapshotView::Place> SnapshotView::resolve(std::string_view path) {
  Place place;
  place.entry = &root_;
  while (!path.empty()) {
    const size_t slash = std::min(path.find('/'), path.size());
    const std::string_view name = path.substr(0, slash);
    path.remove_prefix(std::min(slash + 1, path.size()));
    if (name.empty()) {
      continue;
    }
    if (place.entry != nullptr && !place.entry->tree) {
      const auto child = place.entry->children.find(std::string(name));
      if (child == place.entry->children.end()) {
        return std::nullopt;
      }
      place.entry = &child->second;
      place.tree = child->second.tree;
      continue;
    }
    if (!place.tree) {
      return std::nullopt;
    }
    const std::shared_ptr<const Tree> nodes = tree(*place.tree);
    const Node* node = nodes->find(name);
    if (node == nullptr) {
      return std::nullopt;
    }
    place.entry = nullptr;
    place.node = *node;
    place.tree = node->type == NodeType::kDir ? node->subtree : std::nullopt;
  }
  return place;
}

Node SnapshotView::made_up_node(const std::string& name, const LayoutEntry& entry) {
  Node node;
  node.name = name;
  node.mtime = node.atime = node.ctime = entry.time;
  if (entry.link.empty()) {
    node.type = NodeType::kDir;
    node.mode = kReadableDirectory;
  } else {
    node.type = NodeType::kSymlink;
    node.mode = go_mode::kSymlink | 0777;
    node.link_target = entry.link;
  }
  return node;
}

std::optional<Node> SnapshotView::find(std::string_view path) {
  refresh_if_old();
  const std::shared_lock lock(list_mutex_);
  const std::optional<Place> place = resolve(path);
  if (!place) {
    return std::nullopt;
  }
  return place->entry != nullptr ? made_up_node("", *place->entry) : *place->node;
}

std::optional<std::vector<Node>> SnapshotView::list(std::string_view path) {
  refresh_if_old();
  const std::shared_lock lock(list_mutex_);
  const std::optional<Place> place = resolve(path);
  if (!place) {
    return std::nullopt;
  }
  if (place->tree) {
    return tree(*place->tree)->nodes;
  }
  if (place->entry == nullptr || !place->entry->link.empty()) {
    return std::nullopt;
  }
  std::vector<Node> nodes;
  for (const auto& [name, entry] : place->entry->children) {
    nodes.push_back(made_up_node(name, entry));
  }
  return nodes;
}

uint64_t SnapshotView::content_size(const Node& file) const {
  const std::shared_lock lock(list_mutex_);
  uint64_t size = 0;
  for (const BlobId& id : file.content) {
    size += repository_.index().content_length({BlobType::kData, id}).value_or(0);
  }
  return size;
}

size_t SnapshotView::read(const Node& file, uint64_t offset, MutableBytes out) {
  const std::shared_lock lock(list_mutex_);
  size_t done = 0;
  uint64_t begin = 0;  // of the blob in the file
  for (const BlobId& id : file.content) {
    if (done == out.size()) {
      break;
    }
    const std::optional<uint32_t> length =
        repository_.index().content_length({BlobType::kData, id});
    if (!length) {
      throw Error(ErrorCode::kDamaged, "data blob " + id.short_hex() + " is not in the index");
    }
    if (offset < begin + *length) {
      const std::shared_ptr<const Buffer> bytes = blob(id);
      if (bytes->size() != *length) {  // a good copy, but not the one that the index lists first
        throw Error(ErrorCode::kDamaged,
                    "data blob " + id.short_hex() + " is not as long as the index says",
                    "Run `salvor repair index`.");
      }
      const auto from = static_cast<size_t>(offset - begin);
      const size_t count = std::min(out.size() - done, bytes->size() - from);
      std::memcpy(out.data() + done, bytes->data() + from, count);
      done += count;
      offset += count;
    }
    begin += *length;
  }
  return done;
}

}  // namespace salvor
