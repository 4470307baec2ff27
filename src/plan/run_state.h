// What a run journal says, folded: where each step stands. The one place that knows the entries.
//
//   run        first entry: what was pinned (values: see RunFacts), one per run
//   point      (values) a recovery point that a restore will use
//   resume     somebody goes on with it (values: who, machine; hash and text when a changed plan
//   was
//              taken)
//   begin      the step is about to act (values: boot, which run of the machine this is; machine,
//              which of several that had the run; host, its name)
//   note       (values) what the step wants its probe to know
//   done       (outputs, facts, checks, values: summary)
//   failed     (values: error, hint, final "true" when no attempt is left; checks)
//   skipped    (values: why)
//   approval   (values: by, granted, comment, question; hash, of what was approved)
//   decided    a person said of an interrupted step what is true (values: by, what "redo" "skip"),
//              or of one that another machine has done that it must be done here ("redo")
//   undo       somebody wants it back as it was (values: who)
//   undo-begin, undo-done, undo-failed (values: error)
//   undo-left  (values: by, why) this step stays as it is, for this undo: because somebody said so,
//              or because what its undo does is nothing for a drill
//   end        (values: outcome, error) the program ended in an orderly way
//   finish-begin, finish-done    the old data goes
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "plan/run_journal.h"
#include "plan/step.h"

namespace salvor::plan {

enum class StepState : uint8_t {
  kWaiting,
  kBegun,  // an attempt whose end the journal does not know
  kFailed,
  kDone,
  kSkipped,
  kUndoBegun,
  kUndone,
  kUndoFailed,
};

[[nodiscard]] std::string_view name_of(StepState state);  // "waiting", "begun" ...

struct StepRecord {
  StepState state = StepState::kWaiting;
  StepState before_undo = StepState::kWaiting;  // of those that are or were undone
  unsigned attempts = 0;
  bool exhausted = false;  // of kFailed: no attempt is left
  WallTime began;          // of the first attempt
  WallTime ended;
  uint64_t begun_at = 0;  // number of the first begin entry: the order for undo
  TextMap notes;
  size_t judged_notes = 0;  // how many of them a person's "redo" has settled
  StepResult result;
  std::string error;
  std::string hint;
  std::string skipped;  // why
  std::optional<Approval> approval;
  std::string decided;  // by a person: "redo", "skip"
  std::string boot;     // of the machine, when the last attempt began
  std::string machine;  // RunFolder::machine, and
  std::string host;     // its name
};

// Pinned at the start.
struct RunFacts {
  std::string id;
  std::string plan;
  std::string hash;
  std::string text;
  std::string mode;  // "production", "drill"
  std::string who;
  std::string scenario;
  std::string configuration;  // its file
  TextMap parameters;
  WallTime started;
};

struct RunState {
  RunFacts facts;
  std::map<std::string, StepRecord> steps;
  std::map<std::string, PinnedPoint> points;  // by step
  // Of the last "end", also when it was only looked at since; empty: it is at work or died.
  std::string outcome;
  std::string error;
  WallTime ended;
  bool changed = false;   // it went on with another plan than it had begun with
  bool undone = false;    // an undo was asked for
  bool finished = false;  // the old data is gone
  bool torn = false;
  uint64_t entries = 0;

  // Throws Error{kDamaged} for an entry that makes no sense.
  void apply(const JournalEntry& entry);
  [[nodiscard]] static RunState of(const JournalContent& content);
  // "resumable", "succeeded", "failed", "undone", "finished", "interrupted"
  [[nodiscard]] std::string status(bool running) const;
  // Nobody will go on with it or take it back: it is finished, or it succeeded or was undone and
  // nothing that it had moved aside is kept.
  [[nodiscard]] bool over() const;
  // What it moved aside is still there, as far as the run knows.
  [[nodiscard]] bool keeps_old_data() const;
};

[[nodiscard]] JournalEntry run_entry(const RunFacts& facts);
[[nodiscard]] JournalEntry point_entry(const std::string& step, const PinnedPoint& point);

}  // namespace salvor::plan
