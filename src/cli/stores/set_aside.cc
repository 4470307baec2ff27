#include "cli/stores/set_aside.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include <fcntl.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/format.h"
#include "connector/postgres/backup_facts.h"

namespace salvor::cli {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kNoteLimit = 4096;
constexpr std::string_view kMoved = "moved ";

void sync_directory(const std::string& path) {
  const UniqueFd directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory || ::fsync(directory.get()) != 0) {
    throw Error::from_errno(errno, "cannot make a change in " + path + " durable");
  }
}

void remove_all(const std::string& path) {
  std::error_code error;
  fs::remove_all(path, error);
  if (error) {
    throw Error::from_errno(error.value(), "cannot remove " + path);
  }
}

}  // namespace

std::string aside_suffix(WallTime now) {
  std::string suffix = postgres::format_utc(now).substr(0, 19);
  std::replace(suffix.begin(), suffix.end(), ':', '-');
  return suffix;
}

RestoreNote::RestoreNote(const std::string& state_directory, const std::string& key, WallTime now)
    : suffix_(aside_suffix(now)) {
  if (key.empty()) {
    return;
  }
  if (key.find_first_of("/\n") != std::string::npos || key.starts_with('.')) {
    throw Error(ErrorCode::kUsage, "\"" + printable(key) + "\" cannot be the name of a restore");
  }
  path_ = state_directory + "/restores/" + key;
  if (!fs::exists(path_)) {
    return;
  }
  const Buffer content = read_file(path_, kNoteLimit);
  std::string text(as_text(content.view()));
  while (text.ends_with('\n')) {
    text.pop_back();
  }
  if (!text.empty()) {  // empty: it was killed before it wrote, so before it moved anything
    suffix_ = text;
    resumed_ = true;
  }
}

void RestoreNote::begin() const {
  if (path_.empty() || resumed_) {
    return;
  }
  const std::string folder = fs::path(path_).parent_path();
  fs::create_directories(folder);
  const UniqueFd file(::open(path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!file) {
    throw Error::from_errno(errno, "cannot write " + path_);
  }
  write_full(file.get(), as_bytes(suffix_ + "\n"), path_);
  if (::fsync(file.get()) != 0) {
    throw Error::from_errno(errno, "cannot write " + path_);
  }
  sync_directory(folder);
}

void RestoreNote::end() const {
  if (!path_.empty() && ::unlink(path_.c_str()) != 0 && errno != ENOENT) {
    throw Error::from_errno(errno, "cannot remove " + path_);
  }
}

void add_moved(TextMap& facts, const std::vector<MovedData>& moved) {
  for (const MovedData& one : moved) {
    facts.emplace_back(std::string(kMoved) + one.place, one.kept);
  }
}

std::vector<MovedData> moved_in(const TextMap& facts) {
  std::vector<MovedData> moved;
  for (const auto& [name, value] : facts) {
    if (name.starts_with(kMoved)) {
      moved.push_back({name.substr(kMoved.size()), value});
    }
  }
  return moved;
}

void rename_durably(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) {
    throw Error::from_errno(errno, "cannot move " + from + " to " + to);
  }
  sync_directory(fs::path(to).parent_path());
}

void put_moved_back(const std::vector<MovedData>& moved) {
  for (const MovedData& one : moved) {
    const std::string undone = one.place + ".undone";
    if (fs::exists(fs::symlink_status(one.kept))) {
      remove_all(undone);
      if (fs::exists(fs::symlink_status(one.place))) {
        rename_durably(one.place, undone);
      }
      rename_durably(one.kept, one.place);
    } else if (!fs::exists(fs::symlink_status(one.place))) {
      throw Error(ErrorCode::kNotFound, "the old data is not in " + one.kept + " any more",
                  "Nothing was changed at " + one.place + ".");
    }
    remove_all(undone);
  }
}

void discard_moved(const std::vector<MovedData>& moved) {
  for (const MovedData& one : moved) {
    remove_all(one.kept);
  }
}

}  // namespace salvor::cli
