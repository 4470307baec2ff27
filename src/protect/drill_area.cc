#include "protect/drill_area.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <optional>
#include <thread>

#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <sys/stat.h>

#include "base/error.h"
#include "base/fd.h"
#include "engine/postgres/postgres_proof.h"
#include "plan/process.h"
#include "plan/run_journal.h"

namespace salvor {
namespace {

namespace fs = std::filesystem;
constexpr std::string_view kPrefix = "salvor-drill-";
constexpr const char* kNote = "kept.json";
constexpr size_t kShownDigits = 12;  // of a drill's id, in an area's name

// Whether this user made it. Sandboxes may be where everybody can make directories (/var/tmp), and
// what a note there says is acted upon, perhaps by root: one of somebody else is left alone.
bool is_ours(const fs::path& path, mode_t type) {
  struct stat status{};
  return ::lstat(path.c_str(), &status) == 0 && (status.st_mode & S_IFMT) == type &&
         status.st_uid == ::geteuid();
}

bool is_area(const fs::path& path) {
  return path.filename().string().starts_with(kPrefix) && is_ours(path, S_IFDIR);
}

// Processes that work in the directory or below.
std::vector<pid_t> processes_in(const fs::path& directory) {
  std::vector<pid_t> found;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator("/proc", none)) {
    const std::string name = entry.path().filename();
    pid_t pid = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), pid);
    if (error != std::errc() || end != name.data() + name.size() || pid == ::getpid()) {
      continue;
    }
    std::error_code unreadable;
    const std::string place = fs::read_symlink(entry.path() / "cwd", unreadable).string();
    if (!unreadable && (place + "/").starts_with(directory.string() + "/")) {
      found.push_back(pid);
    }
  }
  return found;
}

