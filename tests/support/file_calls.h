// File system calls that tests can watch, fail, and crash.
//
// HookedFileCalls does the real calls and asks a hook before each. FileSystemModel listens to it
// and knows, at every moment, what a crash of the machine could leave: POSIX promises content only
// after fsync of the file, and names only after fsync of the directory, each name change on its own
// and in any order.
#pragma once

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <fcntl.h>
#include <sys/uio.h>

#include "storage/local/file_calls.h"

namespace salvor::test {

struct FileCall {
  enum class Kind : uint8_t {
    kMakeDirectory,
    kCreate,
    kWrite,
    kMode,
    kSync,
    kClose,
    kRenameNew,
    kRenameOver,
    kLink,
    kUnlink
  };
  Kind kind;
  std::string path;   // absolute; of the descriptor's file where the call has only that
  std::string to;     // for renames and links
  std::string bytes;  // for writes: those written
};

class HookedFileCalls : public FileCalls {
 public:
  // Returns the errno to fail with, without doing the call.
  std::function<std::optional<int>(const FileCall&)> before;
  // After a call that succeeded.
  std::function<void(const FileCall&)> after;

  int make_directory(int directory, const char* path, mode_t mode) override {
    return run({FileCall::Kind::kMakeDirectory, at(directory, path), {}, {}},
               [&] { return real_.make_directory(directory, path, mode); });
  }
  int create_file(int directory, const char* path, mode_t mode) override {
    return run({FileCall::Kind::kCreate, at(directory, path), {}, {}},
               [&] { return real_.create_file(directory, path, mode); });
  }
  ssize_t write_at(int fd, const iovec* parts, int count, off_t offset) override {
    FileCall call{FileCall::Kind::kWrite, of(fd), {}, {}};
    if (before) {
      if (const auto error_number = before(call)) {
        errno = *error_number;
        return -1;
      }
    }
    // Short writes are legal, and must not lose anything.
    const iovec first{parts[0].iov_base, std::min(parts[0].iov_len, max_write)};
    const bool shorten = first.iov_len < parts[0].iov_len;
    const ssize_t written =
        shorten ? real_.write_at(fd, &first, 1, offset) : real_.write_at(fd, parts, count, offset);
    if (written >= 0 && after) {
      auto left = static_cast<size_t>(written);
      for (const iovec* part = parts; left > 0; ++part) {
        const size_t here = std::min(left, part->iov_len);
        call.bytes.append(static_cast<const char*>(part->iov_base), here);
        left -= here;
      }
      after(call);
    }
    return written;
  }
  int change_mode(int fd, mode_t mode) override {
    return run({FileCall::Kind::kMode, of(fd), {}, {}},
               [&] { return real_.change_mode(fd, mode); });
  }
  int sync(int fd) override {
    return run({FileCall::Kind::kSync, of(fd), {}, {}}, [&] { return real_.sync(fd); });
  }
  int close(int fd) override {
    const FileCall call{FileCall::Kind::kClose, of(fd), {}, {}};
    const int result = real_.close(fd);  // a failing close closes all the same
    if (before) {
      if (const auto error_number = before(call)) {
        errno = *error_number;
        return -1;
      }
    }
    return result;
  }
  int rename_new(int directory, const char* from, const char* to) override {
    return run({FileCall::Kind::kRenameNew, at(directory, from), at(directory, to), {}},
               [&] { return real_.rename_new(directory, from, to); });
  }
  int rename_over(int directory, const char* from, const char* to) override {
    return run({FileCall::Kind::kRenameOver, at(directory, from), at(directory, to), {}},
               [&] { return real_.rename_over(directory, from, to); });
  }
  int link(int directory, const char* from, const char* to) override {
    return run({FileCall::Kind::kLink, at(directory, from), at(directory, to), {}},
               [&] { return real_.link(directory, from, to); });
  }
  int unlink(int directory, const char* path) override {
    return run({FileCall::Kind::kUnlink, at(directory, path), {}, {}},
               [&] { return real_.unlink(directory, path); });
  }

  size_t max_write = SIZE_MAX;  // of the first part of a write

 private:
  template <class Call>
  int run(const FileCall& what, const Call& call) {
    if (before) {
      if (const auto error_number = before(what)) {
        errno = *error_number;
        return -1;
      }
    }
    const int result = call();
    if (result >= 0 && after) {
      const int kept = errno;
      after(what);
      errno = kept;
    }
    return result;
  }
  static std::string of(int fd) {
    return std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(fd)).string();
  }
  static std::string at(int directory, const char* path) {
    const std::filesystem::path relative(path);
    return ((relative.is_absolute() || directory == AT_FDCWD) ? relative : of(directory) / relative)
        .lexically_normal()
        .string();
  }

  SystemFileCalls real_;
};

// Follows the calls below one directory that was empty, or durable as it is, at the beginning.
class FileSystemModel {
 public:
  // What is at each path; nothing for a directory.
  using State = std::map<std::string, std::optional<std::string>>;
  struct File {
    std::string written;
    std::string synced;
    bool in_doubt = false;  // written after the last sync
  };

