// A plan's run as a person or a script sees it: a tree that lives at the bottom of a terminal,
// plain lines elsewhere, objects with --json.
#pragma once

#include <condition_variable>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "cli/output/terminal.h"
#include "plan/plan_run.h"

namespace salvor::cli {

// Thread-safe. Draws from construction to `close` or destruction.
class PlanTree final : public plan::RunObserver {
 public:
  PlanTree(Terminal& terminal, const Clock& clock);
  ~PlanTree() override;
  PlanTree(const PlanTree&) = delete;
  PlanTree& operator=(const PlanTree&) = delete;

  // What will be shown; steps that are done already (of a resumed run) as such.
  void begin(const plan::PlanGraph& graph, const plan::RunState& state, const std::string& run);
  void on(const plan::RunEvent& event) override;
  // Removes the live block and prints the tree as it ended.
  void close();

 private:
  struct Line {
    std::string id;
    std::string title;
    std::string group;
    plan::StepState state = plan::StepState::kWaiting;
    std::string text;  // summary, error, what it is doing
    MonotonicTime began;
    double seconds = 0;
    uint64_t done = 0;
    uint64_t total = 0;
    // Of a step that was done before its undo began.
    bool was_done = false;
    double done_seconds = 0;
    std::string done_text;
  };

  void draw(bool final);
  [[nodiscard]] std::string head() const;                                            // under mutex_
  [[nodiscard]] std::string shown(const Line& line, size_t width, bool last) const;  // under mutex_
  void say_plainly(const plan::RunEvent& event);
  void say_json(const plan::RunEvent& event);

  Terminal& terminal_;
  const Clock& clock_;
  std::mutex mutex_;
  std::vector<Line> lines_;
  std::string run_;
  std::string plan_;
  MonotonicTime begun_;
  bool open_ = false;
  std::jthread drawer_;  // last: it uses the others
};

}  // namespace salvor::cli
