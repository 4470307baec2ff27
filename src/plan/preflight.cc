#include "plan/preflight.h"

#include <algorithm>
#include <filesystem>
#include <set>

#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "base/error.h"
#include "base/format.h"
#include "plan/points.h"
#include "plan/scope.h"

namespace salvor::plan {
namespace {

namespace fs = std::filesystem;

// The part of a path that is there.
fs::path existing(fs::path place) {
  std::error_code none;
  while (!fs::exists(place, none) && place.has_relative_path()) {
    place = place.parent_path();
  }
  return place;
}

std::vector<std::string> texts_in(const Settings::Value& value) {
  if (const auto* text = std::get_if<std::string>(&value)) {
    return {*text};
  }
  if (const auto* list = std::get_if<std::vector<std::string>>(&value)) {
    return *list;
  }
  std::vector<std::string> texts;
  for (const auto& [name, text] : std::get<TextMap>(value)) {
    texts.push_back(text);
  }
  return texts;
}

bool holds_secrets(const FieldSpec& field) {
  return field.type == FieldType::kSecret || field.type == FieldType::kSecretMap;
}

// What resolves references to secrets, for messages: "only `environment` resolves it".
std::string resolver_of(const StepKind& kind) {
  std::string names;
  for (const FieldSpec& field : kind.fields) {
    if (holds_secrets(field)) {
      names += (names.empty() ? "only `" : " or `") + field.name + "`";
    }
  }
  return names.empty() ? "nothing in this step resolves it"
                       : names + " resolves it, where it stands alone";
}

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
      look_at_action(node, *node.step, scene, "");
      if (node.undo != nullptr && undo_skip_reason(node, site_.mode()).empty()) {
        scene.raw = node.spec.undo->settings;
        scene.settings = substitute(node.spec.undo->settings, lookup);
        look_at_action(node, *node.undo, scene, "its undo: ");
      }
    } catch (const Error& error) {
      problem(node, error);
    }
  }

  void look_at_action(const PlanNode& node, const Step& step, StepScene& scene,
                      const std::string& whose) {
    for (const std::string& text : step.preflight(scene)) {
      problem(node, whose + text);
    }
    for (const std::string& text : unresolved(step.kind(), scene.raw)) {
      problem(node, whose + text);
    }
  }

  // A real target may offer a reference ("env:DATABASE_URL") where a drill's has the address
  // itself: in a field that does not resolve it, every drill would pass and the recovery fail.
  std::vector<std::string> unresolved(const StepKind& kind, const Settings& settings) {
    std::vector<std::string> found;
    for (const auto& [key, value] : settings.all()) {
      const auto field = std::find_if(kind.fields.begin(), kind.fields.end(),
                                      [&](const FieldSpec& one) { return one.name == key; });
      const bool resolves = field != kind.fields.end() && holds_secrets(*field);
      for (const std::string& text : texts_in(value)) {
        for (const std::string& name : variables_in(text)) {
          const std::string reference = reference_behind(name);
          if (!reference.empty() && !(resolves && text == "${" + name + "}")) {
            found.push_back(fmt::format("in `{}`, ${{{}}} is the reference {} and no value: {}",
                                        key, printable(name), printable(reference),
                                        resolver_of(kind)));
          }
        }
      }
    }
    return found;
  }

  // Empty: what the target offers is a value, or it offers none.
  std::string reference_behind(const std::string& name) {
    constexpr std::string_view kTarget = "target.";
    if (!name.starts_with(kTarget)) {
      return {};
    }
    try {
      const std::string value = target_value(site_, std::string_view(name).substr(kTarget.size()));
      return SecretReference::parse(value) ? value : "";
    } catch (const Error&) {
      return {};  // told where the settings are filled in
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

  // Where the targets' directories are: what is there stays (moved aside), so all bytes are needed,
  // of all restores onto one file system together.
  void look_at_space() {
    std::map<dev_t, Room> rooms;
    for (const PlanNode& node : graph_.nodes) {
      const auto point = result_.points.find(node.spec.id);
      if (point == result_.points.end()) {
        continue;
      }
      for (const auto& [name, value] : site_.outputs(point->second.source)) {
        const fs::path place = name == "directory" ? existing(value) : fs::path();
        struct stat status{};
        if (!place.is_absolute() || ::stat(place.c_str(), &status) != 0) {
          continue;
        }
        Room& room = rooms[status.st_dev];
        room.place = room.place.empty() ? place : room.place;
        room.needed += point->second.bytes;
        room.nodes.push_back(&node);
      }
    }
    for (const auto& [device, room] : rooms) {
      look_at_room(room);
    }
  }

  // What will be restored onto one file system.
  struct Room {
    fs::path place;  // of the first restore
    uint64_t needed = 0;
    std::vector<const PlanNode*> nodes;
  };

  void look_at_room(const Room& room) {
    struct statvfs space{};
    if (::statvfs(room.place.c_str(), &space) != 0) {
      return;
    }
    const uint64_t available = uint64_t{space.f_bavail} * space.f_frsize;
    if (available >= room.needed) {
      return;
    }
    std::string others;
    for (size_t i = 1; i < room.nodes.size(); ++i) {
      others += (others.empty() ? ", together with " : ", ") + room.nodes[i]->spec.id;
    }
    problem(*room.nodes.front(),
            fmt::format("{} free at {}, but {} will be restored{}", format_bytes(available),
                        room.place.string(), format_bytes(room.needed), others));
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
