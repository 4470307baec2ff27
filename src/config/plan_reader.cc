#include "config/plan_reader.h"

#include <algorithm>
#include <cctype>
#include <functional>
#include <map>
#include <set>

#include <fmt/format.h>

#include "base/slug.h"

namespace salvor::config {
namespace {

constexpr size_t kLongestSlug = 40;

ActionSpec read_action(const Checked& step) {
  ActionSpec action{.kind = step.variant(), .settings = {}};
  if (const Checked* settings = step.child(action.kind)) {
    action.settings = settings->leaves;
  }
  return action;
}

// What the step is mainly about: the first field's text, when it is a short name.
std::string main_text(const Checked& step) {
  const Checked* settings = step.child(step.variant());
  if (settings == nullptr || settings->schema->shorthand.empty()) {
    return {};
  }
  const auto found = settings->leaves.all().find(settings->schema->shorthand);
  if (found == settings->leaves.all().end()) {
    return {};
  }
  const auto* text = std::get_if<std::string>(&found->second);
  const bool plain = text != nullptr && text->size() <= 24 &&
                     std::all_of(text->begin(), text->end(), [](unsigned char c) {
                       return std::isalnum(c) != 0 || c == '-' || c == '_';
                     });
  return plain ? *text : "";
}

class PlanBuilder {
 public:
  ReadPlan build(const Checked& checked) {
    result_.plan.name = checked.name;
    result_.plan.summary = checked.leaves.text("summary");
    result_.plan.parameters = checked.leaves.map("parameters");
    const std::vector<Checked>& items = checked.all("steps");
    for (size_t i = 0; i < items.size(); ++i) {
      item_ = i;
      const std::vector<std::string> waits = open_ends();
      if (!items[i].children.contains("together")) {
        add(items[i], 0, waits, "");
        continue;
      }
      const std::string group = fmt::format("together-{}", i + 1);
      const std::vector<Checked>& inner = items[i].all("together");
      for (size_t k = 0; k < inner.size(); ++k) {
        add(inner[k], k + 1, waits, group);
      }
    }
    resolve();
    return std::move(result_);
  }

 private:
  // Steps so far that no other waits for.
  [[nodiscard]] std::vector<std::string> open_ends() const {
    std::set<std::string> waited;
    for (const StepSpec& step : result_.plan.steps) {
      waited.insert(step.after.begin(), step.after.end());
    }
    std::vector<std::string> ends;
    for (const StepSpec& step : result_.plan.steps) {
      if (!waited.contains(step.id) && !waited.contains(step.title)) {
        ends.push_back(step.id);
      }
    }
    return ends;
  }

  std::string new_id(const Checked& checked, const std::string& kind) {
    const std::string name = checked.leaves.text("name");
    const std::string about = main_text(checked);
    const std::string what = !name.empty() ? name : !about.empty() ? kind + "-" + about : "";
    std::string id = slug(what).substr(0, kLongestSlug);
    if (id.empty()) {
      id = fmt::format("{}-{}", kind.empty() ? "step" : kind, result_.plan.steps.size() + 1);
    }
    if (!name.empty() && !names_.insert(name).second) {
      result_.twice.push_back(name);
    }
    std::string unique = id;
    for (int i = 2; !ids_.insert(unique).second; ++i) {
      unique = fmt::format("{}-{}", id, i);
    }
    return unique;
  }

  void add(const Checked& checked, size_t inside, const std::vector<std::string>& waits,
           const std::string& group) {
    StepSpec step;
    step.action = read_action(checked);
    step.id = new_id(checked, step.action.kind);
    step.title = checked.leaves.text("name");
    if (step.title.empty()) {
      const std::string about = main_text(checked);
      step.title = step.action.kind + (about.empty() ? "" : " " + about);
    }
    const bool explicit_order = checked.leaves.has("after");
    step.after = explicit_order ? checked.leaves.list("after") : waits;
    if (explicit_order) {
      written_.push_back({result_.plan.steps.size(), item_, inside});
    }
    step.group = group;
    step.timeout = checked.leaves.duration("timeout", step.timeout);
    step.retries = static_cast<unsigned>(checked.leaves.number("retries", 0));
    step.retry_delay = checked.leaves.duration("retry-delay", step.retry_delay);
    const std::string failure = checked.leaves.text("on-failure", "stop");
    step.on_failure = failure == "continue" ? OnFailure::kContinue
                      : failure == "undo"   ? OnFailure::kUndo
                                            : OnFailure::kStop;
    const std::string only = checked.leaves.text("only", "always");
    step.only = only == "drill"        ? StepScope::kDrill
                : only == "production" ? StepScope::kProduction
                                       : StepScope::kAlways;
    if (const Checked* undo = checked.child("undo")) {
      step.undo = read_action(*undo);
    }
    const Checked* approval = checked.child("approve");
    if (approval != nullptr && step.action.kind != "approve") {
      step.approval = ApprovalSpec{.question = approval->leaves.text(approval->schema->shorthand),
                                   .by = approval->leaves.list("by")};
    }
    result_.plan.steps.push_back(std::move(step));
  }

  // Names that were written in `after` become ids.
  void resolve() {
    std::vector<std::string> known;
    for (const StepSpec& step : result_.plan.steps) {
      known.push_back(step.id);
    }
    for (const auto& [index, item, inside] : written_) {
      StepSpec& step = result_.plan.steps[index];
      std::vector<std::string> after;
      for (const std::string& name : step.after) {
        const auto found =
            std::find_if(result_.plan.steps.begin(), result_.plan.steps.end(),
                         [&](const StepSpec& one) { return one.id == name || one.title == name; });
        if (found != result_.plan.steps.end()) {
          after.push_back(found->id);
        } else {
          result_.unknown.push_back({.name = name, .step = item, .inside = inside, .known = known});
        }
      }
      step.after = std::move(after);
    }
  }

  struct Written {
    size_t index;
    size_t item;
    size_t inside;
  };

  ReadPlan result_;
  size_t item_ = 0;
  std::set<std::string> ids_;
  std::set<std::string> names_;
  std::vector<Written> written_;
};

}  // namespace

ReadPlan read_plan(const Checked& checked) {
  return PlanBuilder().build(checked);
}

std::vector<std::string> find_cycle(const PlanSpec& plan) {
  std::map<std::string, const StepSpec*> steps;
  for (const StepSpec& step : plan.steps) {
    steps[step.id] = &step;
  }
  std::set<std::string> done;
  std::vector<std::string> way;
  std::vector<std::string> cycle;
  const std::function<bool(const std::string&)> visit = [&](const std::string& id) {
    const auto on_way = std::find(way.begin(), way.end(), id);
    if (on_way != way.end()) {
      cycle.assign(on_way, way.end());
      return true;
    }
    if (done.contains(id) || !steps.contains(id)) {
      return false;
    }
    way.push_back(id);
    for (const std::string& before : steps[id]->after) {
      if (visit(before)) {
        return true;
      }
    }
    way.pop_back();
    done.insert(id);
    return false;
  };
  for (const StepSpec& step : plan.steps) {
    if (visit(step.id)) {
      std::reverse(cycle.begin(), cycle.end());
      return cycle;
    }
  }
  return {};
}

}  // namespace salvor::config
