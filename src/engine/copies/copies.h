// Which snapshots are in how many places, counted from what the places hold: the 3-2-1-1-0 rule
// (three copies with the original, two kinds of storage, one elsewhere, one that cannot be changed,
// zero errors).
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/context.h"
#include "model/snapshot.h"
#include "repo/repository.h"

namespace salvor {

struct CopyPlace {
  std::string kind;               // "local", "s3", ...
  bool offsite = false;           // on another machine
  std::optional<bool> immutable;  // nothing: not known
  uint64_t errors = 0;  // snapshots that cannot be read, packs that are missing or too short
  std::vector<StoredSnapshot> snapshots;
};

// One state of the data, wherever it is. Copies have other ids than what they were copied from:
// they are the same when they come from one snapshot (`original`) and have the same tree.
struct CopiedSnapshot {
  StoredSnapshot snapshot;     // as in the first place that has it
  std::vector<size_t> places;  // ascending
};
// Oldest first.
[[nodiscard]] std::vector<CopiedSnapshot> match_copies(std::span<const CopyPlace> places);

// Each but the errors is that of the snapshot that has the fewest, which need not be the same one:
// an old snapshot that is safe does not make the newest safe. Nothing without snapshots.
struct CopyRule {
  size_t copies = 0;               // the original included
  size_t kinds = 0;                // of storage; the original's disk is one, "local"
  size_t offsite = 0;              // places
  size_t immutable = 0;            // places
  uint64_t errors = 0;             // of all places
  [[nodiscard]] bool met() const;  // 3-2-1-1-0
};
[[nodiscard]] CopyRule count_rule(std::span<const CopyPlace> places,
                                  std::span<const CopiedSnapshot> snapshots);

// Packs that the index lists and the storage does not have in full length. The index must be
// loaded.
[[nodiscard]] uint64_t count_lost_packs(const Context& context, Repository& repository);

// "s3" of "s3:https://...", "local" of a path.
[[nodiscard]] std::string place_kind(std::string_view location);
// The same text for two locations of one repository, as far as they say it: paths lead to one
// directory; addresses differ in nothing but the user, the protocol, the usual port, the case of
// the host and slashes.
[[nodiscard]] std::string place_key(std::string_view location);
// Whether the location is on another machine than this one, as far as its text says: not a path,
// and not a loopback address or `hostname`.
[[nodiscard]] bool is_offsite(std::string_view location, std::string_view hostname);

}  // namespace salvor
