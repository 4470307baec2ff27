#include "engine/maintenance/damage_map.h"

#include <algorithm>
#include <mutex>

#include "engine/maintenance/used_blobs.h"
#include "engine/reading/tree_descent.h"
#include "repo/repository.h"

namespace salvor {

class DamageMap::Trace {
 public:
  Trace(const Context& context, const Repository& repository, const DamageMap& map,
        std::vector<Finding>& findings)
      : context_(context),
        repository_(repository),
        damage_(map.damage_),
        findings_(findings),
        reader_(repository) {}

  void run(std::span<const StoredSnapshot> snapshots, unsigned threads) {
    survey(snapshots, threads);
    climb();
    for (const StoredSnapshot& stored : snapshots) {
      const BlobId& root = stored.snapshot.tree;
      if (const auto found = damage_.find({BlobType::kTree, root}); found != damage_.end()) {
        findings_[found->second].snapshots.push_back(stored.id);
        ++findings_[found->second].file_count;
        list(stored.id, found->second, "/");
        continue;
      }
      if (!hits_.contains(root)) {
        continue;
      }
      for (const Hit& hit : total(root)) {
        findings_[hit.finding].snapshots.push_back(stored.id);
        uint64_t& files = findings_[hit.finding].file_count;
        files = add_capped(files, hit.files);
      }
      spell_out(stored.id, root);
    }
  }

 private:
  struct Edge {
    BlobId child;
    BlobId parent;
  };
  struct Hit {
    size_t finding;
    uint64_t files;
  };
  // Damage that a tree holds directly; with everything below it once `totalled`.
  struct Hits {
    std::vector<Hit> list;
    bool totalled = false;
  };

  void survey(std::span<const StoredSnapshot> snapshots, unsigned threads);
  void climb();
  const std::vector<Hit>& total(const BlobId& root);
  [[nodiscard]] bool has_room(const BlobId& tree) const;
  void spell_out(const SnapshotId& snapshot, const BlobId& root);
  void list(const SnapshotId& snapshot, size_t finding, const std::string& path);

  // A tree that is in others again and again is hit more often than can be counted.
  static uint64_t add_capped(uint64_t left, uint64_t right) {
    return left > UINT64_MAX - right ? UINT64_MAX : left + right;
  }

  static void add(std::vector<Hit>& hits, size_t finding, uint64_t files) {
    for (Hit& hit : hits) {
      if (hit.finding == finding) {
        hit.files = add_capped(hit.files, files);
        return;
      }
    }
    hits.push_back({finding, files});
  }

  // The findings that a node is hit by, each once: a file may need many blobs of one damaged pack.
  [[nodiscard]] std::vector<size_t> damage_of(const Node& node) const {
    std::vector<size_t> found;
    const auto look = [&](const BlobHandle& handle) {
      if (const auto it = damage_.find(handle); it != damage_.end()) {
        found.push_back(it->second);
      }
    };
    if (node.type == NodeType::kFile) {
      for (const BlobId& content : node.content) {
        look({BlobType::kData, content});
      }
    } else if (node.type == NodeType::kDir && node.subtree) {
      look({BlobType::kTree, *node.subtree});
    }
    std::sort(found.begin(), found.end());
    found.erase(std::unique(found.begin(), found.end()), found.end());
    return found;
  }

