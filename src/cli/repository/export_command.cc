#include <chrono>
#include <thread>

#include <unistd.h>

#include "base/fd.h"
#include "base/format.h"
#include "cli/commands.h"
#include "cli/repository/export_password.h"
#include "cli/repository/snapshot_options.h"
#include "cli/repository_access.h"
#include "crypto/sha256.h"
#include "engine/copies/replicator.h"
#include "storage/export/export_storage.h"
#include "storage/export/volumes.h"

namespace salvor::cli {
namespace {

constexpr uint64_t kSmallestVolume = 1 << 20;

struct Options {
  std::string file;
  std::vector<std::string> ids;
  FilterOptions filter;
  ExportPasswordOptions password;
  std::optional<Size> volume_size;
  bool overwrite = false;
};

// Where the archive goes: files with their sums, or standard output.
class Output {
 public:
  Output(const Options& options, Terminal& terminal) : terminal_(terminal) {
    if (options.file != "-") {
      volumes_.emplace(
          VolumeWriterOptions{.path = options.file,
                              .volume_bytes = options.volume_size ? options.volume_size->bytes : 0,
                              .overwrite = options.overwrite});
    }
  }
  void write(ByteView bytes) {
    size_bytes_ += bytes.size();
    if (volumes_) {
      volumes_->write(bytes);
      return;
    }
    terminal_.write_output(bytes);
    hash_.update(bytes);
  }
  std::vector<VolumeWriter::Volume> finish() {
    if (volumes_) {
      return volumes_->finish();
    }
    // Where it is a file on a network, closing it asks whether all has arrived.
    UniqueFd(::dup(STDOUT_FILENO)).close("standard output");
    return {{.path = "-", .size_bytes = size_bytes_, .sha256 = to_hex(hash_.finish())}};
  }
  [[nodiscard]] uint64_t size_bytes() const { return size_bytes_; }

