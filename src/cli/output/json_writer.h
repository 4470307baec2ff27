// Builds one JSON value as text. Field order is the order of the calls, so that output is stable.
#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "model/timestamp.h"

namespace salvor::cli {

// Version of our JSON output: raised when a field changes its meaning or goes away, not when one is
// added. Every object that has a "message_type" carries it as "salvor_format" in second place.
// Documents without a message type (the arrays of `snapshots` and `key list`, what `cat` prints)
// have restic's fields alone: a script may compare those as a whole. See
// docs/exit-codes.md.
inline constexpr int kJsonFormat = 1;

// Not thread-safe. Misuse (a key outside an object) is a bug and not detected.
class JsonWriter {
 public:
  JsonWriter& begin_object();
  // {"message_type":"...","salvor_format":1
  JsonWriter& begin_message(std::string_view type);
  JsonWriter& end_object();
  JsonWriter& begin_array();
  JsonWriter& end_array();
  JsonWriter& key(std::string_view name);

  // Invalid UTF-8 becomes U+FFFD, as in restic's output.
  JsonWriter& value(std::string_view text);
  JsonWriter& value(const char* text) { return value(std::string_view(text)); }
  JsonWriter& value(const std::string& text) { return value(std::string_view(text)); }
  JsonWriter& value(bool truth);
  template <std::integral T>
    requires(!std::same_as<T, bool>)
  JsonWriter& value(T number) {
    if constexpr (std::is_signed_v<T>) {
      return signed_value(static_cast<int64_t>(number));
    } else {
      return unsigned_value(static_cast<uint64_t>(number));
    }
  }
  // Shortest text that reads back equal; NaN and infinities become null.
  JsonWriter& value(double number);
  // RFC 3339 with nanoseconds in its own zone.
  JsonWriter& value(const Timestamp& time);
  JsonWriter& value(const std::vector<std::string>& texts);
  JsonWriter& null();
  // Already JSON.
  JsonWriter& raw(std::string_view json);

  template <class T>
  JsonWriter& field(std::string_view name, const T& content) {
    return key(name).value(content);
  }

  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  JsonWriter& signed_value(int64_t number);
  JsonWriter& unsigned_value(uint64_t number);
  void separate();

  std::string text_;
};

}  // namespace salvor::cli
