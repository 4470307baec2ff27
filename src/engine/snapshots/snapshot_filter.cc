#include "engine/snapshots/snapshot_filter.h"

#include <algorithm>
#include <set>

#include "base/format.h"
#include "model/text_file.h"

namespace salvor {

namespace {

std::string without_trailing_slashes(std::string_view path) {
  while (path.size() > 1 && path.back() == '/') {
    path.remove_suffix(1);
  }
  return std::string(path);
}

bool contains(const std::vector<std::string>& list, const std::string& item) {
  return std::find(list.begin(), list.end(), item) != list.end();
}

bool is_newer(const StoredSnapshot& a, const StoredSnapshot& b) {
  if (!a.snapshot.time.same_instant(b.snapshot.time)) {
    return b.snapshot.time.before(a.snapshot.time);
  }
  return a.id > b.id;
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) {
    text += (text.empty() ? "" : ",") + word;
  }
  return text;
}

Error nothing_matches(const SnapshotFilter& filter) {
  return {
      ErrorCode::kNotFound,
      filter.empty() ? "the repository has no snapshots" : "no snapshot matches " + filter.text(),
      "\"salvor snapshots\" lists what there is."};
}

}  // namespace

bool SnapshotFilter::empty() const {
  return hosts.empty() && tags.empty() && paths.empty() && !not_after;
}

bool SnapshotFilter::matches(const Snapshot& snapshot) const {
  const bool host_matches = hosts.empty() || contains(hosts, snapshot.hostname);
  const bool tags_match =
      tags.empty() || std::any_of(tags.begin(), tags.end(), [&](const TagList& list) {
        return has_all_tags(snapshot, list);
      });
  const bool paths_match = std::all_of(paths.begin(), paths.end(), [&](const std::string& path) {
    return contains(snapshot.paths, path) ||
           std::ranges::any_of(snapshot.paths,
                               [&](const auto& one) { return clean_path(one) == path; });
  });
  return host_matches && tags_match && paths_match &&
         (!not_after || snapshot.time.wall() <= *not_after);
}

std::string SnapshotFilter::text() const {
  std::string text;
  const auto add = [&](const std::string& part) { text += (text.empty() ? "" : ", ") + part; };
  if (!hosts.empty()) {
    add("host [" + joined(hosts) + "]");
  }
  for (const TagList& list : tags) {
    add("tags [" + joined(list) + "]");
  }
  if (!paths.empty()) {
    add("paths [" + joined(paths) + "]");
  }
  if (not_after) {
    add("the latest time asked for");
  }
  return text;
}

SnapshotFilter make_snapshot_filter(std::span<const std::string> hosts,
                                    std::span<const std::string> tags,
                                    std::span<const std::string> paths) {
  SnapshotFilter filter;
  if (hosts.size() != 1 || !hosts[0].empty()) {
    filter.hosts.assign(hosts.begin(), hosts.end());
  }
  for (const std::string& list : tags) {
    filter.tags.push_back(parse_tag_list(list));
  }
  for (const std::string& path : paths) {
    filter.paths.push_back(without_trailing_slashes(path));
  }
  return filter;
}

SnapshotArgument split_snapshot_argument(std::string_view text) {
  const size_t colon = text.find(':');
  if (colon == std::string_view::npos) {
    return {std::string(text), ""};
  }
  return {std::string(text.substr(0, colon)), std::string(text.substr(colon + 1))};
}

std::optional<StoredSnapshot> newest_match(std::span<const StoredSnapshot> snapshots,
                                           const SnapshotFilter& filter) {
  const StoredSnapshot* newest = nullptr;
  for (const StoredSnapshot& candidate : snapshots) {
    if (filter.matches(candidate.snapshot) && (newest == nullptr || is_newer(candidate, *newest))) {
      newest = &candidate;
    }
  }
  return newest == nullptr ? std::nullopt : std::optional(*newest);
}

std::string find_object_name(const Context& context, Storage& storage, ObjectKind kind,
                             std::string_view prefix) {
  const std::string kind_name(object_kind_name(kind));
  std::vector<std::string> found;
  if (!prefix.empty()) {
    storage.list(context, kind, [&](const ObjectInfo& info) {
      if (info.name.starts_with(prefix)) {
        found.push_back(info.name);
      }
    });
  }
  if (found.empty()) {
    throw Error(ErrorCode::kNotFound,
                "no " + kind_name + " has an id that begins with \"" + printable(prefix) + "\"");
  }
  if (found.size() > 1) {
    throw Error(ErrorCode::kUsage,
                std::to_string(found.size()) + " " + kind_name + " ids begin with \"" +
                    printable(prefix) + "\"",
                "Give more digits of the id.");
  }
  return found[0];
}

