#include "cli/repository/prune_options.h"

#include <thread>

#include <fmt/format.h>

#include "base/format.h"
#include "cli/output/progress.h"
#include "cli/repository/snapshot_options.h"

namespace salvor::cli {
namespace {

std::string percent(uint64_t part, uint64_t whole) {
  return fmt::format(
      "{:.2f}%", whole == 0 ? 0.0 : 100.0 * static_cast<double>(part) / static_cast<double>(whole));
}

std::string figure(const char* label, uint64_t blobs, uint64_t bytes) {
  return fmt::format("{:<13} {:>10} blobs / {}", label, blobs, format_bytes(bytes));
}

// restic's figures, line for line; the first and last blocks only with -v, as there.
void print_figures(Terminal& terminal, const PruneStatistics& figures) {
  const auto& [blobs, bytes, packs, leftovers] = figures;
  const auto verbose = [&](const std::string& line) {
    if (terminal.verbosity() >= 2) {
      terminal.print_summary(line);
    }
  };
  const uint64_t pruned_blobs = blobs.remove + blobs.repack_remove;
  const uint64_t total = figures.total_bytes();
  const uint64_t remaining = total - figures.pruned_bytes();
  verbose("");
  verbose(figure("used:", blobs.used, bytes.used));
  if (blobs.duplicate > 0) {
    verbose(figure("duplicates:", blobs.duplicate, bytes.duplicate));
  }
  verbose(figure("unused:", blobs.unused, bytes.unused));
  if (bytes.unreferenced > 0) {
    verbose(fmt::format("{:<32} {}", "unreferenced:", format_bytes(bytes.unreferenced)));
  }
  verbose(figure("total:", figures.total_blobs(), total));
  verbose("unused size: " + percent(bytes.duplicate + bytes.unused, total) + " of total size");
  terminal.print_summary("");
  terminal.print_summary(figure("to repack:", blobs.repack, bytes.repack));
  terminal.print_summary(figure("this removes:", blobs.repack_remove, bytes.repack_remove));
  terminal.print_summary(figure("to delete:", blobs.remove, bytes.remove + bytes.unreferenced));
  terminal.print_summary(figure("total prune:", pruned_blobs, figures.pruned_bytes()));
  if (leftovers.files > 0) {
    terminal.print_summary(fmt::format("{:<13} {:>10} files / {}, left by runs that died",
                                       "temporary:", leftovers.files,
                                       format_bytes(leftovers.bytes)));
  }
  if (bytes.uncompressed > 0) {
    terminal.print_summary(
        fmt::format("{:<32} {}", "not yet compressed:", format_bytes(bytes.uncompressed)));
  }
  terminal.print_summary(figure("remaining:", figures.total_blobs() - pruned_blobs, remaining));
  terminal.print_summary("unused size after prune: " + format_bytes(figures.unused_bytes_after()) +
                         " (" + percent(figures.unused_bytes_after(), remaining) +
                         " of remaining size)");
  terminal.print_summary("");
  verbose(fmt::format("totally used packs: {:>10}", packs.used));
  verbose(fmt::format("partly used packs:  {:>10}", packs.partly_used));
  verbose(fmt::format("unused packs:       {:>10}\n", packs.unused));
  verbose(fmt::format("to keep:      {:>10} packs", packs.keep));
  verbose(fmt::format("to repack:    {:>10} packs", packs.repack));
  verbose(fmt::format("to delete:    {:>10} packs", packs.remove));
  if (packs.unreferenced > 0) {
    verbose(fmt::format("to delete:    {:>10} unreferenced packs\n", packs.unreferenced));
  }
}

ProgressNumbers numbers_of(const PruneProgress& progress) {
  ProgressNumbers numbers;
  const uint64_t packs = progress.packs_to_repack;
  numbers.bytes_done = progress.bytes_repacked;
  numbers.files_done = packs > 0 ? progress.packs_repacked.load() : progress.trees.load();
  if (packs > 0) {
    numbers.files_total = packs;
  }
  numbers.unit = packs > 0 ? "packs" : "trees";
  numbers.stage = packs > 0 ? "repacking" : "finding used data";
  return numbers;
}

void print_names(Terminal& terminal, const char* title, const PrunePlan& plan, const Pruner& pruner,
                 PackFate fate) {
  std::string names;
  for (size_t i = 0; i < plan.fates.size(); ++i) {
    if (plan.fates[i] == fate) {
      names += (names.empty() ? "" : " ") + pruner.pack(i).short_hex();
    }
  }
  if (!names.empty() && terminal.verbosity() >= 2) {
    terminal.print_summary(std::string(title) + "\n{" + names + "}\n");
  }
}

void print_leftovers(Terminal& terminal, const std::vector<Leftover>& leftovers) {
  if (leftovers.empty() || terminal.verbosity() < 2) {
    return;
  }
  terminal.print_summary("Would have removed the following temporary files:");
  for (const Leftover& leftover : leftovers) {
    terminal.print_summary(printable(leftover.path));
  }
  terminal.print_summary("");
}

// Object lock: what the storage will not let go yet, and until when.
void print_locked(Terminal& terminal, const PruneStatistics& figures, const LockedPacks& locked) {
  if (figures.packs.locked == 0 && figures.bytes.locked == 0) {
    return;
  }
  std::string text = fmt::format("locked by the storage: {} packs without use stay, {} unused",
                                 figures.packs.locked, format_bytes(figures.bytes.locked));
  LocalZone zone;
  if (locked.first) {
    text += "; the first until " + local_time_text(zone.stamp(*locked.first)) +
            ", the last until " + local_time_text(zone.stamp(*locked.last));
  }
  if (locked.held > 0) {
    text += fmt::format("; {} under legal hold", locked.held);
  }
  terminal.print_summary(text);
}

}  // namespace

std::vector<OptionSpec> prune_option_table(PruneFlags& flags) {
  return {
      {.long_name = "max-unused",
       .value_name = "limit",
       .help = "tolerate given limit of unused data (absolute value in bytes with suffixes k/K, "
               "m/M, g/G, t/T, a value in % or the word 'unlimited')",
       .target = &flags.max_unused,
       .default_text = "5%"},
      {.long_name = "max-repack-size",
       .value_name = "size",
       .help = "stop after repacking this much data in total (allowed suffixes for size: k/K, "
               "m/M, g/G, t/T)",
       .target = &flags.max_repack_size},
      {.long_name = "repack-cacheable-only",
       .help = "only repack packs which are cacheable",
       .target = &flags.repack_cacheable_only},
      {.long_name = "repack-small",
       .help = "without effect: small packs are repacked anyway",
       .target = &flags.repack_small,
       .hidden = true},
      {.long_name = "repack-uncompressed",
       .help = "repack all uncompressed data",
       .target = &flags.repack_uncompressed},
      {.long_name = "repack-smaller-than",
       .value_name = "below-limit",
       .help = "pack below-limit packfiles (allowed suffixes: m/M)",
       .target = &flags.repack_smaller_than},
      {.long_name = "keep-delete",
       .value_name = "duration",
       .help = "only mark unneeded packs, and remove those marked this long ago: for programs that "
               "know no locks (rustic), longer than one of their backups runs",
       .target = &flags.keep_delete,
       .default_text = "23h if rustic made a snapshot, else 0s"},
      {.long_name = "instant-delete",
       .help = "remove at once, as --keep-delete 0s",
       .target = &flags.instant_delete},
  };
}

PruneOptions prune_options(const PruneFlags& flags, const GlobalOptions& global) {
  PruneOptions options;
  options.write = write_options(global);
  options.threads = std::max(1U, std::thread::hardware_concurrency());
  options.limits.max_unused = parse_max_unused(flags.max_unused);
  if (flags.max_repack_size) {
    options.limits.max_repack_bytes = flags.max_repack_size->bytes;
  }
  options.limits.repack_cacheable_only = flags.repack_cacheable_only;
  options.limits.repack_uncompressed = flags.repack_uncompressed;
  if (flags.repack_smaller_than) {
    options.limits.repack_smaller_than = flags.repack_smaller_than->bytes;
    if (options.limits.repack_smaller_than == 0) {
      throw Error(ErrorCode::kUsage, "--repack-smaller-than must be larger than zero");
    }
    if (options.limits.repack_smaller_than > options.write.pack_size_bytes) {
      throw Error(ErrorCode::kUsage, "--repack-smaller-than exceeds the pack size",
                  "Packs of that size could not be made; see --pack-size.");
    }
  }
  if (flags.instant_delete && flags.keep_delete) {
    throw Error(ErrorCode::kUsage, "--instant-delete and --keep-delete are mutually exclusive");
  }
  if (flags.instant_delete) {
    options.keep_delete = std::chrono::seconds(0);
  } else if (flags.keep_delete) {
    options.keep_delete = std::chrono::ceil<std::chrono::seconds>(*flags.keep_delete);
  }
  if (flags.repack_uncompressed && options.write.compression == Compression::kOff) {
    throw Error(ErrorCode::kUsage,
                "--compression off and --repack-uncompressed are mutually exclusive");
  }
  return options;
}

PruneOutcome run_prune(Session& session, OpenedRepository& opened, PruneOptions options,
                       bool dry_run) {
  Terminal& terminal = session.terminal;
  PruneProgress progress;
  options.progress = &progress;
  options.confirm_lock = [&opened] { opened.confirm_lock(opened.context); };
  options.write.confirm_lock = [&opened](const Context& under) { opened.confirm_lock(under); };
  Pruner pruner(opened.context, *opened.repository, std::move(options));
  PruneOutcome outcome;
  {
    const Progress shown(terminal, session.environment, session.context.clock,
                         {[&progress] { return numbers_of(progress); }});
    const PrunePlan& plan = pruner.plan();
    outcome.figures = plan.statistics;
    if (dry_run) {
      terminal.print_summary("\nWould have made the following changes:");
    }
    print_figures(terminal, outcome.figures);
    if (dry_run) {
      print_names(terminal, "Would have repacked and removed the following packs:", plan, pruner,
                  PackFate::kRepack);
      print_names(terminal, "Would have removed the following no longer used packs:", plan, pruner,
                  PackFate::kRemove);
      print_leftovers(terminal, pruner.leftovers());
      print_locked(terminal, outcome.figures, pruner.locked());
      return outcome;
    }
    outcome.result = pruner.execute();
  }
  print_locked(terminal, outcome.figures, pruner.locked());
  if (outcome.result.packs_recovered > 0) {
    terminal.print_summary(fmt::format("{} packs marked earlier are needed after all: back in use",
                                       outcome.result.packs_recovered));
  }
  if (const uint64_t waiting = outcome.result.packs_marked + outcome.figures.packs.wait;
      waiting > 0) {
    terminal.print_summary(fmt::format(
        "{} packs are marked, not removed: a prune {} after they were marked removes them", waiting,
        format_duration(pruner.keep_delete())));
  }
  if (outcome.result.not_removed > 0) {
    terminal.warn(std::to_string(outcome.result.not_removed) + " objects could not be removed",
                  "They do no harm; the next prune tries again.");
  }
  terminal.print_summary("done");
  return outcome;
}

}  // namespace salvor::cli
