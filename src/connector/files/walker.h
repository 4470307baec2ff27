// Walks directories into a TreeSink, on several threads.
//
// Each thread walks depth first with its own stack. While another is idle it hands over
// sub-directories of the outermost directory on its stack: those hold the most, so that threads
// seldom have to be woken. Little more work waits than there are idle threads, so memory is bounded
// by the stacks, not by the tree. What a stack holds for a directory is its names; nodes are made
// in batches, in inode order (disks like that), and pushed in name order, except for directories
// that are handed over.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "connector/files/directory_handle.h"
#include "connector/files/file_opener.h"
#include "connector/files/walk_rules.h"
#include "connector/source.h"

namespace salvor {

class Walker {
 public:
  // All references must outlive the walker. `threads` counts the caller's.
  Walker(const Context& context, TreeSink& sink, const WalkRules& rules,
         const FilesOptions& options, unsigned threads);
  // Stops and joins.
  ~Walker();
  Walker(const Walker&) = delete;
  Walker& operator=(const Walker&) = delete;

  // One backup target, or an entry of one that had to be taken apart.
  struct Leaf {
    std::string parent_path;         // directory that holds it, as the user's path leads there
    std::string name;                // there
    std::string snapshot_name;       // in the tree
    std::string absolute_path;       // for exclusions
    bool named = false;              // exempt from exclusions
    std::optional<uint64_t> device;  // for one_file_system: the file system to stay on
  };
  // Pushes `leaf` and, possibly later, all below it. False when nothing was pushed.
  bool visit(TreeSink::Directory* parent, const Leaf& leaf);
  // Returns when everything has been pushed. Throws the first failure of any thread.
  void finish();
  // Makes every thread stop; finish() then throws `error`, unless an earlier one caused it.
  void fail(std::exception_ptr error);

  [[nodiscard]] MetadataReader& metadata() { return main_metadata_; }
  void report(const std::string& path, const Error& error) { sink_.report_unreadable(path, error); }

 private:
  struct Job;
  struct Frame;
  struct Item;
  struct Batch;
  class Worker;

  [[nodiscard]] bool wants_work() const {
    return idle_.load(std::memory_order_relaxed) > queued_.load(std::memory_order_relaxed);
  }
  void hand_over(std::vector<std::unique_ptr<Job>> jobs);
  void help();
  [[nodiscard]] bool run_one(std::unique_lock<std::mutex>& lock, Worker& worker);
  [[nodiscard]] bool stopped() const {
    return stopping_.load(std::memory_order_relaxed) || context_.stop.stop_requested();
  }
  void warn(const std::string& message) const { context_.events.on(Warning{message, {}}); }
  [[nodiscard]] std::shared_ptr<DirectoryHandle> anchor(const std::string& path);

  const Context& context_;
  TreeSink& sink_;
  const WalkRules& rules_;
  const bool with_atime_;
  const bool defer_attributes_;
  const std::shared_ptr<DescriptorBudget> budget_;
  const std::shared_ptr<OpenerSurroundings> surroundings_;
  MetadataReader main_metadata_;
  std::string last_anchor_path_;
  std::shared_ptr<DirectoryHandle> last_anchor_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::unique_ptr<Job>> queue_;
  std::atomic<int> idle_{0};
  std::atomic<int> queued_{0};
  int active_ = 0;  // jobs being run by helpers
  std::atomic<bool> stopping_{false};
  bool closing_ = false;
  std::exception_ptr failure_;
  std::vector<std::jthread> helpers_;
};

}  // namespace salvor
