#include "config/rules.h"

#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <tuple>
#include <utility>

#include <fmt/format.h>

#include "base/error.h"
#include "config/application_reader.h"
#include "config/plan_reader.h"
#include "engine/store_kinds.h"
#include "model/schedule.h"
#include "model/timetable.h"

namespace salvor::config {
namespace {

using std::chrono::seconds;

constexpr unsigned kYears = 2;
// A schedule of every minute has a million runs in that time; it falls into a window sooner.
constexpr size_t kMostRuns = 6'000;

template <class Named>
std::vector<std::string> names_of(const std::vector<Named>& all) {
  std::vector<std::string> names;
  for (const Named& one : all) {
    names.push_back(one.name);
  }
  return names;
}

// Instants at which a schedule is due, as far as it is worth looking.
void for_each_run(const Schedule& schedule, std::chrono::sys_seconds from,
                  const std::function<bool(SysSeconds)>& visit) {
  const SysSeconds end = from + std::chrono::days(366 * kYears);
  SysSeconds at = from;
  for (size_t runs = 0; runs < kMostRuns && at < end; ++runs) {
    at = schedule.next(at);
    if (!visit(at)) {
      return;
    }
  }
}

std::optional<seconds> longest_gap(const std::string& text, const std::string& zone,
                                   std::chrono::sys_seconds now) {
  if (text.empty()) {
    return {};
  }
  try {
    return Schedule::parse(text, TimeZone::named(zone)).longest_gap(now, kYears);
  } catch (const Error&) {
    return {};  // reported where it stands
  }
}

class Rules {
 public:
  explicit Rules(const RulesRequest& request)
      : request_(request), application_(request.application) {
    for (const Problem& problem : request.problems.sorted()) {
      if (!problem.warning) {
        broken_.insert(spot(problem.place));
      }
    }
  }

  void run() {
    for (const SourceSpec& source : application_.sources) {
      check_source(source);
    }
    for (const PolicySpec& policy : application_.policies) {
      check_policy(policy);
    }
    check_objectives();
    check_drills();
    check_plans();
    check_unused();
  }

 private:
  // Of what stands there, or of the nearest thing around it.
  [[nodiscard]] Place place(const std::vector<std::string>& path) const {
    const YamlNode* node = &request_.tree;
    Place result = node->place;
    for (const std::string& step : path) {
      const YamlNode* next = nullptr;
      if (node->is_list()) {
        const size_t index = std::stoul(step);
        next = index < node->items.size() ? &node->items[index] : nullptr;
        result = next != nullptr ? next->place : result;
      } else if (const YamlEntry* entry = node->entry(step)) {
        next = &entry->value;
        result =
            entry->value.is_scalar() || entry->value.is_list() ? entry->value.place : entry->place;
      }
      if (next == nullptr) {
        break;
      }
      node = next;
    }
    return result;
  }

  using Spot = std::tuple<uint32_t, uint32_t, uint32_t>;
  static Spot spot(const Place& place) { return {place.source, place.line, place.column}; }

  // Whether a mistake in there has been reported: what follows from it is not said, too.
  [[nodiscard]] bool is_broken(const YamlNode& node) const {
    return broken_.contains(spot(node.place)) ||
           std::any_of(node.items.begin(), node.items.end(),
                       [&](const YamlNode& item) { return is_broken(item); }) ||
           std::any_of(node.entries.begin(), node.entries.end(), [&](const YamlEntry& entry) {
             return broken_.contains(spot(entry.place)) || is_broken(entry.value);
           });
  }

  [[nodiscard]] const YamlNode* node_at(const std::vector<std::string>& path) const {
    const YamlNode* node = &request_.tree;
    for (const std::string& step : path) {
      if (node->is_list()) {
        const size_t index = std::stoul(step);
        node = index < node->items.size() ? &node->items[index] : nullptr;
      } else {
        node = node->find(step);
      }
      if (node == nullptr) {
        return nullptr;
      }
    }
    return node;
  }

  void problem(const std::vector<std::string>& path, std::string what, std::string hint) {
    const YamlNode* node = node_at(path);
    const bool filled_in = node != nullptr && node->is_scalar() &&
                           request_.sources.at(node->place.source).kind == SourceText::kDefault;
    if (node != nullptr && (is_broken(*node) || filled_in)) {
      return;  // a default is wrong only where something else is
    }
    request_.problems.add(place(path), std::move(what), std::move(hint));
  }

