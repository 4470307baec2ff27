#include "engine/repair.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <unordered_map>
#include <unordered_set>

#include "base/task.h"
#include "codec/index_codec.h"
#include "crypto/sha256.h"
#include "engine/index_rewriter.h"
#include "engine/pack_reader.h"
#include "engine/pack_table.h"
#include "repo/repository.h"

namespace salvor {
namespace {

bool is_damage(const Error& error) {
  return error.code() == ErrorCode::kDamaged || error.code() == ErrorCode::kNotFound;
}

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
      {.extra = read_, .rewrite_all = tidy || read_all_});
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
  Buffer plain(blob.content_length());
  if (!reader.decode(blob, sealed.view(), plain.bytes()) ||
      sha256(plain.view()) != blob.handle.id.digest()) {
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
      context_, repository_, files, [this](const PackId& pack) { return going_.contains(pack); });
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
      changes_ = &report.changes;
      const std::optional<BlobId> root = repair_tree(stored.snapshot.tree, "");
      report.root_lost = !root;
      roots.push_back(root.value_or(BlobId()));
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
  // What became of a tree, for the next snapshot that holds it.
  struct Repaired {
    std::optional<BlobId> id;          // nothing: it cannot be read
    std::vector<std::string> changes;  // with paths relative to it
  };

  std::optional<BlobId> repair_tree(const BlobId& tree, const std::string& path);
  [[nodiscard]] bool repair_node(Node& node, const std::string& path);
  [[nodiscard]] bool repair_content(Node& node, const std::string& path);
  BlobId store(const Tree& tree);
  void replace(std::span<const StoredSnapshot> snapshots, std::span<const BlobId> roots,
               std::vector<SnapshotRepair>& reports);
  void note(const std::string& path, const std::string& what) {
    changes_->push_back(path + ": " + what);
  }

  const Context& context_;
  Repository& repository_;
  const SnapshotRepairOptions& options_;
  BlobReader reader_;
  std::unique_ptr<BlobWriter> writer_;
  std::unordered_map<BlobId, Repaired, IdHash> done_;
  std::vector<std::string>* changes_ = nullptr;
};

BlobId SnapshotRepairRun::store(const Tree& tree) {
  const std::string json = encode_tree(tree);
  const BlobId id(sha256(as_bytes(json)));
  writer_->add(BlobType::kTree, id, as_bytes(json));
  return id;
}

// Leaves the content that is there. True when that changes the node.
bool SnapshotRepairRun::repair_content(Node& node, const std::string& path) {
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
    note(path, "had no list of content, is empty now");
  } else if (content.size() != node.content.size()) {
    note(path, "removed missing content");
  } else if (size != node.size) {
    note(path, "corrected the size");
  } else {
    return false;
  }
  node.content = std::move(content);
  node.content_is_null = false;
  node.size = size;
  return true;
}

// True when the node was changed.
bool SnapshotRepairRun::repair_node(Node& node, const std::string& path) {
  if (node.type == NodeType::kFile) {
    return repair_content(node, path);
  }
  if (node.type != NodeType::kDir) {
    return false;
  }
  std::optional<BlobId> subtree;
  if (node.subtree && !node.subtree->is_null()) {
    subtree = repair_tree(*node.subtree, path);
  }
  if (!subtree) {
    note(path, "cannot be read, is an empty directory now");
    subtree = store({});
  }
  const bool changed = subtree != node.subtree;
  node.subtree = subtree;
  return changed;
}

// The tree without what is missing or impossible: its own id when there is no such thing, nothing
// when it cannot be read. Directories nest at most as deep as a path is long.
std::optional<BlobId> SnapshotRepairRun::repair_tree(const BlobId& id, const std::string& path) {
  const auto known = done_.find(id);
  if (known != done_.end()) {
    for (const std::string& change : known->second.changes) {
      changes_->push_back(path + change);
    }
    return known->second.id;
  }
  context_.check_stopped();
  Tree tree;
  try {
    tree = reader_.load_tree(context_, id);
  } catch (const Error& error) {
    if (!is_damage(error)) {
      throw;
    }
    done_[id] = {};
    return std::nullopt;
  }
  std::vector<std::string> own_changes;
  std::vector<std::string>* const outer = std::exchange(changes_, &own_changes);
  bool changed = false;
  const auto by_name = [](const Node& left, const Node& right) { return left.name < right.name; };
  if (!std::is_sorted(tree.nodes.begin(), tree.nodes.end(), by_name)) {
    std::stable_sort(tree.nodes.begin(), tree.nodes.end(), by_name);
    note("", "names put in order");
    changed = true;
  }
  Tree repaired;
  for (Node& node : tree.nodes) {
    const std::string node_path = "/" + node.name;
    const bool impossible = node.name.empty() || node.name == "." || node.name == ".." ||
                            node.name.find('/') != std::string::npos ||
                            node.name.find('\0') != std::string::npos ||
                            node.type == NodeType::kOther;
    const bool twice = !repaired.nodes.empty() && repaired.nodes.back().name == node.name;
    if (impossible || twice) {
      note(node_path, impossible ? "removed an impossible node" : "removed a second node");
      changed = true;
      continue;
    }
    std::vector<std::string> node_changes;
    std::vector<std::string>* const here = std::exchange(changes_, &node_changes);
    changed = repair_node(node, node_path) || changed;
    changes_ = here;
    own_changes.insert(own_changes.end(), node_changes.begin(), node_changes.end());
    repaired.nodes.push_back(std::move(node));
  }
  changes_ = outer;
  for (const std::string& change : own_changes) {
    changes_->push_back(path + change);
  }
  const BlobId result = changed ? store(repaired) : id;
  done_[id] = {result, std::move(own_changes)};
  return result;
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
