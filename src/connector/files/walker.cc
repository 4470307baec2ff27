#include "connector/files/walker.h"

#include <algorithm>
#include <cerrno>
#include <numeric>
#include <system_error>

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>

namespace salvor {
namespace {

constexpr size_t kBatch = 256;      // entries looked at before they are pushed
constexpr size_t kOpenFrames = 32;  // directories a thread keeps open above the one it is in
constexpr size_t kShared = 16;      // directories handed over at once

void append_name(std::string& path, std::string_view name) {
  if (!path.ends_with('/')) {
    path += '/';
  }
  path += name;
}

struct OpenedDirectory {
  UniqueFd fd;
  struct stat stat{};
  int error = 0;
};

OpenedDirectory open_directory_entry(int parent, const char* name) {
  OpenedDirectory opened;
  opened.fd = open_quietly(parent, name, O_RDONLY | O_DIRECTORY);
  if (!opened.fd || fstat(opened.fd.get(), &opened.stat) != 0) {
    opened.error = errno;
  }
  return opened;
}

}  // namespace

// A directory to walk: already opened in the sink.
struct Walker::Job {
  TreeSink::Directory* sink = nullptr;
  std::shared_ptr<DirectoryHandle> handle;
  std::string path;  // absolute
  WalkRules::Scope scope;
  uint64_t device = 0;                  // of this directory
  std::optional<uint64_t> only_device;  // one_file_system
};

struct Walker::Item {
  enum class Kind : uint8_t { kNothing, kFile, kOther, kDirectory } kind = Kind::kNothing;
  Node node;
};

// A directory on a thread's stack.
struct Walker::Frame {
  std::unique_ptr<Job> job;
  SharedFd fd;  // null while deep below
  Listing names;
  size_t next = 0;      // first name not looked at; the end where nothing more can be
  size_t unshared = 0;  // directories from here on have been handed over
  std::vector<const WalkRules::Tag*> tags;
  std::shared_ptr<DirectoryFileOpener> opener;  // made for the first file
  size_t path_length = 0;
};

class Walker::Worker {
 public:
  explicit Worker(Walker& walker, MetadataReader& metadata)
      : walker_(walker), metadata_(metadata) {}

  void run(std::unique_ptr<Job> job);
  // Opens sub-directory `name`, pushes it, and returns what remains to be done for it. Null when it
  // could not be opened or holds nothing to walk. `pushed` tells whether the sink has got it.
  std::unique_ptr<Job> open_job(TreeSink::Directory* sink_parent, int parent_fd,
                                const std::shared_ptr<DirectoryHandle>& parent, const char* name,
                                std::string snapshot_name, std::string path,
                                const WalkRules::Scope& scope, uint64_t parent_device,
                                std::optional<uint64_t> only_device, bool& pushed);
  // The node of an entry that is not a directory; kNothing when it is left out.
  void look_at(int fd, const char* name, std::string snapshot_name, const struct stat& stat,
               Item& item, const std::string& directory);

 private:
  void enter(std::unique_ptr<Job> job);
  void share();
  void step();
  void leave();
  struct Filled {
    size_t count = 0;             // items_ filled, for the names from frame.next on
    bool directory_next = false;  // the name after them is a directory's
  };
  [[nodiscard]] Filled fill_batch(Frame& frame);
  void fill_item(Frame& frame, size_t index, Item& item);
  void push(Frame& frame, Item& item);
  void descend(Frame& frame, size_t index);
  std::unique_ptr<Job> open_sub_directory(Frame& frame, size_t index);
  [[nodiscard]] SharedFd reopen(Frame& frame);
  [[nodiscard]] bool left_out_by_name(const Frame& frame, size_t index);
  [[nodiscard]] std::string path_of(std::string_view name) const;
  void report(std::string_view name, int error, const char* what);