  bool refers(const std::vector<std::string>& path, const std::string& name,
              const std::string& kind, const std::vector<std::string>& known) {
    if (std::find(known.begin(), known.end(), name) != known.end()) {
      return true;
    }
    std::string hint = did_you_mean(name, known);
    problem(path, fmt::format("there is no {} {}", kind, shown(name)),
            hint.empty() && known.empty() ? fmt::format("No {} is defined.", kind) : hint);
    return false;
  }

  // --- sources and policies

  void check_source(const SourceSpec& source) {
    const auto below = [&](const std::string& key) {
      return std::vector<std::string>{"sources", source.name, key};
    };
    if (!source.repository.empty()) {
      refers(below("repository"), source.repository, "repository",
             names_of(application_.repositories));
    }
    if (!source.policy.empty()) {
      refers(below("policy"), source.policy, "policy", names_of(application_.policies));
    }
    std::set<std::string> targets;
    for (size_t i = 0; i < source.copies.size(); ++i) {
      std::vector<std::string> here{"sources", source.name, "copies", std::to_string(i), "to"};
      check_copy(source, source.copies[i], here, targets);
    }
  }

  void check_copy(const SourceSpec& source, const CopySpec& copy, std::vector<std::string> path,
                  std::set<std::string>& targets) {
    if (copy.to.empty() ||
        !refers(path, copy.to, "repository", names_of(application_.repositories))) {
      return;
    }
    const RepositorySpec* from = find_named(application_.repositories, source.repository);
    const RepositorySpec* to = find_named(application_.repositories, copy.to);
    if (copy.to == source.repository) {
      problem(path,
              fmt::format("the copy of {} goes to the repository it is in", shown(source.name)),
              "Name another one: a copy is for the day on which this one is lost.");
    } else if (from != nullptr && to != nullptr &&
               place_of(from->location) == place_of(to->location)) {
      problem(path,
              fmt::format("the repositories {} and {} are the same place", shown(source.repository),
                          shown(copy.to)),
              "Put the copy somewhere else.");
    }
    if (!targets.insert(copy.to).second) {
      problem(path, fmt::format("{} gets two copies of {}", shown(copy.to), shown(source.name)),
              "Remove one of them.");
    }
    path.back() = "retention";
    if (copy.retention) {
      check_retention(*copy.retention, path);
    }
    path.back() = "check-percent";
    check_percent(copy.check_percent.value_or(100), path);
  }

  void check_percent(unsigned percent, const std::vector<std::string>& path) {
    if (percent < 1 || percent > 100) {
      problem(path, fmt::format("a check cannot read {} % of the data", percent),
              "It is 1 to 100. For no check at all, write check: manual");
    }
  }

  void check_retention(const RetentionRule& rule, const std::vector<std::string>& path) {
    const unsigned slots =
        rule.last + rule.hourly + rule.daily + rule.weekly + rule.monthly + rule.yearly;
    if (slots == 0 && rule.within.count() == 0 && !rule.legal_hold) {
      problem(path, "this retention keeps nothing",
              "Say at least one of last, hourly, daily, weekly, monthly, yearly or within; leave "
              "\"retention\" out for the default (30 days, 12 weeks, 12 months, 7 years).");
    }
    if (rule.monthly_on < 1 || rule.monthly_on > 31) {
      std::vector<std::string> day = path;
      day.emplace_back("monthly-on");
      problem(day, fmt::format("no month has a day {}", rule.monthly_on), "Days are 1 to 31.");
    }
  }

  // Thousands of runs are looked at: once for each schedule.
  std::optional<seconds> gap_of(const std::string& schedule, const std::string& zone) {
    const auto [found, added] = gaps_.try_emplace({schedule, zone});
    if (added) {
      found->second = longest_gap(schedule, zone, request_.now);
    }
    return found->second;
  }

  void check_policy(const PolicySpec& policy) {
    const auto below = [&](const std::vector<std::string>& keys) {
      std::vector<std::string> path{"policies", policy.name};
      path.insert(path.end(), keys.begin(), keys.end());
      return path;
    };
    check_retention(policy.retention, below({"retention"}));
    const VerificationRule& rule = policy.verification;
    check_percent(rule.check_percent, below({"verification", "check-percent"}));
    if (rule.older_point_percent > 100) {
      problem(below({"verification", "older-point-percent"}),
              fmt::format("{} % is more than always", rule.older_point_percent), "It is 0 to 100.");
    }
    const auto between = gap_of(rule.restore, policy.time_zone);
    if (between && rule.proven_for.count() > 0 && rule.proven_for < *between) {
      problem(below({"verification", "proven-for"}),
              fmt::format("a proof that stands for {} is over before the next one: {} lie between "
                          "two",
                          period_text(rule.proven_for), period_text(*between)),
              fmt::format("Write at least proven-for: {}, or prove more often.",
                          period_text(*between)));
    }
    check_window(policy, below({"window"}));
  }

