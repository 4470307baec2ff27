#include "cli/output/node_text.h"

#include <fmt/format.h>

#include "base/format.h"
#include "cli/repository/snapshot_options.h"

namespace salvor::cli {
namespace {

uint32_t type_bits(NodeType type) {
  switch (type) {
    case NodeType::kDir:
      return go_mode::kDir;
    case NodeType::kSymlink:
      return go_mode::kSymlink;
    case NodeType::kDevice:
      return go_mode::kDevice;
    case NodeType::kCharDevice:
      return go_mode::kDevice | go_mode::kCharDevice;
    case NodeType::kFifo:
      return go_mode::kFifo;
    case NodeType::kSocket:
      return go_mode::kSocket;
    case NodeType::kFile:
    case NodeType::kOther:
      break;
  }
  return 0;
}

}  // namespace

std::string mode_text(const Node& node) {
  const uint32_t mode = node.mode | type_bits(node.type);
  static constexpr std::string_view kBits = "dalTLDpSugct?";  // from bit 31 down
  std::string text;
  for (size_t i = 0; i < kBits.size(); ++i) {
    if ((mode & (1U << (31 - i))) != 0) {
      text += kBits[i];
    }
  }
  if (text.empty()) {
    text = "-";
  }
  static constexpr std::string_view kPermissions = "rwxrwxrwx";
  for (size_t i = 0; i < kPermissions.size(); ++i) {
    text += (mode & (1U << (8 - i))) != 0 ? kPermissions[i] : '-';
  }
  return text;
}

std::string shown_path(const Terminal& terminal, std::string_view path) {
  return terminal.out_is_terminal() ? printable(path) : std::string(path);
}

std::string long_node_line(const Terminal& terminal, const Node& node, std::string_view path,
                           bool human_readable) {
  const std::string size =
      human_readable ? format_bytes(node.size) : fmt::format("{:6}", node.size);
  std::string line = fmt::format("{} {:5} {:5} {} {} {}", mode_text(node), node.uid, node.gid, size,
                                 local_time_text(node.mtime), shown_path(terminal, path));
  if (node.type == NodeType::kSymlink) {
    line += " -> " + shown_path(terminal, node.link_target);
  }
  return line;
}

}  // namespace salvor::cli
