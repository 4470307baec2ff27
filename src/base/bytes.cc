#include "base/bytes.h"

#include <array>
#include <cstdlib>
#include <new>

namespace salvor {

void Buffer::Free::operator()(std::byte* pointer) const noexcept {
  std::free(pointer);
}

void Buffer::reserve(size_t capacity) {
  if (capacity > capacity_) {
    reallocate(capacity);
  }
}

void Buffer::clear_keeping(size_t most) {
  size_ = 0;
  if (most == 0) {
    *this = Buffer();
  } else if (capacity_ > most) {
    reallocate(most);
  }
}

void Buffer::reallocate(size_t capacity) {
  auto* grown = static_cast<std::byte*>(std::realloc(data_.get(), capacity));
  if (grown == nullptr) {
    throw std::bad_alloc();
  }
  // realloc has let go of it. NOLINTNEXTLINE(bugprone-unused-return-value)
  static_cast<void>(data_.release());
  data_.reset(grown);
  capacity_ = capacity;
}

void Buffer::grow_to(size_t size) {
  if (size > capacity_) {
    reserve(size + size / 2);
  }
  size_ = size;
}

std::string to_hex(ByteView bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text(bytes.size() * 2, '\0');
  char* out = text.data();
  for (const std::byte byte : bytes) {
    *out++ = kDigits[std::to_integer<unsigned>(byte) >> 4];
    *out++ = kDigits[std::to_integer<unsigned>(byte) & 15U];
  }
  return text;
}

namespace {

constexpr uint8_t kBad = 0xff;

constexpr std::array<uint8_t, 256> make_hex_table() {
  std::array<uint8_t, 256> table{};
  table.fill(kBad);
  for (unsigned i = 0; i < 10; ++i) {
    table['0' + i] = static_cast<uint8_t>(i);
  }
  for (unsigned i = 0; i < 6; ++i) {
    table['a' + i] = table['A' + i] = static_cast<uint8_t>(10 + i);
  }
  return table;
}

constexpr char kBase64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

constexpr std::array<uint8_t, 256> make_base64_table() {
  std::array<uint8_t, 256> table{};
  table.fill(kBad);
  for (unsigned i = 0; i < 64; ++i) {
    table[static_cast<unsigned char>(kBase64[i])] = static_cast<uint8_t>(i);
  }
  return table;
}

constexpr auto kHexValue = make_hex_table();
constexpr auto kBase64Value = make_base64_table();

}  // namespace

bool from_hex(std::string_view text, MutableBytes out) {
  if (text.size() != out.size() * 2) {
    return false;
  }
  unsigned invalid = 0;
  for (size_t i = 0; i < out.size(); ++i) {
    const unsigned high = kHexValue[static_cast<unsigned char>(text[2 * i])];
    const unsigned low = kHexValue[static_cast<unsigned char>(text[2 * i + 1])];
    invalid |= (high | low) & 0xf0U;
    out[i] = static_cast<std::byte>((high << 4) | (low & 15U));
  }
  return invalid == 0;
}

void append_base64(std::string& out, ByteView bytes) {
  out.reserve(out.size() + (bytes.size() + 2) / 3 * 4);
  size_t i = 0;
  const auto at = [&](size_t index) { return std::to_integer<unsigned>(bytes[index]); };
  for (; i + 3 <= bytes.size(); i += 3) {
    const unsigned group = at(i) << 16 | at(i + 1) << 8 | at(i + 2);
    for (int shift = 18; shift >= 0; shift -= 6) {
      out += kBase64[group >> shift & 63];
    }
  }
  const size_t rest = bytes.size() - i;
  if (rest > 0) {
    const unsigned group = at(i) << 16 | (rest == 2 ? at(i + 1) << 8 : 0U);
    out += kBase64[group >> 18 & 63];
    out += kBase64[group >> 12 & 63];
    out += rest == 2 ? kBase64[group >> 6 & 63] : '=';
    out += '=';
  }
}

std::string to_base64(ByteView bytes) {
  std::string text;
  append_base64(text, bytes);
  return text;
}

bool from_base64(std::string_view text, Buffer& out) {
  out.clear();
  if (text.size() % 4 != 0) {
    return false;
  }
  for (size_t i = 0; i < text.size(); i += 4) {
    const bool last = i + 4 == text.size();
    unsigned padding = 0;
    if (last) {
      padding = text[i + 3] == '=' ? (text[i + 2] == '=' ? 2U : 1U) : 0U;
    }
    unsigned group = 0;
    for (size_t j = 0; j < 4; ++j) {
      const unsigned value =
          j >= 4 - padding ? 0U : kBase64Value[static_cast<unsigned char>(text[i + j])];
      if (value == kBad) {
        return false;
      }
      group = group << 6 | value;
    }
    if ((padding == 1 && (group & 0xffU) != 0) || (padding == 2 && (group & 0xffffU) != 0)) {
      return false;
    }
    const std::array<std::byte, 3> decoded{static_cast<std::byte>(group >> 16),
                                           static_cast<std::byte>(group >> 8 & 0xffU),
                                           static_cast<std::byte>(group & 0xffU)};
    out.append(ByteView(decoded).first(3 - padding));
  }
  return true;
}

}  // namespace salvor