  void check_window(const PolicySpec& policy, const std::vector<std::string>& path) {
    if (!policy.window || policy.schedule.empty()) {
      return;
    }
    try {
      const TimeZone zone = TimeZone::named(policy.time_zone);
      const Schedule schedule = Schedule::parse(policy.schedule, zone);
      bool inside = false;
      std::optional<int64_t> first;
      for_each_run(schedule, request_.now, [&](SysSeconds at) {
        const int64_t minute =
            (zone.local(at).time_since_epoch().count() / 60 % 1440 + 1440) % 1440;
        first = first ? first : minute;
        inside = in_window(*policy.window, zone, at);
        return !inside;
      });
      if (!inside) {
        problem(path,
                fmt::format("the schedule {} never falls into this window", shown(policy.schedule)),
                fmt::format("It is due at {:02}:{:02} ({}): move one of the two.", *first / 60,
                            *first % 60, policy.time_zone));
      }
    } catch (const Error&) {
      // The schedule or the zone is reported where it stands.
    }
  }

  // --- objectives

  void check_objectives() {
    const YamlNode* objectives = request_.tree.find("objectives");
    const auto scenarios = [&](const YamlNode* node) {
      const YamlNode* all = node == nullptr ? nullptr : node->find("scenarios");
      for (const YamlEntry& entry : all == nullptr ? std::vector<YamlEntry>() : all->entries) {
        const std::vector<std::string>& known = objective_scenarios();
        if (std::find(known.begin(), known.end(), entry.key) == known.end()) {
          std::string hint = did_you_mean(entry.key, known);
          request_.problems.add(entry.place,
                                fmt::format("there is no scenario {}", shown(entry.key)),
                                hint.empty() ? "Possible are " + enumerate(known) + "." : hint);
        }
      }
    };
    scenarios(objectives);
    const YamlNode* sources = objectives == nullptr ? nullptr : objectives->find("sources");
    for (const YamlEntry& entry :
         sources == nullptr ? std::vector<YamlEntry>() : sources->entries) {
      scenarios(&entry.value);
      if (find_named(application_.sources, entry.key) == nullptr) {
        request_.problems.add(entry.place, fmt::format("there is no source {}", shown(entry.key)),
                              did_you_mean(entry.key, names_of(application_.sources)));
      }
    }
    for (const ObjectiveSpec& objective : application_.objectives) {
      check_objective(objective);
    }
  }

  [[nodiscard]] static std::vector<std::string> objective_path(const ObjectiveSpec& objective,
                                                               const std::string& key) {
    std::vector<std::string> path{"objectives"};
    if (!objective.source.empty()) {
      path.insert(path.end(), {"sources", objective.source});
    }
    if (objective.scenario != "any") {
      path.insert(path.end(), {"scenarios", objective.scenario});
    }
    path.push_back(key);
    return path;
  }

  void check_objective(const ObjectiveSpec& objective) {
    const auto rto = objective_path(objective, "rto");
    const auto rpo = objective_path(objective, "rpo");
    if (objective.rto.count() == 0 && node_at(rto) != nullptr) {
      problem(rto, "no recovery takes no time", "Write the longest time that is acceptable.");
    }
    // What restarts by itself or stands in version control loses nothing.
    if (node_at(rpo) == nullptr || objective.scenario == "pod" ||
        objective.scenario == "configuration") {
      return;
    }
    for (const SourceSpec& source : application_.sources) {
      if (objective.source.empty() ? !has_own_objective(source.name)
                                   : objective.source == source.name) {
        check_loss(objective, source, rpo);
      }
    }
  }

  // An objective of its own for the time of a recovery says nothing about the loss.
  [[nodiscard]] bool has_own_objective(const std::string& source) const {
    return node_at({"objectives", "sources", source, "rpo"}) != nullptr;
  }

  static seconds closed_time(const TimeWindow& window) {
    const std::chrono::minutes open = window.to - window.from;
    return std::chrono::hours(window.to > window.from ? 24 : 0) - open;
  }

