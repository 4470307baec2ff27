// What the storages of a REST repository remember of its config from call to call.
//
// The protocol has no words of its own for "there is no such object" (any proxy answers 404), and
// no way to replace the config but to remove it first. Both are made up for by remembering: a 404
// counts while the config is there, and what a replacement has removed can be put back, also by
// another try after a lost reply, and by hand after a crash.
#pragma once

#include <mutex>
#include <optional>
#include <string>

#include "base/bytes.h"

namespace salvor {

// For one repository; shared by storages that are opened on it one after the other (rclone is
// started again when it has died). Thread-safe.
class RestConfigMemory {
 public:
  // `folder`: where a config that is being replaced is kept.
  explicit RestConfigMemory(std::string folder) : folder_(std::move(folder)) {}
  RestConfigMemory(const RestConfigMemory&) = delete;
  RestConfigMemory& operator=(const RestConfigMemory&) = delete;
  ~RestConfigMemory() = default;  // leaves the file of a replacement that has not ended well

  // Whether the config was there when it was last looked at.
  [[nodiscard]] bool seen() const;
  void set_seen(bool there);

  // Before the config is removed: keeps it, and durably in a file of its own besides. Throws Error
  // when that cannot be written.
  void keep_old(ByteView config);
  // What was kept; nothing when no replacement is under way.
  [[nodiscard]] std::optional<std::string> old() const;
  [[nodiscard]] std::string old_file() const;
  // There is a config again: removes the file.
  void forget_old();

 private:
  const std::string folder_;
  mutable std::mutex mutex_;
  bool seen_ = false;
  std::optional<std::string> old_;
  std::string old_file_;
};

}  // namespace salvor
