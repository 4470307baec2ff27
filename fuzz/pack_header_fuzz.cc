// Pack headers: what was decoded encodes to the same bytes.
#include <algorithm>

#include "codec/pack_header.h"
#include "fuzz_support.h"

using namespace salvor;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const ByteView header = fuzz::input(data, size);
  const auto blobs = fuzz::decoded([&] { return decode_pack_header(header); });
  if (blobs) {
    Buffer again;
    append_pack_header(again, *blobs);
    fuzz::require(std::ranges::equal(again.view(), header));
  }
  return 0;
}
