#include <algorithm>
#include <array>
#include <cstdlib>
#include <thread>

#include <fcntl.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/format.h"
#include "cli/commands.h"
#include "cli/repository/export_password.h"
#include "cli/repository/snapshot_copy.h"
#include "cli/repository/snapshot_options.h"
#include "cli/repository_access.h"
#include "storage/export/export_storage.h"
#include "storage/export/volumes.h"

namespace salvor::cli {
namespace {

constexpr size_t kReadAtOnce = 1 << 20;

struct Options {
  std::string file;
  std::vector<std::string> ids;
  FilterOptions filter;
  ExportPasswordOptions password;
};

// The index comes last in an archive, so a stream has to be kept until its end: in a file without a
// name, which goes with the process however that ends.
UniqueFd keep_stream(Session& session) {
  const std::string directory = session.environment.get("TMPDIR").value_or("/var/tmp");
  const std::string what = "cannot keep standard input in " + printable(directory);
  UniqueFd file(::open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (!file) {  // not every file system can
    std::string name = directory + "/salvor-import-XXXXXX";
    file = UniqueFd(::mkostemp(name.data(), O_CLOEXEC));
    if (!file) {
      throw Error::from_errno(errno, what);
    }
    (void)::unlink(name.c_str());
  }
  Buffer buffer(kReadAtOnce);
  for (;;) {
    session.context.check_stopped();
    const size_t got = read_full(STDIN_FILENO, buffer.bytes(), "standard input");
    write_full(file.get(), buffer.view(0, got), what);
    if (got < buffer.size()) {
      return file;
    }
  }
}

std::shared_ptr<const VolumeReader> open_file(const Options& options, Session& session) {
  if (options.file == "-") {
    return std::make_shared<VolumeReader>(keep_stream(session), "standard input");
  }
  auto file = std::make_shared<VolumeReader>(options.file);
  if (file->has_sums()) {
    file->verify(session.context);
    session.terminal.message("the sums are right");
  } else {
    session.terminal.message("there are no sums; every object is checked by itself");
  }
  return file;
}

std::unique_ptr<Repository> open_archive(const Options& options, Session& session,
                                         const OpenedRepository& opened,
                                         std::shared_ptr<const VolumeReader> file) {
  try {
    return Repository::open(session.context, open_tar_storage(std::move(file)),
                            export_password(session, options.password, *opened.password),
                            {.threads = std::max(1U, std::thread::hardware_concurrency())});
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kWrongPassword) {
      throw Error(ErrorCode::kWrongPassword, "the password does not open the exported file",
                  "It has its own, or that of the repository it came from: give it with "
                  "--export-password-file or SALVOR_EXPORT_PASSWORD.");
    }
    throw;
  }
}

int run(const Options& options, Session& session) {
  const bool from_stdin = options.file == "-";
  // First: whoever misses a volume should not have to type a password.
  const auto file = open_file(options, session);
  OpenedRepository opened = open_repository(
      session, {.no_lock = NoLock::kIgnored, .stdin_is_data = from_stdin, .keep_password = true});
  const auto source = open_archive(options, session, opened, file);
  const CopyParties parties{
      .context = opened.context,
      .source = *source,
      .target = *opened.repository,
      .confirm_locks = [&](const Context& under) { opened.confirm_lock(under); }};
  copy_missing_snapshots(session, parties, options.ids, options.filter.filter());
  return session.events.errors() > 0 ? exit_status(ErrorCode::kIncomplete) : 0;
}

}  // namespace

CommandSpec import_command() {
  auto options = std::make_shared<Options>();
  CommandSpec command{
      .name = "import",
      .summary = "Take snapshots from an exported file",
      .description =
          "Brings the snapshots of a file that `salvor export` wrote into the repository. The sums "
          "beside it are checked first, then every blob on its way; only what the repository "
          "lacks is stored. Snapshots that are there already are skipped, and an interrupted "
          "import goes on where it was: run it again.\n\n"
          "Of several volumes give the first, or their common name; a volume that is missing or "
          "damaged is named, and nothing is imported. \"-\" reads standard input, which needs "
          "room for the whole file in TMPDIR (/var/tmp).",
      .positionals = {{.name = "file",
                       .target = &options->file,
                       .help = "the exported file, its first volume, or \"-\"",
                       .minimum = 1,
                       .hint = ValueHint::kFile},
                      {.name = "snapshotID",
                       .target = &options->ids,
                       .help = "only these snapshots of the file",
                       .maximum = kUnlimited}},
      .options = {},
      .examples = {{"salvor import backup.tar", "All that the file holds"},
                   {"ssh offsite cat backup.tar | salvor import -", "From another machine"}},
      .exit_codes = with_exit_codes(kRepositoryExitCodes,
                                    {{3, "a snapshot could not be read; the others were imported"},
                                     {20, "the file is damaged; the message names the volume"},
                                     {24, "the file or one of its volumes does not exist"}}),
      .run = [options](Session& session) { return run(*options, session); },
  };
  add_options(command.options, export_password_table(options->password));
  add_options(command.options, filter_option_table(options->filter));
  return command;
}

}  // namespace salvor::cli
