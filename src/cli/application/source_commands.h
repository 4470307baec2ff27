// Backups and restores of what the configuration names, instead of paths and snapshots: what the
// commands `backup`, `restore` and `verify` have in common.
//
// What a word means: with a repository named (-r, SALVOR_REPOSITORY, RESTIC_REPOSITORY) commands
// mean what they always did. Without one, a word that has no '/' in it is the name of a source of
// the configuration; a path is then written with one ("./db"). What can be a snapshot ("latest",
// hexadecimal digits) is one unless a source is called so.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/application/application_jobs.h"
#include "cli/postgres/postgres_options.h"

namespace salvor::cli {

// Whether the one word given can only be meant as a source; see above.
[[nodiscard]] bool means_source(const Session& session, const ConfigurationOptions& configuration,
                                const std::vector<std::string>& words);

struct SourceBackupChoices {
  std::vector<std::string> sources;  // empty: all
  std::string label;
  std::string keep;  // "7d", "forever"
  bool full = false;
  bool dry_run = false;
};
// Returns the exit status.
[[nodiscard]] int run_source_backup(Session& session, const ConfigurationOptions& configuration,
                                    const SourceBackupChoices& choices);

struct SourceRestoreChoices {
  std::string source;
  std::string at;  // a moment; empty: the newest state
  std::string label;
  std::string target;  // another directory; empty: the real place
  std::vector<std::string> include;
  bool in_place = false;  // what is there is changed and lost instead of moved aside
  bool undo = false;      // the old data of the last restore back
  bool discard = false;   // and away with it
  bool dry_run = false;
  Consent consent;
};
[[nodiscard]] int run_source_restore(Session& session, const ConfigurationOptions& configuration,
                                     const SourceRestoreChoices& choices);

// A run as the commands show it, one line and its checks; with --json an object.
void show_run(Session& session, const RunRecord& record);

// "label:x", "latest", a time, ... of --at and --label. Throws Error{kUsage}.
[[nodiscard]] Moment moment_of(const std::string& at, const std::string& label);

[[nodiscard]] int exit_status_of(RunOutcome outcome);

}  // namespace salvor::cli
