#include "engine/backup/tree_builder.h"

#include <algorithm>
#include <mutex>

#include "codec/tree_codec.h"
#include "crypto/sha256.h"

namespace salvor {

// One entry of an open directory, in name order. Unchanged entries cost 16 bytes: they refer to the
// old tree.
struct TreeSlot {
  static constexpr uint32_t kNone = UINT32_MAX;
  uint32_t old_index = kNone;  // the old node of the same name
  bool same = false;           // equal to it in every respect
  bool absent = false;         // could not be read: left out
  std::unique_ptr<Node> node;  // otherwise
};

class TreeSink::Directory {
 public:
  Directory* parent = nullptr;
  size_t slot = 0;  // in the parent
  Node node;        // its own metadata

  // The same directory in the parent snapshot.
  std::optional<BlobId> old_id;
  Tree old_tree;
  size_t old_position = 0;  // behind the node found last

  std::mutex mutex;  // guards what follows
  std::vector<TreeSlot> slots;
  std::vector<std::unique_ptr<Directory>> children;  // until they are finished
  size_t pending =
      1;  // entries that are not settled, and the source, until it closes the directory

  // Whether a finished directory is what the parent snapshot has.
  [[nodiscard]] bool unchanged() const {
    return old_id && slots.size() == old_tree.nodes.size() &&
           std::all_of(slots.begin(), slots.end(), [](const TreeSlot& one) { return one.same; });
  }
  [[nodiscard]] std::string path() const {
    return parent == nullptr ? std::string() : parent->path() + "/" + node.name;
  }
};

TreeBuilder::TreeBuilder(const Context& context, const Repository& repository, WriterPool& writers,
                         TaskGroup& cpu, BackupProgress& progress,
                         std::optional<BlobId> parent_tree, const ChangeDetection& detection)
    : context_(context),
      repository_(repository),
      readers_(repository),
      writers_(writers),
      cpu_(cpu),
      progress_(progress),
      parent_tree_(parent_tree),
      detection_(detection) {}

TreeBuilder::~TreeBuilder() = default;

TreeSink::Directory* TreeBuilder::root() {
  if (!root_) {
    root_ = std::make_unique<Directory>();
    if (parent_tree_) {
      load_old_tree(*root_, *parent_tree_);
    }
  }
  return root_.get();
}

void TreeBuilder::load_old_tree(Directory& directory, const BlobId& id) {
  const StageTimer timer(context_.profile, Stage::kParent);
  try {
    directory.old_tree = readers_.borrow()->load_tree(context_, id);
    directory.old_id = id;
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kDamaged && error.code() != ErrorCode::kNotFound) {
      throw;
    }
    // Without the old tree everything below is read again, which repairs the damage for the new
    // snapshot.
    context_.events.on(Warning{
        "the parent snapshot cannot be used for " + directory.path() + "/: " + error.message(),
        "Its files are read again. Run `salvor check` to see what else is damaged."});
  }
}

const Node* TreeBuilder::find_old(Directory& directory, const Node& node) const {
  const std::vector<Node>& old = directory.old_tree.nodes;
  size_t& position = directory.old_position;
  // Names mostly come in the old order: the next one is tried first.
  if (position >= old.size() || old[position].name != node.name) {
    const auto found = std::lower_bound(
        old.begin(), old.end(), node.name,
        [](const Node& left, const std::string& name) { return left.name < name; });
    if (found == old.end() || found->name != node.name) {
      return nullptr;
    }
    position = static_cast<size_t>(found - old.begin());
  }
  return &old[position++];
}

bool TreeBuilder::content_unchanged(const Node& old, const Node& node) const {
  if (detection_.by_source || old.type != NodeType::kFile || old.content_is_null ||
      old.size != node.size || !old.mtime.same_instant(node.mtime)) {
    return false;
  }
  const bool check_ctime = !detection_.ignore_ctime && !detection_.ignore_inode;
  if ((check_ctime && !old.ctime.same_instant(node.ctime)) ||
      (!detection_.ignore_inode && old.inode != node.inode)) {
    return false;
  }
  for (const BlobId& id : old.content) {
    if (!repository_.index().contains({BlobType::kData, id})) {
      context_.events.on(Warning{"content of " + node.name + " is missing from the repository",
                                 "The file is read and stored again."});
      return false;
    }
  }
  return true;
}

