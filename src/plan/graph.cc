#include "plan/graph.h"

#include <algorithm>
#include <map>
#include <set>

#include "base/error.h"
#include "base/format.h"
#include "base/suggest.h"
#include "plan/plan_text.h"
#include "plan/step_kinds.h"

namespace salvor::plan {
namespace {

class Resolver {
 public:
  Resolver(const PlanSpec& plan, const FindPlan& find) : plan_(plan), find_(find) {}

  PlanGraph run() {
    graph_.name = plan_.name;
    graph_.summary = plan_.summary;
    graph_.parameters = plan_.parameters;
    add_steps();
    throw_if_wrong();
    order();
    throw_if_wrong();
    for (size_t i = 0; i < graph_.nodes.size(); ++i) {
      check_variables(i);
    }
    throw_if_wrong();
    graph_.text = canonical_text(graph_);
    graph_.hash = text_hash(graph_.text);
    return std::move(graph_);
  }

 private:
  void wrong(const std::string& text) { problems_.push_back(text); }

  void throw_if_wrong() const {
    if (problems_.empty()) {
      return;
    }
    std::string text = "plan " + printable(plan_.name) + " cannot run: ";
    for (size_t i = 0; i < problems_.size(); ++i) {
      text += (problems_.size() > 1 ? "\n  " : "") + problems_[i];
    }
    throw Error(ErrorCode::kUsage, text, "Correct the plan in the configuration file.");
  }

  void add_steps() {
    for (const StepSpec& step : plan_.steps) {
      if (step.action.kind == "plan") {
        add_called_plan(step);
      } else {
        add(step);
      }
    }
  }

  void add(StepSpec spec) {
    PlanNode node{.spec = std::move(spec)};
    const auto& id = node.spec.id;
    node.step = find_step(node.spec.action.kind);
    if (node.step == nullptr) {
      wrong("step " + printable(id) + ": there is no kind of step \"" +
            printable(node.spec.action.kind) + "\"");
    }
    if (node.spec.undo) {
      node.undo = find_step(node.spec.undo->kind);
      if (node.undo == nullptr || node.spec.undo->kind == "plan") {
        wrong("step " + printable(id) + ": \"" + printable(node.spec.undo->kind) +
              "\" cannot be its undo");
        node.undo = nullptr;
      } else {
        node.undo->complete(node.spec.undo->settings, plan_.parameters);
      }
    }
    if (node.step != nullptr) {
      node.step->complete(node.spec.action.settings, plan_.parameters);
    }
    if (!places_.emplace(id, graph_.nodes.size()).second) {
      wrong("there are two steps with the id " + printable(id));
    }
    graph_.nodes.push_back(std::move(node));
  }

  // The called plan's steps stand where the call stood: what the call waits for, its first steps
  // wait for; the call itself stays as a step that does nothing after all of them, so that others
  // can wait for it.
  void add_called_plan(const StepSpec& call) {
    const std::string name = call.action.settings.text("plan");
    const PlanSpec* called = find_ ? find_(name) : nullptr;
    if (called == nullptr) {
      wrong("step " + printable(call.id) + ": there is no plan \"" + printable(name) + "\"");
      return;
    }
    std::map<std::string, std::string> values;
    for (const auto& [key, value] : called->parameters) {
      values[key] = value;
    }
    for (const auto& [key, value] : call.action.settings.map("with")) {
      if (!values.contains(key)) {
        wrong("step " + printable(call.id) + ": plan " + printable(name) + " has no parameter \"" +
              printable(key) + "\"");
      }
      values[key] = value;
    }
    std::set<std::string> ids;
    std::set<std::string> waited_for;
    for (const StepSpec& inner : called->steps) {
      ids.insert(inner.id);
      waited_for.insert(inner.after.begin(), inner.after.end());
    }
    const auto rename = [&](std::string_view variable) -> std::optional<std::string> {
      if (const auto it = values.find(std::string(variable)); it != values.end()) {
        return it->second;
      }
      const std::string step(variable.substr(0, variable.find('.')));
      return ids.contains(step) ? std::optional("${" + call.id + "/" + std::string(variable) + "}")
                                : std::nullopt;
    };
    StepSpec join = call;
    for (const StepSpec& inner : called->steps) {
      if (inner.action.kind == "plan") {
        wrong("step " + printable(call.id) + ": plan " + printable(name) +
              " calls plans itself; that is possible one level deep only");
        continue;
      }
      StepSpec spec = inner;
      spec.id = call.id + "/" + inner.id;
      spec.group = call.id;
      spec.action.settings = substitute(inner.action.settings, rename);
      if (spec.undo) {
        spec.undo->settings = substitute(inner.undo->settings, rename);
      }
      spec.only = inner.only == StepScope::kAlways ? call.only : inner.only;
      spec.after.clear();
      for (const std::string& id : inner.after) {
        spec.after.push_back(call.id + "/" + id);
      }
      if (spec.after.empty()) {
        spec.after = call.after;
        spec.approval = spec.approval ? spec.approval : call.approval;
      }
      if (!waited_for.contains(inner.id)) {
        join.after.push_back(spec.id);
      }
      add(std::move(spec));
    }
    join.approval.reset();  // asked before the first inner step
    add(std::move(join));
  }

