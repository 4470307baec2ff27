// The small JSON documents of a repository: config, key files, locks, snapshots (restic format,
// sections 2.1, 3, 7, 8). Encoders write restic's exact field order; decoders ignore unknown fields
// and throw Error{kDamaged} that says what is wrong.
#pragma once

#include <cstdint>
#include <string>

#include "base/bytes.h"
#include "model/key_material.h"
#include "model/snapshot.h"

namespace salvor {

struct RepositoryConfig {
  unsigned version = 2;
  std::string id;  // 64 hexadecimal digits
  uint64_t chunker_polynomial = 0;
  friend bool operator==(const RepositoryConfig&, const RepositoryConfig&) = default;
};

struct KeyDocument {
  Timestamp created;
  std::string username;
  std::string hostname;
  ScryptParameters kdf;
  Buffer salt;  // 64 bytes
  Buffer data;  // sealed master key document
};

struct LockDocument {
  Timestamp time;
  bool exclusive = false;
  std::string hostname;
  std::string username;
  int64_t pid = 0;
  uint32_t uid = 0;
  uint32_t gid = 0;
};

[[nodiscard]] std::string encode_config(const RepositoryConfig& config);
[[nodiscard]] RepositoryConfig decode_config(ByteView json);
[[nodiscard]] std::string encode_key(const KeyDocument& key);
[[nodiscard]] KeyDocument decode_key(ByteView json);
[[nodiscard]] std::string encode_master_key(const MasterKey& key);  // wipe the result after use
[[nodiscard]] MasterKey decode_master_key(ByteView json);
[[nodiscard]] std::string encode_lock(const LockDocument& lock);
[[nodiscard]] LockDocument decode_lock(ByteView json);
[[nodiscard]] std::string encode_snapshot(const Snapshot& snapshot);
[[nodiscard]] Snapshot decode_snapshot(ByteView json);

}  // namespace salvor
