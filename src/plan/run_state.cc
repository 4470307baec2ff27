#include "plan/run_state.h"

#include <array>
#include <charconv>

#include "base/error.h"

namespace salvor::plan {
namespace {

constexpr std::array<std::string_view, 8> kStateNames{
    "waiting", "begun", "failed", "done", "skipped", "undoing", "undone", "undo failed"};
constexpr std::string_view kParameter = "parameter.";

uint64_t number_of(const std::string& text) {
  uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

PinnedPoint point_of(const JournalEntry& entry) {
  PinnedPoint point{.source = entry.value("source"),
                    .asked = entry.value("asked"),
                    .snapshot = entry.value("snapshot"),
                    .moment = {},
                    .captured = time_of(entry.value("captured")),
                    .until = time_of(entry.value("until")),
                    .wanted = time_of(entry.value("wanted")),
                    .bytes = number_of(entry.value("bytes"))};
  point.moment.kind = static_cast<Moment::Kind>(number_of(entry.value("moment-kind")));
  point.moment.text = entry.value("moment-text");
  point.moment.time = time_of(entry.value("moment-time"));
  return point;
}

void begin(StepRecord& step, const JournalEntry& entry) {
  if (step.begun_at == 0) {
    step.begun_at = entry.number;
    step.began = entry.time;
  }
  ++step.attempts;
  step.state = StepState::kBegun;
  step.decided.clear();
  step.exhausted = false;
  step.boot = entry.value("boot");
  step.machine = entry.value("machine");
  step.host = entry.value("host");
}

void decide(StepRecord& step, const std::string& what) {
  step.decided = what;
  if (what != "redo") {
    return;
  }
  step.judged_notes = step.notes.size();
  if (step.state == StepState::kDone) {
    step.state = StepState::kWaiting;
    step.result = {};
  }
}

void apply_to(StepRecord& step, const JournalEntry& entry) {
  const std::string& type = entry.type;
  step.ended = entry.time;
  if (type == "begin") {
    begin(step, entry);
  } else if (type == "note") {
    step.notes.insert(step.notes.end(), entry.values.begin(), entry.values.end());
  } else if (type == "done") {
    step.state = StepState::kDone;
    step.error.clear();
    step.hint.clear();
    step.result = {.summary = entry.value("summary"),
                   .outputs = entry.outputs,
                   .checks = entry.checks,
                   .facts = entry.facts};
  } else if (type == "failed") {
    step.state = StepState::kFailed;
    step.exhausted = entry.value("final") == "true";
    step.error = entry.value("error");
    step.hint = entry.value("hint");
    step.result = {.summary = {}, .outputs = {}, .checks = entry.checks, .facts = {}};
  } else if (type == "skipped") {
    step.state = StepState::kSkipped;
    step.skipped = entry.value("why");
  } else if (type == "approval") {
    step.approval = Approval{.granted = entry.value("granted") == "true",
                             .by = entry.value("by"),
                             .comment = entry.value("comment"),
                             .hash = entry.value("hash")};
  } else if (type == "decided") {
    decide(step, entry.value("what"));
  } else if (type == "undo-begin") {
    if (step.state != StepState::kUndoBegun && step.state != StepState::kUndoFailed) {
      step.before_undo = step.state;
    }
    step.state = StepState::kUndoBegun;
  } else if (type == "undo-done") {
    step.state = StepState::kUndone;
  } else if (type == "undo-failed") {
    step.state = StepState::kUndoFailed;
    step.error = entry.value("error");
  }
}

}  // namespace

std::string_view name_of(StepState state) {
  return kStateNames.at(static_cast<size_t>(state));
}

JournalEntry run_entry(const RunFacts& facts) {
  JournalEntry entry{.type = "run"};
  entry.values = {{"id", facts.id},
                  {"plan", facts.plan},
                  {"hash", facts.hash},
                  {"text", facts.text},
                  {"mode", facts.mode},
                  {"who", facts.who},
                  {"scenario", facts.scenario},
                  {"configuration", facts.configuration}};
  for (const auto& [key, value] : facts.parameters) {
    entry.values.emplace_back(std::string(kParameter) + key, value);
  }
  return entry;
}

JournalEntry point_entry(const std::string& step, const PinnedPoint& point) {
  return {.type = "point",
          .step = step,
          .values = {{"source", point.source},
                     {"asked", point.asked},
                     {"snapshot", point.snapshot},
                     {"captured", time_text(point.captured)},
                     {"until", time_text(point.until)},
                     {"wanted", time_text(point.wanted)},
                     {"bytes", std::to_string(point.bytes)},
                     {"moment-kind", std::to_string(point.moment.kind)},
                     {"moment-text", point.moment.text},
                     {"moment-time", time_text(point.moment.time)}}};
}

void RunState::apply(const JournalEntry& entry) {
  ++entries;
  const std::string& type = entry.type;
  if (type == "run") {
    facts = {.id = entry.value("id"),
             .plan = entry.value("plan"),
             .hash = entry.value("hash"),
             .text = entry.value("text"),
             .mode = entry.value("mode"),
             .who = entry.value("who"),
             .scenario = entry.value("scenario"),
             .configuration = entry.value("configuration"),
             .parameters = {},
             .started = entry.time};
    for (const auto& [key, value] : entry.values) {
      if (key.starts_with(kParameter)) {
        facts.parameters.emplace_back(key.substr(kParameter.size()), value);
      }
    }
    return;
  }
  if (entries == 1) {
    throw Error(ErrorCode::kDamaged, "a run journal does not begin with what was pinned");
  }
  if (type == "end") {
    outcome = entry.value("outcome");
    error = entry.value("error");
    ended = entry.time;
    return;
  }
  // What only looks at the run, or ends it for good, leaves its outcome as it was.
  if (type == "resume") {
    if (!entry.value("hash").empty()) {
      changed = true;
      facts.hash = entry.value("hash");
      facts.text = entry.value("text");
    }
    return;
  }
  if (type == "finish-begin" || type == "finish-done") {
    finished = type == "finish-done";
    return;
  }
  outcome.clear();
  if (type == "point") {
    points[entry.step] = point_of(entry);
    return;
  }
  if (type == "undo") {
    undone = true;
    return;
  }
  if (entry.step.empty()) {
    return;  // of a newer version, about the run
  }
  apply_to(steps[entry.step], entry);
}

RunState RunState::of(const JournalContent& content) {
  RunState state;
  for (const JournalEntry& entry : content.entries) {
    state.apply(entry);
  }
  state.torn = content.torn;
  return state;
}

bool RunState::over() const {
  if (finished) {
    return true;
  }
  return (outcome == "succeeded" || outcome == "undone") && !keeps_old_data();
}

bool RunState::keeps_old_data() const {
  for (const auto& [id, step] : steps) {
    for (const auto& [name, value] : step.result.outputs) {
      if (name == "old-data" && !value.empty() && step.state == StepState::kDone) {
        return true;
      }
    }
  }
  return false;
}

std::string RunState::status(bool running) const {
  if (running) {
    return "running";
  }
  if (finished) {
    return "finished";
  }
  return outcome.empty() ? "interrupted" : outcome;
}

}  // namespace salvor::plan
