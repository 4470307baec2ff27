// The directory of one drill's sandboxes, held by a lock: what a drill leaves that was killed, the
// next one removes, its processes included.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "plan/run_folder.h"

namespace salvor {

class DrillArea {
 public:
  // Makes "<parent>/salvor-drill-<id>". Throws Error.
  DrillArea(const std::filesystem::path& parent, const std::string& id);
  // Ends what still runs in it and removes it. Never throws.
  ~DrillArea();
  DrillArea(const DrillArea&) = delete;
  DrillArea& operator=(const DrillArea&) = delete;

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

  // Removes areas below `parent` that nobody holds. Their names.
  static std::vector<std::string> remove_dead(const std::filesystem::path& parent);

 private:
  std::filesystem::path path_;
  plan::FileLock lock_;
};

}  // namespace salvor