  const Context& context_;
  const Repository& repository_;
  const std::unordered_map<BlobHandle, size_t, BlobHandleHash>& damage_;
  std::vector<Finding>& findings_;
  BlobReader reader_;
  std::vector<Edge> edges_;
  std::unordered_map<BlobId, Hits, IdHash> hits_;  // trees with damage in or below them
};

void DamageMap::Trace::survey(std::span<const StoredSnapshot> snapshots, unsigned threads) {
  std::mutex mutex;
  TreeWalkHandlers handlers;
  handlers.on_tree = [&](const BlobId& id, const Tree& tree) {
    std::vector<Hit> direct;
    std::vector<Edge> edges;
    for (const Node& node : tree.nodes) {
      const std::vector<size_t> damage = damage_of(node);
      for (const size_t finding : damage) {
        add(direct, finding, 1);
      }
      if (damage.empty() && node.type == NodeType::kDir && node.subtree) {
        edges.push_back({*node.subtree, id});
      }
    }
    const std::scoped_lock lock(mutex);
    if (!direct.empty()) {
      hits_[id].list = std::move(direct);
    }
    edges_.insert(edges_.end(), edges.begin(), edges.end());
  };
  handlers.on_unreadable = [](const BlobId&, const Error&) {};
  handlers.on_missing = [](const BlobId&, const Node&, const BlobHandle&) {};
  std::vector<BlobId> roots;
  for (const StoredSnapshot& stored : snapshots) {
    roots.push_back(stored.snapshot.tree);
  }
  EntrySet seen(repository_.index().entry_count());
  mark_used_blobs(context_, repository_, roots, threads, handlers, seen);
}

// Enters every tree on the way to damage into `hits_`; of the edges only those between such trees
// remain, sorted by parent.
void DamageMap::Trace::climb() {
  std::sort(edges_.begin(), edges_.end(),
            [](const Edge& left, const Edge& right) { return left.child < right.child; });
  std::vector<BlobId> pending;
  for (const auto& [tree, hits] : hits_) {
    pending.push_back(tree);
  }
  while (!pending.empty()) {
    const BlobId child = pending.back();
    pending.pop_back();
    auto edge = std::lower_bound(edges_.begin(), edges_.end(), child,
                                 [](const Edge& e, const BlobId& id) { return e.child < id; });
    for (; edge != edges_.end() && edge->child == child; ++edge) {
      if (hits_.try_emplace(edge->parent).second) {
        pending.push_back(edge->parent);
      }
    }
  }
  std::erase_if(edges_, [&](const Edge& edge) { return !hits_.contains(edge.child); });
  std::sort(edges_.begin(), edges_.end(),
            [](const Edge& left, const Edge& right) { return left.parent < right.parent; });
}

// Trees cannot form a circle (a tree's id is the hash of its content, ids of subtrees included).
const std::vector<DamageMap::Trace::Hit>& DamageMap::Trace::total(const BlobId& root) {
  struct Place {
    BlobId tree;
    std::vector<Edge>::const_iterator edge;
  };
  std::vector<Place> places;
  const auto enter = [&](const BlobId& tree) {
    places.push_back({tree, std::lower_bound(edges_.cbegin(), edges_.cend(), tree,
                                             [](const Edge& edge, const BlobId& id) {
                                               return edge.parent < id;
                                             })});
  };
  if (!hits_.at(root).totalled) {
    enter(root);
  }
  while (!places.empty()) {
    Place& place = places.back();
    Hits& hits = hits_.at(place.tree);
    if (place.edge == edges_.cend() || place.edge->parent != place.tree) {
      hits.totalled = true;
      places.pop_back();
    } else if (const Hits& below = hits_.at(place.edge->child); below.totalled) {
      for (const Hit& hit : below.list) {
        add(hits.list, hit.finding, hit.files);
      }
      ++place.edge;
    } else {
      enter(place.edge->child);  // and comes back to this edge
    }
  }
  return hits_.at(root).list;
}

// Whether any finding in or below a tree has room for more paths.
bool DamageMap::Trace::has_room(const BlobId& tree) const {
  const auto found = hits_.find(tree);
  return found != hits_.end() &&
         std::any_of(found->second.list.begin(), found->second.list.end(), [&](const Hit& hit) {
           return findings_[hit.finding].files.size() < kFilesPerFinding;
         });
}

// Lists paths as long as there is room: every directory that is entered leads to one more.
void DamageMap::Trace::spell_out(const SnapshotId& snapshot, const BlobId& root) {
  TreeDescent descent(context_, reader_);
  const auto enter = [&](const BlobId& tree, const std::string& name) {
    if (!has_room(tree)) {
      return;
    }
    Tree nodes = reader_.load_tree(context_, tree);  // it could be read a moment ago
    try {
      descent.enter(tree, name, std::move(nodes));
    } catch (const Error&) {
      // Nested too deeply to be spelled out; what is there has been counted.
    }
  };
  enter(root, {});
  while (!descent.done()) {
    context_.check_stopped();
    const Node* const node = descent.next();
    if (node == nullptr) {
      descent.leave();
      continue;
    }
    const std::vector<size_t> damage = damage_of(*node);
    for (const size_t finding : damage) {
      list(snapshot, finding, descent.path() + "/" + node->name);
    }
    if (damage.empty() && node->type == NodeType::kDir && node->subtree) {
      const BlobId subtree = *node->subtree;
      const std::string name = node->name;  // copies: the node may be dropped
      enter(subtree, name);
    }
  }
}

void DamageMap::Trace::list(const SnapshotId& snapshot, size_t finding, const std::string& path) {
  std::vector<AffectedFile>& files = findings_[finding].files;
  if (files.size() < kFilesPerFinding) {
    files.push_back({snapshot, path});
  }
}

void DamageMap::trace(const Context& context, const Repository& repository,
                      std::span<const StoredSnapshot> snapshots, unsigned threads,
                      std::vector<Finding>& findings) const {
  if (!empty()) {
    Trace(context, repository, *this, findings).run(snapshots, threads);
  }
}

}  // namespace salvor
