// Writing files, directories and everything else below one directory, and nowhere else.
//
// What is restored may be hostile: names with "/" or "..", a symbolic link followed by a file
// "below" it, and another process that swaps directories for links meanwhile. Hence every operation
// names one plain component relative to an open directory, never follows a link, and directories
// are found again only by way of openat2(RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS)
// (directory_handle.h).
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <sys/stat.h>

#include "connector/files/directory_handle.h"
#include "connector/files/listing.h"
#include "model/node.h"

namespace salvor {

struct FilesTargetOptions {
  // A directory in the way of something else is removed with all it contains; else only when empty.
  bool replace_full_directories = false;
  // Owners by name where the snapshot has one that this machine knows; else by number.
  bool ownership_by_name = false;
  // Which extended attributes are restored, and removed when the snapshot has not got them. Empty:
  // all.
  std::function<bool(const std::string& name)> attribute_wanted;
};

// Whether `name` can be a directory entry here: not empty, ".", "..", no "/" and no NUL.
[[nodiscard]] bool is_plain_name(std::string_view name);

// Thread-safe. Operations throw Error whose message does not name the item: the caller adds
// `within(path)`.
class FilesTarget {
 public:
  explicit FilesTarget(FilesTargetOptions options);

  // Opens `path` (links in it are followed: it is the user's), making it and its parents (mode
  // 0700) when `create`. Null when it does not exist and is not to be made.
  [[nodiscard]] std::shared_ptr<DirectoryHandle> open_root(const std::string& path, bool create);

  struct Directory {
    std::shared_ptr<DirectoryHandle> handle;
    bool created = false;  // nothing was there
  };
  // Makes sure that `name` is a directory we can write in; anything else in the way is removed.
  [[nodiscard]] Directory make_directory(const std::shared_ptr<DirectoryHandle>& parent,
                                         const std::string& name);
  // An existing directory, for looking only. Null when there is none (or a link, or something
  // else).
  [[nodiscard]] std::shared_ptr<DirectoryHandle> find_directory(
      const std::shared_ptr<DirectoryHandle>& parent, const std::string& name);

  // lstat. Nothing when it does not exist.
  [[nodiscard]] static std::optional<struct stat> look(int directory, const std::string& name);
  // A new, empty regular file, mode 0600, open for writing. Whatever has the name is removed first.
  [[nodiscard]] UniqueFd create_file(int directory, const std::string& name);
  // What an existing file is opened for. A mode that keeps out even its owner, who we are, is
  // changed, unless nothing is to be changed.
  enum class Purpose : uint8_t { kLooking, kReading, kWriting };
  // An existing regular file. Nothing when it is gone, cannot be opened, or is not the one that
  // `expected` describes.
  [[nodiscard]] UniqueFd open_existing(int directory, const std::string& name, Purpose purpose,
                                       const struct stat& expected);
  // A symbolic link, device or fifo; whatever has the name is removed first.
  void make_special(int directory, const Node& node);
  // A further name for a file; whatever has the name is removed first.
  void make_link(int from_directory, const std::string& from, int directory,
                 const std::string& name);
  // Removes an entry with all below it. `removed` is called for each with its path below `name` (""
  // itself).
  void remove_tree(int directory, const std::string& name,
                   const std::function<void(const std::string& below)>& removed = {});

  // Metadata in restic's order: owner, extended attributes, times, mode. `now`: what the item is
  // like, so that nothing is changed that is right already (null: unknown). `attributes_now`:
  // whether the item may have attributes that have to go.
  struct Present {
    const struct stat* now = nullptr;
    bool may_have_attributes = true;
  };
  void apply(int fd, const Node& node, const Present& present);
  // The same for an entry that cannot be opened (a link, device or fifo).
  void apply_at(int directory, const Node& node, const Present& present);
  // Whether new files in this directory come with attributes (default ACLs, security labels).
  [[nodiscard]] static bool passes_on_attributes(int directory);

  // Attributes, owners and modes that were not restored because we are not root.
  [[nodiscard]] uint64_t not_permitted() const { return not_permitted_.load(); }

 private:
  struct Place;  // an open file, or a name in a directory

  void apply_to(const Place& place, const Node& node, const Present& present);
  void apply_owner(const Place& place, const Node& node, const struct stat* now);
  void apply_attributes(const Place& place, const Node& node, bool may_have);
  void apply_times(const Place& place, const Node& node, const struct stat* now);
  void apply_mode(const Place& place, const Node& node, const struct stat* now);
  void check(int error, const char* what);
  void clear_way(int directory, const std::string& name);
  [[nodiscard]] uint32_t owner_id(const Node& node, bool group);

  const FilesTargetOptions options_;
  const bool privileged_;
  const std::shared_ptr<DescriptorBudget> budget_;
  std::atomic<uint64_t> not_permitted_{0};
  std::mutex accounts_mutex_;
  std::unordered_map<std::string, std::optional<uint32_t>> users_;
  std::unordered_map<std::string, std::optional<uint32_t>> groups_;
};

}  // namespace salvor
