#include "engine/maintenance/repair.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <numeric>
#include <unordered_map>
#include <unordered_set>

#include "base/task.h"
#include "codec/index_codec.h"
#include "crypto/sha256.h"
#include "engine/maintenance/damage.h"
#include "engine/maintenance/index_rewriter.h"
#include "engine/maintenance/node_name.h"
#include "engine/reading/pack_reader.h"
#include "engine/reading/pack_table.h"
#include "engine/reading/tree_descent.h"
#include "engine/remove_objects.h"
#include "repo/repository.h"

namespace salvor {
namespace {

void confirm(const Context& context, const RepairOptions& options) {
  context.check_stopped();
  if (options.confirm_lock) {
    options.confirm_lock();
  }
}

void remove_index_files(const Context& context, const Repository& repository,
                        std::span<const IndexId> files, const RepairOptions& options) {
  std::vector<ObjectName> objects;
  for (const IndexId& file : files) {
    objects.push_back(index_object(file));
  }
  confirm(context, options);
  if (remove_objects(context, repository, std::move(objects)) > 0) {
    throw Error(ErrorCode::kFailed, "old index files cannot be removed",
                "The new index is complete, and nothing is lost: run the command again when the "
                "cause is gone.");
  }
}

// --- index ---------------------------------------------------------------------------------------

class IndexRepairRun {
 public:
  IndexRepairRun(const Context& context, Repository& repository, bool read_all,
                 const RepairOptions& options)
      : context_(context), repository_(repository), read_all_(read_all), options_(options) {}

  IndexRepair run() {
    read_index();
    compare_with_packs();
    read_headers();
    replace();
    return std::move(report_);
  }

 private:
  struct Listed {
    uint64_t size = 0;
    uint64_t mark = 0;
    bool conflict = false;
    bool twice = false;
  };

  void read_index();
  void compare_with_packs();
  void read_headers();
  void replace();

  const Context& context_;
  Repository& repository_;
  const bool read_all_;
  const RepairOptions& options_;
  IndexRepair report_;
  std::vector<IndexId> readable_;
  std::unordered_map<PackId, Listed, IdHash> listed_;
  std::vector<std::pair<PackId, uint64_t>> to_read_;  // with their sizes
  std::unordered_set<PackId, IdHash> drop_;           // from what the old files list
  std::vector<ListedPack> read_;
};

void IndexRepairRun::read_index() {
  for (const IndexId& file : list_index_files(context_, repository_)) {
    context_.check_stopped();
    try {
      const Buffer json = repository_.load_document(context_, ObjectKind::kIndex, file.hex());
      std::vector<std::pair<PackId, Listed>> packs;
      decode_index(json.view(), [&](const PackId& pack, std::span<const PackedBlob> blobs) {
        packs.push_back({pack, {pack_size_of(blobs), blob_list_mark(blobs)}});
      });
      for (const auto& [pack, facts] : packs) {
        const auto [place, fresh] = listed_.try_emplace(pack, facts);
        place->second.twice = !fresh;
        place->second.conflict |= place->second.mark != facts.mark;
      }
      readable_.push_back(file);
    } catch (const Error& error) {
      if (!is_damage(error)) {
        throw;
      }
      report_.unreadable_files.push_back(file);
    }
  }
}

void IndexRepairRun::compare_with_packs() {
  std::unordered_set<PackId, IdHash> present;
  repository_.storage().list(context_, ObjectKind::kPack, [&](const ObjectInfo& info) {
    const PackId pack = *PackId::parse(info.name);
    present.insert(pack);
    const auto known = listed_.find(pack);
    const bool right =
        known != listed_.end() && !known->second.conflict && known->second.size == info.size_bytes;
    if (known == listed_.end()) {
      report_.added.push_back(pack);
    } else if (!right) {
      report_.reread.push_back(pack);
    }
    if (!right || read_all_) {
      to_read_.emplace_back(pack, info.size_bytes);
      drop_.insert(pack);
    }
  });
  for (const auto& [pack, facts] : listed_) {
    if (!present.contains(pack)) {
      report_.missing.push_back(pack);
      drop_.insert(pack);
    }
  }
}

void IndexRepairRun::read_headers() {
  std::mutex mutex;
  ThreadPool pool("salvor-headers",
                  std::max(options_.threads, repository_.storage().traits().connections));
  TaskGroup group(pool, context_.stop, size_t{4} * pool.size());
  for (const auto& [pack, size] : to_read_) {
    group.run(
        [this, &mutex, id = pack, bytes = size, inner = context_.with_stop(group.stop_token())] {
          try {
            std::vector<PackedBlob> blobs = read_pack_header(inner, repository_, id, bytes);
            const std::scoped_lock lock(mutex);
            read_.push_back({id, std::move(blobs)});
          } catch (const Error& error) {
            if (!is_damage(error)) {
              throw;
            }
            const std::scoped_lock lock(mutex);
            report_.unreadable_packs.push_back(id);
          }
        });
  }
  group.wait();
  report_.packs_read = to_read_.size();
  // What an index says of a pack whose own header is gone is all there is to save its blobs by.
  for (const PackId& pack : report_.unreadable_packs) {
    const auto known = listed_.find(pack);
    if (!read_all_ && known != listed_.end() && !known->second.conflict) {
      drop_.erase(pack);
    }
  }
}

void IndexRepairRun::replace() {
  const bool tidy = std::any_of(listed_.begin(), listed_.end(),
                                [](const auto& entry) { return entry.second.twice; });
  std::vector<IndexId> obsolete = rewrite_index(
      context_, repository_, readable_, [this](const PackId& pack) { return drop_.contains(pack); },
      {.extra = read_,
       .rewrite_all = tidy || read_all_,
       .confirm_lock = options_.write.confirm_lock});
  obsolete.insert(obsolete.end(), report_.unreadable_files.begin(), report_.unreadable_files.end());
  if (!obsolete.empty()) {
    remove_index_files(context_, repository_, obsolete, options_);
  }
  report_.index_files_removed = obsolete.size();
}

// --- packs ---------------------------------------------------------------------------------------

class PackRepairRun {
 public:
  PackRepairRun(const Context& context, Repository& repository, const RepairOptions& options)
      : context_(context), repository_(repository), options_(options) {}

