// Shows how far the work is while it runs, on an interactive stderr or as JSON status lines.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "cli/environment.h"
#include "cli/output/terminal.h"

namespace salvor::cli {

// The current numbers. What is not counted stays unset and is not shown.
struct ProgressNumbers {
  uint64_t bytes_done = 0;
  std::optional<uint64_t> bytes_total;
  std::optional<uint64_t> files_done;
  std::optional<uint64_t> files_total;
  std::string unit = "files";  // what files_done counts: "packs", "snapshots"
  uint64_t errors = 0;
  std::string stage;                       // "scanning", "saving index"; empty: none
  std::vector<std::string> current_items;  // being worked on, raw names
};

struct ProgressSource {
  // Called from the progress thread, several times a second; must be thread-safe and quick.
  std::function<ProgressNumbers()> numbers;
  // With --json: the command's own status object, restic's field names. Not set: no status lines.
  std::function<JsonWriter()> status_json = {};
};

// How fast, how long still. The rate is smoothed over about ten seconds.
class RateMeter {
 public:
  void update(MonotonicTime now, uint64_t bytes_done);
  [[nodiscard]] double bytes_per_second() const { return rate_; }
  // Nothing when unknown (no rate yet, or nothing left).
  [[nodiscard]] std::optional<std::chrono::seconds> remaining(uint64_t bytes_left) const;

 private:
  std::optional<MonotonicTime> last_;
  uint64_t last_bytes_ = 0;
  double rate_ = 0;
};

// "[1:23] 45.10%  120 files 1.203 GiB / 2.668 GiB  210.3 MiB/s  ETA 0:07  1 error", then one line
// an item.
[[nodiscard]] std::vector<std::string> progress_lines(const ProgressNumbers& numbers,
                                                      const RateMeter& rate,
                                                      std::chrono::nanoseconds elapsed);

// Draws from construction to destruction with a thread of its own. Nothing is shown with --quiet,
// or when stderr is not a terminal (with --json: status lines, whatever stdout is).
// SALVOR_PROGRESS_FPS or RESTIC_PROGRESS_FPS sets how often (default 8 a second on a terminal, 1
// with --json, as less costs a script nothing; at most 60).
class Progress {
 public:
  Progress(Terminal& terminal, const Environment& environment, const Clock& clock,
           ProgressSource source);
  // Removes the status block.
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

 private:
  void work(const std::stop_token& stop);
  void draw();

  Terminal& terminal_;
  const Clock& clock_;
  const ProgressSource source_;
  const MonotonicTime start_;
  std::chrono::nanoseconds interval_{0};
  RateMeter rate_;
  std::mutex mutex_;
  std::condition_variable_any wake_;
  std::jthread thread_;  // last: it uses all the others
};

}  // namespace salvor::cli
