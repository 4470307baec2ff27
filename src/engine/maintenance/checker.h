// Looks whether a repository is whole, and says what is hit when it is not (requirements V1, V2).
//
// What is looked at: every index file decodes; every pack it lists exists, once, with the size that
// follows from its blobs; every snapshot decodes; every tree they reach decodes and is valid; every
// blob these need is listed; keys and locks parse. On request the packs are read too (engine/
// pack_reader.h). Damage is a value, not an exception: the check goes on to the end.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/context.h"
#include "model/snapshot.h"
#include "storage/storage.h"

namespace salvor {

class Repository;

enum class FindingKind : uint8_t {
  kIndexUnreadable,     // an index file does not verify or decode
  kIndexConflict,       // index files list different blobs for one pack
  kPackMissing,         // listed, not there
  kPackSize,            // there, with another size than listed
  kPackDamaged,         // its bytes do not verify
  kPackUnreadable,      // the storage could not deliver it
  kBlobMissing,         // needed by snapshots, and no index lists it
  kSnapshotUnreadable,  // does not verify or decode
  kTreeUnreadable,      // no pack holds it undamaged, or it does not decode
  kTreeInvalid,         // it decodes, but what it says is not possible
  kKeyUnreadable,
  kLockUnreadable,
  // Notes, not errors:
  kPackUnreferenced,  // no index lists it: left by an interrupted run, or being written
  kPackTwice,         // listed by two index files, alike
  kPackMixed,         // trees and data in one pack
};

[[nodiscard]] std::string_view finding_kind_name(FindingKind kind);  // "pack-missing" ...

// A file or directory of a snapshot that cannot be restored as it was.
struct AffectedFile {
  SnapshotId snapshot;
  std::string path;  // "/a/b", raw bytes
};

struct Finding {
  FindingKind kind = FindingKind::kIndexUnreadable;
  std::string object;                 // full name: "pack 1a2b...", "tree ...", "data blob ..."
  std::string what;                   // what is wrong with it, in words
  std::string advice;                 // what to do about it; a sentence or more
  std::vector<SnapshotId> snapshots;  // all that are hit
  std::vector<AffectedFile> files;    // at most kFilesPerFinding of them
  uint64_t file_count = 0;            // how many there are

  [[nodiscard]] bool is_error() const { return kind < FindingKind::kPackUnreferenced; }
};

inline constexpr size_t kFilesPerFinding = 20;
// Errors beyond this many are counted, not listed: a lost disk must not fill the memory.
inline constexpr size_t kFindingLimit = 10000;

// Which packs to read.
struct ReadNothing {};
struct ReadAll {};
struct ReadPart {  // part `part` of `parts`, by the first byte of the pack's name, as restic
  unsigned part;
  unsigned parts;  // at most 256
};
struct ReadPercent {  // chosen at random
  double percent;
};
struct ReadBytes {  // about so many, chosen at random
  uint64_t bytes;
};
using ReadSubset = std::variant<ReadNothing, ReadAll, ReadPart, ReadPercent, ReadBytes>;

// "n/t", "x%", or a size. Throws Error{kUsage}.
[[nodiscard]] ReadSubset parse_read_subset(std::string_view text);

// Read at any time from any thread. Totals are known once their phase has begun.
struct CheckProgress {
  std::atomic<uint64_t> trees = 0;
  std::atomic<uint64_t> packs_read = 0;
  std::atomic<uint64_t> packs_to_read = 0;
  std::atomic<uint64_t> bytes_read = 0;
  std::atomic<uint64_t> bytes_to_read = 0;
  std::atomic<uint64_t> plain_bytes = 0;  // verified content
};

struct CheckOptions {
  ReadSubset read = ReadNothing{};
  // Only these, and only the packs they need are read; nothing: all snapshots.
  std::optional<std::vector<SnapshotId>> snapshots;
  unsigned threads = 2;
  CheckProgress* progress = nullptr;
};

struct CheckReport {
  std::vector<Finding> findings;     // errors first, each kind in the order of its objects
  uint64_t errors = 0;               // how many errors there are, listed or not
  std::vector<PackId> broken_packs;  // what `repair packs` should be given
  bool suggest_repair_index = false;
  bool suggest_prune = false;
  uint64_t snapshots = 0;
  uint64_t trees = 0;
  uint64_t blobs = 0;
  uint64_t packs = 0;
  uint64_t packs_read = 0;
  uint64_t bytes_read = 0;
  uint64_t plain_bytes = 0;

  [[nodiscard]] bool ok() const { return errors == 0; }
};

// Loads the index anew and checks. Hold a lock (restic: exclusive): objects that come and go
// meanwhile would be taken for damage. Throws only when the check itself cannot go on: stopped, or
// the storage fails as a whole.
class Checker {
 public:
  Checker(const Context& context, Repository& repository, CheckOptions options);
  ~Checker();
  [[nodiscard]] CheckReport run();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace salvor
