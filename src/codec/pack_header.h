// The trailer of a pack that lists its blobs (restic format, section 4).
//
//   pack   := sealed(blob)* || sealed(header) || u32le length of sealed(header)
//   header := (type u8 | length u32le | [plain length u32le, types 2 and 3] | id 32)*
#pragma once

#include <span>
#include <vector>

#include "base/bytes.h"
#include "model/blob.h"

namespace salvor {

inline constexpr size_t kPackTrailer = 4;
inline constexpr size_t kPackHeaderLimit = size_t{16} << 20;  // sealed header

// Header plaintext size of one entry: 37 raw, 41 compressed.
[[nodiscard]] size_t pack_entry_size(const PackedBlob& blob);

// Plaintext of the header; blobs in pack order.
void append_pack_header(Buffer& out, std::span<const PackedBlob> blobs);

// Offsets are recomputed by summing lengths. Throws Error{kDamaged} for unknown types, truncated
// entries, lengths below the seal overhead, sums beyond 32 bits.
[[nodiscard]] std::vector<PackedBlob> decode_pack_header(ByteView header);

}  // namespace salvor
