// Tree blobs: `{"nodes":[...]}` + LF (restic format, section 6).
#pragma once

#include <memory>
#include <string>

#include "base/bytes.h"
#include "model/node.h"

namespace salvor {

// Builds the exact bytes of a tree blob, node by node. Nodes must come sorted by raw name; `add`
// throws Error when one is out of order or has an empty name. Not thread-safe.
class TreeEncoder {
 public:
  TreeEncoder();
  void add(const Node& node);
  // The finished blob; the encoder is then ready for another tree (its memory is kept).
  [[nodiscard]] std::string finish();
  // The same without a copy: the encoder gives its memory away. For trees of megabytes.
  [[nodiscard]] Buffer finish_buffer();

 private:
  void start();

  Buffer out_;
  std::string last_name_;
  bool empty_ = true;
};

[[nodiscard]] std::string encode_tree(const Tree& tree);

// Parses trees. Keeps a parser's memory between calls. Not thread-safe: one a thread.
class TreeDecoder {
 public:
  TreeDecoder();
  ~TreeDecoder();
  TreeDecoder(TreeDecoder&&) noexcept;
  TreeDecoder& operator=(TreeDecoder&&) noexcept;

  // Tolerates unknown fields and unsorted names (old repositories), as restic does on reading;
  // throws Error{kDamaged} for what is not a tree. Names are not judged here (a hostile "../x" is a
  // valid value): whoever writes to a file system does that. Input limit 1 GiB.
  // Trees in restic's exact form, that is practically all, take a fast path.
  [[nodiscard]] Tree decode(ByteView blob);
  // The same always by way of the general JSON parser: what the fast path is tested against.
  [[nodiscard]] Tree decode_any_form(ByteView blob);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace salvor
