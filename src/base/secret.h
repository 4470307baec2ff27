// A secret text: never printed, wiped when it goes away.
#pragma once

#include <string>
#include <string_view>

namespace salvor {

// Overwrites memory in a way that the compiler may not leave out.
void wipe(void* data, size_t size);

// Wipes memory that outlives it, however the scope is left.
class WipedAtExit {
 public:
  WipedAtExit(void* data, size_t size) : data_(data), size_(size) {}
  ~WipedAtExit() { wipe(data_, size_); }
  WipedAtExit(const WipedAtExit&) = delete;
  WipedAtExit& operator=(const WipedAtExit&) = delete;

 private:
  void* data_;
  size_t size_;
};

class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string value) : value_(std::move(value)) {}
  ~Secret() { wipe_value(); }
  Secret(const Secret&) = default;
  Secret(Secret&& other) noexcept : value_(std::move(other.value_)) { other.wipe_value(); }
  Secret& operator=(const Secret& other) {
    if (this != &other) {
      wipe_value();
      value_ = other.value_;
    }
    return *this;
  }
  Secret& operator=(Secret&& other) noexcept {
    if (this != &other) {
      wipe_value();
      value_ = std::move(other.value_);
      other.wipe_value();
    }
    return *this;
  }

  // The only way to the bytes; search for "reveal" to audit every use.
  [[nodiscard]] std::string_view reveal() const { return value_; }
  [[nodiscard]] bool empty() const { return value_.empty(); }

 private:
  void wipe_value() {
    wipe(value_.data(), value_.capacity());
    value_.clear();
  }

  std::string value_;
};

}  // namespace salvor
