// One window of a restore: the files that are being written together (see restorer.cc).
#pragma once

#include <atomic>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include <sys/stat.h>

#include "connector/files/directory_handle.h"
#include "model/node.h"

namespace salvor {

// A directory that files are written into. Shared by them and by the walk.
struct RestoreDirectory {
  RestoreDirectory() = default;  // the root
  RestoreDirectory(std::shared_ptr<RestoreDirectory> parent, std::string own_name);
  // Not by one nested call for each directory of a deep chain.
  ~RestoreDirectory();
  RestoreDirectory(const RestoreDirectory&) = delete;
  RestoreDirectory& operator=(const RestoreDirectory&) = delete;

  // Path in the snapshot: "/" or "/a/b".
  [[nodiscard]] std::string location() const;
  [[nodiscard]] std::string location_of(const std::string& name) const;

  std::shared_ptr<DirectoryHandle> handle;  // null: not there (dry run), or not made yet
  bool created = false;                     // by this run: it was empty
  // Whether new files come with extended attributes. Asked once.
  std::atomic<int> passes_on_attributes{-1};

 private:
  std::shared_ptr<RestoreDirectory> above_;  // null: the root
  std::string name_;
  std::string location_;  // kept unless long: of a deep chain all together would fill the memory
};

// A hard-linked file's first name, which the others are linked to.
struct LinkedFile {
  std::shared_ptr<RestoreDirectory> directory;
  std::string name;
  std::vector<BlobId> content;
  std::atomic<bool> failed{false};
};

struct RestoreFile {
  Node node;
  std::shared_ptr<RestoreDirectory> directory;
  std::shared_ptr<LinkedFile> linked;  // of which this is the first name; may be null
  uint64_t size = 0;                   // sum of its blobs, which is what counts (not node.size)
  // What has the name now, when it is a regular file that can be updated in place.
  std::unique_ptr<struct stat> existing;
  std::vector<bool> matches;  // blobs whose content is in place already
  bool size_matches = false;
  bool trusted = false;                 // same size and time, and that is enough
  std::atomic<uint32_t> remaining{0};   // blobs still to be written
  std::atomic<bool> failed{false};      // something is missing; the rest is still written
  std::atomic<bool> unwritable{false};  // the file system refused: nothing more is tried

  // What the file system said when a descriptor with written data was closed; errno, 0: nothing.
  std::atomic<int> close_error{0};

  // Guarded by the writer's lock for this file.
  SharedFd fd;
  bool opened = false;  // created or opened for writing before
  struct {
    uint64_t device = 0;
    uint64_t inode = 0;
  } identity;           // of what was opened
  std::string failure;  // the first one
  std::string failure_hint;

  [[nodiscard]] std::string location() const { return directory->location_of(node.name); }
  [[nodiscard]] bool in_place() const { return existing != nullptr; }
};

}  // namespace salvor
