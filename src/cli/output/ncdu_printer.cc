#include "cli/output/ncdu_printer.h"

#include <algorithm>

#include "cli/output/json_writer.h"
#include "codec/documents.h"

namespace salvor::cli {

namespace {

constexpr uint64_t kBlockBytes = 512;

std::string node_json(const Node& node) {
  const bool regular = node.type == NodeType::kFile || node.type == NodeType::kDir;
  JsonWriter json;
  json.begin_object().field("name", node.name).field("asize", node.size);
  json.field("dsize", (node.size + kBlockBytes - 1) / kBlockBytes * kBlockBytes);
  json.field("dev", node.device_id).field("ino", node.inode).field("nlink", node.links);
  json.field("notreg", !regular).field("uid", node.uid).field("gid", node.gid);
  json.field("mode", unix_permissions_from_go(node.mode));
  // ncdu takes no negative times.
  json.field("mtime", std::max<int64_t>(node.mtime.seconds, 0));
  return json.end_object().text();
}

}  // namespace

NcduPrinter::NcduPrinter(Terminal& terminal, const Snapshot& snapshot)
    : terminal_(terminal), line_("[1, 2, " + encode_snapshot(snapshot) + ", [{\"name\":\"/\"}") {}

void NcduPrinter::node(size_t depth, const Node& node) {
  leave_directories_below(depth);
  terminal_.print_line(line_ + ",");
  line_ = indent();
  if (node.type == NodeType::kDir) {
    terminal_.print_line(line_ + "[");
    ++open_;
    line_ = indent();
  }
  line_ += node_json(node);
}

void NcduPrinter::finish() {
  leave_directories_below(0);
  for (const std::string& line : {line_, std::string("]"), std::string("]")}) {
    terminal_.print_line(line);
  }
}

void NcduPrinter::leave_directories_below(size_t depth) {
  while (open_ > depth) {
    --open_;
    terminal_.print_line(line_);
    line_ = indent() + "]";
  }
}

std::string NcduPrinter::indent() const {
  return std::string(2 * (open_ + 1), ' ');
}

}  // namespace salvor::cli
