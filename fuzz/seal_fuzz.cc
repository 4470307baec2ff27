// Unsealing what nobody sealed is refused and leaves the output alone; what was sealed comes back,
// in its own place too.
#include <algorithm>
#include <cstdlib>

#include "crypto/seal.h"

namespace salvor {
namespace {

void require(bool ok) {
  if (!ok) {
    std::abort();
  }
}

void check(ByteView input) {
  static SeededRandom random(1);
  static Sealer sealer(MasterKey::random(random), random);
  require(!sealer.unseal(input).has_value());  // a forgery would be worth a paper

  Buffer sealed = sealer.seal(input);
  require(sealed.size() == input.size() + kSealOverhead);
  const auto opened = sealer.unseal(sealed.view());
  require(opened.has_value() && std::ranges::equal(opened->view(), input));
  // One flipped bit, its place chosen by the input.
  size_t place = input.size();
  for (const std::byte byte : input.first(std::min<size_t>(input.size(), 8))) {
    place = place * 31 + std::to_integer<size_t>(byte);
  }
  const auto bit = static_cast<std::byte>(1U << (place % 8));
  std::byte& victim = sealed.bytes()[place / 8 % sealed.size()];
  victim ^= bit;
  Buffer out(input.size());
  std::ranges::fill(out.bytes(), std::byte{0x5a});
  require(!sealer.unseal(sealed.view(), out.bytes()));
  require(std::ranges::all_of(out.view(), [](std::byte byte) { return byte == std::byte{0x5a}; }));
  victim ^= bit;
  const MutableBytes in_place = sealed.bytes().subspan(16, input.size());
  require(sealer.unseal(sealed.view(), in_place) && std::ranges::equal(in_place, input));
}

}  // namespace
}  // namespace salvor

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, size_t size) {
  salvor::check({reinterpret_cast<const std::byte*>(data), size});
  return 0;
}