namespace {

// From a full id or an unambiguous prefix.
SnapshotId find_id(const Context& context, const Repository& repository, std::string_view prefix) {
  const std::string name =
      find_object_name(context, repository.storage(), ObjectKind::kSnapshot, prefix);
  const auto id = SnapshotId::parse(name);
  if (!id) {
    throw Error(ErrorCode::kDamaged, "the snapshot \"" + name + "\" has a name that is not an id");
  }
  return *id;
}

// Nothing when it is damaged, which is told in `unreadable`; without that it throws. Where
// another snapshot is damaged nobody knows which is the latest: that throws always.
std::optional<StoredSnapshot> find_named(const Context& context, const Repository& repository,
                                         std::string_view text, const SnapshotFilter& filter,
                                         std::vector<UnreadableObject>* unreadable) {
  if (text == "latest" || unreadable == nullptr) {
    return find_snapshot(context, repository, text, filter);
  }
  const SnapshotId id = find_id(context, repository, text);
  try {
    return StoredSnapshot{id, repository.load_snapshot(context, id)};
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kDamaged) {
      throw;
    }
    const bool known = std::ranges::any_of(*unreadable, [&](const UnreadableObject& one) {
      return one.object == snapshot_object(id);
    });
    if (!known) {
      unreadable->push_back({snapshot_object(id), error.message()});
    }
    return std::nullopt;
  }
}

}  // namespace

StoredSnapshot find_snapshot(const Context& context, const Repository& repository,
                             std::string_view id, const SnapshotFilter& filter) {
  if (id == "latest") {
    std::vector<UnreadableObject> unreadable;
    const std::vector<StoredSnapshot> all = repository.load_snapshots(context, &unreadable);
    if (!unreadable.empty()) {
      throw Error(ErrorCode::kDamaged,
                  unreadable.front().reason + ", so that nobody knows which is the latest",
                  "Name a snapshot by its id: `salvor snapshots` lists those that can be read. "
                  "`salvor check` says what is affected.");
    }
    if (auto newest = newest_match(all, filter)) {
      return *newest;
    }
    throw nothing_matches(filter);
  }
  const SnapshotId found = find_id(context, repository, id);
  return {found, repository.load_snapshot(context, found)};
}

SnapshotSelection select_snapshots(const Context& context, const Repository& repository,
                                   std::span<const std::string> ids, const SnapshotFilter& filter,
                                   std::vector<UnreadableObject>* unreadable) {
  SnapshotSelection selection;
  if (ids.empty()) {
    for (StoredSnapshot& candidate : repository.load_snapshots(context, unreadable)) {
      if (filter.matches(candidate.snapshot)) {
        selection.snapshots.push_back(std::move(candidate));
      }
    }
    return selection;
  }
  std::set<SnapshotId> seen;
  bool filter_used = false;
  for (const std::string& argument : ids) {
    const SnapshotArgument split = split_snapshot_argument(argument);
    try {
      if (!split.subfolder.empty()) {
        throw Error(ErrorCode::kUsage, "a subfolder cannot be named here");
      }
      filter_used = filter_used || split.id == "latest";
      std::optional<StoredSnapshot> found =
          find_named(context, repository, split.id, filter, unreadable);
      if (found && seen.insert(found->id).second) {
        selection.snapshots.push_back(std::move(*found));
      }
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kNotFound && error.code() != ErrorCode::kUsage) {
        throw;
      }
      selection.ignored.push_back({argument, error.message()});
    }
  }
  selection.filter_ignored = !filter_used && !filter.empty();
  return selection;
}

BlobId find_subfolder(const Context& context, BlobReader& reader, const BlobId& root,
                      std::string_view subfolder) {
  BlobId tree = root;
  const std::string whole(subfolder);
  while (!subfolder.empty()) {
    const size_t end = std::min(subfolder.find('/'), subfolder.size());
    const std::string_view part = subfolder.substr(0, end);
    subfolder.remove_prefix(std::min(end + 1, subfolder.size()));
    if (part.empty() || part == ".") {
      continue;
    }
    context.check_stopped();
    const Tree loaded = reader.load_tree(context, tree);
    const Node* node = loaded.find(part);
    if (node == nullptr) {
      throw Error(ErrorCode::kNotFound,
                  "path \"" + printable(whole) + "\" does not exist in the snapshot: no \"" +
                      printable(part) + "\"",
                  "\"salvor ls\" shows the paths of a snapshot.");
    }
    if (node->type != NodeType::kDir || !node->subtree) {
      throw Error(ErrorCode::kNotFound,
                  "path \"" + printable(whole) + "\" is not a directory in the snapshot");
    }
    tree = *node->subtree;
  }
  return tree;
}

}  // namespace salvor
