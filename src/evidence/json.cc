#include "evidence/json.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/format.h"
#include "codec/go_json.h"

namespace salvor {
namespace {

constexpr size_t kShownKey = 60;

[[noreturn]] void fail(const std::string& what) {
  throw Error(ErrorCode::kDamaged, what);
}

std::string shown(std::string_view key) {
  return "\"" + printable(key.substr(0, kShownKey)) + "\"";
}

}  // namespace

// The library reads (escapes, numbers, UTF-8, nothing behind the end); what it would let pass is
// refused here.
class JsonBuilder final : public nlohmann::json_sax<nlohmann::json> {
 public:
  [[nodiscard]] Json take() { return std::move(root_); }

  bool null() override { return add(Json()); }
  bool boolean(bool truth) override { return add(Json(truth)); }
  bool number_integer(int64_t number) override { return add(Json::integer(number)); }
  bool number_unsigned(uint64_t number) override {
    if (number > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
      fail("it has a number that is too large");
    }
    return add(Json::integer(static_cast<int64_t>(number)));
  }
  bool number_float(double number, const std::string& text) override {
    // Integers that do not fit come here as well.
    if (text.find_first_of(".eE") == std::string::npos || !std::isfinite(number)) {
      fail("it has a number that is too large");
    }
    return add(Json(number));
  }
  bool string(std::string& text) override { return add(Json(std::move(text))); }
  bool binary(nlohmann::json::binary_t&) override { return false; }
  bool start_object(size_t) override { return open(Json(Json::Object())); }
  bool start_array(size_t) override { return open(Json(Json::Array())); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(std::string& name) override {
    auto& object = std::get<Json::Object>(open_.back()->value_);
    for (const auto& field : object) {
      if (field.first == name) {
        fail("the key " + shown(name) + " comes twice");
      }
    }
    if (object.size() >= kKeysLimit) {
      fail("an object has too many keys");
    }
    key_ = std::move(name);
    return true;
  }
  bool parse_error(size_t position, const std::string&,
                   const nlohmann::detail::exception&) override {
    fail(fmt::format("it is not valid JSON at byte {}", position));
  }

 private:
  static constexpr size_t kKeysLimit = 1000;  // looking for twins is quadratic

  Json* place(Json value) {
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    auto& inside = open_.back()->value_;
    if (auto* array = std::get_if<Json::Array>(&inside)) {
      return &array->emplace_back(std::move(value));
    }
    auto& object = std::get<Json::Object>(inside);
    return &object.emplace_back(std::move(key_), std::move(value)).second;
  }
  bool add(Json value) {
    place(std::move(value));
    return true;
  }
  // Pointers into the innermost containers stay good: only the innermost one grows.
  bool open(Json container) {
    if (open_.size() >= kJsonDepth) {
      fail("it is nested too deeply");
    }
    open_.push_back(place(std::move(container)));
    return true;
  }
  bool close() {
    open_.pop_back();
    return true;
  }

  Json root_;
  std::vector<Json*> open_;
  std::string key_;
};

Json Json::integer(int64_t number) {
  Json json;
  json.value_ = number;
  return json;
}

Json Json::bytes(uint64_t number) {
  constexpr auto kMost = static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
  return integer(static_cast<int64_t>(std::min(number, kMost)));
}

Json Json::time(WallTime time) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(time);
  std::string text;
  append_go_time(text, {.seconds = seconds.time_since_epoch().count(),
                        .nanoseconds = static_cast<uint32_t>((time - seconds).count()),
                        .utc_offset_seconds = 0});
  return text;
}

Json Json::parse(std::string_view text, size_t limit) {
  if (text.size() > limit) {
    fail(fmt::format("it is larger than {}", format_bytes(limit)));
  }
  JsonBuilder builder;
  if (!nlohmann::json::sax_parse(text.begin(), text.end(), &builder)) {
    fail("it is not valid JSON");
  }
  return builder.take();
}

std::string Json::text() const {
  std::string out;
  append(out);
  return out;
}

void Json::append(std::string& out) const {
  if (const auto* truth = std::get_if<bool>(&value_)) {
    out += *truth ? "true" : "false";
  } else if (const auto* integer = std::get_if<int64_t>(&value_)) {
    out += std::to_string(*integer);
  } else if (const auto* real = std::get_if<double>(&value_)) {
    out += std::isfinite(*real) ? fmt::format("{}", *real) : "null";
  } else if (const auto* text = std::get_if<std::string>(&value_)) {
    append_json_string(out, *text);
  } else if (const auto* array = std::get_if<Array>(&value_)) {
    out += '[';
    for (const Json& one : *array) {
      out += &one == array->data() ? "" : ",";
      one.append(out);
    }
    out += ']';
  } else if (const auto* object = std::get_if<Object>(&value_)) {
    out += '{';
    for (const auto& field : *object) {
      out += &field == object->data() ? "" : ",";
      append_json_string(out, field.first);
      out += ':';
      field.second.append(out);
    }
    out += '}';
  } else {
    out += "null";
  }
}

const Json::Array& Json::as_array(std::string_view what) const {
  if (const auto* array = std::get_if<Array>(&value_)) {
    return *array;
  }
  fail(shown(what) + " is not a list");
}

const Json::Object& Json::as_object(std::string_view what) const {
  if (const auto* object = std::get_if<Object>(&value_)) {
    return *object;
  }
  fail(shown(what) + " is not an object");
}

const std::string& Json::as_text(std::string_view what) const {
  if (const auto* text = std::get_if<std::string>(&value_)) {
    return *text;
  }
  fail(shown(what) + " is not a text");
}

const Json* Json::find(std::string_view key) const {
  const auto* object = std::get_if<Object>(&value_);
  if (object == nullptr) {
    fail("there is no object where " + shown(key) + " should be");
  }
  for (const auto& field : *object) {
    if (field.first == key) {
      return field.second.is_null() ? nullptr : &field.second;
    }
  }
  return nullptr;
}

const Json& Json::at(std::string_view key) const {
  if (const Json* found = find(key)) {
    return *found;
  }
  fail("the field " + shown(key) + " is missing");
}

const std::string& Json::text_at(std::string_view key) const {
  return at(key).as_text(key);
}

std::string Json::text_or(std::string_view key, std::string_view otherwise) const {
  const Json* found = find(key);
  return found == nullptr ? std::string(otherwise) : found->as_text(key);
}

bool Json::flag_or(std::string_view key, bool otherwise) const {
  const Json* found = find(key);
  if (found == nullptr) {
    return otherwise;
  }
  if (const auto* truth = std::get_if<bool>(&found->value_)) {
    return *truth;
  }
  fail(shown(key) + " is neither true nor false");
}

uint64_t Json::number_or(std::string_view key, uint64_t otherwise) const {
  const Json* found = find(key);
  if (found == nullptr) {
    return otherwise;
  }
  const auto* number = std::get_if<int64_t>(&found->value_);
  if (number == nullptr || *number < 0) {
    fail(shown(key) + " is not a whole number");
  }
  return static_cast<uint64_t>(*number);
}

std::optional<double> Json::real_at(std::string_view key) const {
  const Json* found = find(key);
  if (found == nullptr) {
    return {};
  }
  if (const auto* number = std::get_if<int64_t>(&found->value_)) {
    return static_cast<double>(*number);
  }
  if (const auto* number = std::get_if<double>(&found->value_)) {
    return *number;
  }
  fail(shown(key) + " is not a number");
}

std::optional<WallTime> Json::time_at(std::string_view key) const {
  const Json* found = find(key);
  if (found == nullptr) {
    return {};
  }
  // WallTime holds 292 years around 1970.
  constexpr int64_t kFarthest = 9'000'000'000;
  const std::optional<Timestamp> time = parse_go_time(found->as_text(key));
  if (!time || time->seconds > kFarthest || time->seconds < -kFarthest) {
    fail(shown(key) + " is not a time");
  }
  return time->wall();
}

const Json::Array& Json::array_or_empty(std::string_view key) const {
  static const Array kEmpty;
  const Json* found = find(key);
  return found == nullptr ? kEmpty : found->as_array(key);
}

}  // namespace salvor
