#include "connector/files/files_source.h"

#include <algorithm>
#include <cerrno>
#include <thread>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "connector/files/target_tree.h"
#include "connector/files/walker.h"
#include "connector/files/xattr.h"
#include "model/text_file.h"

namespace salvor {
namespace {

std::string working_directory() {
  std::string path(4096, '\0');
  while (getcwd(path.data(), path.size()) == nullptr) {
    if (errno != ERANGE) {
      throw Error::from_errno(errno, "cannot find out the working directory");
    }
    path.resize(path.size() * 2);
  }
  path.resize(path.find('\0'));
  return path;
}

std::string absolute_path(const std::string& directory, const std::string& path) {
  return path.starts_with('/') ? clean_path(path) : clean_path(directory + "/" + path);
}

// The directory that holds `path` and its name there; for paths that do not end in "..".
std::pair<std::string, std::string> split_last(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) {
    return {".", path};
  }
  return {slash == 0 ? "/" : path.substr(0, slash), path.substr(slash + 1)};
}

// lstat for paths of any length. 0 or an errno.
int stat_path(const std::string& path, struct stat& stat) {
  if (lstat(path.c_str(), &stat) == 0) {
    return 0;
  }
  if (errno != ENAMETOOLONG) {
    return errno;
  }
  const auto [directory, name] = split_last(path);
  const UniqueFd fd = enter_directory_path(directory);
  return fd && fstatat(fd.get(), name.c_str(), &stat, AT_SYMLINK_NOFOLLOW) == 0 ? 0 : errno;
}

std::vector<std::string> list_names(const std::string& path) {
  const UniqueFd fd = open_directory_path(path);
  if (!fd) {
    throw Error::from_errno(errno, "cannot open directory " + path);
  }
  Listing listing;
  if (const int error = listing.read(fd.get()); error != 0) {
    throw Error::from_errno(error, "cannot list directory " + path);
  }
  std::vector<std::string> names;
  for (size_t i = 0; i < listing.size(); ++i) {
    names.emplace_back(listing.name(i));
  }
  return names;
}

unsigned thread_count(unsigned wanted) {
  constexpr unsigned kMost = 4;
  return wanted != 0 ? wanted : std::clamp(std::thread::hardware_concurrency(), 1U, kMost);
}

}  // namespace

struct FilesSource::Plan {
  explicit Plan(FilesOptions from) : options(std::move(from)), rules(options) {}

  const FilesOptions options;
  const WalkRules rules;
  std::string working_directory;
  std::vector<std::string> targets;  // those that exist
  std::vector<std::string> paths;    // the same, absolute
  std::vector<std::pair<std::string, Error>> missing;
  std::vector<std::pair<std::string, uint64_t>> devices;  // of the targets, sorted by absolute path

  // The file system that one_file_system keeps to for what stands at `path`: that of the nearest
  // target at or above it.
  [[nodiscard]] std::optional<uint64_t> device_for(std::string path) const;
  // False when nothing was pushed.
  bool stream(Walker& walker, TreeSink& sink, TreeSink::Directory* directory,
              const TargetTree& tree) const;
  bool stream_inner(Walker& walker, TreeSink& sink, TreeSink::Directory* parent,
                    const std::string& name, const TargetTree& tree) const;
};

std::optional<uint64_t> FilesSource::Plan::device_for(std::string path) const {
  if (!options.one_file_system) {
    return std::nullopt;
  }
  for (;;) {
    const auto found = std::lower_bound(
        devices.begin(), devices.end(), path,
        [](const auto& one, const std::string& wanted) { return one.first < wanted; });
    if (found != devices.end() && found->first == path) {
      return found->second;
    }
    if (path == "/") {
      return std::nullopt;
    }
    path = split_last(path).first;
  }
}

