#include "engine/postgres/cluster_seed.h"

#include <filesystem>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/task.h"
#include "connector/files/files_target.h"
#include "engine/reading/tree_walk.h"

namespace salvor {
namespace {

constexpr size_t kPiece = size_t{1} << 20;
constexpr size_t kQueued = 64;  // copies; each holds two directories open

using Handle = std::shared_ptr<DirectoryHandle>;

// A file of the old directory that the snapshot has, too. `level` counts directories above it.
using OnFile =
    std::function<void(size_t level, const Handle& directory, const std::string& name, uint64_t)>;
using OnDirectory = std::function<void(size_t level, const std::string& name)>;

void walk_both(const Context& context, const Repository& repository, const BlobId& tree,
               const SeedOptions& options, const OnDirectory& on_directory, const OnFile& on_file) {
  FilesTarget target({});
  std::vector<Handle> above{target.open_root(options.from, false)};
  if (!above.front()) {
    return;
  }
  BlobReader reader(repository);
  walk_tree(context, reader, tree, "", [&](const NodePlace& place, const Node& node) {
    context.check_stopped();
    above.resize(place.depth + 1);
    if (!is_plain_name(node.name) || (options.leave_out && options.leave_out(place.path))) {
      return Descend::kNo;
    }
    const Handle& directory = above.back();
    if (node.type == NodeType::kDir) {
      Handle below = target.find_directory(directory, node.name);
      if (!below) {
        return Descend::kNo;
      }
      on_directory(place.depth, node.name);
      above.push_back(std::move(below));
      return Descend::kYes;
    }
    if (node.type == NodeType::kFile && !node.content.empty()) {
      const auto now = FilesTarget::look(directory->open()->get(), node.name);
      if (now && S_ISREG(now->st_mode) && now->st_size > 0) {
        on_file(place.depth, directory, node.name, static_cast<uint64_t>(now->st_size));
      }
    }
    return Descend::kNo;
  });
}

bool share(int from, int to) {
  return ::ioctl(to, FICLONE, from) == 0;
}

UniqueFd open_source(const Handle& directory, const std::string& name) {
  UniqueFd file(::openat(directory->open()->get(), name.c_str(),
                         O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!file) {
    throw Error::from_errno(errno, "cannot read " + name);
  }
  return file;
}

void copy_content(const Context& context, int from, int to, const std::string& name) {
  if (share(from, to)) {
    return;  // the copy has the blocks of the old one
  }
  bool in_kernel = true;
  Buffer piece;
  for (uint64_t at = 0;;) {
    context.check_stopped();
    if (in_kernel) {
      const ssize_t done = ::copy_file_range(from, nullptr, to, nullptr, kPiece, 0);
      if (done > 0) {
        at += static_cast<uint64_t>(done);
        continue;
      }
      if (done < 0 && (errno == ENOSPC || errno == EDQUOT || errno == EIO)) {
        throw Error::from_errno(errno, "cannot copy " + name);
      }
      in_kernel = false;  // the end, or it cannot: the loop below finds out which
    }
    piece.resize(kPiece);
    const size_t got = pread_full(from, {piece.data(), piece.size()}, at, name);
    if (got == 0) {
      return;
    }
    pwrite_full(to, piece.view().first(got), at, name);
    at += got;
  }
}

// Asked of the file system itself: a file without a name that takes over one of the old ones.
bool can_share(const std::string& directory, const Handle& from, const std::string& name) {
  const UniqueFd source = open_source(from, name);
  const std::string parent = std::filesystem::path(directory).parent_path();
  const UniqueFd trial(::open(parent.c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600));
  return trial && share(source.get(), trial.get());
}

}  // namespace

SeedSize measure_seed(const Context& context, const Repository& repository, const BlobId& tree,
                      const SeedOptions& options) {
  SeedSize size;
  walk_both(
      context, repository, tree, options, [](size_t, const std::string&) {},
      [&](size_t, const Handle& directory, const std::string& name, uint64_t bytes) {
        if (size.files++ == 0) {
          size.shared = can_share(options.from, directory, name);
        }
        size.bytes += bytes;
      });
  struct statvfs space{};
  if (::statvfs(options.from.c_str(), &space) == 0) {
    size.available = uint64_t{space.f_bavail} * space.f_frsize;
  }
  return size;
}

void seed(const Context& context, const Repository& repository, const BlobId& tree,
          const SeedOptions& options, const std::string& to) {
  FilesTarget target({});
  std::vector<Handle> above{target.open_root(to, true)};
  ThreadPool pool("salvor-seed", std::max(1U, std::thread::hardware_concurrency()));
  TaskGroup group(pool, context.stop, kQueued);
  const Context inner = context.with_stop(group.stop_token());
  walk_both(
      context, repository, tree, options,
      [&](size_t level, const std::string& name) {
        above.resize(level + 1);
        above.push_back(target.make_directory(above.back(), name).handle);
      },
      [&](size_t level, const Handle& directory, const std::string& name, uint64_t) {
        above.resize(level + 1);
        group.run([&inner, &target, directory, into = above.back(), name] {
          const UniqueFd source = open_source(directory, name);
          const UniqueFd made = target.create_file(into->open()->get(), name);
          copy_content(inner, source.get(), made.get(), name);
        });
      });
  group.wait();
}

}  // namespace salvor
