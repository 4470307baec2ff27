// One run of a plan: begins or goes on, side by side where the graph allows it, every transition in
// the journal before it is acted upon.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "plan/graph.h"
#include "plan/preflight.h"
#include "plan/run_folder.h"
#include "plan/run_journal.h"
#include "plan/run_mirror.h"
#include "plan/run_state.h"

namespace salvor::plan {

// What happens, for whoever shows it.
struct RunEvent {
  enum Kind : uint8_t {
    kStep,      // `state` of `step` changed; text: summary, error or why
    kSaid,      // text: a sentence of progress
    kBytes,     // done, total
    kAnnounce,  // a notify step; severity, text
    kQuestion,  // the step waits for a person; text: what is asked
  };
  Kind kind = kStep;
  std::string step;
  StepState state = StepState::kWaiting;
  std::string text = {};
  std::string hint = {};
  std::string severity = {};
  unsigned attempt = 0;
  uint64_t done = 0;
  uint64_t total = 0;
};

// Thread-safe, quick.
class RunObserver {
 public:
  virtual ~RunObserver() = default;
  virtual void on(const RunEvent& event) = 0;
};

// Who can be asked. Thread-safe.
class People {
 public:
  virtual ~People() = default;
  // Asked again and again until there is an answer; must not block for long. `by` empty: whoever
  // runs the plan.
  [[nodiscard]] virtual std::optional<Approval> approval(const std::string& step,
                                                         const std::string& question,
                                                         const std::vector<std::string>& by) = 0;
  // The question of this step needs no answer any more: it has one, or the time is over.
  virtual void settled(const std::string& /*step*/) {}
  // About a step whose interrupted attempt nobody can judge: "redo", "skip", or empty: the run
  // stops here. May block.
  [[nodiscard]] virtual std::string decide(const std::string& step, const std::string& why) = 0;
  [[nodiscard]] virtual std::string who() const = 0;  // user@host
};

struct RunTools {
  Site& site;
  Secrets& secrets;
  RunObserver& observer;
  People& people;
  // For tests: RunJournal::on_append.
  std::function<void(const JournalEntry&)> on_append = {};
  RunMirror* mirror = nullptr;  // the journal's copy in the repository
  std::string host = {};        // this machine's name, for people
  unsigned parallel = 8;        // steps at a time
};

enum class RunEnd : uint8_t {
  kSucceeded,
  kIncomplete,   // steps failed that were allowed to (on-failure: continue)
  kFailed,       // stopped at a failure; can be resumed or undone
  kUndone,       // after a failure (on-failure: undo) or because it was asked for
  kUndoFailed,   // can be asked for again
  kInterrupted,  // can be resumed
};

[[nodiscard]] std::string_view name_of(RunEnd end);

// Holds the locks of its plan and run. Not thread-safe.
class PlanRun {
 public:
  // Locks, makes the journal, pins. `facts`: id, mode, who, scenario, configuration; the rest comes
  // from the graph and the preflight. Throws Error{kLocked}.
  [[nodiscard]] static std::unique_ptr<PlanRun> start(const Context& context,
                                                      const RunFolder& folder,
                                                      const RunTools& tools, PlanGraph graph,
                                                      const Preflight& preflight, RunFacts facts);
  // Takes up an earlier one. Throws Error{kUsage} with the difference when the plan is another one
  // by now (unless `accept_changed`), or when the run is over.
  [[nodiscard]] static std::unique_ptr<PlanRun> resume(const Context& context,
                                                       const RunFolder& folder,
                                                       const RunTools& tools, PlanGraph graph,
                                                       const std::string& id, bool accept_changed);

  ~PlanRun();
  PlanRun(const PlanRun&) = delete;
  PlanRun& operator=(const PlanRun&) = delete;

  // To its end. Once. Goes on with an undo when one had begun. Throws Error only when the journal
  // cannot be written.
  RunEnd execute();
  // Undoes what was done, last first, but for the steps in `leave`, which stay as they are. Stops
  // at the first undo that fails; does not begin when one of the steps can only be undone on the
  // machine that did it. What undo_skip_reason leaves out of a drill stays, too. Throws
  // Error{kUsage} for steps that there is nothing to undo of.
  RunEnd undo(const std::vector<std::string>& leave = {});
  // Steps that another machine has done and whose effects stayed there.
  [[nodiscard]] std::vector<std::string> done_elsewhere() const;
  // Discards what was kept for the undo. Returns what is kept on other machines, a sentence each.
  // Throws Error; may be called again.
  [[nodiscard]] std::vector<std::string> finish();
  // A person's word on interrupted or failed steps, journalled: what is "redo" or "skip"; "redo"
  // also for what was done elsewhere.
  void decide(const std::string& step, const std::string& what);

