// FUSE needs its API version before its header.
#define FUSE_USE_VERSION 314
#include <algorithm>
#include <functional>

#include <fuse.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/format.h"
#include "cli/commands.h"
#include "cli/repository/snapshot_options.h"
#include "cli/repository_access.h"
#include "engine/snapshots/snapshot_view.h"
#include "model/unix_mode.h"

namespace salvor::cli {

namespace {

struct Options {
  std::string mountpoint;
  FilterOptions filter;
  bool allow_other = false;
  bool no_default_permissions = false;
  bool owner_root = false;
  std::string time_template{kRfc3339Layout};
  std::vector<std::string> path_templates;
};

// What the FUSE callbacks need; fuse_context carries it.
struct Mounted {
  SnapshotView& view;
  Terminal& terminal;
  bool owner_root;
};

Mounted& mounted() {
  return *static_cast<Mounted*>(::fuse_get_context()->private_data);
}

// Runs a callback's body; what it throws is shown and becomes an errno.
int guarded(const char* path, const std::function<int()>& body) {
  try {
    return body();
  } catch (const Error& error) {
    mounted().terminal.warn(printable(path) + ": " + error.message(), error.hint());
    return error.code() == ErrorCode::kNotFound ? -ENOENT : -EIO;
  } catch (const std::exception&) {
    return -EIO;
  }
}

timespec time_of(const Timestamp& time) {
  return {static_cast<time_t>(time.seconds), static_cast<long>(time.nanoseconds)};
}

void fill_stat(const Node& node, struct stat& out) {
  out = {};
  // What is of a type of its own is shown as a file.
  const mode_t type = unix_type_bits(node.type);
  out.st_mode = (type == 0 ? S_IFREG : type) | unix_permissions_from_go(node.mode);
  out.st_nlink = node.links > 0 ? node.links : 1;
  out.st_ino = node.inode;
  if (!mounted().owner_root) {
    out.st_uid = node.uid;
    out.st_gid = node.gid;
  }
  out.st_rdev = node.device;
  out.st_mtim = time_of(node.mtime);
  out.st_atim = time_of(node.atime);
  out.st_ctim = time_of(node.ctime);
  if (node.type == NodeType::kFile) {
    out.st_size = static_cast<off_t>(mounted().view.content_size(node));
  } else if (node.type == NodeType::kSymlink) {
    out.st_size = static_cast<off_t>(node.link_target.size());
  }
  constexpr off_t kSector = 512;
  out.st_blocks = (out.st_size + kSector - 1) / kSector;
}

int on_getattr(const char* path, struct stat* out, fuse_file_info*) {
  return guarded(path, [&] {
    const std::optional<Node> node = mounted().view.find(path);
    if (!node) {
      return -ENOENT;
    }
    fill_stat(*node, *out);
    return 0;
  });
}

int on_readlink(const char* path, char* buffer, size_t size) {
  return guarded(path, [&] {
    const std::optional<Node> node = mounted().view.find(path);
    if (!node || node->type != NodeType::kSymlink) {
      return node ? -EINVAL : -ENOENT;
    }
    const size_t length = std::min(size - 1, node->link_target.size());
    std::memcpy(buffer, node->link_target.data(), length);
    buffer[length] = '\0';
    return 0;
  });
}

// Names that no file system could hold are left out: a hostile snapshot must not confuse programs.
bool representable(const std::string& name) {
  return !name.empty() && name != "." && name != ".." &&
         name.find_first_of(std::string_view("/\0", 2)) == std::string::npos;
}

int on_readdir(const char* path, void* buffer, fuse_fill_dir_t fill, off_t, fuse_file_info*,
               fuse_readdir_flags) {
  return guarded(path, [&] {
    const auto nodes = mounted().view.list(path);
    if (!nodes) {
      return -ENOTDIR;
    }
    constexpr auto kNoFlags = static_cast<fuse_fill_dir_flags>(0);
    fill(buffer, ".", nullptr, 0, kNoFlags);
    fill(buffer, "..", nullptr, 0, kNoFlags);
    for (const Node& node : *nodes) {
      if (representable(node.name)) {
        fill(buffer, node.name.c_str(), nullptr, 0, kNoFlags);
      }
    }
    return 0;
  });
}

int on_open(const char* path, fuse_file_info* info) {
  return guarded(path, [&] {
    std::optional<Node> node = mounted().view.find(path);
    if (!node || node->type != NodeType::kFile) {
      return node ? -EISDIR : -ENOENT;
    }
    if ((info->flags & O_ACCMODE) != O_RDONLY) {
      return -EROFS;
    }
    info->fh = reinterpret_cast<uint64_t>(new Node(std::move(*node)));  // released by on_release
    info->keep_cache = 1;  // a snapshot's files never change
    return 0;
  });
}

int on_release(const char*, fuse_file_info* info) {
  delete reinterpret_cast<Node*>(info->fh);
  return 0;
}

int on_read(const char* path, char* buffer, size_t size, off_t offset, fuse_file_info* info) {
  return guarded(path, [&] {
    const auto& node = *reinterpret_cast<const Node*>(info->fh);
    return static_cast<int>(mounted().view.read(node, static_cast<uint64_t>(offset),
                                                {reinterpret_cast<std::byte*>(buffer), size}));
  });
}

int on_listxattr(const char* path, char* buffer, size_t size) {
  return guarded(path, [&] {
    const std::optional<Node> node = mounted().view.find(path);
    if (!node) {
      return -ENOENT;
    }
    std::string names;
    for (const ExtendedAttribute& attribute : node->extended_attributes) {
      names += attribute.name;
      names += '\0';
    }
    if (size > 0 && names.size() > size) {
      return -ERANGE;
    }
    if (size > 0) {
      std::memcpy(buffer, names.data(), names.size());
    }
    return static_cast<int>(names.size());
  });
}

int on_getxattr(const char* path, const char* name, char* buffer, size_t size) {
  return guarded(path, [&] {
    const std::optional<Node> node = mounted().view.find(path);
    if (!node) {
      return -ENOENT;
    }
    for (const ExtendedAttribute& attribute : node->extended_attributes) {
      if (attribute.name != name) {
        continue;
      }
      if (size > 0 && attribute.value.size() > size) {
        return -ERANGE;
      }
      if (size > 0) {
        std::memcpy(buffer, attribute.value.data(), attribute.value.size());
      }
      return static_cast<int>(attribute.value.size());
    }
    return -ENODATA;
  });
}

void* on_init(fuse_conn_info*, fuse_config* config) {
  config->use_ino = 0;  // inode numbers of different snapshots collide
  config->kernel_cache = 1;
  return ::fuse_get_context()->private_data;
}

fuse_operations operations() {
  fuse_operations table{};
  table.getattr = on_getattr;
  table.readlink = on_readlink;
  table.readdir = on_readdir;
  table.open = on_open;
  table.release = on_release;
  table.read = on_read;
  table.listxattr = on_listxattr;
  table.getxattr = on_getxattr;
  table.init = on_init;
  return table;
}

// The arguments that libfuse understands.
std::vector<std::string> fuse_arguments(const Options& options) {
  std::string list = "ro,fsname=salvor,subtype=salvor";
  if (options.allow_other) {
    list += ",allow_other";
    list += options.no_default_permissions ? "" : ",default_permissions";
  }
  return {"salvor", "-o", list};
}

struct FuseDeleter {
  void operator()(fuse* handle) const { ::fuse_destroy(handle); }
};

int serve(const Options& options, Session& session, const Context& context, Mounted& state) {
  std::vector<std::string> words = fuse_arguments(options);
  std::vector<char*> pointers;
  for (std::string& word : words) {
    pointers.push_back(word.data());
  }
  fuse_args arguments = FUSE_ARGS_INIT(static_cast<int>(pointers.size()), pointers.data());
  const fuse_operations table = operations();
  const std::unique_ptr<fuse, FuseDeleter> handle(
      ::fuse_new(&arguments, &table, sizeof table, &state));
  ::fuse_opt_free_args(&arguments);
  if (!handle || ::fuse_mount(handle.get(), options.mountpoint.c_str()) != 0) {
    throw Error(ErrorCode::kFailed, "cannot mount on " + printable(options.mountpoint),
                "Is it a directory of yours, is /dev/fuse there, and is fusermount3 installed? "
                "--allow-other needs user_allow_other in /etc/fuse.conf.");
  }
  session.terminal.message("Now serving the repository at " + printable(options.mountpoint));
  session.terminal.message("Use another terminal or tool to browse the contents of this folder.");
  session.terminal.message("When finished, quit with Ctrl-c here or umount the mountpoint.");
  {
    const std::stop_callback unmount(context.stop, [&] {
      ::fuse_exit(handle.get());
      ::fuse_unmount(handle.get());
    });
    ::fuse_loop_mt(handle.get(), nullptr);
  }
  if (!context.stop.stop_requested()) {
    ::fuse_unmount(handle.get());
  }
  return 0;
}

SnapshotViewOptions view_options(const Options& options) {
  SnapshotViewOptions view;
  view.filter = options.filter.filter();
  view.layout.time_template = options.time_template;
  if (!options.path_templates.empty()) {
    view.layout.path_templates = options.path_templates;
  }
  check_layout(view.layout);
  return view;
}

int run(const Options& options, Session& session) {
  struct stat info{};
  if (::stat(options.mountpoint.c_str(), &info) != 0 || !S_ISDIR(info.st_mode)) {
    throw Error(ErrorCode::kUsage,
                "\"" + printable(options.mountpoint) + "\" is not a directory to mount on",
                "Make it first: mkdir " + printable(options.mountpoint));
  }
  const SnapshotViewOptions shown = view_options(options);
  const OpenedRepository opened = open_repository(session);
  SnapshotView view(opened.context, *opened.repository, shown);
  Mounted state{view, session.terminal, options.owner_root};
  return serve(options, session, opened.context, state);
}

}  // namespace

CommandSpec mount_command() {
  auto options = std::make_shared<Options>();
  CommandSpec command{
      .name = "mount",
      .summary = "Mount the repository",
      .description =
          "Shows all snapshots as directories, read-only, through FUSE:\n\n"
          "  ids/<short id>   snapshots/<time>   hosts/<host>/<time>   tags/<tag>/<time>\n\n"
          "with a link `latest` in each. New snapshots appear within half a minute. Every byte "
          "read "
          "is verified. The command serves until Ctrl-C or until the directory is unmounted "
          "(fusermount3 -u).",
      .positionals = {{.name = "mountpoint",
                       .target = &options->mountpoint,
                       .help = "an empty directory",
                       .minimum = 1,
                       .hint = ValueHint::kDirectory}},
      .options = {{.long_name = "allow-other",
                   .help = "allow other users to access the data in the mounted directory",
                   .target = &options->allow_other},
                  {.long_name = "no-default-permissions",
                   .help = "for 'allow-other', ignore Unix permissions and allow users to read all "
                           "snapshot files",
                   .target = &options->no_default_permissions},
                  {.long_name = "owner-root",
                   .help = "use 'root' as the owner of files and dirs",
                   .target = &options->owner_root},
                  {.long_name = "path-template",
                   .value_name = "template",
                   .help =
                       "template for path names: %i short id, %I id, %u user, %h host, %t tags, "
                       "%T time (can be given multiple times)",
                   .target = &options->path_templates,
                   .default_text = "ids/%i, snapshots/%T, hosts/%h/%T, tags/%t/%T"},
                  {.long_name = "snapshot-template",
                   .value_name = "template",
                   .help = "the former name of --time-template",
                   .target = &options->time_template,
                   .hidden = true},
                  {.long_name = "time-template",
                   .value_name = "template",
                   .help =
                       "how times are written: Go's reference time, or strftime(3) if it has a %",
                   .target = &options->time_template,
                   .default_text = std::string(kRfc3339Layout)}},
      .examples = {{"salvor mount /mnt/backup", "Then look around in /mnt/backup/snapshots/latest"},
                   {"salvor mount /mnt/backup --path-template '%h/%T' --time-template 2006-01-02",
                    "One directory a host, in it one a day"}},
      .exit_codes = kRepositoryExitCodes,
      .run = [options](Session& session) { return run(*options, session); },
  };
  add_options(command.options, filter_option_table(options->filter));
  return command;
}

}  // namespace salvor::cli
