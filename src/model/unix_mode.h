// The file type bits of st_mode for what a snapshot calls a type.
#pragma once

#include <sys/stat.h>

#include "model/node.h"

namespace salvor {

// 0 for kOther.
[[nodiscard]] constexpr mode_t unix_type_bits(NodeType type) {
  switch (type) {
    case NodeType::kFile:
      return S_IFREG;
    case NodeType::kDir:
      return S_IFDIR;
    case NodeType::kSymlink:
      return S_IFLNK;
    case NodeType::kDevice:
      return S_IFBLK;
    case NodeType::kCharDevice:
      return S_IFCHR;
    case NodeType::kFifo:
      return S_IFIFO;
    case NodeType::kSocket:
      return S_IFSOCK;
    case NodeType::kOther:
      break;
  }
  return 0;
}

}  // namespace salvor
