// Directories that may be needed again after the walk has left them, without holding a descriptor
// each.
//
// A backup of a million directories cannot keep a million descriptors, and re-opening by path would
// follow whatever symbolic link somebody has put in the way meanwhile. So a handle keeps its
// descriptor while the budget allows it and otherwise finds its way again from the nearest ancestor
// that has one, refusing links (openat2 with RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS, or component
// by component on old kernels).
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>

#include "base/error.h"
#include "base/fd.h"

namespace salvor {

using SharedFd = std::shared_ptr<const UniqueFd>;

// How many directory descriptors may be kept for later. Thread-safe.
class DescriptorBudget {
 public:
  explicit DescriptorBudget(int limit) : limit_(limit) {}
  [[nodiscard]] bool try_take();
  void give_back() { used_.fetch_sub(1, std::memory_order_relaxed); }
  // A share of this process's limit on open files.
  [[nodiscard]] static int sensible_limit();

 private:
  const int limit_;
  std::atomic<int> used_{0};
};

// Thread-safe.
class DirectoryHandle {
 public:
  // `path` may contain symbolic links: the user named it. Opened when first needed, as
  // enter_directory_path does.
  [[nodiscard]] static std::shared_ptr<DirectoryHandle> anchor(
      std::string path, std::shared_ptr<DescriptorBudget> budget);
  // The entry `name` of `parent`; `fd` is its open descriptor.
  [[nodiscard]] static std::shared_ptr<DirectoryHandle> child(
      std::shared_ptr<DirectoryHandle> parent, std::string name, UniqueFd fd,
      std::shared_ptr<DescriptorBudget> budget);
  ~DirectoryHandle();
  DirectoryHandle(const DirectoryHandle&) = delete;
  DirectoryHandle& operator=(const DirectoryHandle&) = delete;

  // An open descriptor; throws Error when the directory cannot be opened again.
  [[nodiscard]] SharedFd open();
  // Closes the descriptor (once nobody uses it any more) unless the budget has room to keep it.
  void release();
  // Closes it in any case.
  void drop();
  // The path as found by walking down from the anchor's.
  [[nodiscard]] std::string path() const;

 private:
  DirectoryHandle(std::shared_ptr<DirectoryHandle> parent, std::string name,
                  std::shared_ptr<DescriptorBudget> budget)
      : parent_(std::move(parent)), name_(std::move(name)), budget_(std::move(budget)) {}
  [[nodiscard]] SharedFd current() const;
  [[nodiscard]] UniqueFd reopen() const;

  std::shared_ptr<DirectoryHandle> parent_;  // null: an anchor
  const std::string name_;                   // an anchor's whole path
  std::shared_ptr<DescriptorBudget> budget_;
  mutable std::mutex mutex_;
  SharedFd fd_;
  bool budgeted_ = false;
};

// Opens directory `relative` below `directory` without following any symbolic link on the way.
// Paths may be longer than PATH_MAX. Returns an invalid descriptor and sets errno on failure.
[[nodiscard]] UniqueFd open_directory_beneath(int directory, const std::string& relative);
// Opens a directory by a path of any length, following links in all but the last component.
[[nodiscard]] UniqueFd open_directory_path(const std::string& path);
// The same for a directory that may be entered but not listed, too (/home is so on some machines);
// of that one the descriptor serves only to find what is in it by name (O_PATH).
[[nodiscard]] UniqueFd enter_directory_path(const std::string& path);

}  // namespace salvor
