// Indexes: the fast path and the JSON parser must agree, and what was decoded must survive
// encoding.
#include <utility>
#include <vector>

#include "codec/index_codec.h"
#include "fuzz_support.h"

using namespace salvor;

namespace {

using Packs = std::vector<std::pair<PackId, std::vector<PackedBlob>>>;

template <class Decode>
std::optional<Packs> collect(Decode decode, ByteView text) {
  return fuzz::decoded([&] {
    Packs packs;
    decode(text, [&](const PackId& id, std::span<const PackedBlob> blobs) {
      packs.emplace_back(id, std::vector<PackedBlob>(blobs.begin(), blobs.end()));
    });
    return packs;
  });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto packs = collect(decode_index, fuzz::input(data, size));
  const auto plain = collect(decode_index_any_form, fuzz::input(data, size));
  fuzz::require(packs == plain);
  if (packs) {
    IndexEncoder encoder;
    for (const auto& [id, blobs] : *packs) {
      encoder.add_pack(id, blobs);
    }
    fuzz::require(collect(decode_index, as_bytes(encoder.finish())) == packs);
  }
  return 0;
}
