// Naming snapshots: by id prefix, "latest", host, tags, paths, and "id:subfolder". The rules are
// restic's, judged against the real program in tests.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/context.h"
#include "engine/snapshots/retention.h"
#include "model/snapshot.h"
#include "repo/repository.h"

namespace salvor {

struct SnapshotFilter {
  std::vector<std::string> hosts;  // any of them; empty: all
  std::vector<TagList> tags;       // any of the lists, of which all; empty: all
  std::vector<std::string> paths;  // all of them
  std::optional<WallTime> not_after;

  [[nodiscard]] bool empty() const;
  [[nodiscard]] bool matches(const Snapshot& snapshot) const;
  // "host a, tags [x,y], paths [/z]", for messages.
  [[nodiscard]] std::string text() const;
};

// From the words of --host, --tag and --path. A single empty host means "any", whatever a default
// says; trailing slashes of paths do not count.
[[nodiscard]] SnapshotFilter make_snapshot_filter(std::span<const std::string> hosts,
                                                  std::span<const std::string> tags,
                                                  std::span<const std::string> paths);

// "1a2b3c4d:sub/folder" or "latest".
struct SnapshotArgument {
  std::string id;
  std::string subfolder;  // "" when none was given
};
[[nodiscard]] SnapshotArgument split_snapshot_argument(std::string_view text);

// The newest snapshot that matches; of equally old ones the one with the greater id, so that the
// answer does not depend on the order of a listing.
[[nodiscard]] std::optional<StoredSnapshot> newest_match(std::span<const StoredSnapshot> snapshots,
                                                         const SnapshotFilter& filter);

// The one snapshot that `id` names: "latest" (newest match of `filter`), or a full id or
// unambiguous prefix, for which the filter does not count. Throws Error{kNotFound} when there is
// none, Error{kUsage} when a prefix is ambiguous.
[[nodiscard]] StoredSnapshot find_snapshot(const Context& context, const Repository& repository,
                                           std::string_view id, const SnapshotFilter& filter);

// The full id of the object of a kind that `prefix` names. Throws as find_snapshot.
[[nodiscard]] std::string find_object_name(const Context& context, Storage& storage,
                                           ObjectKind kind, std::string_view prefix);

struct SnapshotSelection {
  std::vector<StoredSnapshot> snapshots;  // oldest first when selected by filter, else as named
  struct Ignored {
    std::string argument;
    std::string reason;
  };
  // Names that name nothing: reported, the others are still handled (as restic).
  std::vector<Ignored> ignored;
  bool filter_ignored = false;  // ids were given, so the filter did not count
};

// The snapshots that a command works on: those named by `ids`, or all that match when there are
// none. Each comes once. Unreadable snapshots go to `unreadable`; without it the first one throws.
// One that is damaged can still be named by its id, but makes "latest" throw.
[[nodiscard]] SnapshotSelection select_snapshots(
    const Context& context, const Repository& repository, std::span<const std::string> ids,
    const SnapshotFilter& filter, std::vector<UnreadableObject>* unreadable = nullptr);

// The tree at `subfolder` below `root` ("" or "/": root itself). Blobs must be readable (index
// loaded). Throws Error{kNotFound} when the path does not exist or is not a directory.
[[nodiscard]] BlobId find_subfolder(const Context& context, BlobReader& reader, const BlobId& root,
                                    std::string_view subfolder);

}  // namespace salvor
