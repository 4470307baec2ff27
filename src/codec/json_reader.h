// Reading JSON with simdjson's on-demand parser. Private to codec's .cc files: this is the one
// header that shows a third-party type.
//
// Strings are handled as the raw text between the quotes, straight in the input: most need no
// unescaping, and ids are decoded from it without a copy. Every failure is an Error{kDamaged};
// simdjson's exceptions become one in `guard`.
#pragma once

#include <limits>
#include <optional>
#include <string>
#include <string_view>

#include <simdjson.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/id.h"
#include "codec/hex.h"
#include "model/timestamp.h"

namespace salvor::json_reader {

using Value = simdjson::ondemand::value;
using Object = simdjson::ondemand::object;
using Array = simdjson::ondemand::array;
using Document = simdjson::ondemand::document;

[[noreturn]] void fail(std::string_view what);

// Holds the parser, whose memory is reused, and a padded copy of the input. One a thread.
class Reader {
 public:
  // The text must be one JSON value of at most `limit` bytes; it may end in white space.
  [[nodiscard]] Document open(ByteView json, size_t limit);
  // One past the last byte of the input.
  [[nodiscard]] const char* end() const { return end_; }
  // Overwrites the copy of the input, for documents that hold secrets.
  void wipe_input();
  // To be called when the document has been read: nothing may follow it.
  void close(Document& document);

 private:
  void trim();

  std::optional<simdjson::ondemand::parser> parser_;
  Buffer padded_;
  const char* end_ = nullptr;
};

// Runs `read`, naming the document in the error: "tree is damaged: ...".
template <class Read>
auto guard(std::string_view document, Read read) {
  try {
    return read();
  } catch (const simdjson::simdjson_error& error) {
    throw Error(ErrorCode::kDamaged, std::string(document) + " is damaged: " + error.what());
  } catch (Error& error) {
    if (error.code() == ErrorCode::kDamaged) {
      error.within(std::string(document) + " is damaged");
    }
    throw;
  }
}

// The text between the quotes, still escaped. `raw` points behind the opening quote; the parser has
// already verified that there is a closing one.
[[nodiscard]] std::string_view quoted_text(const char* raw);

[[nodiscard]] inline std::string_view quoted_text(Value& value) {
  return quoted_text(value.get_raw_json_string().value().raw());
}

// Calls `on_field(key, value)` for each field; values it leaves alone are skipped. Nulls do not get
// there: in Go they leave a field as it was.
template <class OnField>
void for_each_field(Object object, OnField on_field) {
  for (auto field : object) {
    const std::string_view key = quoted_text(field.key().value().raw());
    Value value = field.value();
    if (!value.is_null()) {
      on_field(key, value);
    }
  }
}

// Undoes JSON's escapes as encoding/json does: a lone surrogate becomes U+FFFD.
void unescape(std::string_view text, std::string& out);

inline void read_string(Value& value, std::string& out) {
  const std::string_view text = quoted_text(value);
  if (text.find('\\') == std::string_view::npos) {
    out.assign(text);
  } else {
    unescape(text, out);
  }
}

template <class Integer>
[[nodiscard]] Integer read_unsigned(Value& value) {
  const uint64_t number = value.get_uint64().value();
  if (number > std::numeric_limits<Integer>::max()) {
    fail("number out of range");
  }
  return static_cast<Integer>(number);
}

[[nodiscard]] Timestamp read_time(Value& value);

// 64 hexadecimal digits.
template <class IdType>
[[nodiscard]] IdType read_id(Value& value) {
  const std::string_view text = quoted_text(value);
  Digest digest;
  if (text.size() != kHexIdLength || !read_hex(text.data(), digest)) {
    fail("malformed id");
  }
  return IdType(digest);
}

// base64 with padding.
[[nodiscard]] Buffer read_base64(Value& value);

}  // namespace salvor::json_reader
