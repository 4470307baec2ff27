// Commands of the configuration around a backup (P16).
//
// Each is one line for /bin/sh, with SALVOR_SOURCE, SALVOR_HOOK ("before", "after", "failure",
// "quiesce", "resume") and, after the backup, SALVOR_OUTCOME and SALVOR_SNAPSHOT in its
// environment. What it prints goes to stderr. Its exit status decides.
//
// Writes that were stopped are let through again whatever happens to the backup, Ctrl-C included.
// Killed in between (kill -9, power), the note that is written before stopping them makes the next
// `salvor run` resume them first, before anything else; until then they stay stopped. So a quiesce
// hook should stop writes by something that ends by itself (a lock with a time-out).
#pragma once

#include <string>
#include <vector>

#include "base/context.h"
#include "model/application.h"

namespace salvor {

struct HookFacts {
  std::string source;
  std::string outcome;   // empty: not known yet
  std::string snapshot;  // empty: none
};

// Runs them one after the other. Throws Error{kFailed} naming the first that fails.
void run_hooks(const std::vector<std::string>& commands, const std::string& which,
               const HookFacts& facts);
// Runs all of them; those that fail are warnings.
void run_hooks_always(const Context& context, const std::vector<std::string>& commands,
                      const std::string& which, const HookFacts& facts);

// Writes are stopped from construction to destruction, of several sources: for a common point.
class Quiesced {
 public:
  // Throws as run_hooks; what was stopped by then is resumed.
  Quiesced(const Context& context, std::string state_directory,
           std::vector<const SourceSpec*> sources);
  ~Quiesced();
  Quiesced(const Quiesced&) = delete;
  Quiesced& operator=(const Quiesced&) = delete;

 private:
  void resume();

  const Context context_;
  const std::string state_directory_;
  std::vector<const SourceSpec*> stopped_;
};

// Resumes what runs that were killed have left stopped; returns the sources' names.
std::vector<std::string> resume_left_over(const Context& context, const Application& application);

}  // namespace salvor