  PackRepair run(std::span<const PackId> packs) {
    repository_.load_index(context_);
    const PackTable table(repository_.index());
    find(packs, table);
    save_blobs();
    replace_index();
    remove_packs();
    return std::move(report_);
  }

 private:
  struct Patient {
    PackId id;
    std::optional<uint64_t> size;   // nothing: it is not stored
    std::vector<PackedBlob> blobs;  // where they may be: from the index, and from its header
  };

  void find(std::span<const PackId> packs, const PackTable& table);
  void save_blobs();
  [[nodiscard]] bool save(BlobWriter& writer, BlobReader& reader, const Patient& patient,
                          const PackedBlob& blob);
  void replace_index();
  void remove_packs();

  const Context& context_;
  Repository& repository_;
  const RepairOptions& options_;
  std::vector<Patient> patients_;
  std::unordered_set<PackId, IdHash> going_;
  PackRepair report_;
};

void PackRepairRun::find(std::span<const PackId> packs, const PackTable& table) {
  for (const PackId& pack : packs) {
    if (!going_.insert(pack).second) {
      continue;
    }
    Patient patient{pack, std::nullopt, {}};
    const std::optional<ObjectInfo> info = repository_.storage().stat(context_, pack_object(pack));
    const std::optional<size_t> number = table.find(pack);
    if (!info && !number) {
      throw Error(ErrorCode::kNotFound, "there is no pack " + pack.hex(),
                  "`salvor check` names the packs that need repair.");
    }
    if (number) {
      patient.blobs = table.blobs(*number);
    }
    if (info) {
      patient.size = info->size_bytes;
      try {
        for (const PackedBlob& blob :
             read_pack_header(context_, repository_, pack, info->size_bytes)) {
          if (std::find(patient.blobs.begin(), patient.blobs.end(), blob) == patient.blobs.end()) {
            patient.blobs.push_back(blob);
          }
        }
      } catch (const Error& error) {
        if (!is_damage(error)) {
          throw;
        }
        // The header is part of the damage; the index knows the blobs.
      }
    }
    patients_.push_back(std::move(patient));
  }
}

bool PackRepairRun::save(BlobWriter& writer, BlobReader& reader, const Patient& patient,
                         const PackedBlob& blob) {
  if (!patient.size || blob.length < kSealOverhead ||
      uint64_t{blob.offset} + blob.length > *patient.size) {
    return false;
  }
  Buffer sealed(blob.length);
  try {
    repository_.storage().get_range(context_, pack_object(patient.id), blob.offset, sealed.bytes());
  } catch (const Error& error) {
    // A bad sector (kFailed) must not end the saving of the rest.
    if (!is_damage(error) && error.code() != ErrorCode::kFailed) {
      throw;
    }
    return false;
  }
  if (!reader.verify(blob, sealed.view())) {
    return false;
  }
  writer.add_sealed(blob, sealed.view());
  return true;
}

void PackRepairRun::save_blobs() {
  WriteSession session(context_, repository_, options_.write);
  std::unordered_map<BlobHandle, bool, BlobHandleHash> saved;
  {
    const std::unique_ptr<BlobWriter> writer = session.make_writer();
    BlobReader reader(repository_);
    for (const Patient& patient : patients_) {
      for (const PackedBlob& blob : patient.blobs) {
        context_.check_stopped();
        bool& good = saved[blob.handle];
        if (!good && save(*writer, reader, patient, blob)) {
          good = true;
          ++report_.blobs_saved;
        }
      }
    }
    writer->flush();
  }
  session.finish(context_);
  for (const auto& [handle, good] : saved) {
    const std::vector<BlobLocation> copies = repository_.index().find_all(handle);
    if (!good && std::all_of(copies.begin(), copies.end(), [this](const BlobLocation& copy) {
          return going_.contains(copy.pack);
        })) {
      report_.lost.push_back(handle);
    }
  }
  std::sort(report_.lost.begin(), report_.lost.end());
}

void PackRepairRun::replace_index() {
  const std::vector<IndexId> files = list_index_files(context_, repository_);
  const std::vector<IndexId> obsolete = rewrite_index(
      context_, repository_, files, [this](const PackId& pack) { return going_.contains(pack); },
      {.confirm_lock = options_.write.confirm_lock});
  if (!obsolete.empty()) {
    remove_index_files(context_, repository_, obsolete, options_);
  }
}

void PackRepairRun::remove_packs() {
  confirm(context_, options_);
  std::vector<ObjectName> objects;
  for (const Patient& patient : patients_) {
    if (patient.size) {
      objects.push_back(pack_object(patient.id));
    }
  }
  report_.packs_removed = objects.size();
  report_.packs_removed -= remove_objects(context_, repository_, std::move(objects));
}

// --- snapshots -----------------------------------------------------------------------------------

class SnapshotRepairRun {
 public:
  SnapshotRepairRun(const Context& context, Repository& repository,
                    const SnapshotRepairOptions& options)
      : context_(context), repository_(repository), options_(options), reader_(repository) {}

