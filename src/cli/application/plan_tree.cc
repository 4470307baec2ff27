#include "cli/application/plan_tree.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/format.h"
#include "cli/output/json_writer.h"
#include "cli/output/text.h"

namespace salvor::cli {
namespace {

using plan::RunEvent;
using plan::StepState;

struct Look {
  const char* sign;
  const char* color;
};

// By StepState.
constexpr std::array<Look, 8> kLooks{{{"·", "2"},
                                      {"●", "36"},
                                      {"✗", "31"},
                                      {"✓", "32"},
                                      {"↷", "2"},
                                      {"↶", "33"},
                                      {"↶", "33"},
                                      {"✗", "31"}}};

bool is_over(StepState state) {
  return state != StepState::kWaiting && state != StepState::kBegun &&
         state != StepState::kUndoBegun;
}

std::string first_line(const std::string& text) {
  return text.substr(0, text.find('\n'));
}

}  // namespace

PlanTree::PlanTree(Terminal& terminal, const Clock& clock) : terminal_(terminal), clock_(clock) {}

PlanTree::~PlanTree() {
  close();
}

void PlanTree::begin(const plan::PlanGraph& graph, const plan::RunState& state,
                     const std::string& run) {
  const std::scoped_lock lock(mutex_);
  run_ = run;
  plan_ = printable(graph.name);
  begun_ = clock_.monotonic();
  lines_.clear();
  for (const plan::PlanNode& node : graph.nodes) {
    Line line{.id = node.spec.id,
              .title = node.spec.title.empty() ? node.spec.id : node.spec.title,
              .group = node.spec.group};
    if (const auto it = state.steps.find(node.spec.id); it != state.steps.end()) {
      line.state = it->second.state;
      line.text = it->second.result.summary;
      line.seconds =
          std::max(0.0, std::chrono::duration<double>(it->second.ended - it->second.began).count());
    }
    lines_.push_back(std::move(line));
  }
  open_ = true;
  if (terminal_.interactive() && !terminal_.json() && terminal_.verbosity() > 0) {
    drawer_ = std::jthread([this](const std::stop_token& stop) {
      constexpr auto kTick = std::chrono::milliseconds(125);
      while (!stop.stop_requested()) {
        draw(false);
        std::this_thread::sleep_for(kTick);
      }
    });
  }
}

void PlanTree::on(const RunEvent& event) {
  {
    const std::scoped_lock lock(mutex_);
    for (Line& line : lines_) {
      if (line.id != event.step) {
        continue;
      }
      if (event.kind == RunEvent::kStep) {
        if (event.state == StepState::kUndone && line.was_done) {
          line.state = event.state;  // what it had done, and how long that took, is worth more
          line.seconds = line.done_seconds;
          line.text = line.done_text + (line.done_text.empty() ? "" : "; ") + "taken back";
          continue;
        }
        if (event.state == StepState::kUndoBegun && line.state == StepState::kDone) {
          line.was_done = true;
          line.done_seconds = line.seconds;
          line.done_text = line.text;
        }
        if (event.state == StepState::kBegun || event.state == StepState::kUndoBegun) {
          line.began = clock_.monotonic();
        } else if (!is_over(line.state)) {
          line.seconds = std::chrono::duration<double>(clock_.monotonic() - line.began).count();
          line.seconds = line.began == MonotonicTime{} ? 0 : line.seconds;
        }
        line.state = event.state;
        line.text = event.text;
        line.done = line.total = 0;
      } else if (event.kind == RunEvent::kBytes) {
        line.done = event.done;
        line.total = event.total;
      } else if (event.kind != RunEvent::kAnnounce) {
        line.text = event.text;
      }
    }
  }
  if (terminal_.json()) {
    say_json(event);
  } else {
    say_plainly(event);
  }
}

void PlanTree::say_plainly(const RunEvent& event) {
  if (event.kind == RunEvent::kAnnounce) {
    terminal_.message(fmt::format("{}: {}", event.severity, printable(event.text)));
    return;
  }
  if (event.kind == RunEvent::kQuestion) {
    terminal_.message(
        fmt::format("{} waits for an approval: {}", event.step, printable(event.text)));
    terminal_.message(fmt::format("  salvor plan approve {} {}", run_.substr(0, 8), event.step));
    return;
  }
  if (terminal_.interactive() || event.kind == RunEvent::kBytes) {
    return;  // the tree shows it
  }
  if (event.kind == RunEvent::kSaid) {
    terminal_.message_at(2, fmt::format("{}: {}", event.step, printable(event.text)));
    return;
  }
  const bool again = event.state == StepState::kBegun && event.attempt > 1;
  terminal_.message(
      fmt::format("{} {}{}{}", event.step,
                  event.state == StepState::kBegun ? "begins" : plan::name_of(event.state),
                  again ? fmt::format(" (attempt {})", event.attempt) : "",
                  event.text.empty() ? "" : ": " + printable(first_line(event.text))));
}

void PlanTree::say_json(const RunEvent& event) {
  static constexpr std::array<const char*, 5> kKinds{"step", "progress", "progress", "announcement",
                                                     "question"};
  if (event.kind == RunEvent::kBytes) {
    return;  // many a second
  }
  JsonWriter json;
  json.begin_message(std::string("plan_") + kKinds.at(event.kind));
  json.field("run", run_).field("step", event.step);
  if (event.kind == RunEvent::kStep) {
    json.field("state", std::string(plan::name_of(event.state))).field("attempt", event.attempt);
  }
  json.field("text", event.text);
  if (!event.hint.empty()) {
    json.field("hint", event.hint);
  }
  if (!event.severity.empty()) {
    json.field("severity", event.severity);
  }
  terminal_.print_json(json.end_object());
}

// "plan recover, run 1a2b3c4d: 3 of 8 steps, 1:02"
std::string PlanTree::head() const {
  const auto over = std::count_if(lines_.begin(), lines_.end(),
                                  [](const Line& line) { return is_over(line.state); });
  return fmt::format("plan {}, run {}: {} of {} steps, {}", plan_, run_.substr(0, 8), over,
                     lines_.size(), format_duration(clock_.monotonic() - begun_));
}

// Sign, title, time and what there is to say, in columns. `last`: of its group.
std::string PlanTree::shown(const Line& line, size_t width, bool last) const {
  const Look look = kLooks.at(static_cast<size_t>(line.state));
  const bool color = terminal_.color();
  std::string text = line.group.empty() ? "  " : last ? "  ╰ " : "  │ ";
  text += color ? fmt::format("\x1b[{}m{}\x1b[0m ", look.color, look.sign)
                : std::string(look.sign) + " ";
  const size_t room = line.group.empty() ? width + 2 : width;
  const std::string title = truncate_to_width(printable(line.title), room);
  text += title + std::string(room - display_width(title), ' ');
  double seconds = line.seconds;
  if (line.state == StepState::kBegun || line.state == StepState::kUndoBegun) {
    seconds = std::chrono::duration<double>(clock_.monotonic() - line.began).count();
  }
  const bool begun_here = line.began != MonotonicTime{} || is_over(line.state);
  const bool timed =
      begun_here && line.state != StepState::kWaiting && line.state != StepState::kSkipped;
  text += timed ? fmt::format(" {:7.1f} s", seconds) : std::string(10, ' ');
  if (line.done > 0 && line.state == StepState::kBegun) {
    text +=
        "  " + format_bytes(line.done) + (line.total > 0 ? " of " + format_bytes(line.total) : "");
  }
  if (!line.text.empty()) {
    text += "  " + printable(first_line(line.text));
  }
  return text;
}

// A long plan is cut to what happens now: what is over goes from the top, what waits from the end.
void PlanTree::draw(bool final) {
  constexpr size_t kMostRows = 24;
  constexpr size_t kWidestTitle = 32;
  winsize size{};
  const bool known = ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 4;
  const size_t most = std::min<size_t>(kMostRows, known ? size.ws_row - 4 : kMostRows);
  std::vector<std::string> rows;
  {
    const std::scoped_lock lock(mutex_);
    size_t width = 0;
    for (const Line& line : lines_) {
      width = std::max(width, display_width(printable(line.title)));
    }
    width = std::min({width, kWidestTitle, terminal_.columns() / 2});
    size_t first = 0;
    if (!final && lines_.size() > most) {
      while (first < lines_.size() - most && is_over(lines_[first].state)) {
        ++first;
      }
    }
    const size_t end = final ? lines_.size() : std::min(lines_.size(), first + most);
    if (!final) {
      rows.push_back(head());
    }
    if (first > 0) {
      rows.push_back(fmt::format("  … {} before", first));
    }
    for (size_t i = first; i < end; ++i) {
      const bool last = i + 1 == lines_.size() || lines_[i + 1].group != lines_[i].group;
      rows.push_back(shown(lines_[i], width, last));
    }
    if (end < lines_.size()) {
      rows.push_back(fmt::format("  … {} more", lines_.size() - end));
    }
  }
  if (!final) {
    terminal_.set_status(rows);
    return;
  }
  terminal_.clear_status();
  for (const std::string& row : rows) {
    if (terminal_.verbosity() > 0) {
      // Names are made harmless above; the colours are ours.
      terminal_.raw_error_line(row);
    }
  }
}

void PlanTree::close() {
  if (drawer_.joinable()) {
    drawer_.request_stop();
    drawer_.join();
  }
  {
    const std::scoped_lock lock(mutex_);
    if (!open_) {
      return;
    }
    open_ = false;
  }
  if (!terminal_.json()) {
    draw(true);
  }
}

}  // namespace salvor::cli