  void check_loss(const ObjectiveSpec& objective, const SourceSpec& source,
                  const std::vector<std::string>& path) {
    const StoreKind* kind = find_store_kind(source.kind);
    const PolicySpec* policy = find_named(application_.policies, source.policy);
    if (kind == nullptr || policy == nullptr) {
      return;
    }
    const bool log = kind->with_log(source.settings);
    if (objective.rpo.count() == 0) {
      problem(path, fmt::format("no backup of {} loses nothing", shown(source.name)),
              log ? "A followed log is seconds behind; write rpo: 1m. Less than that takes "
                    "synchronous replication."
                  : "Write the most that may be lost, for example rpo: 15m.");
      return;
    }
    if (log) {
      return;
    }
    const auto gap = gap_of(policy->schedule, policy->time_zone);
    if (!gap) {
      if (policy->schedule.empty()) {
        problem(path,
                fmt::format("an RPO of {} cannot be kept for {}: it is only backed up by hand",
                            period_text(objective.rpo), shown(source.name)),
                "Give it a schedule.");
      }
      return;
    }
    const seconds closed = policy->window ? closed_time(*policy->window) : seconds(0);
    if (closed > *gap) {
      if (closed > objective.rpo) {
        problem(path,
                fmt::format("an RPO of {} cannot be kept for {}: its window is closed for {} of "
                            "the day",
                            period_text(objective.rpo), shown(source.name), period_text(closed)),
                fmt::format("Make the window wider, or promise rpo: {}.", period_text(closed)));
      }
    } else if (*gap > objective.rpo) {
      problem(path,
              fmt::format("an RPO of {} cannot be kept for {}: its schedule {} leaves up to {} "
                          "between two backups",
                          period_text(objective.rpo), shown(source.name), shown(policy->schedule),
                          period_text(*gap)),
              fmt::format("Back it up at least every {}, or promise rpo: {}.",
                          period_text(objective.rpo), period_text(*gap)));
    }
  }

  // --- drills and plans

  void check_drills() {
    for (const DrillSpec& drill : application_.drills) {
      if (!drill.plan.empty()) {
        refers({"drills", drill.name, "plan"}, drill.plan, "plan", names_of(application_.plans));
      }
      refers({"drills", drill.name, "sandbox"}, drill.sandbox, "sandbox",
             names_of(application_.sandboxes));
    }
  }

  void check_plans() {
    for (const Checked& checked : request_.checked.all("plans")) {
      const ReadPlan read = read_plan(checked);
      const std::vector<std::string> steps{"plans", checked.name, "steps"};
      if (read.plan.steps.empty() && node_at(steps) != nullptr) {
        problem(steps, fmt::format("plan {} has no steps", shown(checked.name)),
                "Begin each with \"- \", for example: - restore: db");
      }
      for (const std::string& name : read.twice) {
        problem(
            steps,
            fmt::format("two steps of plan {} have the name {}", shown(checked.name), shown(name)),
            "Names are what `after` refers to: give each its own.");
      }
      for (const UnknownStep& unknown : read.unknown) {
        std::vector<std::string> path = steps;
        path.push_back(std::to_string(unknown.step));
        if (unknown.inside != 0) {
          path.insert(path.end(), {"together", std::to_string(unknown.inside - 1)});
        }
        path.emplace_back("after");
        problem(path,
                fmt::format("plan {} has no step {}", shown(checked.name), shown(unknown.name)),
                did_you_mean(unknown.name, unknown.known));
      }
      if (const auto cycle = find_cycle(read.plan); !cycle.empty()) {
        problem(steps,
                fmt::format("steps of plan {} wait for one another: {}", shown(checked.name),
                            ring(cycle)),
                "Take one of them out of an `after`.");
      }
      const std::vector<Checked>& items = checked.all("steps");
      for (size_t i = 0; i < items.size(); ++i) {
        std::vector<std::string> path = steps;
        path.push_back(std::to_string(i));
        check_step(items[i], checked.name, path);
        const std::vector<Checked>& inner = items[i].all("together");
        for (size_t k = 0; k < inner.size(); ++k) {
          std::vector<std::string> deeper = path;
          deeper.insert(deeper.end(), {"together", std::to_string(k)});
          check_step(inner[k], checked.name, deeper);
        }
      }
    }
  }

  static std::string ring(const std::vector<std::string>& cycle) {
    std::string text;
    for (const std::string& step : cycle) {
      text += step + " -> ";
    }
    return text + cycle.front();
  }

  void check_step(const Checked& step, const std::string& plan,
                  const std::vector<std::string>& path) {
    const std::string kind = step.variant();
    check_references(step.child(kind), kind, path, plan);
    if (const Checked* approval = step.child("approve")) {
      check_references(approval, "approve", path, plan);
    }
    if (const Checked* undo = step.child("undo")) {
      std::vector<std::string> below = path;
      below.emplace_back("undo");
      check_references(undo->child(undo->variant()), undo->variant(), below, plan);
    }
  }

