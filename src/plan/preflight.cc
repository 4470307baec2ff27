#include "plan/preflight.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>
#include <sys/statvfs.h>

#include "base/error.h"
#include "base/format.h"
#include "plan/points.h"
#include "plan/scope.h"

namespace salvor::plan {
namespace {

class Look {
 public:
  Look(const Context& context, const PlanGraph& graph, Site& site, Secrets& secrets,
       const PreflightOrder& order)
      : context_(context), graph_(graph), site_(site), secrets_(secrets), order_(order) {}

  Preflight run() {
    take_parameters();
    for (const PlanNode& node : graph_.nodes) {
      if (skip_reason(node, site_.mode()).empty()) {
        look_at(node);
      }
    }
    look_at_space();
    look_at_stores();
    return std::move(result_);
  }

 private:
  void problem(const PlanNode& node, const Error& error) {
    problem(node, error.message() + (error.hint().empty() ? "" : ". " + error.hint()));
  }
  void problem(const PlanNode& node, const std::string& text) {
    const std::string line = node.spec.id + ": " + secrets_.hide(text);
    if (std::find(result_.problems.begin(), result_.problems.end(), line) ==
        result_.problems.end()) {
      result_.problems.push_back(line);
    }
  }

  void take_parameters() {
    result_.parameters = graph_.parameters;
    for (const auto& [name, value] : order_.parameters) {
      const auto it = std::find_if(result_.parameters.begin(), result_.parameters.end(),
                                   [&](const auto& one) { return one.first == name; });
      if (it == result_.parameters.end()) {
        std::string known;
        for (const auto& [one, text] : graph_.parameters) {
          known += (known.empty() ? "" : ", ") + one;
        }
        throw Error(ErrorCode::kUsage,
                    "plan " + printable(graph_.name) + " has no parameter " + printable(name),
                    known.empty() ? "It has none at all: give it `parameters:`."
                                  : "It has: " + known + ".");
      }
      it->second = value;
    }
  }

  // What is known by now: parameters and what the target offers.
  std::optional<std::string> known(const PlanNode& node, std::string_view name) {
    for (const auto& [key, value] : result_.parameters) {
      if (key == name) {
        return value;
      }
    }
    constexpr std::string_view kTarget = "target.";
    if (!name.starts_with(kTarget)) {
      return {};
    }
    try {
      return target_value(site_, name.substr(kTarget.size()));
    } catch (const Error& error) {
      problem(node, error);
      return {};
    }
  }

  void look_at(const PlanNode& node) {
    const VariableLookup lookup = [&](std::string_view name) { return known(node, name); };
    StepScene scene{.context = context_,
                    .site = site_,
                    .secrets = secrets_,
                    .run = order_.run,
                    .step = node.spec.id,
                    .files = {},
                    .raw = node.spec.action.settings,
                    .settings = substitute(node.spec.action.settings, lookup),
                    .lookup = lookup,
                    .notes = {},
                    .point = {},
                    .same_boot = true,
                    .note = {},
                    .say = [](const std::string&) {},
                    .bytes = [](uint64_t, uint64_t) {},
                    .ask = {},
                    .announce = {}};
    if (node.spec.action.kind == "restore" || node.spec.action.kind == "check") {
      if (!knows_source(node, scene.settings.text("source"))) {
        return;
      }
    }
    if (node.spec.action.kind == "restore") {
      pin(node, scene);
    }
    try {
      for (const std::string& text : node.step->preflight(scene)) {
        problem(node, text);
      }
      if (node.undo != nullptr) {
        scene.raw = node.spec.undo->settings;
        scene.settings = substitute(node.spec.undo->settings, lookup);
        for (const std::string& text : node.undo->preflight(scene)) {
          problem(node, "its undo: " + text);
        }
      }
    } catch (const Error& error) {
      problem(node, error);
    }
  }

  bool knows_source(const PlanNode& node, const std::string& source) {
    const std::vector<std::string> sources = site_.sources();
    if (std::find(sources.begin(), sources.end(), source) != sources.end()) {
      return true;
    }
    problem(node, "there is no source \"" + printable(source) + "\"");
    return false;
  }

