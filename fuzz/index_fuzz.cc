// Indexes: the fast path and the JSON parser must agree, and what was decoded must survive
// encoding.
#include <algorithm>
#include <utility>
#include <vector>

#include "codec/index_codec.h"
#include "fuzz_support.h"

using namespace salvor;

namespace {

// Blobs by pack, and by pack that waits for its deletion (and since when).
struct Listed {
  std::vector<std::pair<PackId, std::vector<PackedBlob>>> packs;
  std::vector<MarkedPack> marked;
};

bool same(const MarkedPack& left, const MarkedPack& right) {
  return left.id == right.id && left.blobs == right.blobs &&
         left.time.has_value() == right.time.has_value() &&
         (!left.time || left.time->wall() == right.time->wall());
}

bool same(const std::optional<Listed>& left, const std::optional<Listed>& right) {
  return left.has_value() == right.has_value() &&
         (!left || (left->packs == right->packs &&
                    std::ranges::equal(left->marked, right->marked,
                                       [](const MarkedPack& one, const MarkedPack& other) {
                                         return same(one, other);
                                       })));
}

template <class Decode>
std::optional<Listed> collect(Decode decode, ByteView text) {
  return fuzz::decoded([&] {
    Listed listed;
    decode(
        text,
        [&](const PackId& id, std::span<const PackedBlob> blobs) {
          listed.packs.emplace_back(id, std::vector<PackedBlob>(blobs.begin(), blobs.end()));
        },
        [&](MarkedPack pack) { listed.marked.push_back(std::move(pack)); });
    return listed;
  });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto listed = collect(decode_index, fuzz::input(data, size));
  const auto plain = collect(decode_index_any_form, fuzz::input(data, size));
  fuzz::require(same(listed, plain));
  if (listed) {
    IndexEncoder encoder;
    for (const auto& [id, blobs] : listed->packs) {
      encoder.add_pack(id, blobs);
    }
    for (const MarkedPack& pack : listed->marked) {
      encoder.add_marked(pack);
    }
    fuzz::require(same(collect(decode_index, as_bytes(encoder.finish())), listed));
  }
  return 0;
}
