#include "cli/application/plan_tree.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "base/format.h"
#include "cli/output/json_writer.h"

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
  lines_.clear();
  for (const plan::PlanNode& node : graph.nodes) {
    Line line{.id = node.spec.id,
              .title = node.spec.title.empty() ? node.spec.id : node.spec.title,
              .group = node.spec.group};
    if (const auto it = state.steps.find(node.spec.id); it != state.steps.end()) {
      line.state = it->second.state;
      line.text = it->second.result.summary;
      line.seconds = std::chrono::duration<double>(it->second.ended - it->second.began).count();
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

std::string PlanTree::shown(const Line& line) const {
  const Look look = kLooks.at(static_cast<size_t>(line.state));
  const bool color = terminal_.color();
  std::string text = line.group.empty() ? "  " : "  │ ";
  text += color ? fmt::format("\x1b[{}m{}\x1b[0m ", look.color, look.sign)
                : std::string(look.sign) + " ";
  text += printable(line.title);
  double seconds = line.seconds;
  if (line.state == StepState::kBegun || line.state == StepState::kUndoBegun) {
    seconds = std::chrono::duration<double>(clock_.monotonic() - line.began).count();
  }
  if (line.state != StepState::kWaiting && line.state != StepState::kSkipped) {
    text += fmt::format("  {:.1f} s", seconds);
  }
  if (line.done > 0 && line.state == StepState::kBegun) {
    text +=
        "  " + format_bytes(line.done) + (line.total > 0 ? " of " + format_bytes(line.total) : "");
  }
  if (!line.text.empty()) {
    text += "  " + printable(first_line(line.text));
  }
  return text;
}

// A long plan is cut to what happens now: what is over goes from the top.
void PlanTree::draw(bool final) {
  constexpr size_t kMost = 20;
  std::vector<std::string> rows;
  {
    const std::scoped_lock lock(mutex_);
    size_t first = 0;
    if (!final && lines_.size() > kMost) {
      while (first < lines_.size() - kMost && is_over(lines_[first].state)) {
        ++first;
      }
    }
    for (size_t i = first; i < lines_.size() && (final || rows.size() < kMost); ++i) {
      rows.push_back(shown(lines_[i]));
    }
  }
  if (!final) {
    terminal_.set_status(rows);
    return;
  }
  terminal_.clear_status();
  for (const std::string& row : rows) {
    terminal_.message(row);
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