  void pin(const PlanNode& node, StepScene& scene) {
    const std::string source = scene.settings.text("source");
    const std::string to = scene.settings.text("to", "latest");
    try {
      if (const auto it = order_.fixed.find(source); it != order_.fixed.end()) {
        scene.point = it->second;
      } else if (to.find("${") == std::string::npos) {
        scene.point = choose_point(source, to, ranges(source), context_.clock.now());
      }
      if (scene.point) {
        result_.points[node.spec.id] = *scene.point;
        result_.bytes += scene.point->bytes;
      }
      if (const std::string what = node.step->destroys(scene); !what.empty()) {
        result_.destroys.push_back(what);
      }
      look_at_way(node, scene);
    } catch (const Error& error) {
      if (error.code() == ErrorCode::kCancelled) {
        throw;
      }
      problem(node, error);
    }
  }

  // Something before the step may clear the way; when nothing can, others must not begin either.
  void look_at_way(const PlanNode& node, StepScene& scene) {
    const std::string what = node.step->in_the_way(scene);
    if (what.empty()) {
      return;
    }
    if (std::string before = acts_before(node); !before.empty()) {
      result_.warnings.push_back(node.spec.id + ": " + secrets_.hide(what) + " now; " + before +
                                 " must change that");
    } else {
      problem(node, what +
                        ". Stop it first, or put a step (`stop`, `command`) in front of this "
                        "one that does");
    }
  }

  // The steps before `node` that act on something outside; empty: none does.
  [[nodiscard]] std::string acts_before(const PlanNode& node) const {
    std::set<size_t> before(node.after.begin(), node.after.end());
    std::string names;
    while (!before.empty()) {
      const size_t last = *before.rbegin();
      before.erase(last);
      const PlanNode& one = graph_.nodes[last];
      before.insert(one.after.begin(), one.after.end());
      if (one.step->may_clear_the_way() && skip_reason(one, site_.mode()).empty()) {
        names = one.spec.id + (names.empty() ? "" : " or ") + names;
      }
    }
    return names;
  }

  // Proves key, password and storage as well.
  const std::vector<RecoveryRange>& ranges(const std::string& source) {
    const auto it = ranges_.find(source);
    return it != ranges_.end()
               ? it->second
               : ranges_.emplace(source, site_.ranges(context_, source)).first->second;
  }

  // Where the target's directory is: what is there stays (moved aside), so all bytes are needed.
  void look_at_space() {
    for (const auto& [step, point] : result_.points) {
      for (const auto& [name, value] : site_.outputs(point.source)) {
        struct statvfs room{};
        std::filesystem::path place(value);
        if (name != "directory" || !place.is_absolute()) {
          continue;
        }
        std::error_code none;
        while (!std::filesystem::exists(place, none) && place.has_relative_path()) {
          place = place.parent_path();
        }
        if (::statvfs(place.c_str(), &room) != 0) {
          continue;
        }
        const uint64_t available = uint64_t{room.f_bavail} * room.f_frsize;
        if (available < point.bytes) {
          problem(*graph_.find(step),
                  fmt::format("{} free at {}, but {} will be restored", format_bytes(available),
                              place.string(), format_bytes(point.bytes)));
        }
      }
    }
  }

  // A store that cannot be reached is no reason against its recovery: it may be why.
  void look_at_stores() {
    std::set<std::string> seen;
    for (const auto& [step, point] : result_.points) {
      if (!seen.insert(point.source).second) {
        continue;
      }
      try {
        for (const ProbeResult& probe : site_.probe(context_, point.source)) {
          if (!probe.ok && probe.fatal) {
            result_.warnings.push_back(
                secrets_.hide(point.source + ": " + probe.name + ": " + probe.found +
                              (probe.hint.empty() ? "" : ". " + probe.hint)));
          }
        }
      } catch (const Error& error) {
        result_.warnings.push_back(secrets_.hide(point.source + ": " + error.message()));
      }
    }
  }

  const Context& context_;
  const PlanGraph& graph_;
  Site& site_;
  Secrets& secrets_;
  const PreflightOrder& order_;
  std::map<std::string, std::vector<RecoveryRange>> ranges_;
  Preflight result_;
};

}  // namespace

Preflight look_ahead(const Context& context, const PlanGraph& graph, Site& site, Secrets& secrets,
                     const PreflightOrder& order) {
  return Look(context, graph, site, secrets, order).run();
}

void throw_problems(const PlanGraph& graph, const Preflight& preflight) {
  if (preflight.problems.empty()) {
    return;
  }
  std::string text =
      "plan " + printable(graph.name) + " would not get through, nothing was touched:";
  for (const std::string& one : preflight.problems) {
    text += "\n  " + one;
  }
  throw Error(ErrorCode::kFailed, text, "Correct what is listed and run the plan again.");
}

}  // namespace salvor::plan
