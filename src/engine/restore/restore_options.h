// What is restored, and how.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "model/path_pattern.h"

namespace salvor {

// What happens to a file that exists already.
enum class Overwrite : uint8_t {
  kAlways,     // its content becomes the snapshot's; parts that are right already are not written
  kIfChanged,  // the same, but equal size and modification time count as equal content
  kIfNewer,    // only when the snapshot's is newer
  kNever,
};

// Which items are restored, by their path in the snapshot. Includes and excludes are not combined.
struct RestoreSelection {
  PathPatterns includes;
  PathPatterns insensitive_includes;
  PathPatterns excludes;
  PathPatterns insensitive_excludes;

  struct Answer {
    bool selected = true;
    bool descend = true;  // something below may be selected
  };
  [[nodiscard]] bool empty() const {
    return includes.empty() && insensitive_includes.empty() && excludes.empty() &&
           insensitive_excludes.empty();
  }
  [[nodiscard]] Answer ask(std::string_view location, bool is_directory) const;
};

struct RestoreOptions {
  std::string target;
  RestoreSelection selection;
  Overwrite overwrite = Overwrite::kAlways;
  bool delete_unexpected = false;  // what the target has and the snapshot has not
  bool sparse = false;             // runs of zeros become holes
  bool dry_run = false;
  bool verify = false;  // read everything again that was written
  bool ownership_by_name = false;
  std::function<bool(const std::string& name)> attribute_wanted;  // extended attributes; empty: all
  unsigned threads = 0;                    // 0: one for each processor, more for remote storage
  size_t memory_bytes = size_t{64} << 20;  // of blobs under way
};

struct RestoreResult {
  uint64_t errors = 0;         // items that were not restored as they should be; each was reported
  uint64_t not_permitted = 0;  // owners and attributes that only root may set
};

}  // namespace salvor
