// Names: any bytes survive quoting, and any text is unquoted or refused.
#include "codec/go_json.h"
#include "codec/tree_codec.h"
#include "fuzz_support.h"

using namespace salvor;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view raw = as_text(fuzz::input(data, size));
  (void)unquote_go(raw);
  std::string text;
  append_json_string(text, raw);
  fuzz::require(text.size() >= size + 2);
  if (!raw.empty()) {
    Tree tree;
    Node& node = tree.nodes.emplace_back();
    node.name = raw;
    node.type = NodeType::kSymlink;
    node.link_target = raw;
    const Tree again = TreeDecoder().decode(as_bytes(encode_tree(tree)));
    fuzz::require(again.nodes == tree.nodes);
  }
  return 0;
}