 private:
  Terminal& terminal_;
  std::optional<VolumeWriter> volumes_;
  uint64_t size_bytes_ = 0;
  Sha256 hash_;
};

void check_options(const Options& options, const Session& session) {
  if (options.volume_size && options.file == "-") {
    throw Error(ErrorCode::kUsage, "--volume-size needs a file, not standard output",
                "Give a name, or pass the stream on to a program that splits it.");
  }
  if (options.volume_size && options.volume_size->bytes < kSmallestVolume) {
    throw Error(ErrorCode::kUsage, "--volume-size must be at least 1M");
  }
  if (options.file == "-" && session.terminal.out_is_terminal()) {
    throw Error(ErrorCode::kUsage, "an archive would be written to the terminal",
                "Redirect standard output, or name a file.");
  }
}

SnapshotSelection chosen_snapshots(const Options& options, Session& session,
                                   const OpenedRepository& opened) {
  std::vector<UnreadableObject> unreadable;
  SnapshotSelection selection = select_snapshots(opened.context, *opened.repository, options.ids,
                                                 options.filter.filter(), &unreadable);
  report_ignored(session, selection);
  report_unreadable(session, unreadable);
  if (selection.snapshots.empty()) {
    throw Error(ErrorCode::kNotFound, "no snapshot was chosen, so there is nothing to export",
                "`salvor snapshots` shows what there is.");
  }
  return selection;
}

void write_archive(const Options& options, Session& session, const OpenedRepository& opened,
                   const SnapshotSelection& selection, Output& output) {
  const Context& context = opened.context;
  const int64_t now =
      std::chrono::duration_cast<std::chrono::seconds>(context.clock.now().time_since_epoch())
          .count();
  TarWriteStorage storage([&](ByteView bytes) { output.write(bytes); },
                          "exported file " + printable(options.file), now);
  const auto target =
      Repository::create(context, borrow_storage(storage),
                         export_password(session, options.password, *opened.password),
                         {.polynomial = Polynomial(opened.repository->config().chunker_polynomial),
                          .username = current_user_name(),
                          .hostname = current_host_name()});
  target->load_index(context);
  CopyOptions copy{.threads = std::max(1U, std::thread::hardware_concurrency()),
                   .write = write_options(session.global),
                   .confirm = false};
  copy.write.confirm_lock = [&](const Context& under) { opened.confirm_lock(under); };
  copy.on_start = [&](const StoredSnapshot& stored) {
    session.terminal.message("exporting " + snapshot_text(stored));
  };
  Replicator(context, *opened.repository, *target, copy).copy(selection.snapshots);
  storage.finish();
}

void report(const Options& options, Session& session, size_t snapshots,
            const std::vector<VolumeWriter::Volume>& volumes, uint64_t size_bytes) {
  const bool to_stdout = options.file == "-";
  if (session.terminal.json()) {
    JsonWriter json;
    json.begin_message("summary").field("exported_snapshots", snapshots);
    json.field("size", size_bytes).key("volumes").begin_array();
    for (const VolumeWriter::Volume& volume : volumes) {
      json.begin_object().field("path", volume.path).field("size", volume.size_bytes);
      json.field("sha256", volume.sha256).end_object();
    }
    json.end_array().end_object();
    if (to_stdout) {
      session.terminal.raw_error_line(json.text());
    } else {
      session.terminal.print_json(json);
    }
    return;
  }
  const std::string what = "exported " + std::to_string(snapshots) +
                           (snapshots == 1 ? " snapshot, " : " snapshots, ") +
                           format_bytes(size_bytes);
  if (to_stdout) {
    session.terminal.message(what + ", SHA-256 " + volumes.front().sha256);
    return;
  }
  session.terminal.print_summary(
      what + ", to " + printable(volumes.front().path) +
      (volumes.size() > 1 ? " to " + printable(volumes.back().path) : ""));
  session.terminal.print_summary("sums in " + printable(options.file) + ".sha256");
}

int run(const Options& options, Session& session) {
  check_options(options, session);
  OpenedRepository opened = open_repository(session, {.keep_password = true});
  Output output(options, session.terminal);
  const SnapshotSelection selection = chosen_snapshots(options, session, opened);
  opened.repository->load_index(opened.context);
  write_archive(options, session, opened, selection, output);
  const auto volumes = output.finish();
  report(options, session, selection.snapshots.size(), volumes, output.size_bytes());
  return session.events.errors() > 0 ? exit_status(ErrorCode::kIncomplete) : 0;
}

}  // namespace

CommandSpec export_command() {
  auto options = std::make_shared<Options>();
  CommandSpec command{
      .name = "export",
      .summary = "Write snapshots as one encrypted file",
      .description =
          "Writes the chosen snapshots (all, when none is named) with everything that they need as "
          "one encrypted file: for a CI artifact, a USB disk, another site. The file is a "
          "repository in a tar archive. `salvor import` takes it into a repository, `-r tar:FILE` "
          "reads it where it lies, and after `tar -xf FILE` it is a repository for restic, too.\n\n"
          "FILE.sha256 holds the sums; `sha256sum -c` checks them. With --volume-size the file "
          "comes in pieces, FILE.001 and so on, which belong in one directory. An interrupted "
          "export leaves nothing under these names. \"-\" writes to standard output.\n\n"
          "The file is opened with the repository's password unless it gets its own. Nothing is "
          "kept on disk or in memory on the way but what is on its way.",
      .positionals = {{.name = "file",
                       .target = &options->file,
                       .help = "the file to write, or \"-\"",
                       .minimum = 1,
                       .hint = ValueHint::kFile},
                      {.name = "snapshotID",
                       .target = &options->ids,
                       .help = "ids or unambiguous beginnings of ids, or \"latest\"",
                       .maximum = kUnlimited}},
      .options = {{.long_name = "overwrite",
                   .help = "replace an exported file of the same name",
                   .target = &options->overwrite},
                  {.long_name = "volume-size",
                   .value_name = "size",
                   .help = "write volumes of at most this size (allowed suffixes: k/K, m/M, g/G, "
                           "t/T)",
                   .target = &options->volume_size}},
      .examples = {{"salvor export backup.tar latest", "The newest snapshot as one file"},
                   {"salvor export /media/usb/all.tar --volume-size 650M --tag yearly",
                    "All yearly ones, in pieces"},
                   {"salvor export - latest | ssh offsite 'cat > backup.tar'",
                    "Straight to another machine"}},
      .exit_codes = with_exit_codes(
          kRepositoryExitCodes, {{3, "a snapshot could not be read; the others were exported"}}),
      .run = [options](Session& session) { return run(*options, session); },
  };
  add_options(command.options, export_password_table(options->password));
  add_options(command.options, filter_option_table(options->filter));
  return command;
}

}  // namespace salvor::cli
