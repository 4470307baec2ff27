// Trees: the fast path and the JSON parser must agree, and what was decoded must survive encoding.
#include <algorithm>

#include "codec/tree_codec.h"
#include "fuzz_support.h"

using namespace salvor;

namespace {

bool sorted(const Tree& tree) {
  return std::adjacent_find(tree.nodes.begin(), tree.nodes.end(), [](const Node& a, const Node& b) {
           return a.name >= b.name;
         }) == tree.nodes.end();
}

// Text that JSON cannot carry exactly does not come back as it was.
bool verbatim(const Tree& tree) {
  return std::all_of(tree.nodes.begin(), tree.nodes.end(), [](const Node& node) {
    return node.generic_attributes.empty() &&
           (node.type == NodeType::kFile || node.content.empty());
  });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const ByteView blob = fuzz::input(data, size);
  TreeDecoder decoder;
  const auto tree = fuzz::decoded([&] { return decoder.decode(blob); });
  const auto plain = fuzz::decoded([&] { return decoder.decode_any_form(blob); });
  fuzz::require(tree.has_value() == plain.has_value());
  if (!tree) {
    return 0;
  }
  fuzz::require(tree->nodes == plain->nodes);
  if (sorted(*tree) && verbatim(*tree)) {
    const std::string again = encode_tree(*tree);
    const Tree second = decoder.decode(as_bytes(again));
    fuzz::require(second.nodes.size() == tree->nodes.size());
    fuzz::require(encode_tree(second) == again);
  }
  return 0;
}
