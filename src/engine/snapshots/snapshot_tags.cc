#include "engine/snapshots/snapshot_tags.h"

#include <algorithm>

namespace salvor {

bool apply_tags(Snapshot& snapshot, const TagChange& change) {
  std::vector<std::string> tags = change.set ? *change.set : snapshot.tags;
  for (const std::string& tag : change.add) {
    if (std::find(tags.begin(), tags.end(), tag) == tags.end()) {
      tags.push_back(tag);
    }
  }
  for (const std::string& tag : change.remove) {
    std::erase(tags, tag);
  }
  if (tags == snapshot.tags) {
    return false;
  }
  snapshot.tags = std::move(tags);
  return true;
}

SnapshotId replace_snapshot(const Context& context, const Repository& repository,
                            const RepositoryLock& lock, const StoredSnapshot& old,
                            Snapshot changed) {
  if (!changed.original) {
    changed.original = old.id;
  }
  lock.confirm(context);  // whoever removed it may have removed what the snapshot needs
  const SnapshotId id = repository.save_snapshot(context, changed);
  lock.confirm(context);
  repository.storage().remove(context, snapshot_object(old.id));
  return id;
}

}  // namespace salvor