  // A step's fields of these names refer to what has such a name (model/step_kind.h).
  void check_references(const Checked* settings, const std::string& kind,
                        std::vector<std::string> path, const std::string& plan) {
    if (settings == nullptr) {
      return;
    }
    path.push_back(kind);
    check_target(*settings, path);
    for (const auto& [key, value] : settings->leaves.all()) {
      path.push_back(key);
      std::vector<std::string> texts;
      if (const auto* one = std::get_if<std::string>(&value)) {
        texts = {*one};
      } else if (const auto* list = std::get_if<std::vector<std::string>>(&value)) {
        texts = *list;
      }
      const auto names = known_names(key);
      for (const std::string& text : texts) {
        if (names && text.find("${") == std::string::npos) {
          refers(path, text, names->first, names->second);
        }
        if (key == "plan" && kind == "plan") {
          check_nested(text, plan, path);
        }
      }
      path.pop_back();
    }
  }

  // `target` of a step with a `source` has the keys that the source's kind takes for a restore.
  void check_target(const Checked& settings, std::vector<std::string> path) {
    const auto target = settings.leaves.all().find("target");
    const auto* keys =
        target == settings.leaves.all().end() ? nullptr : std::get_if<TextMap>(&target->second);
    const SourceSpec* source =
        keys == nullptr ? nullptr
                        : find_named(application_.sources, settings.leaves.text("source"));
    const StoreKind* kind = source == nullptr ? nullptr : find_store_kind(source->kind);
    if (kind == nullptr) {
      return;
    }
    std::vector<std::string> known;
    for (const FieldSpec& field : kind->target_fields) {
      known.push_back(field.name);
    }
    path.emplace_back("target");
    for (const auto& [key, text] : *keys) {
      if (std::find(known.begin(), known.end(), key) == known.end()) {
        path.push_back(key);
        problem(path,
                fmt::format("a restore of {} has no target {}", shown(source->name), shown(key)),
                did_you_mean(key, known));
        path.pop_back();
      }
    }
  }

  using Known = std::pair<std::string, std::vector<std::string>>;
  [[nodiscard]] std::optional<Known> known_names(const std::string& key) const {
    if (key == "source" || key == "sources") {
      return Known{"source", names_of(application_.sources)};
    }
    if (key == "plan") {
      return Known{"plan", names_of(application_.plans)};
    }
    if (key == "repository") {
      return Known{"repository", names_of(application_.repositories)};
    }
    if (key == "sandbox") {
      return Known{"sandbox", names_of(application_.sandboxes)};
    }
    if (key == "by" || key == "contact" || key == "contacts") {
      return Known{"contact", names_of(application_.contacts)};
    }
    if (key == "channel" || key == "channels") {
      return Known{"notification", names_of(application_.channels)};
    }
    return {};
  }

  void check_nested(const std::string& inner, const std::string& outer,
                    const std::vector<std::string>& path) {
    const PlanSpec* plan = find_named(application_.plans, inner);
    if (inner == outer) {
      problem(path, fmt::format("plan {} runs itself", shown(outer)), "Remove this step.");
    } else if (plan != nullptr &&
               std::any_of(plan->steps.begin(), plan->steps.end(),
                           [](const StepSpec& step) { return step.action.kind == "plan"; })) {
      problem(path,
              fmt::format("plan {} runs other plans itself: one level is the most", shown(inner)),
              "Put the steps of the innermost plan into it.");
    }
  }

  void check_unused() {
    std::set<std::string> used{"default"};
    for (const SourceSpec& source : application_.sources) {
      used.insert(source.policy);
      // A policy of the source's own stands in for the one that it names.
      for (const PolicySpec& policy : application_.policies) {
        if (source.policy.starts_with(policy.name + "-" + source.name)) {
          used.insert(policy.name);
        }
      }
    }
    for (const PolicySpec& policy : application_.policies) {
      if (!used.contains(policy.name)) {
        request_.problems.warn(
            place({"policies", policy.name}),
            fmt::format("no source has the policy {}", shown(policy.name)),
            fmt::format("Write policy: {} in the sources it is for.", policy.name));
      }
    }
  }

  const RulesRequest& request_;
  const Application& application_;
  std::set<Spot> broken_;
  std::map<std::pair<std::string, std::string>, std::optional<seconds>> gaps_;
};

}  // namespace

void check_rules(const RulesRequest& request) {
  Rules(request).run();
}

}  // namespace salvor::config
