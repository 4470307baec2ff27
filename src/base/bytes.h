// Views of bytes and an owning buffer that does not pay for zeroing.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace salvor {

using ByteView = std::span<const std::byte>;
using MutableBytes = std::span<std::byte>;

[[nodiscard]] inline ByteView as_bytes(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

[[nodiscard]] inline std::string_view as_text(ByteView bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// A growable owning byte array. Unlike std::vector it leaves new bytes uninitialised, which matters
// for 16 MiB packs. Movable, not copyable (copies of bulk data must be visible: use `clone`).
// Not thread-safe.
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(size_t size) { resize(size); }
  Buffer(Buffer&& other) noexcept
      : data_(std::move(other.data_)),
        size_(std::exchange(other.size_, 0)),
        capacity_(std::exchange(other.capacity_, 0)) {}
  Buffer& operator=(Buffer&& other) noexcept {
    data_ = std::move(other.data_);
    size_ = std::exchange(other.size_, 0);
    capacity_ = std::exchange(other.capacity_, 0);
    return *this;
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() = default;
  static Buffer copy_of(ByteView bytes) {
    Buffer copy;
    copy.append(bytes);
    return copy;
  }

  [[nodiscard]] size_t size() const { return size_; }
  [[nodiscard]] size_t capacity() const { return capacity_; }
  [[nodiscard]] bool empty() const { return size_ == 0; }
  [[nodiscard]] std::byte* data() { return data_.get(); }
  [[nodiscard]] const std::byte* data() const { return data_.get(); }
  [[nodiscard]] ByteView view() const { return {data_.get(), size_}; }
  [[nodiscard]] ByteView view(size_t offset, size_t length) const {
    return view().subspan(offset, length);
  }
  [[nodiscard]] MutableBytes bytes() { return {data_.get(), size_}; }

  // New bytes are uninitialised.
  void resize(size_t size) {
    reserve(size);
    size_ = size;
  }
  void reserve(size_t capacity);
  void clear() { size_ = 0; }
  // Emptied; of its memory at most so many bytes are kept for the next use.
  void clear_keeping(size_t most);
  void append(ByteView bytes) {
    if (bytes.empty()) {
      return;
    }
    const size_t old_size = size_;
    grow_to(size_ + bytes.size());
    std::memcpy(data_.get() + old_size, bytes.data(), bytes.size());
  }
  void append(std::string_view text) { append(as_bytes(text)); }
  // Grows by `count` uninitialised bytes and returns them.
  MutableBytes extend(size_t count) {
    const size_t old_size = size_;
    grow_to(size_ + count);
    return {data_.get() + old_size, count};
  }

 private:
  struct Free {
    void operator()(std::byte* pointer) const noexcept;
  };

  void grow_to(size_t size);
  void reallocate(size_t capacity);

  std::unique_ptr<std::byte, Free> data_;
  size_t size_ = 0;
  size_t capacity_ = 0;
};

// Little-endian integers, as every restic structure stores them.
inline void store_u32le(std::byte* out, uint32_t value) {
  static_assert(std::endian::native == std::endian::little, "big-endian hosts are not supported");
  std::memcpy(out, &value, sizeof value);
}
[[nodiscard]] inline uint32_t load_u32le(const std::byte* in) {
  uint32_t value = 0;
  std::memcpy(&value, in, sizeof value);
  return value;
}

[[nodiscard]] std::string to_hex(ByteView bytes);
// False when `text` is not exactly 2 * out.size() hexadecimal digits (either case).
[[nodiscard]] bool from_hex(std::string_view text, MutableBytes out);

// Standard alphabet with padding (RFC 4648, section 4).
[[nodiscard]] std::string to_base64(ByteView bytes);
void append_base64(std::string& out, ByteView bytes);
// False when `text` is not canonical padded base64; `out` is then unspecified.
[[nodiscard]] bool from_base64(std::string_view text, Buffer& out);

}  // namespace salvor
