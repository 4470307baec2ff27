// The directory of one drill's sandboxes, held by a lock: what a drill leaves that was killed, the
// next one removes, its processes included. Only directories that this user made count, whatever
// they are called: others may be able to make some beside them.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "model/application.h"
#include "plan/run_folder.h"

namespace salvor {

// Where the sandboxes of one are.
[[nodiscard]] std::filesystem::path sandbox_place(const SandboxSpec& sandbox);
// Where those of the application are, each once.
[[nodiscard]] std::vector<std::filesystem::path> sandbox_places(const Application& application);

// What stays after a drill, for a look at it: kept.json in the area.
struct KeptArea {
  std::string id;  // of the drill; the area's name ends with its beginning
  WallTime until;
  std::vector<std::string> enter;    // commands, for people
  std::vector<std::string> outside;  // servers' runtime folders that go with it
};

// Areas that are kept below one directory at a time: a further one takes the place of the oldest.
inline constexpr size_t kMostKeptAreas = 3;

class DrillArea {
 public:
  // Makes "<parent>/salvor-drill-<id>". Throws Error.
  DrillArea(const std::filesystem::path& parent, const std::string& id);
  // Ends what still runs in it, and what the drill's commands left running, and removes it. Never
  // throws.
  ~DrillArea();
  DrillArea(const DrillArea&) = delete;
  DrillArea& operator=(const DrillArea&) = delete;

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  // It stays when this object goes, until the note says. Throws Error.
  void keep(const KeptArea& note);

  // Removes areas below `parent` that nobody holds and nobody wanted kept until after `now`. Their
  // names.
  static std::vector<std::string> remove_dead(const std::filesystem::path& parent, WallTime now);
  // Those that were kept, the oldest first.
  [[nodiscard]] static std::vector<KeptArea> kept(const std::filesystem::path& parent);
  // Ends what still runs in it and removes it. Never throws.
  static void remove(const std::filesystem::path& parent, const KeptArea& area);

 private:
  std::filesystem::path path_;
  std::string mark_;  // of the processes that the drill's commands began
  plan::FileLock lock_;
  bool kept_ = false;
};

}  // namespace salvor