// A directory above the targets: its own metadata, and only what leads to them.
bool FilesSource::Plan::stream_inner(Walker& walker, TreeSink& sink, TreeSink::Directory* parent,
                                     const std::string& name, const TargetTree& tree) const {
  const std::string& path = tree.metadata_path;
  // O_PATH: passing through needs no right to read. Symbolic links are followed, the target lies
  // behind.
  UniqueFd fd(open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!fd && errno == ENAMETOOLONG) {
    fd = enter_directory_path(path);
  }
  struct stat stat{};
  if (!fd || fstat(fd.get(), &stat) != 0) {
    walker.report(path, Error::from_errno(errno, "cannot look at directory " + path));
    return false;
  }
  Node node = walker.metadata().node_from_stat(name, stat);
  // By name, since O_PATH descriptors have no attributes to list; of a link they are the link's
  // own.
  const auto [directory, last] = split_last(path);
  const UniqueFd holder = enter_directory_path(directory);
  if (holder && last != ".." && last != "." && !last.empty()) {
    std::optional<Error> error =
        walker.metadata().read_extended_attributes(node, holder.get(), last.c_str());
    if (error && error->code() != ErrorCode::kPermission) {
      walker.report(path, error->within("incomplete metadata of " + path));
    }
  }
  TreeSink::Directory* const directory_in_sink = sink.open_directory(parent, std::move(node));
  stream(walker, sink, directory_in_sink, tree);
  sink.close_directory(directory_in_sink);
  return true;
}

bool FilesSource::Plan::stream(Walker& walker, TreeSink& sink, TreeSink::Directory* directory,
                               const TargetTree& tree) const {
  bool pushed = false;
  for (const auto& [name, child] : tree.children) {
    if (!child.is_leaf()) {
      pushed = stream_inner(walker, sink, directory, name, child) || pushed;
      continue;
    }
    const std::string absolute = absolute_path(working_directory, child.path);
    const auto [holder, last] = split_last(child.path);
    pushed = walker.visit(directory, {.parent_path = holder,
                                      .name = last,
                                      .snapshot_name = name,
                                      .absolute_path = absolute,
                                      .named = child.named,
                                      .device = device_for(absolute)}) ||
             pushed;
  }
  return pushed;
}

FilesSource::FilesSource(FilesOptions options) : plan_(std::make_unique<Plan>(std::move(options))) {
  plan_->working_directory = working_directory();
  for (const std::string& target : plan_->options.targets) {
    const std::string absolute = absolute_path(plan_->working_directory, target);
    struct stat stat{};
    // As given, not cleaned: "link/.." means the parent of what the link points to only to the
    // kernel, and restic cleans first.
    if (const int error = stat_path(clean_path(target), stat); error != 0) {
      plan_->missing.emplace_back(absolute, Error::from_errno(error, "cannot back up " + absolute));
      continue;
    }
    plan_->targets.push_back(target);
    plan_->paths.push_back(absolute);
    plan_->devices.emplace_back(absolute, stat.st_dev);
  }
  std::sort(plan_->devices.begin(), plan_->devices.end());
  if (plan_->options.targets.empty()) {
    throw Error(ErrorCode::kUsage, "nothing to back up",
                "Name the files and directories to back up.");
  }
  if (plan_->targets.empty()) {
    throw Error(ErrorCode::kNotFound, "none of the files and directories to back up exists",
                plan_->missing.front().second.message() + ". Check the paths.");
  }
}

FilesSource::~FilesSource() = default;

std::vector<std::string> FilesSource::paths() const {
  return plan_->paths;
}

void FilesSource::stream_into(const Context& context, TreeSink& sink) {
  for (const auto& [path, error] : plan_->missing) {
    sink.report_unreadable(path, error);
  }
  const TargetTree tree = make_target_tree(plan_->targets, list_names);
  Walker walker(context, sink, plan_->rules, plan_->options, thread_count(plan_->options.threads));
  bool pushed = false;
  try {
    pushed = plan_->stream(walker, sink, sink.root(), tree);
  } catch (...) {
    walker.fail(std::current_exception());
  }
  walker.finish();
  if (!pushed) {
    throw Error(ErrorCode::kFailed, "there is nothing to store: the snapshot would be empty",
                "Every target is excluded or could not be read; see the messages above.");
  }
  sink.close_directory(sink.root());
}

}  // namespace salvor
