// Files and directories of this machine as a Source (P11).
//
// What restic's `backup` would take, in restic's order and with restic's metadata, so that both
// tools produce the same trees: see target_tree.h for where targets stand, metadata.h for nodes,
// path_pattern.h for exclusions. Sockets are left out silently. What cannot be read (or vanished)
// is reported to the sink and left out.
//
// Directories are walked depth first; while another thread is idle, a sub-directory is handed to
// it. The sink sees each directory's entries in order, different directories at the same time.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "connector/source.h"

namespace salvor {

struct FilesOptions {
  std::vector<std::string> targets;   // as given by the user
  std::vector<std::string> excludes;  // patterns: --exclude and the lines of --exclude-file
  std::vector<std::string> insensitive_excludes;  // --iexclude ...
  // "NAME" or "NAME:HEADER": a directory that contains file NAME (beginning with HEADER) keeps only
  // that.
  std::vector<std::string> exclude_if_present;
  bool exclude_caches = false;                   // directories with a valid CACHEDIR.TAG
  std::optional<uint64_t> exclude_larger_than;   // bytes; files above it
  std::vector<std::string> exclude_directories;  // absolute, cleaned: our own cache, for instance
  bool one_file_system = false;
  bool with_atime = false;
  // Extended attributes of regular files are not read while walking (they cost a system call a
  // file). The engine takes them over from the parent when the file's ctime has not changed, and
  // otherwise has them read by ByteReader::refresh or FileOpener::complete.
  bool defer_extended_attributes = false;
  unsigned threads = 0;  // 0: as many as there are processors, at most 4
};

class FilesSource final : public Source {
 public:
  // Looks at the targets. Throws Error{kUsage} for malformed options, Error{kNotFound} when no
  // target exists; single missing targets are reported by stream_into.
  explicit FilesSource(FilesOptions options);
  ~FilesSource() override;

  // Absolute and cleaned, in the order given, without targets that do not exist.
  [[nodiscard]] std::vector<std::string> paths() const override;
  // Throws Error{kFailed} when nothing at all could be read.
  void stream_into(const Context& context, TreeSink& sink) override;

 private:
  struct Plan;
  std::unique_ptr<Plan> plan_;
};

}  // namespace salvor
