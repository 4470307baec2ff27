// Index files (restic format, section 5).
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "model/blob.h"

namespace salvor {

// Writes `{"packs":[...]}` + LF pack by pack. Not thread-safe.
class IndexEncoder {
 public:
  IndexEncoder();
  void add_pack(const PackId& pack, std::span<const PackedBlob> blobs);
  [[nodiscard]] bool empty() const { return empty_; }
  [[nodiscard]] std::string finish();

 private:
  std::string out_;
  bool empty_ = true;
};

// Calls `on_pack` for each pack in the file; the span is valid during the call only. Tolerates
// unknown fields and "supersedes"; throws Error{kDamaged} for anything malformed (bad ids, types,
// numbers beyond 32 bits, overflow of offset + length). Built for speed (about 1 GB/s): indexes are
// decoded on every command.
void decode_index(ByteView json,
                  const std::function<void(const PackId&, std::span<const PackedBlob>)>& on_pack);

// The same always by way of the general JSON parser: what the fast path is tested against.
void decode_index_any_form(
    ByteView json, const std::function<void(const PackId&, std::span<const PackedBlob>)>& on_pack);

}  // namespace salvor
