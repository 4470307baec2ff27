#include "protect/drill_area.h"

#include <cerrno>
#include <charconv>
#include <csignal>
#include <thread>

#include <sys/stat.h>

#include "base/error.h"

namespace salvor {
namespace {

namespace fs = std::filesystem;
constexpr std::string_view kPrefix = "salvor-drill-";

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

void clear_away(const fs::path& directory) {
  end_processes(directory);
  std::error_code ignored;
  fs::remove_all(directory, ignored);
}

}  // namespace

DrillArea::DrillArea(const fs::path& parent, const std::string& id)
    : path_(parent / (std::string(kPrefix) + id)) {
  // A server in the sandbox may run as another user and must get through.
  constexpr mode_t kEnter = 0711;
  std::error_code error;
  fs::create_directories(parent, error);
  if (::mkdir(path_.c_str(), kEnter) != 0) {
    throw Error::from_errno(errno, "cannot make the sandbox " + path_.string());
  }
  ::chmod(path_.c_str(), kEnter);
  auto lock = plan::FileLock::try_take(path_ / ".lock");
  if (!lock) {
    throw Error(ErrorCode::kLocked, "sandbox " + path_.string() + " is in use");
  }
  lock_ = std::move(*lock);
}

DrillArea::~DrillArea() {
  clear_away(path_);
}

std::vector<std::string> DrillArea::remove_dead(const fs::path& parent) {
  std::vector<std::string> removed;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(parent, none)) {
    const std::string name = entry.path().filename();
    if (!name.starts_with(kPrefix) || !entry.is_directory(none)) {
      continue;
    }
    if (const auto lock = plan::FileLock::try_take(entry.path() / ".lock")) {
      clear_away(entry.path());
      removed.push_back(name);
    }
  }
  return removed;
}

}  // namespace salvor