  // Kahn's algorithm, always the earliest in the file of those that can come next.
  void order() {
    const size_t count = graph_.nodes.size();
    std::vector<std::vector<size_t>> after(count);
    for (size_t i = 0; i < count; ++i) {
      const StepSpec& spec = graph_.nodes[i].spec;
      for (const std::string& id : spec.after) {
        const auto it = places_.find(id);
        if (it == places_.end()) {
          wrong("step " + printable(spec.id) + ": there is no step \"" + printable(id) +
                "\" to come after");
        } else {
          after[i].push_back(it->second);
        }
      }
    }
    throw_if_wrong();
    std::vector<size_t> place(count);  // old -> new
    std::vector<bool> placed(count, false);
    std::vector<PlanNode> sorted;
    while (sorted.size() < count) {
      size_t next = 0;
      while (next < count && (placed[next] || !std::all_of(
                                                  after[next].begin(), after[next].end(),
                                                  [&](size_t one) { return placed[one]; }))) {
        ++next;
      }
      if (next == count) {
        wrong("steps wait for each other: " + cycle(after, placed));
        return;
      }
      placed[next] = true;
      place[next] = sorted.size();
      sorted.push_back(std::move(graph_.nodes[next]));
      for (const size_t one : after[next]) {
        sorted.back().after.push_back(place[one]);
        sorted[place[one]].before.push_back(place[next]);
      }
    }
    graph_.nodes = std::move(sorted);
  }

  // Every unplaced step waits for an unplaced one: following them must come back.
  [[nodiscard]] std::string cycle(const std::vector<std::vector<size_t>>& after,
                                  const std::vector<bool>& placed) const {
    size_t at = 0;
    while (placed[at]) {
      ++at;
    }
    std::vector<size_t> path;
    while (std::find(path.begin(), path.end(), at) == path.end()) {
      path.push_back(at);
      for (const size_t one : after[at]) {
        if (!placed[one]) {
          at = one;
          break;
        }
      }
    }
    std::string text;
    for (auto it = std::find(path.begin(), path.end(), at); it != path.end(); ++it) {
      text += printable(ids()[*it]) + " after ";
    }
    return text + printable(ids()[at]);
  }

  // The nodes that were moved away have no id any more.
  [[nodiscard]] std::vector<std::string> ids() const {
    std::vector<std::string> names(places_.size());
    for (const auto& [id, place] : places_) {
      names[place] = id;
    }
    return names;
  }

  void check_variables(size_t index) {
    const StepSpec& spec = graph_.nodes[index].spec;
    std::set<std::string> names;
    try {
      for (const std::string& name : variables_in(spec.action.settings)) {
        names.insert(name);
      }
      if (spec.undo) {
        for (const std::string& name : variables_in(spec.undo->settings)) {
          names.insert(name);
        }
      }
    } catch (const Error& error) {
      wrong("step " + printable(spec.id) + ": " + error.message());
    }
    for (const std::string& name : names) {
      if (const std::string problem = variable_problem(index, name); !problem.empty()) {
        wrong("step " + printable(spec.id) + ": " + problem);
      }
    }
  }