  std::vector<SnapshotRepair> run(std::span<const StoredSnapshot> snapshots) {
    std::vector<SnapshotRepair> reports;
    WriteOptions write = options_.repair.write;
    write.dry_run = write.dry_run || options_.dry_run;
    WriteSession session(context_, repository_, write);
    std::vector<BlobId> roots;
    writer_ = session.make_writer();
    for (const StoredSnapshot& stored : snapshots) {
      SnapshotRepair& report = reports.emplace_back();
      report.old_id = stored.id;
      repair_trees(stored.snapshot.tree);
      const Repaired& root = done_.at(stored.snapshot.tree);
      report.root_lost = !root.id;
      roots.push_back(root.id.value_or(BlobId()));
      list_changes(stored.snapshot.tree, report);
    }
    writer_->flush();
    writer_.reset();
    session.finish(context_);
    if (!options_.dry_run) {
      replace(snapshots, roots, reports);
    }
    return reports;
  }

 private:
  // In a node of a tree, or, with `below`, somewhere in that tree as it was.
  struct Change {
    std::string name;  // empty: of the tree itself
    std::string what;
    std::optional<BlobId> below;
  };
  // What became of a tree, for the next directory or snapshot that holds it.
  struct Repaired {
    std::optional<BlobId> id;     // nothing: it cannot be read
    std::vector<Change> changes;  // in order of nodes
    uint64_t count = 0;           // of changes, with those below
  };
  // A directory on the way down; its tree is in `descent_`.
  struct Level {
    std::vector<bool> goes;  // for each node: it is impossible
    bool unsorted = false;
    size_t next = 0;  // node
    std::vector<std::pair<size_t, Node>> replaced;
    Repaired result;
  };

  void repair_trees(const BlobId& root);
  [[nodiscard]] bool enter(const BlobId& id, const std::string& name);
  static void find_impossible(const Tree& tree, Level& level);
  bool go_on();
  void take(const Node& node, const BlobId& before);
  void leave();
  void repair_content(Node node);
  [[nodiscard]] static Tree repaired(const Level& level, Tree& tree);
  BlobId store(const Tree& tree);
  void list_changes(const BlobId& root, SnapshotRepair& report) const;
  void replace(std::span<const StoredSnapshot> snapshots, std::span<const BlobId> roots,
               std::vector<SnapshotRepair>& reports);
  void note(const std::string& name, const std::string& what) { note(levels_.back(), name, what); }
  static void note(Level& level, const std::string& name, const std::string& what) {
    level.result.changes.push_back({name, what, std::nullopt});
    ++level.result.count;
  }