void TreeBuilder::complete_attributes(const Node& old, Node& node, FileOpener& opener) const {
  const bool complete = detection_.parent_marks_incomplete && old.error.empty();
  if (complete && old.ctime.same_instant(node.ctime) && old.inode == node.inode &&
      old.device_id == node.device_id) {
    node.extended_attributes = old.extended_attributes;
  } else {
    opener.complete(node);
  }
}

void TreeBuilder::count_file(const Node* old, const Node& node, const Directory& directory) {
  const bool unmodified =
      old != nullptr && old->content == node.content && same_metadata(*old, node);
  const char* action = old == nullptr ? "new" : unmodified ? "unchanged" : "modified";
  ++(old == nullptr ? progress_.files_new
     : unmodified   ? progress_.files_unmodified
                    : progress_.files_changed);
  if (context_.events.wants_items()) {
    context_.events.on(
        ItemHandled{action, directory.path() + "/" + node.name, "file", node.size, 0});
  }
}

void TreeBuilder::count_directory(const Directory& directory, bool unmodified) {
  const bool is_new = !directory.old_id.has_value();
  ++(is_new ? progress_.dirs_new : unmodified ? progress_.dirs_unmodified : progress_.dirs_changed);
  if (context_.events.wants_items()) {
    const char* action = is_new ? "new" : unmodified ? "unchanged" : "modified";
    context_.events.on(ItemHandled{action, directory.path() + "/", "dir", 0, 0});
  }
}

TreeSink::Directory* TreeBuilder::open_directory(Directory* parent, Node node) {
  auto child = std::make_unique<Directory>();
  Directory* opened = child.get();
  child->parent = parent;
  child->node = std::move(node);
  const Node* old = find_old(*parent, child->node);
  TreeSlot slot;
  if (old != nullptr) {
    slot.old_index = static_cast<uint32_t>(old - parent->old_tree.nodes.data());
    if (old->type == NodeType::kDir && old->subtree) {
      load_old_tree(*child, *old->subtree);
    }
  }
  const std::scoped_lock lock(parent->mutex);
  child->slot = parent->slots.size();
  parent->slots.push_back(std::move(slot));
  parent->children.push_back(std::move(child));
  ++parent->pending;
  return opened;
}

void TreeBuilder::add_file(Directory* directory, Node node, std::shared_ptr<FileOpener> opener) {
  const Node* old = find_old(*directory, node);
  TreeSlot slot;
  if (old != nullptr) {
    slot.old_index = static_cast<uint32_t>(old - directory->old_tree.nodes.data());
  }
  if (old != nullptr && content_unchanged(*old, node)) {
    if (detection_.attributes_deferred) {
      complete_attributes(*old, node, *opener);
    }
    progress_.bytes_done += node.size;
    slot.same = same_metadata(*old, node);
    if (slot.same) {
      count_file(old, *old, *directory);
    } else {
      node.content = old->content;
      count_file(old, node, *directory);
      slot.node = std::make_unique<Node>(std::move(node));
    }
    const std::scoped_lock lock(directory->mutex);
    directory->slots.push_back(std::move(slot));
    return;
  }
  size_t number = 0;
  {
    const std::scoped_lock lock(directory->mutex);
    number = directory->slots.size();
    directory->slots.push_back(std::move(slot));
    ++directory->pending;
  }
  saver_->save({directory, number}, std::move(node), std::move(opener));
}

void TreeBuilder::add_stored(Directory* directory, Node node) {
  const Node* old = find_old(*directory, node);
  TreeSlot slot;
  progress_.bytes_done += node.size;
  if (old != nullptr) {
    slot.old_index = static_cast<uint32_t>(old - directory->old_tree.nodes.data());
    slot.same = *old == node;
  }
  count_file(old, node, *directory);
  if (!slot.same) {
    slot.node = std::make_unique<Node>(std::move(node));
  }
  const std::scoped_lock lock(directory->mutex);
  directory->slots.push_back(std::move(slot));
}

void TreeBuilder::add_other(Directory* directory, Node node) {
  const Node* old = find_old(*directory, node);
  TreeSlot slot;
  if (old != nullptr) {
    slot.old_index = static_cast<uint32_t>(old - directory->old_tree.nodes.data());
    slot.same = *old == node;
  }
  if (!slot.same) {
    slot.node = std::make_unique<Node>(std::move(node));
  }
  const std::scoped_lock lock(directory->mutex);
  directory->slots.push_back(std::move(slot));
}

