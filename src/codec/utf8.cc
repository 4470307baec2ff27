#include "codec/utf8.h"

#include <algorithm>
#include <array>

namespace salvor {
namespace {

struct RuneRange {
  uint32_t first;
  uint32_t last;
};

constexpr RuneRange kPrintable[] = {
#include "codec/printable_ranges.inc"
};

constexpr uint32_t kPlaneSize = 0x10000;

// One bit a rune of the basic plane, where practically all names live.
constexpr std::array<uint64_t, kPlaneSize / 64> make_plane_bits() {
  std::array<uint64_t, kPlaneSize / 64> bits{};
  for (const RuneRange& range : kPrintable) {
    for (uint32_t rune = range.first; rune <= range.last && rune < kPlaneSize; ++rune) {
      bits[rune / 64] |= uint64_t{1} << rune % 64;
    }
  }
  return bits;
}

constexpr auto kPlaneBits = make_plane_bits();

}  // namespace

Rune decode_rune(std::string_view text) {
  const auto byte = [&](size_t i) {
    return static_cast<uint32_t>(static_cast<unsigned char>(text[i]));
  };
  const auto continues = [&](size_t i) { return (byte(i) & 0xc0U) == 0x80; };
  const uint32_t lead = byte(0);
  if (lead < 0x80) {
    return {lead, 1};
  }
  if (lead < 0xc2 || lead > 0xf4) {
    return {};
  }
  if (text.size() < 2 || !continues(1)) {
    return {};
  }
  if (lead < 0xe0) {
    return {(lead & 0x1fU) << 6 | (byte(1) & 0x3fU), 2};
  }
  if (text.size() < 3 || !continues(2)) {
    return {};
  }
  if (lead < 0xf0) {
    const uint32_t rune = (lead & 0x0fU) << 12 | (byte(1) & 0x3fU) << 6 | (byte(2) & 0x3fU);
    const bool bad = rune < 0x800 || (rune >= 0xd800 && rune < 0xe000);
    return bad ? Rune{} : Rune{rune, 3};
  }
  if (text.size() < 4 || !continues(3)) {
    return {};
  }
  const uint32_t rune =
      (lead & 0x07U) << 18 | (byte(1) & 0x3fU) << 12 | (byte(2) & 0x3fU) << 6 | (byte(3) & 0x3fU);
  return rune < 0x10000 || rune > 0x10ffff ? Rune{} : Rune{rune, 4};
}

bool is_valid_utf8(std::string_view text) {
  while (!text.empty()) {
    const unsigned length = decode_rune(text).length;
    if (length == 0) {
      return false;
    }
    text.remove_prefix(length);
  }
  return true;
}

char* put_rune(char* out, uint32_t rune) {
  const auto put = [&](uint32_t byte) { *out++ = static_cast<char>(byte); };
  if (rune < 0x80) {
    put(rune);
  } else if (rune < 0x800) {
    put(0xc0U | rune >> 6);
    put(0x80U | (rune & 0x3fU));
  } else if (rune < 0x10000) {
    put(0xe0U | rune >> 12);
    put(0x80U | (rune >> 6 & 0x3fU));
    put(0x80U | (rune & 0x3fU));
  } else {
    put(0xf0U | rune >> 18);
    put(0x80U | (rune >> 12 & 0x3fU));
    put(0x80U | (rune >> 6 & 0x3fU));
    put(0x80U | (rune & 0x3fU));
  }
  return out;
}

bool is_printable_rune(uint32_t rune) {
  if (rune < kPlaneSize) {
    return (kPlaneBits[rune / 64] >> rune % 64 & 1U) != 0;
  }
  const auto* above =
      std::upper_bound(std::begin(kPrintable), std::end(kPrintable), rune,
                       [](uint32_t value, const RuneRange& range) { return value < range.first; });
  return above != std::begin(kPrintable) && rune <= above[-1].last;
}

}  // namespace salvor
