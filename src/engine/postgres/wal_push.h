// archive_command: the server hands over one WAL file at a time and waits; we store it and those
// behind it.
//
// Opening a repository costs a key derivation (a tenth of a second on purpose), far too much a
// segment. So one call stores, in parallel, the file it was asked for and every other one that the
// server has marked as ready (archive_status/*.ready), and notes in a small local directory which
// ones are durable. The next calls find their file's note and are done without opening anything.
//
// A note holds what the file was when it was stored: device, inode, size, mtime, ctime. The server
// never writes to a file again that it wants archived, so equal numbers mean equal content; a note
// that is wrong, torn, old or of another repository does not count, and the file is stored (again:
// that is idempotent).
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "engine/postgres/wal_archive.h"

namespace salvor {

inline constexpr std::chrono::minutes kPushNoteAge{30};

// The notes of one archive (repository and cluster). Not thread-safe; of processes, the one
// archiver of a server.
class PushNotes {
 public:
  // `directory` is made when the first note is; it may be shared by all archives. `archive` is any
  // text that names the archive; what is noted for one does not count for another.
  PushNotes(std::string directory, const std::string& archive);

  // Whether `path` is noted as durable, just as it is now. The note is taken away.
  [[nodiscard]] bool take(const std::string& path, WallTime now) const;
  // Throws Error when it cannot be written.
  void add(const std::string& path) const;

 private:
  [[nodiscard]] std::string note_path(const std::string& path) const;
  const std::string directory_;
  const std::string archive_;
};

struct WalPushOptions {
  std::string path;         // what to archive, %p
  size_t batch_files = 64;  // with it
  uint64_t batch_bytes = uint64_t{1} << 30;
  unsigned threads = 2;
};

struct WalPushResult {
  size_t stored = 0;
  size_t existed = 0;
  size_t failed = 0;  // of those that were not asked for: the server will ask, and be told
};

// Blocks until `options.path` is durable; throws Error when it is not. `notes` (may be null) gets
// the others.
WalPushResult push_wal(const Context& context, const WalArchive& archive,
                       const WalPushOptions& options, const PushNotes* notes);

// The cluster whose WAL `path` is: read from global/pg_control of the data directory that pg_wal/
// is in, or of `data_directory` when that is not empty. Throws Error{kFailed} that says what to do.
struct WalOwner {
  uint64_t system_identifier = 0;
  postgres::SegmentSize segment_size;
};
[[nodiscard]] WalOwner wal_owner(const std::string& path, const std::string& data_directory);

}  // namespace salvor
