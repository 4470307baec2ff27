// JSON as evidence and audit records need it: strict where it is read, one text for one value where
// it is written.
//
// Two readers of one signed text must understand the same thing, so what leaves room for two
// opinions is refused: keys that come twice, invalid UTF-8, anything behind the value, integers
// that do not fit. Values are nested at most kJsonDepth deep.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/clock.h"

namespace salvor {

inline constexpr size_t kJsonDepth = 32;

// A value. Copying copies everything below it.
class Json {
 public:
  using Array = std::vector<Json>;
  using Object = std::vector<std::pair<std::string, Json>>;  // in the order of writing

  Json() = default;
  Json(bool truth) : value_(truth) {}                         // NOLINT(google-explicit-*)
  Json(double number) : value_(number) {}                     // NOLINT(google-explicit-*)
  Json(std::string text) : value_(std::move(text)) {}         // NOLINT(google-explicit-*)
  Json(std::string_view text) : value_(std::string(text)) {}  // NOLINT(google-explicit-*)
  Json(const char* text) : value_(std::string(text)) {}       // NOLINT(google-explicit-*)
  Json(Array array) : value_(std::move(array)) {}             // NOLINT(google-explicit-*)
  Json(Object object) : value_(std::move(object)) {}          // NOLINT(google-explicit-*)
  [[nodiscard]] static Json integer(int64_t number);
  [[nodiscard]] static Json bytes(uint64_t number);  // above 2^63 - 1 it is cut
  // RFC 3339 in UTC with nanoseconds, trailing zeros dropped.
  [[nodiscard]] static Json time(WallTime time);

  // The text must be one value of at most `limit` bytes. Throws Error{kDamaged} that says what is
  // wrong; the caller names the document.
  [[nodiscard]] static Json parse(std::string_view text, size_t limit);
  // Without white space. Invalid UTF-8 becomes U+FFFD; NaN and infinities null.
  [[nodiscard]] std::string text() const;

  [[nodiscard]] bool is_null() const { return std::holds_alternative<std::monostate>(value_); }

  // --- reading. All throw Error{kDamaged} that names the field when it is of another kind; those
  // with a key also when this is no object. Fields that nobody asks for are ignored.
  [[nodiscard]] const Array& as_array(std::string_view what) const;
  [[nodiscard]] const Object& as_object(std::string_view what) const;
  [[nodiscard]] const std::string& as_text(std::string_view what) const;
  // Null when absent or null.
  [[nodiscard]] const Json* find(std::string_view key) const;
  [[nodiscard]] const Json& at(std::string_view key) const;              // must be there
  [[nodiscard]] const std::string& text_at(std::string_view key) const;  // must be there
  [[nodiscard]] std::string text_or(std::string_view key, std::string_view otherwise) const;
  [[nodiscard]] bool flag_or(std::string_view key, bool otherwise) const;
  [[nodiscard]] uint64_t number_or(std::string_view key, uint64_t otherwise) const;
  [[nodiscard]] std::optional<double> real_at(std::string_view key) const;    // nothing: absent
  [[nodiscard]] std::optional<WallTime> time_at(std::string_view key) const;  // nothing: absent
  [[nodiscard]] const Array& array_or_empty(std::string_view key) const;

  friend bool operator==(const Json&, const Json&) = default;

 private:
  friend class JsonBuilder;
  void append(std::string& out) const;

  std::variant<std::monostate, bool, int64_t, double, std::string, Array, Object> value_;
};

}  // namespace salvor