  [[nodiscard]] std::string variable_problem(size_t index, const std::string& name) const {
    const std::string shown = "${" + printable(name) + "}";
    if (name.starts_with("target.") || is_run_variable(name)) {
      return {};
    }
    const size_t dot = name.rfind('.');
    if (dot == std::string::npos) {
      std::vector<std::string> known;
      for (const auto& [key, value] : graph_.parameters) {
        if (key == name) {
          return {};
        }
        known.push_back(key);
      }
      return "there is no parameter " + shown + suggestion(name, known);
    }
    const std::string id = name.substr(0, dot);
    const std::string output = name.substr(dot + 1);
    for (size_t i = 0; i < graph_.nodes.size(); ++i) {
      const PlanNode& node = graph_.nodes[i];
      if (node.spec.id != id) {
        continue;
      }
      // An undo of the step itself may use what it gave.
      if (i != index && !graph_.precedes(i, index)) {
        return shown + ": step " + printable(id) + " does not come before it";
      }
      std::vector<std::string> outputs = node.step->outputs();
      for (const std::string& more : declared_outputs(node.spec.action.settings)) {
        outputs.push_back(more);
      }
      if (std::find(outputs.begin(), outputs.end(), output) == outputs.end()) {
        return shown + ": step " + printable(id) + " has no output " + printable(output) +
               suggestion(output, outputs);
      }
      return {};
    }
    return "there is no step " + printable(id) + " for " + shown;
  }

  [[nodiscard]] static std::string suggestion(const std::string& name,
                                              const std::vector<std::string>& known) {
    const auto near = suggestions(name, known);
    return near.empty() ? "" : "; did you mean " + printable(near.front()) + "?";
  }

  const PlanSpec& plan_;
  const FindPlan& find_;
  PlanGraph graph_;
  std::map<std::string, size_t> places_;  // before ordering
  std::vector<std::string> problems_;
};

}  // namespace

PlanGraph resolve_plan(const PlanSpec& plan, const FindPlan& find) {
  return Resolver(plan, find).run();
}

const PlanNode* PlanGraph::find(const std::string& id) const {
  for (const PlanNode& node : nodes) {
    if (node.spec.id == id) {
      return &node;
    }
  }
  return nullptr;
}

bool PlanGraph::precedes(size_t earlier, size_t later) const {
  std::vector<size_t> open = nodes.at(later).after;
  std::set<size_t> seen;
  while (!open.empty()) {
    const size_t at = open.back();
    open.pop_back();
    if (at == earlier) {
      return true;
    }
    if (at > earlier && seen.insert(at).second) {
      open.insert(open.end(), nodes[at].after.begin(), nodes[at].after.end());
    }
  }
  return false;
}

std::set<std::string> PlanGraph::wanted_outputs(const std::string& id) const {
  std::set<std::string> wanted;
  const auto look = [&](const Settings& settings) {
    for (const std::string& variable : variables_in(settings)) {
      const size_t dot = variable.rfind('.');
      if (dot != std::string::npos && variable.substr(0, dot) == id) {
        wanted.insert(variable.substr(dot + 1));
      }
    }
  };
  for (const PlanNode& node : nodes) {
    look(node.spec.action.settings);
    if (node.spec.undo) {
      look(node.spec.undo->settings);
    }
  }
  return wanted;
}

std::vector<std::string> PlanGraph::sources() const {
  std::vector<std::string> names;
  for (const PlanNode& node : nodes) {
    const std::string& kind = node.spec.action.kind;
    if (kind != "restore" && kind != "check") {
      continue;
    }
    const std::string source = node.spec.action.settings.text("source");
    if (!source.empty() && std::find(names.begin(), names.end(), source) == names.end()) {
      names.push_back(source);
    }
  }
  return names;
}

}  // namespace salvor::plan