  [[nodiscard]] const RunState& state() const { return state_; }
  [[nodiscard]] const PlanGraph& graph() const { return graph_; }
  [[nodiscard]] const std::string& id() const { return id_; }
  // Why it ended so; empty when it succeeded.
  [[nodiscard]] const std::string& error() const { return error_; }
  [[nodiscard]] const std::string& hint() const { return hint_; }

 private:
  struct Running;
  PlanRun(const Context& context, const RunFolder& folder, const RunTools& tools, PlanGraph graph,
          std::string id);

  void attach();
  [[nodiscard]] bool taken_over() const;  // by another machine, as the mirror knows
  void record(JournalEntry entry);
  void show(const std::string& step, StepState state, std::string text, std::string hint = {});
  [[nodiscard]] StepRecord record_of(const std::string& step) const;
  [[nodiscard]] bool settled(const PlanNode& node) const;  // under mutex_
  [[nodiscard]] std::optional<size_t> next_ready() const;  // under mutex_
  void start_step(size_t index);                           // under mutex_
  void watch_running();                                    // under mutex_
  void run_step(const PlanNode& node, Running& running);
  [[nodiscard]] bool try_once(const PlanNode& node, Running& running, bool last);
  void give_time(const PlanNode& node, Running& running);
  [[nodiscard]] bool pause(const PlanNode& node, Running& running);
  [[nodiscard]] bool had_its_effect(const PlanNode& node, Running& running);
  void attempt_step(const PlanNode& node, Running& running, bool last);
  void record_done(const PlanNode& node, StepResult kept);
  void fail(const PlanNode& node, const std::string& message, const std::string& hint, bool final,
            std::vector<CheckResult> checks);
  [[nodiscard]] ProbeAnswer probe(const PlanNode& node, Running& running);
  [[nodiscard]] bool go_on_after_interruption(const PlanNode& node, Running& running);
  [[nodiscard]] std::string judge_hint(const PlanNode& node) const;
  // False: the step is not to run; why is journalled.
  [[nodiscard]] bool approved(const PlanNode& node, const Context& context);
  [[nodiscard]] bool counts(const Approval& answer, const PlanNode& node) const;
  [[nodiscard]] std::optional<Approval> granted(const PlanNode& node) const;
  [[nodiscard]] Approval wait_for_approval(const Context& context, const PlanNode& node,
                                           const std::string& question,
                                           const std::vector<std::string>& by);
  [[nodiscard]] std::string missing_output(const PlanNode& node) const;
  [[nodiscard]] StepScene scene_of(const PlanNode& node, const ActionSpec& action,
                                   const Context& context, Running* running, unsigned attempt);
  [[nodiscard]] std::optional<std::string> lookup(std::string_view name);
  [[nodiscard]] bool undone_elsewhere(const PlanNode& node) const;
  [[nodiscard]] std::vector<const PlanNode*> to_undo() const;  // last first
  struct LeftStep {
    const PlanNode* node;
    std::string by;
    std::string why = {};
  };
  [[nodiscard]] std::vector<LeftStep> left_as_they_are(const std::vector<const PlanNode*>& nodes,
                                                       const std::vector<std::string>& leave) const;
  [[nodiscard]] bool can_undo_here(const std::vector<const PlanNode*>& nodes);
  void undo_step(const PlanNode& node);  // within the step's time
  void undo_step(const PlanNode& node, const Context& context);
  RunEnd end(RunEnd how);
  [[nodiscard]] RunEnd judge();

  const Context& context_;
  const RunFolder& folder_;
  RunTools tools_;
  PlanGraph graph_;
  const std::string id_;
  FileLock plan_lock_;
  FileLock run_lock_;
  std::unique_ptr<RunJournal> journal_;
  std::string boot_;
  std::string machine_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  RunState state_;
  std::map<size_t, std::unique_ptr<Running>> running_;
  bool stopping_ = false;    // begin nothing more
  bool undo_asked_ = false;  // by on-failure: undo
  bool undecided_ = false;
  bool lost_ = false;  // another machine has the run
  std::exception_ptr fatal_;
  std::string error_;
  std::string hint_;
};

}  // namespace salvor::plan
