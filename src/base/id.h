// 32-byte SHA-256 names as strong types: a pack's name cannot be passed where a blob's is wanted.
#pragma once

#include <array>
#include <compare>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"

namespace salvor {

using Digest = std::array<std::byte, 32>;

template <class Tag>
class Id {
 public:
  constexpr Id() = default;
  constexpr explicit Id(const Digest& digest) : digest_(digest) {}

  // 64 hexadecimal digits; anything else gives nothing.
  [[nodiscard]] static std::optional<Id> parse(std::string_view hex) {
    Id id;
    if (!from_hex(hex, id.digest_)) {
      return std::nullopt;
    }
    return id;
  }

  [[nodiscard]] const Digest& digest() const { return digest_; }
  [[nodiscard]] ByteView bytes() const { return digest_; }
  [[nodiscard]] std::string hex() const { return to_hex(digest_); }
  // The eight digits that people see.
  [[nodiscard]] std::string short_hex() const { return to_hex(ByteView(digest_).first(4)); }
  // All zeros: restic's mark of damage, never a real name.
  [[nodiscard]] bool is_null() const { return digest_ == Digest{}; }

  // Ids are uniformly distributed: any eight bytes are a good hash.
  [[nodiscard]] uint64_t hash() const {
    uint64_t value = 0;
    std::memcpy(&value, digest_.data(), sizeof value);
    return value;
  }

  friend bool operator==(const Id& left, const Id& right) {
    return std::memcmp(left.digest_.data(), right.digest_.data(), sizeof(Digest)) == 0;
  }
  friend std::strong_ordering operator<=>(const Id& left, const Id& right) {
    return std::memcmp(left.digest_.data(), right.digest_.data(), sizeof(Digest)) <=> 0;
  }

 private:
  Digest digest_{};
};

using BlobId = Id<struct BlobIdTag>;          // SHA-256 of a blob's plaintext
using PackId = Id<struct PackIdTag>;          // SHA-256 of a pack file
using IndexId = Id<struct IndexIdTag>;        // SHA-256 of an index file
using SnapshotId = Id<struct SnapshotIdTag>;  // SHA-256 of a snapshot file
using KeyId = Id<struct KeyIdTag>;            // SHA-256 of a key file
using LockId = Id<struct LockIdTag>;          // SHA-256 of a lock file

struct IdHash {
  template <class Tag>
  size_t operator()(const Id<Tag>& id) const {
    return id.hash();
  }
};

}  // namespace salvor