void TreeBuilder::report_unreadable(const std::string& path, const Error& error) {
  ++progress_.errors;
  const bool vanished = error.code() == ErrorCode::kNotFound;
  context_.events.on(ItemFailed{"scan", path,
                                vanished ? "it vanished before it could be read" : error.message(),
                                error.hint()});
}

void TreeBuilder::file_saved(FileTicket ticket, Node node) {
  auto& directory = *static_cast<Directory*>(ticket.directory);
  const Node* old = nullptr;
  {
    const std::scoped_lock lock(directory.mutex);
    const uint32_t old_index = directory.slots[ticket.slot].old_index;
    old = old_index == TreeSlot::kNone ? nullptr : &directory.old_tree.nodes[old_index];
  }
  count_file(old, node, directory);
  settle(directory, ticket.slot, std::make_unique<Node>(std::move(node)));
}

void TreeBuilder::file_failed(FileTicket ticket) {
  settle(*static_cast<Directory*>(ticket.directory), ticket.slot, nullptr);
}

// Enters an entry's result (none: leave it out); finishes the directory if it was the last one.
void TreeBuilder::settle(Directory& directory, size_t slot, std::unique_ptr<Node> node) {
  bool complete = false;
  {
    const std::scoped_lock lock(directory.mutex);
    directory.slots[slot].absent = node == nullptr;
    directory.slots[slot].node = std::move(node);
    complete = --directory.pending == 0;
  }
  if (complete) {
    finish_upwards(&directory);
  }
}

void TreeBuilder::close_directory(Directory* directory) {
  bool complete = false;
  {
    const std::scoped_lock lock(directory->mutex);
    complete = --directory->pending == 0;
  }
  // Waking a CPU thread for a directory without changes would take longer than finishing it.
  while (complete && directory->parent != nullptr && directory->unchanged()) {
    Directory* parent = directory->parent;
    complete = finish(*directory);
    directory = parent;
  }
  if (complete) {
    cpu_.run([this, directory] { finish_upwards(directory); });
  }
}

void TreeBuilder::finish_upwards(Directory* directory) {
  while (directory != nullptr) {
    Directory* parent = directory->parent;
    if (!finish(*directory)) {
      return;
    }
    directory = parent;
  }
}

// Stores the directory's tree and tells the parent. True when that completed the parent.
bool TreeBuilder::finish(Directory& directory) {
  bool empty = false;
  const BlobId id = store_tree(directory, empty);
  Directory* parent = directory.parent;
  if (parent == nullptr) {
    if (!empty) {
      root_tree_ = id;
    }
    return false;
  }
  const size_t number = directory.slot;
  const std::scoped_lock lock(parent->mutex);
  TreeSlot& slot = parent->slots[number];
  const Node* old =
      slot.old_index == TreeSlot::kNone ? nullptr : &parent->old_tree.nodes[slot.old_index];
  slot.same = old != nullptr && old->subtree == id && same_metadata(*old, directory.node);
  count_directory(directory, slot.same);
  if (!slot.same) {
    directory.node.subtree = id;
    slot.node = std::make_unique<Node>(std::move(directory.node));
  }
  std::erase_if(parent->children, [&](const auto& child) { return child.get() == &directory; });
  return --parent->pending == 0;
}

BlobId TreeBuilder::store_tree(Directory& directory, bool& empty) {
  size_t present = 0;
  for (const TreeSlot& slot : directory.slots) {
    present += slot.absent ? 0 : 1;
  }
  empty = present == 0;
  if (directory.unchanged()) {
    return *directory.old_id;
  }
  std::string blob;
  {
    StageTimer timer(context_.profile, Stage::kTree);
    std::vector<const Node*> nodes;
    nodes.reserve(present);
    for (const TreeSlot& slot : directory.slots) {
      if (!slot.absent) {
        nodes.push_back(slot.same ? &directory.old_tree.nodes[slot.old_index] : slot.node.get());
      }
    }
    const auto by_name = [](const Node* left, const Node* right) {
      return left->name < right->name;
    };
    if (!std::is_sorted(nodes.begin(), nodes.end(), by_name)) {
      std::sort(nodes.begin(), nodes.end(), by_name);
    }
    TreeEncoder encoder;
    for (const Node* node : nodes) {
      encoder.add(*node);
    }
    directory.slots.clear();
    blob = encoder.finish();
    timer.add_bytes(blob.size());
  }
  const BlobId id(sha256(as_bytes(blob)));
  writers_.borrow()->add(BlobType::kTree, id, as_bytes(blob));
  return id;
}

}  // namespace salvor
