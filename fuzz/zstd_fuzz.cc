// zstd frames: never crash, never yield more than asked for, both ways of decoding agree.
#include <algorithm>

#include "codec/zstd.h"
#include "fuzz_support.h"

using namespace salvor;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr size_t kLimit = size_t{4} << 20;
  const ByteView frames = fuzz::input(data, size);
  Decompressor decompressor;
  const auto plain = decompressor.decompress_unknown(frames, kLimit);
  if (plain) {
    fuzz::require(plain->size() <= kLimit);
    Buffer again(plain->size());
    fuzz::require(decompressor.decompress(frames, again.bytes()));
    fuzz::require(std::ranges::equal(again.view(), plain->view()));
  }
  Compressor compressor;
  (void)compressor.looks_incompressible(frames);
  Buffer packed;
  compressor.compress(frames, 1, packed);
  Buffer back(size);
  fuzz::require(decompressor.decompress(packed.view(), back.bytes()));
  fuzz::require(std::ranges::equal(back.view(), frames));
  return 0;
}