  Walker& walker_;
  MetadataReader& metadata_;
  std::string path_;  // of the top frame's directory
  std::vector<Frame> stack_;
  std::vector<Item> items_;
  std::vector<uint32_t> order_;
};

std::string Walker::Worker::path_of(std::string_view name) const {
  std::string path = path_;
  append_name(path, name);
  return path;
}

void Walker::Worker::report(std::string_view name, int error, const char* what) {
  const std::string path = path_of(name);
  walker_.report(path, Error::from_errno(error, std::string(what) + " " + path));
}

void Walker::Worker::look_at(int fd, const char* name, std::string snapshot_name,
                             const struct stat& stat, Item& item, const std::string& directory) {
  item.kind = Item::Kind::kNothing;
  if (S_ISSOCK(stat.st_mode)) {
    return;  // as in restic: it means nothing without the process behind it
  }
  item.node = metadata_.node_from_stat(std::move(snapshot_name), stat);
  if (item.node.type == NodeType::kOther) {
    return;
  }
  if (item.node.type == NodeType::kSymlink) {
    if (const int error = metadata_.read_link_target(item.node, fd, name); error != 0) {
      std::string path = directory;
      append_name(path, name);
      walker_.report(path, Error::from_errno(error, "cannot read symbolic link " + path));
      return;
    }
  }
  const bool is_file = item.node.type == NodeType::kFile;
  item.kind = is_file ? Item::Kind::kFile : Item::Kind::kOther;
  if (is_file && walker_.defer_attributes_) {
    return;
  }
  if (std::optional<Error> error = metadata_.read_extended_attributes(item.node, fd, name)) {
    std::string path = directory;
    append_name(path, name);
    walker_.report(path, error->within("incomplete metadata of " + path));
  }
}

std::unique_ptr<Walker::Job> Walker::Worker::open_job(
    TreeSink::Directory* sink_parent, int parent_fd, const std::shared_ptr<DirectoryHandle>& parent,
    const char* name, std::string snapshot_name, std::string path, const WalkRules::Scope& scope,
    uint64_t parent_device, std::optional<uint64_t> only_device, bool& pushed) {
  pushed = false;
  OpenedDirectory opened = open_directory_entry(parent_fd, name);
  if (opened.error != 0) {
    walker_.report(path, Error::from_errno(opened.error, "cannot open directory " + path));
    return nullptr;
  }
  const bool foreign = only_device && opened.stat.st_dev != *only_device;
  if (foreign && parent_device != *only_device) {
    return nullptr;
  }
  Node node = metadata_.node_from_stat(std::move(snapshot_name), opened.stat);
  if (std::optional<Error> error =
          metadata_.read_extended_attributes(node, opened.fd.get(), nullptr)) {
    walker_.report(path, error->within("incomplete metadata of " + path));
  }
  TreeSink::Directory* const sink = walker_.sink_.open_directory(sink_parent, std::move(node));
  pushed = true;
  if (foreign) {
    walker_.sink_.close_directory(sink);  // a mount point stays, as an empty directory
    return nullptr;
  }
  auto job = std::make_unique<Job>();
  job->sink = sink;
  job->device = opened.stat.st_dev;
  job->handle = DirectoryHandle::child(parent, name, std::move(opened.fd), walker_.budget_);
  job->path = std::move(path);
  job->scope = walker_.rules_.enter(scope, name);
  job->only_device = only_device;
  return job;
}

void Walker::Worker::run(std::unique_ptr<Job> job) {
  stack_.clear();
  path_ = job->path;
  enter(std::move(job));
  while (!stack_.empty()) {
    if (walker_.stopped()) {
      stack_.clear();
      throw cancelled();
    }
    if (walker_.wants_work()) {
      share();
    }
    step();
  }
}

void Walker::Worker::enter(std::unique_ptr<Job> job) {
  if (stack_.size() >= kOpenFrames) {
    Frame& above = stack_[stack_.size() - kOpenFrames];
    if (above.fd) {
      above.fd.reset();
      above.job->handle->drop();
    }
  }
  Frame& frame = stack_.emplace_back();
  frame.job = std::move(job);
  frame.path_length = path_.size();
  frame.fd = frame.job->handle->open();
  if (const int error = frame.names.read(frame.fd->get()); error != 0) {
    walker_.report(path_, Error::from_errno(error, "cannot list directory " + path_));
  }
  frame.unshared = frame.names.size();
  if (walker_.rules_.has_tags()) {
    frame.tags = walker_.rules_.tags_in(frame.fd->get(), &frame.names, path_,
                                        [&](const std::string& message) { walker_.warn(message); });
  }
}

// Hands over sub-directories of the outermost directory that has some left, at most half of its
// rest. Waking a thread for each of many small directories would cost more than walking them.
void Walker::Worker::share() {
  std::vector<std::unique_ptr<Job>> jobs;
  for (Frame& frame : stack_) {
    const size_t half = (frame.next + std::max(frame.next, frame.unshared)) / 2;
    while (frame.unshared > std::max(frame.next, jobs.empty() ? 0 : half) &&
           jobs.size() < kShared) {
      const size_t index = --frame.unshared;
      if (frame.names.entry(index).type != DT_DIR || left_out_by_name(frame, index)) {
        continue;
      }
      frame.names.take(index);
      if (std::unique_ptr<Job> job = open_sub_directory(frame, index)) {
        jobs.push_back(std::move(job));
      }
    }
    if (!jobs.empty()) {
      walker_.hand_over(std::move(jobs));
      return;
    }
  }
}

void Walker::Worker::leave() {
  Frame& frame = stack_.back();
  walker_.sink_.close_directory(frame.job->sink);
  frame.fd.reset();
  const bool wanted_later = frame.opener && frame.opener.use_count() > 1;
  if (wanted_later) {
    frame.job->handle->release();
  } else {
    frame.job->handle->drop();
  }
  stack_.pop_back();
  if (!stack_.empty()) {
    path_.resize(stack_.back().path_length);
  }
}

bool Walker::Worker::left_out_by_name(const Frame& frame, size_t index) {
  const std::string_view name = frame.names.name(index);
  if (walker_.rules_.excludes_name(frame.job->scope, name)) {
    return true;
  }
  return !frame.tags.empty() && WalkRules::excluded_by(frame.tags, name);
}

void Walker::Worker::fill_item(Frame& frame, size_t index, Item& item) {
  const char* const name = frame.names.c_name(index);
  struct stat stat{};
  item.kind = Item::Kind::kNothing;
  if (fstatat(frame.fd->get(), name, &stat, AT_SYMLINK_NOFOLLOW) != 0) {
    report(name, errno, "cannot look at");
    return;
  }
  if (S_ISDIR(stat.st_mode)) {
    item.kind = Item::Kind::kDirectory;
    return;
  }
  const bool foreign = frame.job->only_device && stat.st_dev != *frame.job->only_device;
  if (foreign || walker_.rules_.excludes_size(static_cast<uint64_t>(stat.st_size))) {
    return;
  }
  look_at(frame.fd->get(), name, std::string(frame.names.name(index)), stat, item, path_);
}

// Looks at the entries from frame.next up to a directory or a full batch. An entry whose type the
// listing does not tell may prove to be a directory and therefore comes alone.
Walker::Worker::Filled Walker::Worker::fill_batch(Frame& frame) {
  size_t count = 0;
  bool directory_next = false;
  bool alone = false;
  order_.clear();
  while (!alone && count < kBatch && frame.next + count < frame.names.size()) {
    const size_t index = frame.next + count;
    const uint8_t type = frame.names.entry(index).type;
    const bool left_out = left_out_by_name(frame, index);
    directory_next = !left_out && type == DT_DIR;
    alone = !left_out && type == DT_UNKNOWN;
    if (directory_next || (alone && count > 0)) {
      break;
    }
    if (items_.size() <= count) {
      items_.emplace_back();
    }
    items_[count].kind = Item::Kind::kNothing;
    if (!left_out && type != DT_SOCK && type != Listing::kTaken) {
      order_.push_back(static_cast<uint32_t>(count));
    }
    ++count;
  }
  std::sort(order_.begin(), order_.end(), [&](uint32_t a, uint32_t b) {
    return frame.names.entry(frame.next + a).inode < frame.names.entry(frame.next + b).inode;
  });
  for (const uint32_t i : order_) {
    fill_item(frame, frame.next + i, items_[i]);
  }
  return {count, directory_next};
}

void Walker::Worker::step() {
  Frame& frame = stack_.back();
  if (frame.next == frame.names.size()) {
    leave();
    return;
  }
  if (!frame.fd) {
    frame.fd = reopen(frame);
    if (!frame.fd) {
      return;
    }
  }
  const Filled filled = fill_batch(frame);
  for (size_t i = 0; i < filled.count; ++i) {
    const size_t index = frame.next++;
    if (items_[i].kind == Item::Kind::kDirectory) {
      descend(frame, index);
      return;  // it came alone
    }
    push(frame, items_[i]);
  }
  if (filled.directory_next) {
    descend(frame, frame.next++);
  }
}

void Walker::Worker::push(Frame& frame, Item& item) {
  if (item.kind == Item::Kind::kFile) {
    if (!frame.opener) {
      frame.opener =
          std::make_shared<DirectoryFileOpener>(frame.job->handle, walker_.surroundings_);
    }
    walker_.sink_.add_file(frame.job->sink, std::move(item.node), frame.opener);
  } else if (item.kind == Item::Kind::kOther) {
    walker_.sink_.add_other(frame.job->sink, std::move(item.node));
  }
}

// A directory far above the top of the stack was closed. Null where it cannot be opened any more
// (it was removed, renamed or closed to us): it then keeps what was found in it so far.
SharedFd Walker::Worker::reopen(Frame& frame) {
  try {
    return frame.job->handle->open();
  } catch (const Error& error) {
    walker_.report(path_.substr(0, frame.path_length), error);
    frame.next = frame.names.size();
    return nullptr;
  }
}

// Null when there is nothing to walk: it is excluded or cannot be opened.
std::unique_ptr<Walker::Job> Walker::Worker::open_sub_directory(Frame& frame, size_t index) {
  const char* const name = frame.names.c_name(index);
  std::string path = path_.substr(0, frame.path_length);
  append_name(path, name);
  if (walker_.rules_.excludes_directory(path)) {
    return nullptr;
  }
  const SharedFd fd = frame.fd ? frame.fd : reopen(frame);
  if (!fd) {
    return nullptr;
  }
  bool pushed = false;
  return open_job(frame.job->sink, fd->get(), frame.job->handle, name,
                  std::string(frame.names.name(index)), std::move(path), frame.job->scope,
                  frame.job->device, frame.job->only_device, pushed);
}

void Walker::Worker::descend(Frame& frame, size_t index) {
  if (std::unique_ptr<Job> job = open_sub_directory(frame, index)) {
    path_ = job->path;
    enter(std::move(job));
  }
}

Walker::Walker(const Context& context, TreeSink& sink, const WalkRules& rules,
               const FilesOptions& options, unsigned threads)
    : context_(context),
      sink_(sink),
      rules_(rules),
      with_atime_(options.with_atime),
      defer_attributes_(options.defer_extended_attributes),
      budget_(std::make_shared<DescriptorBudget>(DescriptorBudget::sensible_limit())),
      surroundings_(std::make_shared<OpenerSurroundings>(options.with_atime,
                                                         options.defer_extended_attributes, sink)),
      main_metadata_(options.with_atime) {
  for (unsigned i = 1; i < threads; ++i) {
    try {
      helpers_.emplace_back([this] { help(); });
    } catch (const std::system_error&) {
      break;  // fewer do as well; unwinding would wait for those that run, without end
    }
    pthread_setname_np(helpers_.back().native_handle(), "walker");
  }
}

Walker::~Walker() {
  {
    const std::scoped_lock lock(mutex_);
    stopping_ = true;
    closing_ = true;
  }
  changed_.notify_all();
  helpers_.clear();
}

void Walker::hand_over(std::vector<std::unique_ptr<Job>> jobs) {
  {
    const std::scoped_lock lock(mutex_);
    queued_ += static_cast<int>(jobs.size());
    std::move(jobs.begin(), jobs.end(), std::back_inserter(queue_));
  }
  changed_.notify_all();
}

void Walker::fail(std::exception_ptr error) {
  const std::scoped_lock lock(mutex_);
  if (!failure_) {
    failure_ = std::move(error);
  }
  stopping_ = true;
  changed_.notify_all();
}

// Takes one job from the queue and runs it with the lock released. False when there is none.
bool Walker::run_one(std::unique_lock<std::mutex>& lock, Worker& worker) {
  if (queue_.empty()) {
    return false;
  }
  std::unique_ptr<Job> job = std::move(queue_.front());
  queue_.pop_front();
  --queued_;
  ++active_;
  lock.unlock();
  try {
    worker.run(std::move(job));
  } catch (...) {
    fail(std::current_exception());
  }
  lock.lock();
  if (--active_ == 0 && queue_.empty()) {
    changed_.notify_all();
  }
  return true;
}

void Walker::help() {
  MetadataReader metadata(with_atime_);
  Worker worker(*this, metadata);
  std::unique_lock lock(mutex_);
  while (!closing_) {
    if (!run_one(lock, worker)) {
      ++idle_;
      changed_.wait(lock, [this] { return closing_ || !queue_.empty(); });
      --idle_;
    }
  }
}

void Walker::finish() {
  Worker worker(*this, main_metadata_);
  std::unique_lock lock(mutex_);
  for (;;) {
    if (stopping_) {
      queue_.clear();
      queued_ = 0;
    }
    if (run_one(lock, worker)) {
      continue;
    }
    if (active_ == 0) {
      break;
    }
    ++idle_;
    changed_.wait(lock, [this] { return active_ == 0 || !queue_.empty(); });
    --idle_;
  }
  if (failure_) {
    std::rethrow_exception(failure_);
  }
  context_.check_stopped();
}

std::shared_ptr<DirectoryHandle> Walker::anchor(const std::string& path) {
  if (!last_anchor_ || last_anchor_path_ != path) {
    last_anchor_ = DirectoryHandle::anchor(path, budget_);
    last_anchor_path_ = path;
  }
  return last_anchor_;
}

bool Walker::visit(TreeSink::Directory* parent, const Leaf& leaf) {
  const std::string directory_path =
      leaf.absolute_path.substr(0, std::max<size_t>(1, leaf.absolute_path.rfind('/')));
  const WalkRules::Scope scope = rules_.scope(directory_path);
  if (!leaf.named && rules_.excludes_name(scope, leaf.name)) {
    return false;
  }
  const std::shared_ptr<DirectoryHandle> holder = anchor(leaf.parent_path);
  SharedFd fd;
  try {
    fd = holder->open();
  } catch (const Error& error) {
    report(leaf.absolute_path, error);
    return false;
  }
  struct stat stat{};
  if (fstatat(fd->get(), leaf.name.c_str(), &stat, AT_SYMLINK_NOFOLLOW) != 0) {
    report(leaf.absolute_path, Error::from_errno(errno, "cannot look at " + leaf.absolute_path));
    return false;
  }
  if (!leaf.named && rules_.has_tags()) {
    const auto tags = rules_.tags_in(fd->get(), nullptr, directory_path,
                                     [&](const std::string& message) { warn(message); });
    if (WalkRules::excluded_by(tags, leaf.name)) {
      return false;
    }
  }
  Worker worker(*this, main_metadata_);
  if (S_ISDIR(stat.st_mode)) {
    if (!leaf.named && rules_.excludes_directory(leaf.absolute_path)) {
      return false;
    }
    struct stat above{};
    if (fstat(fd->get(), &above) != 0) {
      above.st_dev = stat.st_dev;
    }
    bool pushed = false;
    std::unique_ptr<Job> job =
        worker.open_job(parent, fd->get(), holder, leaf.name.c_str(), leaf.snapshot_name,
                        leaf.absolute_path, scope, above.st_dev, leaf.device, pushed);
    if (job) {
      worker.run(std::move(job));
    }
    return pushed;
  }
  const bool foreign = leaf.device && stat.st_dev != *leaf.device;
  if (!leaf.named && (foreign || rules_.excludes_size(static_cast<uint64_t>(stat.st_size)))) {
    return false;
  }
  Item item;
  worker.look_at(fd->get(), leaf.name.c_str(), leaf.snapshot_name, stat, item, directory_path);
  if (item.kind == Item::Kind::kFile) {
    sink_.add_file(parent, std::move(item.node),
                   std::make_shared<DirectoryFileOpener>(holder, surroundings_, leaf.name));
  } else if (item.kind == Item::Kind::kOther) {
    sink_.add_other(parent, std::move(item.node));
  }
  return item.kind != Item::Kind::kNothing;
}

}  // namespace salvor