  const Context& context_;
  Repository& repository_;
  const SnapshotRepairOptions& options_;
  BlobReader reader_;
  std::unique_ptr<BlobWriter> writer_;
  std::optional<TreeDescent> descent_;
  std::vector<Level> levels_;
  std::unordered_map<BlobId, Repaired, IdHash> done_;
};

BlobId SnapshotRepairRun::store(const Tree& tree) {
  const std::string json = encode_tree(tree);
  const BlobId id(sha256(as_bytes(json)));
  writer_->add(BlobType::kTree, id, as_bytes(json));
  return id;
}

// Each tree once: a tree's repair does not depend on where it is.
void SnapshotRepairRun::repair_trees(const BlobId& root) {
  if (done_.contains(root)) {
    return;
  }
  descent_.emplace(context_, reader_);
  if (!enter(root, {})) {
    return;
  }
  while (!levels_.empty()) {
    context_.check_stopped();
    if (!go_on()) {
      leave();
    }
  }
}

// False when the tree cannot be read.
bool SnapshotRepairRun::enter(const BlobId& id, const std::string& name) {
  Tree tree;
  try {
    tree = reader_.load_tree(context_, id);
  } catch (const Error& error) {
    if (!is_damage(error)) {
      throw;
    }
    done_[id] = {};
    return false;
  }
  Level level;
  find_impossible(tree, level);
  descent_->enter(id, name, std::move(tree));
  levels_.push_back(std::move(level));
  return true;
}

void SnapshotRepairRun::find_impossible(const Tree& tree, Level& level) {
  const std::vector<Node>& nodes = tree.nodes;
  level.goes.resize(nodes.size());
  const auto by_name = [&](size_t left, size_t right) {
    return nodes[left].name < nodes[right].name;
  };
  std::vector<size_t> order(nodes.size());
  std::iota(order.begin(), order.end(), size_t{0});
  if (!std::is_sorted(order.begin(), order.end(), by_name)) {
    std::stable_sort(order.begin(), order.end(), by_name);
    level.unsorted = true;
    note(level, {}, "names put in order");
  }
  const Node* last = nullptr;
  for (const size_t i : order) {
    const Node& node = nodes[i];
    const bool impossible = !is_possible_name(node.name) || node.type == NodeType::kOther;
    const bool twice = last != nullptr && last->name == node.name;
    level.goes[i] = impossible || twice;
    if (level.goes[i]) {
      note(level, node.name, impossible ? "removed an impossible node" : "removed a second node");
    } else {
      last = &node;
    }
  }
}

// Goes on to the next directory to enter. False when there is none left at this level.
bool SnapshotRepairRun::go_on() {
  Level& level = levels_.back();
  while (const Node* const node = descent_->peek()) {
    if (level.goes[level.next] || (node->type != NodeType::kFile && node->type != NodeType::kDir)) {
      // stays, or goes, as it is
    } else if (node->type == NodeType::kFile) {
      repair_content(*node);
    } else {
      const BlobId subtree = node->subtree.value_or(BlobId());
      const std::string name = node->name;  // a copy: the node may be dropped
      if (!subtree.is_null() && !done_.contains(subtree) && enter(subtree, name)) {
        return true;  // and comes back to this node when that is done
      }
      take(*node, subtree);
    }
    static_cast<void>(descent_->next());
    ++level.next;
  }
  return false;
}

// A directory whose subtree has been dealt with.
void SnapshotRepairRun::take(const Node& node, const BlobId& before) {
  Level& level = levels_.back();
  const auto known = done_.find(before);
  Node changed = node;
  if (known == done_.end() || !known->second.id) {
    note(node.name, "cannot be read, is an empty directory now");
    changed.subtree = store({});
  } else {
    changed.subtree = known->second.id;
    if (known->second.count > 0) {
      level.result.changes.push_back({node.name, {}, before});
      const uint64_t room = UINT64_MAX - level.result.count;
      level.result.count += std::min(room, known->second.count);
    }
  }
  if (changed.subtree != node.subtree) {
    level.replaced.emplace_back(level.next, std::move(changed));
  }
}

// Leaves the content that is there.
void SnapshotRepairRun::repair_content(Node node) {
  std::vector<BlobId> content;
  uint64_t size = 0;
  for (const BlobId& id : node.content) {
    if (const std::optional<uint32_t> length =
            repository_.index().content_length({BlobType::kData, id})) {
      content.push_back(id);
      size += *length;
    }
  }
  if (node.content_is_null) {
    note(node.name, "had no list of content, is empty now");
  } else if (content.size() != node.content.size()) {
    note(node.name, "removed missing content");
  } else if (size != node.size) {
    note(node.name, "corrected the size");
  } else {
    return;
  }
  node.content = std::move(content);
  node.content_is_null = false;
  node.size = size;
  levels_.back().replaced.emplace_back(levels_.back().next, std::move(node));
}

Tree SnapshotRepairRun::repaired(const Level& level, Tree& tree) {
  Tree result;
  auto replaced = level.replaced.begin();
  for (size_t i = 0; i < tree.nodes.size(); ++i) {
    const bool other = replaced != level.replaced.end() && replaced->first == i;
    if (!level.goes[i]) {
      if (other) {
        result.nodes.push_back(replaced->second);
      } else {
        result.nodes.push_back(std::move(tree.nodes[i]));
      }
    }
    replaced += other ? 1 : 0;
  }
  if (level.unsorted) {
    std::stable_sort(result.nodes.begin(), result.nodes.end(),
                     [](const Node& left, const Node& right) { return left.name < right.name; });
  }
  return result;
}

void SnapshotRepairRun::leave() {
  Level& level = levels_.back();
  const BlobId before = descent_->id();
  const bool same = !level.unsorted && level.replaced.empty() &&
                    std::find(level.goes.begin(), level.goes.end(), true) == level.goes.end();
  level.result.id = same ? before : store(repaired(level, descent_->tree()));
  done_[before] = std::move(level.result);
  descent_->leave();
  levels_.pop_back();
}

// Spelled out with paths, as far as there is room: a directory that is in the snapshot a million
// times is one change here and a million there.
void SnapshotRepairRun::list_changes(const BlobId& root, SnapshotRepair& report) const {
  constexpr size_t kMostListed = 10'000;
  constexpr size_t kMostBytes = size_t{16} << 20;
  struct Place {
    const Repaired* tree;
    size_t next;
    size_t path_length;
  };
  size_t bytes = 0;
  std::string path;
  std::vector<Place> places = {{&done_.at(root), 0, 0}};
  while (!places.empty() && report.changes.size() < kMostListed && bytes < kMostBytes) {
    Place& place = places.back();
    path.resize(place.path_length);
    if (place.next == place.tree->changes.size()) {
      places.pop_back();
      continue;
    }
    const Change& change = place.tree->changes[place.next++];
    if (!change.name.empty() || change.below) {
      path += "/" + change.name;
    }
    if (change.below) {
      places.push_back({&done_.at(*change.below), 0, path.size()});
    } else {
      report.changes.push_back(path + ": " + change.what);
      bytes += report.changes.back().size();
    }
  }
  report.changes_not_listed = done_.at(root).count - report.changes.size();
}

void SnapshotRepairRun::replace(std::span<const StoredSnapshot> snapshots,
                                std::span<const BlobId> roots,
                                std::vector<SnapshotRepair>& reports) {
  for (size_t i = 0; i < snapshots.size(); ++i) {
    SnapshotRepair& report = reports[i];
    if (!report.damaged()) {
      continue;
    }
    confirm(context_, options_.repair);
    if (!report.root_lost) {
      Snapshot fresh = snapshots[i].snapshot;
      fresh.tree = roots[i];
      fresh.original = report.old_id;
      const std::string tag = "repaired";
      if (!options_.forget &&
          std::find(fresh.tags.begin(), fresh.tags.end(), tag) == fresh.tags.end()) {
        fresh.tags.push_back(tag);
      }
      report.new_id = repository_.save_snapshot(context_, fresh);
    }
    if (options_.forget) {
      confirm(context_, options_.repair);
      repository_.storage().remove(context_, snapshot_object(report.old_id));
      report.removed = true;
    }
  }
}

}  // namespace

IndexRepair repair_index(const Context& context, Repository& repository, bool read_all_packs,
                         const RepairOptions& options) {
  return IndexRepairRun(context, repository, read_all_packs, options).run();
}

PackRepair repair_packs(const Context& context, Repository& repository,
                        std::span<const PackId> packs, const RepairOptions& options) {
  return PackRepairRun(context, repository, options).run(packs);
}

std::vector<SnapshotRepair> repair_snapshots(const Context& context, Repository& repository,
                                             std::span<const StoredSnapshot> snapshots,
                                             const SnapshotRepairOptions& options) {
  return SnapshotRepairRun(context, repository, options).run(snapshots);
}

}  // namespace salvor
