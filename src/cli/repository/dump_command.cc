#include <algorithm>

#include <fcntl.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/format.h"
#include "cli/commands.h"
#include "cli/repository/snapshot_options.h"
#include "cli/repository_access.h"
#include "codec/archive_writer.h"
#include "engine/reading/blob_stream.h"
#include "engine/reading/tree_walk.h"

namespace salvor::cli {

namespace {

struct Options {
  std::string snapshot;
  std::string file;
  FilterOptions filter;
  std::string archive = "tar";
  std::string target;
};

// Where the bytes go: a new file, or standard output.
class Output {
 public:
  Output(const std::string& target, Terminal& terminal)
      : terminal_(terminal), name_(target.empty() ? "standard output" : target) {
    if (!target.empty()) {
      file_ = UniqueFd(::open(target.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
      if (!file_) {
        throw Error::from_errno(errno, "cannot create " + printable(target));
      }
    }
  }
  void write(ByteView bytes) const {
    if (file_) {
      write_full(file_.get(), bytes, name_);
    } else {
      terminal_.write_output(bytes);
    }
  }
  // Throws where the file system refuses the data only now. Standard output stays open, but may be
  // such a file: closing one of its descriptors is what asks.
  void finish() { (file_ ? std::move(file_) : UniqueFd(::dup(STDOUT_FILENO))).close(name_); }

 private:
  Terminal& terminal_;
  std::string name_;
  UniqueFd file_;
};

void dump_file(BlobStream& stream, const Node& node, const Output& output) {
  stream.start(node.content);
  for (ByteView bytes = stream.next(); !bytes.empty(); bytes = stream.next()) {
    output.write(bytes);
  }
}

void dump_directory(const Context& context, BlobReader& reader, BlobStream& stream,
                    const BlobId& tree, const Options& options, const Output& output) {
  ArchiveWriter archive(options.archive == "zip" ? ArchiveFormat::kZip : ArchiveFormat::kTar,
                        [&](ByteView bytes) { output.write(bytes); });
  std::string prefix = options.file;
  while (prefix.ends_with('/')) {
    prefix.pop_back();
  }
  walk_tree(context, reader, tree, prefix, [&](const NodePlace& place, const Node& node) {
    // The archive writer wants the true length; an old snapshot's size may not be that.
    stream.start(node.content);
    if (!archive.add(node, place.path, [&] { return stream.next(); })) {
      context.events.on(
          Warning{printable(place.path) + " cannot be put into this kind of archive", {}});
    }
    return Descend::kYes;
  });
  archive.finish();
}

int run(const Options& options, Session& session) {
  const OpenedRepository opened = open_repository(session);
  const Context& context = opened.context;
  const SnapshotArgument argument = split_snapshot_argument(options.snapshot);
  const StoredSnapshot stored =
      find_snapshot(context, *opened.repository, argument.id, options.filter.filter());
  opened.repository->load_index(context);
  BlobReader reader(*opened.repository);
  BlobId tree = find_subfolder(context, reader, stored.snapshot.tree, argument.subfolder);
  const std::optional<Node> node = find_node(context, reader, tree, options.file);
  const bool whole = options.file.find_first_not_of('/') == std::string::npos;
  if (!node && !whole) {
    throw Error(ErrorCode::kNotFound,
                "\"" + printable(options.file) + "\" is not in snapshot " + stored.id.short_hex(),
                "`salvor ls " + stored.id.short_hex() + "` shows what is.");
  }
  if (node && node->type != NodeType::kFile && node->type != NodeType::kDir) {
    throw Error(ErrorCode::kFailed, "\"" + printable(options.file) + "\" is a " +
                                        std::string(node_type_name(node->type)) +
                                        ", neither a file nor a directory");
  }
  if (node && node->type == NodeType::kDir && !node->subtree) {
    throw Error(ErrorCode::kDamaged,
                "snapshot " + stored.id.short_hex() + " does not say what is in \"" +
                    printable(options.file) + "\"",
                "Run `salvor repair snapshots`: it leaves out what is missing.");
  }
  const bool is_file = node && node->type == NodeType::kFile;
  if (!is_file && options.target.empty() && session.terminal.out_is_terminal()) {
    throw Error(ErrorCode::kUsage, "an archive would be written to the terminal",
                "Redirect standard output, or name a file with --target.");
  }
  BlobStream stream(context, *opened.repository, reading_threads(*opened.repository));
  Output output(options.target, session.terminal);
  if (is_file) {
    dump_file(stream, *node, output);
  } else {
    within_snapshot(stored.id, [&] {
      dump_directory(context, reader, stream, node ? *node->subtree : tree, options, output);
    });
  }
  output.finish();
  return 0;
}

}  // namespace

CommandSpec dump_command() {
  auto options = std::make_shared<Options>();
  CommandSpec command{
      .name = "dump",
      .summary = "Print a backed-up file to stdout",
      .description =
          "Writes a file from a snapshot to standard output, or a directory as an archive (tar "
          "unless --archive zip). Every byte is verified before it is written. \"/\" is the whole "
          "snapshot.",
      .positionals = {{.name = "snapshotID",
                       .target = &options->snapshot,
                       .help = "the snapshot, \"latest\", or \"snapshot:folder\"",
                       .minimum = 1},
                      {.name = "file",
                       .target = &options->file,
                       .help = "a file or directory, as `salvor ls` shows it",
                       .minimum = 1}},
      .options = {{.long_name = "archive",
                   .short_name = 'a',
                   .value_name = "format",
                   .help = "set archive format",
                   .target = &options->archive,
                   .choices = {"tar", "zip"},
                   .default_text = "tar"},
                  {.long_name = "target",
                   .short_name = 't',
                   .value_name = "path",
                   .help = "write the output to target path",
                   .target = &options->target,
                   .hint = ValueHint::kFile}},
      .examples = {{"salvor dump latest /home/me/notes.txt", "One file"},
                   {"salvor dump latest /home/me > me.tar", "A directory as a tar archive"}},
      .exit_codes = kRepositoryExitCodes,
      .run = [options](Session& session) { return run(*options, session); },
  };
  add_options(command.options,
              filter_option_table(options->filter, true, ", when snapshot ID \"latest\" is given"));
  return command;
}

}  // namespace salvor::cli
