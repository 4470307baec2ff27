// Index files (restic format, section 5).
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "model/blob.h"

namespace salvor {

// Writes `{"packs":[...]}` + LF pack by pack; with marked packs `"packs_to_delete":[...]` follows,
// as rustic writes it (rustic_core 0.13, repofile/indexfile.rs) and restic ignores it. Not
// thread-safe.
class IndexEncoder {
 public:
  IndexEncoder();
  void add_pack(const PackId& pack, std::span<const PackedBlob> blobs);
  void add_marked(const MarkedPack& pack);
  [[nodiscard]] bool empty() const { return empty_ && marked_.empty(); }
  [[nodiscard]] std::string finish();

 private:
  std::string out_;
  std::string marked_;
  bool empty_ = true;
};

using OnIndexedPack = std::function<void(const PackId&, std::span<const PackedBlob>)>;
using OnMarkedPack = std::function<void(MarkedPack)>;

// Calls `on_pack` for each pack in the file; the span is valid during the call only; and
// `on_marked`, where given, for each pack that waits for its deletion. Tolerates unknown fields and
// "supersedes"; throws Error{kDamaged} for anything malformed (bad ids, types, numbers beyond 32
// bits, overflow of offset + length). Built for speed (about 1 GB/s): indexes are decoded on every
// command.
void decode_index(ByteView json, const OnIndexedPack& on_pack, const OnMarkedPack& on_marked = {});

// The same always by way of the general JSON parser: what the fast path is tested against.
void decode_index_any_form(ByteView json, const OnIndexedPack& on_pack,
                           const OnMarkedPack& on_marked = {});

}  // namespace salvor
