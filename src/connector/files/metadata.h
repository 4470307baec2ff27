// From the file system to Node, exactly as restic builds it (facts: restic format, 6.1, 6.3, 6.4):
// the same file must give the same bytes in the same tree, or the two tools stop deduplicating.
#pragma once

#include <optional>
#include <string>
#include <unordered_map>

#include <sys/stat.h>

#include "base/bytes.h"
#include "base/error.h"
#include "model/node.h"
#include "model/timestamp.h"

namespace salvor {

// Names of users and groups by number, each looked up once. Not thread-safe.
class AccountNames {
 public:
  // "" when there is no such account.
  [[nodiscard]] const std::string& user(uint32_t uid);
  [[nodiscard]] const std::string& group(uint32_t gid);

 private:
  std::unordered_map<uint32_t, std::string> users_;
  std::unordered_map<uint32_t, std::string> groups_;
};

// Not thread-safe: one a thread (it caches zone offsets and account names).
class MetadataReader {
 public:
  // Without `with_atime` the access time stored is the modification time, so that reading a file
  // does not change its tree.
  explicit MetadataReader(bool with_atime) : with_atime_(with_atime) {}

  // Everything that stat knows. Extended attributes and link target are separate.
  [[nodiscard]] Node node_from_stat(std::string name, const struct stat& stat);
  // As xattr.h: `entry` of directory `fd`, or `fd` itself when null. What cannot be read is left
  // out; the first such failure is returned for the caller to report. A regular file's node says so
  // too (`error`): a later backup must not take its attributes for all there are. Throws nothing
  // else.
  [[nodiscard]] std::optional<Error> read_extended_attributes(Node& node, int fd,
                                                              const char* entry);
  // 0 or an errno.
  [[nodiscard]] int read_link_target(Node& node, int fd, const char* entry);

 private:
  [[nodiscard]] std::optional<Error> read_attributes_found(Node& node, int fd, const char* entry);

  const bool with_atime_;
  LocalZone zone_;
  AccountNames accounts_;
  std::vector<std::string> names_;
  Buffer scratch_;
};

[[nodiscard]] NodeType node_type_from_unix(uint32_t st_mode);

}  // namespace salvor