void end_processes(const fs::path& directory) {
  constexpr int kPolite = 20;
  constexpr int kMost = 100;
  for (int i = 0; i < kMost; ++i) {
    const std::vector<pid_t> left = processes_in(directory);
    if (left.empty()) {
      return;
    }
    for (const pid_t pid : left) {
      // PostgreSQL takes SIGQUIT for "at once", others end by it, too.
      ::kill(pid, i < kPolite ? SIGQUIT : SIGKILL);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
}

void clear_away(const fs::path& directory, const std::string& mark) {
  // What a drill's commands left running, wherever it works.
  plan::end_marked({mark}, true);
  end_processes(directory);
  std::error_code ignored;
  fs::remove_all(directory, ignored);
}

std::string mark_of(const std::string& area_name) {
  return "SALVOR_RUN=" + area_name.substr(kPrefix.size());
}

// `area` is ours: nobody else can put anything into it.
std::optional<KeptArea> read_note(const fs::path& area) {
  constexpr uint64_t kLimitBytes = uint64_t{1} << 20;
  if (!is_ours(area / kNote, S_IFREG)) {
    return {};
  }
  try {
    const Buffer bytes = read_file(area / kNote, kLimitBytes);
    const auto json = nlohmann::json::parse(as_text(bytes.view()));
    return KeptArea{.id = json.at("drill"),
                    .until = plan::time_of(json.at("until")),
                    .enter = json.at("enter"),
                    .outside = json.at("outside")};
  } catch (const Error&) {  // none, or not one
    return {};
  } catch (const nlohmann::json::exception&) {
    return {};
  }
}

// Nothing when it was cleared away meanwhile. Throws Error.
std::optional<plan::FileLock> make_locked(const fs::path& area) {
  // A server in the sandbox may run as another user and must get through.
  constexpr mode_t kEnter = 0711;
  constexpr auto kPause = std::chrono::milliseconds(50);
  if (::mkdir(area.c_str(), kEnter) != 0) {
    if (errno != EEXIST) {
      throw Error::from_errno(errno, "cannot make the sandbox " + area.string());
    }
    std::this_thread::sleep_for(kPause);  // whoever clears it away is at it
    return {};
  }
  ::chmod(area.c_str(), kEnter);
  std::optional<plan::FileLock> lock;
  try {
    lock = plan::FileLock::try_take(area / ".lock");
  } catch (const Error&) {
    if (fs::exists(area)) {
      throw;
    }
    return {};
  }
  return lock && fs::exists(area / ".lock") ? std::move(lock) : std::nullopt;
}

// Directories elsewhere that a note names: only such as servers of ours have, where RuntimeFolder
// makes them.
void remove_outside(const KeptArea& note) {
  std::error_code none;
  const fs::path parent = ::geteuid() == 0 ? fs::path("/tmp") : fs::temp_directory_path(none);
  for (const std::string& text : note.outside) {
    const fs::path place = text;
    if (place.parent_path() == parent && place.filename().string().starts_with("salvor-") &&
        fs::is_directory(fs::symlink_status(place, none))) {
      std::error_code ignored;
      fs::remove_all(place, ignored);
    }
  }
}

}  // namespace

fs::path sandbox_place(const SandboxSpec& sandbox) {
  return sandbox.directory.empty() ? "/var/tmp" : sandbox.directory;
}

std::vector<fs::path> sandbox_places(const Application& application) {
  std::vector<fs::path> found;
  for (const SandboxSpec& sandbox : application.sandboxes) {
    found.push_back(sandbox_place(sandbox));
  }
  if (found.empty()) {
    found.push_back(sandbox_place({}));
  }
  std::sort(found.begin(), found.end());
  found.erase(std::unique(found.begin(), found.end()), found.end());
  return found;
}

DrillArea::DrillArea(const fs::path& parent, const std::string& id)
    : path_(parent / (std::string(kPrefix) + id)), mark_(mark_of(path_.filename())) {
  make_passable(parent.string());
  // Between its making and its lock somebody who clears away may take it for a dead one's.
  constexpr int kTries = 10;
  for (int i = 0; i < kTries; ++i) {
    if (auto lock = make_locked(path_)) {
      lock_ = std::move(*lock);
      return;
    }
  }
  throw Error(ErrorCode::kLocked, "sandbox " + path_.string() + " is in use");
}

DrillArea::~DrillArea() {
  if (!kept_) {
    clear_away(path_, mark_);
  }
}

void DrillArea::keep(const KeptArea& note) {
  const nlohmann::json json{{"drill", note.id},
                            {"until", plan::time_text(note.until)},
                            {"enter", note.enter},
                            {"outside", note.outside}};
  constexpr mode_t kOwnerOnly = 0600;
  const std::string file = path_ / kNote;
  const UniqueFd fd(::open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, kOwnerOnly));
  if (!fd) {
    throw Error::from_errno(errno, "cannot write " + file);
  }
  write_full(fd.get(), as_bytes(json.dump()), file);
  kept_ = true;
}

std::vector<std::string> DrillArea::remove_dead(const fs::path& parent, WallTime now) {
  std::vector<std::string> removed;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(parent, none)) {
    const std::string name = entry.path().filename();
    if (!is_area(entry.path())) {
      continue;
    }
    const auto lock = plan::FileLock::try_take(entry.path() / ".lock");
    if (!lock) {
      continue;
    }
    const auto note = read_note(entry.path());
    if (note && note->until > now) {
      continue;
    }
    clear_away(entry.path(), mark_of(name));
    if (note) {
      remove_outside(*note);
    }
    removed.push_back(name);
  }
  return removed;
}

std::vector<KeptArea> DrillArea::kept(const fs::path& parent) {
  std::vector<KeptArea> areas;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(parent, none)) {
    if (is_area(entry.path())) {
      if (auto note = read_note(entry.path())) {
        areas.push_back(std::move(*note));
      }
    }
  }
  std::sort(areas.begin(), areas.end(),
            [](const KeptArea& a, const KeptArea& b) { return a.until < b.until; });
  return areas;
}

void DrillArea::remove(const fs::path& parent, const KeptArea& area) {
  const std::string name = std::string(kPrefix) + area.id.substr(0, kShownDigits);
  if (is_area(parent / name)) {
    clear_away(parent / name, mark_of(name));
    remove_outside(area);
  }
}

}  // namespace salvor
