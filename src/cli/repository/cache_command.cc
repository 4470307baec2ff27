#include "base/format.h"
#include "cli/cache_directory.h"
#include "cli/commands.h"
#include "cli/output/table.h"
#include "cli/session.h"

namespace salvor::cli {

namespace {

struct Options {
  bool cleanup = false;
  uint64_t max_age_days = 30;
  bool no_size = false;
};

constexpr uint64_t kLongestAgeDays = 36500;

int clean_up(const std::vector<CacheEntry>& entries, WallTime now, std::chrono::days max_age,
             Session& session) {
  size_t removed = 0;
  for (const CacheEntry& entry : entries) {
    if (is_old(entry, now, max_age)) {
      remove_cache(entry);
      session.terminal.message_at(2, "removed " + entry.path);
      ++removed;
    }
  }
  session.terminal.print_summary(removed == 0
                                     ? "no old cache dirs found"
                                     : "removed " + std::to_string(removed) + " old cache dirs");
  return 0;
}

int run(const Options& options, Session& session) {
  if (session.global.no_cache) {
    throw Error(ErrorCode::kUsage, "--no-cache leaves nothing to do for \"cache\"");
  }
  if (options.max_age_days > kLongestAgeDays) {
    throw Error(ErrorCode::kUsage, "--max-age must not be above 36500 days");
  }
  const std::chrono::days max_age(options.max_age_days);
  const std::string root = cache_root(session.global, session.environment);
  const WallTime now = session.context.clock.now();
  const std::vector<CacheEntry> entries = list_caches(root);
  if (options.cleanup || session.global.cleanup_cache) {
    return clean_up(entries, now, max_age, session);
  }
  if (entries.empty()) {
    session.terminal.print_summary("no cache dirs found, basedir is " + printable(root));
    return 0;
  }
  Table table;
  for (const char* header : {"Repo ID   ", "Last Used  ", "Old"}) {
    table.add_column(header);
  }
  if (!options.no_size) {
    table.add_column("Size");
  }
  for (const CacheEntry& entry : entries) {
    const auto days =
        std::chrono::floor<std::chrono::days>(std::max(now - entry.last_used, Duration(0)));
    std::vector<std::string> cells{entry.repository_id.substr(0, 10),
                                   std::to_string(days.count()) + " days ago",
                                   is_old(entry, now, max_age) ? "yes" : ""};
    if (!options.no_size) {
      cells.push_back(format_bytes(entry.size_bytes));
    }
    table.add_row(std::move(cells));
  }
  table.add_footer(std::to_string(entries.size()) + " cache dirs in " + printable(root));
  session.terminal.print(table.text());
  return 0;
}

}  // namespace

CommandSpec cache_command() {
  auto options = std::make_shared<Options>();
  return {
      .name = "cache",
      .summary = "Operate on local cache directories",
      .description =
          "Lists the local cache directories, one a repository, or removes those that were not "
          "used for a while. "
          "A cache only saves time: all of it may be deleted at any time.",
      .options = {{.long_name = "cleanup",
                   .help = "remove old cache directories",
                   .target = &options->cleanup},
                  {.long_name = "max-age",
                   .value_name = "days",
                   .help = "max age in days for cache directories to be considered old",
                   .target = &options->max_age_days,
                   .default_text = "30"},
                  {.long_name = "no-size",
                   .help = "do not output the size of the cache directories",
                   .target = &options->no_size}},
      .examples = {{"salvor cache --cleanup --max-age 7", "Remove what was not used for a week"}},
      .run = [options](Session& session) { return run(*options, session); },
  };
}

}  // namespace salvor::cli
