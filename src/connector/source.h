// How a connector hands a store's content to the engine.
//
// A source pushes a tree, directories before what is in them, into a TreeSink; the engine decides
// what is unchanged, reads, chunks and stores. Connectors know nothing of repositories.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/context.h"
#include "model/node.h"

namespace salvor {

// A sequential stream of one file's bytes. Not thread-safe.
class ByteReader {
 public:
  virtual ~ByteReader() = default;
  // Up to out.size() bytes; 0 only at the end. Throws Error.
  [[nodiscard]] virtual size_t read(MutableBytes out) = 0;
  // Brings `node`'s metadata up to what it is now that the file is open (another process may have
  // replaced it since it was listed). Name, content and type stay.
  virtual void refresh(Node& node) = 0;
  // After the last read: whether the file was changed by somebody since `refresh` (size or
  // modification time), so that what was read may be a mixture. Streams cannot tell and answer
  // false.
  [[nodiscard]] virtual bool changed_since_refresh() = 0;
};

// A file whose source decides how it is cut: each part becomes one blob. Not thread-safe.
class PartReader {
 public:
  struct Part {
    uint64_t size = 0;             // bytes, at least 1
    std::optional<BlobId> stored;  // a blob that the repository has already
  };
  virtual ~PartReader() = default;
  // The next part, whose bytes are appended to `bytes` unless it is stored. Nothing at the end.
  // Throws Error: the whole run fails.
  [[nodiscard]] virtual std::optional<Part> next(Buffer& bytes) = 0;
};

// Blobs of an earlier snapshot. Not thread-safe.
class EarlierBlobs {
 public:
  virtual ~EarlierBlobs() = default;
  // One blob's bytes, verified. Throws Error{kDamaged}.
  [[nodiscard]] virtual Buffer read(const BlobId& blob) = 0;
};

// What an earlier snapshot of the same store holds, for sources that know what has changed since.
// Thread-safe; what it returns lives as long as it does.
class EarlierFiles {
 public:
  virtual ~EarlierFiles() = default;
  // The regular file at a path without a leading '/'; null when there is none or when not all of
  // its content is in the repository any more.
  [[nodiscard]] virtual const Node* find(const std::string& path) const = 0;
  // Its blobs in order.
  [[nodiscard]] virtual std::vector<PartReader::Part> parts(const Node& file) const = 0;
  // For reading these blobs, in this order: those that come next are read meanwhile. Others can be
  // read as well.
  [[nodiscard]] virtual std::unique_ptr<EarlierBlobs> blobs(const Context& context,
                                                            std::vector<BlobId> order) const = 0;
};

// Opens regular files of one directory; called from any reader thread, later than add_file, or
// never (unchanged files are not opened). Thread-safe.
class FileOpener {
 public:
  virtual ~FileOpener() = default;
  // Throws Error{kNotFound} when the file has vanished, Error{kFailed} when it is no longer a
  // regular file.
  [[nodiscard]] virtual std::unique_ptr<ByteReader> open(const Node& node) = 0;
  // True when the file comes in parts: `open_parts` is called instead of `open`.
  [[nodiscard]] virtual bool in_parts() const { return false; }
  [[nodiscard]] virtual std::unique_ptr<PartReader> open_parts(const Node& node) {
    (void)node;
    return nullptr;
  }
  // Reads what was left out of `node` when it was listed (FilesOptions::defer_extended_attributes),
  // for a file that is not opened. ByteReader::refresh does the same for one that is.
  virtual void complete(Node& node) { (void)node; }
  // For messages: the full path of a node of this directory.
  [[nodiscard]] virtual std::string path_of(const Node& node) const = 0;
};

// The engine's side. Thread-safe across different directories; one directory's calls come from one
// thread at a time. Ascending order of raw names is the cheapest, any other is sorted when the
// directory is finished; a name that comes twice fails the run. Calls block when the engine is
// behind (back pressure) and throw Error{kCancelled} when the run was stopped.
class TreeSink {
 public:
  // An open directory; valid until closed.
  class Directory;

  virtual ~TreeSink() = default;
  // The snapshot's root, which has no metadata of its own.
  [[nodiscard]] virtual Directory* root() = 0;
  // `node` is the directory's metadata; its name takes its place in the order of `parent`'s
  // entries.
  [[nodiscard]] virtual Directory* open_directory(Directory* parent, Node node) = 0;
  // No more entries. Directories still open below it may be closed later. `root` is closed last.
  virtual void close_directory(Directory* directory) = 0;
  // A regular file. `opener` is shared by the directory's files.
  virtual void add_file(Directory* directory, Node node, std::shared_ptr<FileOpener> opener) = 0;
  // A regular file with all its content in the repository: `node.content` says which blobs.
  virtual void add_stored(Directory* directory, Node node) = 0;
  // A symlink, device, fifo or anything else that is metadata only.
  virtual void add_other(Directory* directory, Node node) = 0;
  // Something could not be read and is left out (or, when `vanished`, is simply gone). Counted;
  // makes the run incomplete.
  virtual void report_unreadable(const std::string& path, const Error& error) = 0;
};

// One store's state at one instant. `stream_into` is called once.
class Source {
 public:
  virtual ~Source() = default;
  // What the snapshot's `paths` say.
  [[nodiscard]] virtual std::vector<std::string> paths() const = 0;
  // Tags that the source adds to its snapshot: what it learned on the way. Asked after `finish`.
  [[nodiscard]] virtual std::vector<std::string> tags() const { return {}; }
  // Pushes everything and returns when the last directory is closed. Throws when the source as a
  // whole failed: no snapshot must be made then.
  virtual void stream_into(const Context& context, TreeSink& sink) = 0;
  // Called once everything that was pushed has been read, before the snapshot is made. Throws when
  // the source turned out bad as a whole (a command that failed): no snapshot must be made then.
  virtual void finish(const Context& context) { (void)context; }
};

}  // namespace salvor
