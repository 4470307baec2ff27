// What one machine remembers of its own chain: how far it is, and the records that could not be
// delivered. Files in <directory>/audit/<repository id>/<writer>/, readable by their owner only:
//
//   head            JSON: the last record in the repository, its number and hash
//   0000000057      a record that is not (known to be) in the repository
//   lock            held while a record is made: commands of one machine take turns
//
// Writing is atomic and durable (fsync). Losing all of it is harmless: the repository knows.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"

namespace salvor {

struct AuditHead {
  uint64_t sequence = 0;  // 0: none yet
  std::string hash;       // of that record
  friend bool operator==(const AuditHead&, const AuditHead&) = default;
};

struct SpooledRecord {
  uint64_t sequence = 0;
  std::string text;
};

// Holds the lock from construction to destruction. Blocks for it. Not thread-safe.
class AuditSpool {
 public:
  static constexpr size_t kMostRecords = 10'000;

  // Makes the directory. Throws Error when that cannot be.
  explicit AuditSpool(const std::string& directory);
  [[nodiscard]] static std::string directory_of(const std::string& state_directory,
                                                const std::string& repository_id,
                                                const std::string& writer);

  // Nothing when there is none or it cannot be understood.
  [[nodiscard]] std::optional<AuditHead> head() const;
  void set_head(const AuditHead& head);
  // In their order.
  [[nodiscard]] std::vector<SpooledRecord> records() const;
  // Throws Error{kStorageFull} above kMostRecords.
  void add(const SpooledRecord& record);
  // Another text or number of what is there already, so without that limit.
  void replace(const SpooledRecord& record);
  void remove(uint64_t sequence);

 private:
  void write(const std::string& name, std::string_view content);

  std::string directory_;
  UniqueFd folder_;
  UniqueFd lock_;
};

}  // namespace salvor