  void on(const FileCall& call) {
    using Kind = FileCall::Kind;
    switch (call.kind) {
      case Kind::kMakeDirectory:
        change(call.path, std::nullopt, std::nullopt);
        break;
      case Kind::kCreate:
        files_.emplace_back();
        names_[call.path] = files_.size() - 1;
        change(call.path, names_[call.path], std::nullopt);
        break;
      case Kind::kWrite: {
        File& file = files_[names_.at(call.path)];
        file.written += call.bytes;
        file.in_doubt = true;
        break;
      }
      case Kind::kSync:
        sync(call.path);
        break;
      case Kind::kRenameNew:
      case Kind::kRenameOver: {
        const size_t file = names_.at(call.path);
        names_.erase(call.path);
        names_[call.to] = file;
        change(call.to, file, call.path);
        break;
      }
      case Kind::kLink: {
        const size_t file = names_.at(call.path);
        names_[call.to] = file;
        change(call.to, file, std::nullopt);
        break;
      }
      case Kind::kUnlink:
        names_.erase(call.path);
        pending_.push_back({parent(call.path), {}, std::nullopt, call.path});
        break;
      case Kind::kMode:
      case Kind::kClose:
        break;
    }
  }

  // Every state that a crash at this moment could leave: each set of the name changes that were not
  // synced (with more than kAllSets pending only every prefix and every single one), and of a file
  // that was not synced nothing, a half, or all. A file in a directory that is gone is gone.
  [[nodiscard]] std::vector<State> crash_states() const {
    constexpr size_t kAllSets = 6;
    std::vector<std::vector<bool>> sets;
    const size_t count = pending_.size();
    if (count <= kAllSets) {
      for (size_t set = 0; set < size_t{1} << count; ++set) {
        std::vector<bool>& chosen = sets.emplace_back(count);
        for (size_t i = 0; i < count; ++i) {
          chosen[i] = (set >> i & 1U) != 0;
        }
      }
    } else {
      for (size_t i = 0; i <= count; ++i) {
        std::vector<bool>& prefix = sets.emplace_back(count);
        std::fill_n(prefix.begin(), i, true);
        sets.emplace_back(count)[std::min(i, count - 1)] = true;
      }
    }
    std::vector<State> states;
    for (const std::vector<bool>& chosen : sets) {
      std::map<std::string, std::optional<size_t>> names = durable_;
      for (size_t i = 0; i < count; ++i) {
        if (chosen[i]) {
          apply_change(pending_[i], names);
        }
      }
      for (const double share : {0.0, 0.5, 1.0}) {
        states.push_back(state_of(names, share));
      }
    }
    return states;
  }

 private:
  struct Change {
    std::string directory;
    std::string path;            // gets `file`, or becomes a directory; empty: nothing
    std::optional<size_t> file;  // nothing: a directory
    std::optional<std::string> vanishing;
  };

  static std::string parent(const std::string& path) {
    return std::filesystem::path(path).parent_path().string();
  }
  void change(const std::string& path, std::optional<size_t> file,
              std::optional<std::string> vanishing) {
    pending_.push_back({parent(path), path, file, std::move(vanishing)});
  }
  static void apply_change(const Change& change,
                           std::map<std::string, std::optional<size_t>>& names) {
    if (change.vanishing) {
      names.erase(*change.vanishing);
    }
    if (!change.path.empty()) {
      names[change.path] = change.file;
    }
  }
  void sync(const std::string& path) {
    const auto file = names_.find(path);
    if (file != names_.end()) {
      files_[file->second].synced = files_[file->second].written;
      files_[file->second].in_doubt = false;
      return;
    }
    std::erase_if(pending_, [&](const Change& change) {
      if (change.directory == path) {
        apply_change(change, durable_);
        return true;
      }
      return false;
    });
  }
  [[nodiscard]] State state_of(const std::map<std::string, std::optional<size_t>>& names,
                               double share) const {
    State state;
    std::set<std::string> made;  // directories that this run made anywhere
    for (const Change& change : pending_) {
      if (!change.file && !change.path.empty()) {
        made.insert(change.path);
      }
    }
    for (const auto& [path, file] : names) {
      bool reachable = true;
      for (std::string up = parent(path); up.size() > 1; up = parent(up)) {
        reachable = reachable && (!made.contains(up) || names.contains(up));
      }
      if (!reachable) {
        continue;
      }
      if (!file) {
        state[path] = std::nullopt;
        continue;
      }
      const File& content = files_[*file];
      const std::string& all = content.written;
      state[path] =
          content.in_doubt
              ? all.substr(0, static_cast<size_t>(static_cast<double>(all.size()) * share))
              : content.synced;
    }
    return state;
  }

  std::vector<File> files_;
  std::map<std::string, size_t> names_;                   // as a running process sees them
  std::map<std::string, std::optional<size_t>> durable_;  // as a crash certainly leaves them
  std::vector<Change> pending_;                           // in the order they were made
};

}  // namespace salvor::test
