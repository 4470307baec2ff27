// Walks a snapshot's tree for a restore: makes directories, links and devices, collects files (see
// restorer.h).
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/task.h"
#include "connector/files/files_target.h"
#include "engine/reading/tree_descent.h"
#include "engine/reading/tree_prefetch.h"
#include "engine/restore/restore_file.h"
#include "engine/restore/restore_options.h"
#include "engine/restore/restore_progress.h"
#include "engine/restore/restore_window.h"
#include "repo/repository.h"

namespace salvor {

// One walk. What it has collected is written by another thread while it goes on.
class RestoreWalk {
 public:
  RestoreWalk(const Context& context, Repository& repository, FilesTarget& target,
              const RestoreOptions& options, RestoreProgress& progress);
  ~RestoreWalk();

  void run(const BlobId& root);

 private:
  // A directory on the way down. Its tree is in `descent_`.
  struct Level {
    ~Level();  // not by one nested call for each directory of a deep chain

    Node node;  // its own; the root's has no name
    std::shared_ptr<RestoreDirectory> directory;
    std::shared_ptr<Level> above;
    bool selected = false;
    bool restored = false;              // it, or something below it, is restored
    bool looked = false;                // `names` are known
    Listing names;                      // what stood there before
    std::vector<std::string> expected;  // with delete_unexpected: names that may stay, sorted
    bool may_delete = true;
  };
  // A further name of a file.
  struct Link {
    std::shared_ptr<LinkedFile> first;
    std::shared_ptr<RestoreDirectory> directory;
    Node node;
  };

  void enter(std::shared_ptr<Level> level, const BlobId& tree);
  void stay_out(const std::shared_ptr<Level>& level);
  void prefetch();
  void step();
  void leave();
  void visit(Level& level, Node node);
  void visit_directory(const std::shared_ptr<Level>& level, Node node,
                       const RestoreSelection::Answer& answer);
  void visit_file(Level& level, Node node);
  void visit_special(Level& level, const Node& node);
  [[nodiscard]] bool is_later_name(Level& level, Node& node, std::shared_ptr<LinkedFile>& linked);
  // Makes the directory of a level, and those above it, if they are not there yet.
  void ensure(Level& level);
  void make(Level& level);
  void look(Level& level);
  [[nodiscard]] std::optional<struct stat> existing(Level& level, const std::string& name);
  [[nodiscard]] bool may_overwrite(const Node& node,
                                   const std::optional<struct stat>& existing) const;
  // Lets what was collected be written, once what was collected before it has been.
  void begin_writing();
  void write();
  void make_links();
  void finish_directories();
  void finish_directory(Level& level);
  void delete_unexpected(Level& level);
  void skipped(const std::string& location, uint64_t bytes);
  void handled(const char* action, const std::string& location, const char* type);
  void report(const std::string& location, const Error& error);

  ThreadPool writing_pool_;
  TaskGroup writing_group_;
  const Context context_;
  Repository& repository_;
  FilesTarget& target_;
  const RestoreOptions& options_;
  RestoreProgress& progress_;
  RestoreWindow window_;
  TreePrefetch trees_;
  BlobReader reader_;  // for what has to be read again
  TreeDescent descent_;
  std::vector<std::shared_ptr<Level>> stack_;  // a level for each of the descent's
  // Done when the files below them are, children first; links to files that come before them.
  struct Rest {
    std::vector<std::shared_ptr<Level>> directories;
    std::vector<Link> links;
  };
  Rest rest_;
  std::map<std::pair<uint64_t, uint64_t>, std::shared_ptr<LinkedFile>> first_names_;
  std::atomic<bool> deletion_safe_ = true;
  std::atomic<bool> writing_ = false;
  Rest writing_rest_;  // while writing_: the writing thread's
};

}  // namespace salvor
