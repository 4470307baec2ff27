// Reading JSON that looks exactly as restic writes it, faster than any general parser can: the
// reader knows what must come next and only compares. Whatever differs makes a `take` fail; the
// caller then gives the whole text to the general parser (json_reader.h), which decides whether it
// is merely unusual or damaged. So nothing is refused here, and what is accepted here must mean the
// same there: fuzzed.
#pragma once

#include <cstring>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/id.h"
#include "codec/hex.h"
#include "model/timestamp.h"

namespace salvor {

// A position in a text. After a failed `take` the position is unspecified.
class TextCursor {
 public:
  explicit TextCursor(std::string_view text) : at_(text.data()), end_(text.data() + text.size()) {}

  [[nodiscard]] bool done() const { return at_ == end_; }

  template <size_t N>
  [[nodiscard]] bool sees(const char (&text)[N]) const {
    return left() >= N - 1 && std::memcmp(at_, text, N - 1) == 0;
  }
  template <size_t N>
  [[nodiscard]] bool take(const char (&text)[N]) {
    if (!sees(text)) {
      return false;
    }
    at_ += N - 1;
    return true;
  }

  // A decimal without sign, fraction, exponent or leading zeros, that fits the type.
  template <class Integer>
  [[nodiscard]] bool take_number(Integer& out) {
    uint64_t value = 0;
    const char* const start = at_;
    while (at_ != end_ && static_cast<unsigned char>(*at_ - '0') <= 9) {
      value = value * 10 + static_cast<unsigned char>(*at_++ - '0');
    }
    const auto digits = static_cast<size_t>(at_ - start);
    out = static_cast<Integer>(value);
    // 19 digits cannot overflow 64 bits; the few larger numbers may go the slow way.
    return digits != 0 && digits <= 19 && (*start != '0' || digits == 1) && out == value;
  }

  // 64 hexadecimal digits.
  [[nodiscard]] bool take_id(Digest& out) {
    if (left() < kHexIdLength || !read_hex(at_, out)) {
      return false;
    }
    at_ += kHexIdLength;
    return true;
  }

  // RFC 3339 as far as its closing quote, which is taken too.
  [[nodiscard]] bool take_time(Timestamp& out);

  // The same text again, as far as its closing quote.
  [[nodiscard]] bool take_again(std::string_view text) {
    if (left() <= text.size() || at_[text.size()] != '"' ||
        std::memcmp(at_, text.data(), text.size()) != 0) {
      return false;
    }
    at_ += text.size() + 1;
    return true;
  }

  // The text as far as the closing quote, which is taken too; still escaped. Fails when it holds
  // control bytes or malformed UTF-8.
  struct Quoted {
    std::string_view text;
    bool escaped = false;
  };
  [[nodiscard]] bool take_quoted(Quoted& out);

  [[nodiscard]] const char* position() const { return at_; }

 private:
  [[nodiscard]] size_t left() const { return static_cast<size_t>(end_ - at_); }
  [[nodiscard]] bool take_unusual(Quoted& out, const char* start);

  const char* at_;
  const char* end_;
};

}  // namespace salvor
