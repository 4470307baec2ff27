#include "model/node.h"

#include <algorithm>
#include <array>

#include <sys/stat.h>

namespace salvor {
namespace {

constexpr std::array<std::string_view, 7> kTypeNames{"file",    "dir",  "symlink", "dev",
                                                     "chardev", "fifo", "socket"};

}  // namespace

std::string_view node_type_name(NodeType type) {
  const auto index = static_cast<size_t>(type);
  return index < kTypeNames.size() ? kTypeNames[index] : std::string_view();
}

NodeType node_type_from_name(std::string_view name) {
  const auto* found = std::find(kTypeNames.begin(), kTypeNames.end(), name);
  return static_cast<NodeType>(found - kTypeNames.begin());
}

uint32_t go_mode_from_unix(uint32_t st_mode) {
  uint32_t mode = st_mode & go_mode::kPermissions;
  switch (st_mode & S_IFMT) {
    case S_IFDIR:
      mode |= go_mode::kDir;
      break;
    case S_IFLNK:
      mode |= go_mode::kSymlink;
      break;
    case S_IFBLK:
      mode |= go_mode::kDevice;
      break;
    case S_IFCHR:
      mode |= go_mode::kDevice | go_mode::kCharDevice;
      break;
    case S_IFIFO:
      mode |= go_mode::kFifo;
      break;
    case S_IFSOCK:
      mode |= go_mode::kSocket;
      break;
    default:
      break;
  }
  mode |= (st_mode & S_ISUID) != 0 ? go_mode::kSetuid : 0;
  mode |= (st_mode & S_ISGID) != 0 ? go_mode::kSetgid : 0;
  mode |= (st_mode & S_ISVTX) != 0 ? go_mode::kSticky : 0;
  return mode;
}

uint32_t unix_permissions_from_go(uint32_t mode) {
  uint32_t bits = mode & go_mode::kPermissions;
  bits |= (mode & go_mode::kSetuid) != 0 ? S_ISUID : 0;
  bits |= (mode & go_mode::kSetgid) != 0 ? S_ISGID : 0;
  bits |= (mode & go_mode::kSticky) != 0 ? S_ISVTX : 0;
  return bits;
}

bool same_metadata(const Node& left, const Node& right) {
  // Cheap and likely differences first: this runs for every file of an unchanged backup.
  return left.mtime == right.mtime && left.ctime == right.ctime && left.size == right.size &&
         left.inode == right.inode && left.mode == right.mode && left.uid == right.uid &&
         left.gid == right.gid && left.links == right.links && left.atime == right.atime &&
         left.device_id == right.device_id && left.device == right.device &&
         left.type == right.type && left.name == right.name && left.user == right.user &&
         left.group == right.group && left.link_target == right.link_target &&
         left.extended_attributes == right.extended_attributes &&
         left.generic_attributes == right.generic_attributes &&
         left.other_type == right.other_type && left.error == right.error &&
         left.content_is_null == right.content_is_null;
}

const Node* Tree::find(std::string_view name) const {
  const auto found = std::lower_bound(nodes.begin(), nodes.end(), name,
                                      [](const Node& node, std::string_view wanted) {
                                        return std::string_view(node.name) < wanted;
                                      });
  return found != nodes.end() && found->name == name ? &*found : nullptr;
}

}  // namespace salvor
