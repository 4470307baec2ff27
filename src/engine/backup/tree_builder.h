// Turns the stream of directories and files from a source into stored trees.
//
// For each open directory it keeps the parent snapshot's tree beside it and walks both in name
// order. What has not changed is not read; a directory in which nothing at all has changed is
// neither encoded nor hashed: its old tree is used again. A directory is finished, on a CPU thread,
// when it is closed and everything in it is known; finishing the last one of a directory finishes
// that too, and so on up to the root.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "connector/source.h"
#include "engine/backup/backup_progress.h"
#include "engine/backup/file_saver.h"
#include "engine/backup/writer_pool.h"
#include "engine/reading/blob_readers.h"
#include "repo/repository.h"

namespace salvor {

struct ChangeDetection {
  // The source says itself what has not changed (TreeSink::add_stored): metadata proves nothing.
  bool by_source = false;
  bool ignore_inode = false;  // implies ignore_ctime
  bool ignore_ctime = false;
  // The source leaves out extended attributes (FilesOptions::defer_extended_attributes). Changing
  // one changes the ctime, so a file whose ctime and inode are the parent's has the parent's
  // attributes, if those were all that it had: whoever could not read one has set Node::error.
  bool attributes_deferred = false;
  // The parent was made by this program, which marks such nodes, and as the same user, who may read
  // the same. Set by Archiver.
  bool parent_marks_incomplete = false;
};

// Thread-safe as TreeSink says.
class TreeBuilder final : public TreeSink, public FileReceiver {
 public:
  // `parent_tree`: the root tree to compare with, if any.
  TreeBuilder(const Context& context, const Repository& repository, WriterPool& writers,
              TaskGroup& cpu, BackupProgress& progress, std::optional<BlobId> parent_tree,
              const ChangeDetection& detection);
  ~TreeBuilder() override;

  // Where files to be read go; must be set before the source starts (the two refer to each other).
  void set_file_saver(FileSaver& saver) { saver_ = &saver; }

  // The root tree's id, once the source has closed the root and all tasks have ended. Nothing when
  // the root is empty.
  [[nodiscard]] std::optional<BlobId> root_tree() const { return root_tree_; }

  Directory* root() override;
  Directory* open_directory(Directory* parent, Node node) override;
  void close_directory(Directory* directory) override;
  void add_file(Directory* directory, Node node, std::shared_ptr<FileOpener> opener) override;
  void add_stored(Directory* directory, Node node) override;
  void add_other(Directory* directory, Node node) override;
  void report_unreadable(const std::string& path, const Error& error) override;

  void file_saved(FileTicket ticket, Node node) override;
  void file_failed(FileTicket ticket) override;

 private:
  void load_old_tree(Directory& directory, const BlobId& id);
  [[nodiscard]] const Node* find_old(Directory& directory, const Node& node) const;
  void complete_attributes(const Node& old, Node& node, FileOpener& opener) const;
  [[nodiscard]] bool content_unchanged(const Node& old, const Node& node) const;
  void settle(Directory& directory, size_t slot, std::unique_ptr<Node> node);
  [[nodiscard]] bool finish(Directory& directory);
  void finish_upwards(Directory* directory);
  [[nodiscard]] BlobId store_tree(Directory& directory, bool& empty);
  void count_file(const Node* old, const Node& node, const Directory& directory);
  void count_directory(const Directory& directory, bool unmodified);

  const Context context_;
  const Repository& repository_;
  BlobReaders readers_;  // for the threads that push
  WriterPool& writers_;
  TaskGroup& cpu_;
  BackupProgress& progress_;
  const std::optional<BlobId> parent_tree_;
  const ChangeDetection detection_;
  FileSaver* saver_ = nullptr;
  std::unique_ptr<Directory> root_;
  std::optional<BlobId> root_tree_;
};

}  // namespace salvor
