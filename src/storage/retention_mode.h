// What Google Cloud Storage and Azure have in common about protecting objects: the modes' names.
#pragma once

#include <optional>
#include <string>

#include "storage/storage.h"

namespace salvor {

// In which mode ("Locked", "Unlocked") an object is protected until `until` that is protected as
// `now` says: its own, or `usual` when it has none yet. Nothing when it is protected as long
// already: that is never made shorter.
[[nodiscard]] inline std::optional<std::string> mode_to_extend(const std::optional<Retention>& now,
                                                               WallTime until,
                                                               const std::string& usual) {
  if (!now || !now->until) {
    return usual == "Locked" ? "Locked" : "Unlocked";
  }
  if (*now->until >= until) {
    return std::nullopt;
  }
  return now->compliance ? "Locked" : "Unlocked";
}

}  // namespace salvor
