// A file-system entry as restic's trees record it (facts: restic format, section 6).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/id.h"
#include "model/timestamp.h"

namespace salvor {

enum class NodeType : uint8_t {
  kFile,
  kDir,
  kSymlink,
  kDevice,
  kCharDevice,
  kFifo,
  kSocket,
  kOther
};

// "file", "dir", "symlink", "dev", "chardev", "fifo", "socket"; "" for kOther.
[[nodiscard]] std::string_view node_type_name(NodeType type);
[[nodiscard]] NodeType node_type_from_name(std::string_view name);

// Go's os.FileMode bits, as stored. Do not change: they are on disk.
namespace go_mode {
inline constexpr uint32_t kDir = 1U << 31;
inline constexpr uint32_t kSymlink = 1U << 27;
inline constexpr uint32_t kDevice = 1U << 26;
inline constexpr uint32_t kFifo = 1U << 25;
inline constexpr uint32_t kSocket = 1U << 24;
inline constexpr uint32_t kSetuid = 1U << 23;
inline constexpr uint32_t kSetgid = 1U << 22;
inline constexpr uint32_t kCharDevice = 1U << 21;
inline constexpr uint32_t kSticky = 1U << 20;
inline constexpr uint32_t kIrregular = 1U << 19;
inline constexpr uint32_t kPermissions = 0777;
}  // namespace go_mode

// Between st_mode and Go's mode; the way back gives permission, set-id and sticky bits only.
[[nodiscard]] uint32_t go_mode_from_unix(uint32_t st_mode);
[[nodiscard]] uint32_t unix_permissions_from_go(uint32_t mode);

struct ExtendedAttribute {
  std::string name;
  std::string value;           // raw bytes
  bool value_is_null = false;  // empty, and stored as null (other writers do): kept for exact bytes
  friend bool operator==(const ExtendedAttribute&, const ExtendedAttribute&) = default;
};

// A value. Strings hold raw bytes as the file system has them; encoding is codec's business.
struct Node {
  std::string name;
  NodeType type = NodeType::kFile;
  std::string other_type;  // the stored type text when type is kOther
  uint32_t mode = 0;       // Go FileMode
  Timestamp mtime;
  Timestamp atime;
  Timestamp ctime;
  uint32_t uid = 0;
  uint32_t gid = 0;
  std::string user;   // empty: unknown
  std::string group;  // empty: unknown
  uint64_t inode = 0;
  uint64_t device_id = 0;
  uint64_t size = 0;        // bytes; regular files only
  uint64_t links = 0;       // not for directories, fifos, sockets
  std::string link_target;  // symlinks only
  std::vector<ExtendedAttribute> extended_attributes;
  std::string generic_attributes;  // raw JSON object (Windows), kept verbatim; empty: none
  uint64_t device = 0;             // st_rdev; devices only
  std::vector<BlobId> content;     // files only
  bool content_is_null = false;    // a *file* whose content was null: damage (section 6.1)
  std::optional<BlobId> subtree;   // directories only
  std::string error;

  friend bool operator==(const Node&, const Node&) = default;
};

// Everything but content and subtree is equal.
[[nodiscard]] bool same_metadata(const Node& left, const Node& right);

// Nodes sorted by raw name bytes, names unique.
struct Tree {
  std::vector<Node> nodes;

  // Binary search; nullptr when absent. Requires sorted nodes.
  [[nodiscard]] const Node* find(std::string_view name) const;
};

}  // namespace salvor
