#include "engine/snapshots/stats.h"

#include <algorithm>
#include <set>
#include <string>
#include <thread>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "crypto/sha256.h"
#include "engine/maintenance/used_blobs.h"
#include "engine/reading/tree_walk.h"

namespace salvor {
namespace {

BlobId content_fingerprint(const Node& node) {
  Sha256 hash;
  for (const BlobId& id : node.content) {
    hash.update(id.bytes());
  }
  return BlobId(hash.finish());
}

uint64_t blob_size(const Repository& repository, const BlobId& id) {
  const std::optional<uint32_t> size = repository.index().content_length({BlobType::kData, id});
  if (!size) {
    throw Error(ErrorCode::kDamaged, "data blob " + id.short_hex() + " is not in the index",
                "Run `salvor check`, then `salvor repair index`.");
  }
  return *size;
}

// Counts nodes in the modes that look at files.
class FileCounter {
 public:
  FileCounter(const Repository& repository, StatsMode mode, Stats& stats)
      : repository_(repository), mode_(mode), stats_(stats) {}

  void begin_snapshot() { hard_links_.clear(); }

  void count(const std::string& path, const Node& node) {
    if (mode_ == StatsMode::kRestoreSize) {
      count_for_restore(node);
    } else if (contents_.insert(content_fingerprint(node)).second) {
      if (mode_ == StatsMode::kFilesByContents) {
        stats_.size_bytes += node.size;
        ++stats_.files;
      } else {
        count_blobs(path, node);
      }
    }
  }

  // Whether a directory can hold anything that is not counted yet: by contents, each tree counts
  // once, and so does what two snapshots share.
  [[nodiscard]] bool is_news(const Node& node) {
    return mode_ == StatsMode::kRestoreSize || !node.subtree || trees_.insert(*node.subtree).second;
  }

 private:
  void count_for_restore(const Node& node) {
    ++stats_.files;
    const bool single = node.links == 1 || node.type == NodeType::kDir || node.inode == 0;
    if (single || hard_links_.insert({node.inode, node.device_id}).second) {
      stats_.size_bytes += node.size;
    }
  }

  void count_blobs(const std::string& path, const Node& node) {
    for (const BlobId& id : node.content) {
      auto& seen = blobs_of_path_[path];
      stats_.files += seen.empty() ? 1 : 0;
      if (seen.insert(id).second) {
        stats_.size_bytes += blob_size(repository_, id);
        ++stats_.blobs;
      }
    }
  }

  const Repository& repository_;
  const StatsMode mode_;
  Stats& stats_;
  std::set<std::pair<uint64_t, uint64_t>> hard_links_;
  std::unordered_set<BlobId, IdHash> contents_;
  std::unordered_set<BlobId, IdHash> trees_;
  std::unordered_map<std::string, std::unordered_set<BlobId, IdHash>> blobs_of_path_;
};

void count_raw_data(const Context& context, const Repository& repository,
                    std::span<const StoredSnapshot> snapshots, Stats& stats) {
  std::vector<BlobId> roots;
  for (const StoredSnapshot& stored : snapshots) {
    roots.push_back(stored.snapshot.tree);
  }
  const Index& index = repository.index();
  EntrySet used(index.entry_count());
  mark_used_blobs(context, repository, roots, std::max(1U, std::thread::hardware_concurrency()), {},
                  used);
  for (Index::EntryNumber number = 0; number < used.capacity(); ++number) {
    if (!used.contains(number)) {
      continue;
    }
    const PackedBlob blob = index.entry(number).blob;
    const uint64_t uncompressed = uint64_t{blob.content_length()} + kSealOverhead;
    ++stats.blobs;
    stats.size_bytes += blob.length;
    stats.uncompressed_bytes += uncompressed;
    if (blob.compressed()) {
      stats.compressed_blobs_bytes += blob.length;
      stats.compressed_blobs_uncompressed_bytes += uncompressed;
    }
  }
}

}  // namespace

Stats count_stats(const Context& context, const Repository& repository,
                  std::span<const StoredSnapshot> snapshots, StatsMode mode) {
  Stats stats;
  stats.snapshots = snapshots.size();
  if (mode == StatsMode::kRawData) {
    count_raw_data(context, repository, snapshots, stats);
    return stats;
  }
  BlobReader reader(repository);
  FileCounter counter(repository, mode, stats);
  for (const StoredSnapshot& stored : snapshots) {
    counter.begin_snapshot();
    try {
      walk_tree(context, reader, stored.snapshot.tree, "",
                [&](const NodePlace& place, const Node& node) {
                  counter.count(place.path, node);
                  return counter.is_news(node) ? Descend::kYes : Descend::kNo;
                });
    } catch (Error& error) {
      error.within("snapshot " + stored.id.short_hex());
      throw;
    }
  }
  return stats;
}

}  // namespace salvor
