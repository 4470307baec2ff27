#include "cli/commands.h"
#include "cli/repository/prune_options.h"

namespace salvor::cli {
namespace {

struct Options {
  PruneFlags flags;
  bool dry_run = false;
  std::string recover_no_free_space;
};

JsonWriter summary_json(const PruneOutcome& outcome, bool dry_run) {
  const auto& [blobs, bytes, packs, leftovers] = outcome.figures;
  JsonWriter json;
  json.begin_message("summary").field("dry_run", dry_run);
  json.key("blobs").begin_object();
  json.field("used", blobs.used).field("duplicate", blobs.duplicate).field("unused", blobs.unused);
  json.field("remove", blobs.remove).field("repack", blobs.repack);
  json.field("repack_remove", blobs.repack_remove).end_object();
  json.key("bytes").begin_object();
  json.field("used", bytes.used).field("duplicate", bytes.duplicate).field("unused", bytes.unused);
  json.field("unreferenced", bytes.unreferenced).field("remove", bytes.remove);
  json.field("repack", bytes.repack).field("repack_remove", bytes.repack_remove);
  json.field("uncompressed", bytes.uncompressed);
  json.field("total_prune", outcome.figures.pruned_bytes());
  json.field("unused_after", outcome.figures.unused_bytes_after()).end_object();
  json.key("packs").begin_object();
  json.field("used", packs.used).field("partly_used", packs.partly_used);
  json.field("unused", packs.unused).field("unreferenced", packs.unreferenced);
  json.field("keep", packs.keep).field("repack", packs.repack).field("remove", packs.remove);
  json.field("wait", packs.wait).field("recover", packs.recover);
  json.end_object();
  json.key("temporary_files").begin_object();
  json.field("count", leftovers.files).field("bytes", leftovers.bytes).end_object();
  json.field("packs_removed", outcome.result.packs_removed);
  json.field("packs_marked", outcome.result.packs_marked);
  json.field("packs_written", outcome.result.packs_written);
  json.field("not_removed", outcome.result.not_removed);
  json.end_object();
  return json;
}

int run(const Options& options, Session& session) {
  PruneOptions prune = prune_options(options.flags, session.global);
  if (session.global.no_lock && !options.dry_run) {
    throw Error(ErrorCode::kUsage,
                "--no-lock is only applicable in combination with --dry-run for prune command");
  }
  OpenedRepository opened =
      open_repository(session, {.lock = LockMode::kExclusive,
                                .no_lock = options.dry_run ? NoLock::kHonoured : NoLock::kIgnored});
  if (!options.recover_no_free_space.empty()) {
    const std::string& id = opened.repository->config().id;
    if (options.recover_no_free_space != id) {
      throw Error(ErrorCode::kUsage, "must pass id '" + id + "' to --unsafe-recover-no-free-space",
                  "Until the new index is written the repository has none: if that is interrupted, "
                  "run `salvor repair index`. Try `salvor prune --max-repack-size 0` first.");
    }
    if (options.flags.keep_delete) {
      throw Error(ErrorCode::kUsage,
                  "--unsafe-recover-no-free-space and --keep-delete are mutually exclusive",
                  "Without free space packs must be removed at once.");
    }
    prune.recover_no_free_space = true;
  }
  const PruneOutcome outcome = run_prune(session, opened, std::move(prune), options.dry_run);
  if (session.terminal.json()) {
    session.terminal.print_json(summary_json(outcome, options.dry_run));
  }
  return 0;
}

}  // namespace

CommandSpec prune_command() {
  auto options = std::make_shared<Options>();
  CommandSpec command{
      .name = "prune",
      .summary = "Remove unneeded data from the repository",
      .description =
          "Removes what no snapshot refers to any more. Packs without used data are deleted; packs "
          "that hold used and unused data are repacked, the most wasteful first, until no more "
          "than --max-unused is left.\n\n"
          "New packs and the new index are stored and durable before anything old is removed: a "
          "prune may be interrupted at any moment, and the next one goes on from there. A "
          "repository with damage is not pruned. Temporary files that runs left behind which were "
          "killed more than a day ago are removed, too.\n\n"
          "restic and Salvor keep out of a prune by locks; rustic knows none. Where rustic works "
          "on "
          "the repository too, what is unneeded is therefore only marked, and removed by a prune "
          "23 "
          "hours later (--keep-delete) unless a backup has come to need it meanwhile.",
      .options = {{.long_name = "dry-run",
                   .short_name = 'n',
                   .help = "do not modify the repository, just print what would be done",
                   .target = &options->dry_run}},
      .examples = {{"salvor prune --dry-run", "What would be freed"},
                   {"salvor prune --max-unused 0", "Leave no unused data at all"},
                   {"salvor prune --max-repack-size 5G", "Copy at most this much in one run"}},
      .exit_codes = kRepositoryExitCodes,
      .run = [options](Session& session) { return run(*options, session); },
  };
  add_options(command.options, prune_option_table(options->flags));
  command.options.push_back(
      {.long_name = "unsafe-recover-no-free-space",
       .value_name = "id",
       .help = "for a storage that is full to the last byte: remove the index before the new one "
               "is written; needs the repository's id. Try --max-repack-size 0 first",
       .target = &options->recover_no_free_space});
  return command;
}

}  // namespace salvor::cli
