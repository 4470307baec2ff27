#include "protect/drill.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "base/error.h"
#include "base/format.h"
#include "engine/store_kinds.h"
#include "plan/default_plan.h"
#include "plan/plan_text.h"
#include "plan/points.h"
#include "plan/scope.h"
#include "protect/drill_area.h"
#include "protect/run_facts.h"

namespace salvor {
namespace {

using plan::PinnedPoint;
using plan::PlanNode;
using plan::RunState;
using plan::StepRecord;
using plan::StepState;

double seconds_between(WallTime from, WallTime to) {
  return std::chrono::duration<double>(to - from).count();
}

// The newest state that the repository can bring back; of the epoch: none.
WallTime newest_in(const std::vector<RecoveryRange>& ranges) {
  WallTime newest;
  for (const RecoveryRange& range : ranges) {
    newest = std::max(newest, range.damaged ? WallTime{} : range.until);
  }
  return newest;
}

class Drill {
 public:
  Drill(const Context& context, const DrillTools& tools, const DrillOrder& order)
      : context_(context), tools_(tools), order_(order), site_(tools.stores) {
    report_.id = order.id;
    report_.name = order.name;
    report_.application = tools.application.name;
    report_.environment = tools.application.environment;
    report_.scenario = order.scenario;
    report_.sandbox = order.sandbox.name;
    report_.who = tools.people.who();
    report_.program = order.program;
    report_.started = now();
  }

  DrillResult run() {
    const std::filesystem::path parent = sandbox_place(order_.sandbox);
    for (const std::string& name : DrillArea::remove_dead(parent, now())) {
      tools_.say("removed " + name + ", which a drill that died had left, or whose time was over");
    }
    try {
      DrillArea area(parent, order_.id.substr(0, 12));
      try {
        rehearse(area);
      } catch (const Error& error) {
        if (error.code() == ErrorCode::kLocked || error.code() == ErrorCode::kUsage) {
          site_.clear();
          throw;
        }
        fail(error);
      }
      keep_sandboxes(parent, area);
      site_.clear();
    } catch (const Error& error) {
      site_.clear();
      if (error.code() == ErrorCode::kLocked || error.code() == ErrorCode::kUsage) {
        throw;
      }
      fail(error);
    }
    report_.finished = now();
    const bool passed = report_.outcome == RunOutcome::kSucceeded;
    judge_points(passed);
    measure();
    if (report_.outcome == RunOutcome::kSucceeded) {
      error_.clear();
    } else if (!report_.findings.empty()) {
      blame(report_.findings.front());
    }
    return {.report = std::move(report_),
            .passed = passed,
            .points = std::move(findings_),
            .error = std::move(error_)};
  }

 private:
  [[nodiscard]] WallTime now() const { return context_.clock.now(); }

  void finding(const std::string& text) { report_.findings.push_back(tools_.secrets.hide(text)); }

  // The first reason for its not succeeding is the one that people read; what was not exercised and
  // the like stands in front of it among the findings.
  void blame(const std::string& why) {
    if (error_.empty()) {
      error_ = tools_.secrets.hide(why);
    }
  }

  void fail(const Error& error) {
    report_.outcome =
        error.code() == ErrorCode::kCancelled ? RunOutcome::kInterrupted : RunOutcome::kFailed;
    finding(error.message() + (error.hint().empty() ? "" : ". " + error.hint()));
    blame(error.message());
  }

  // For a look at what a drill found, also when it failed; what was interrupted goes.
  void keep_sandboxes(const std::filesystem::path& parent, DrillArea& area) {
    if (order_.keep.count() == 0 || report_.outcome == RunOutcome::kInterrupted) {
      return;
    }
    KeptArea note{.id = order_.id, .until = now() + order_.keep, .enter = {}, .outside = {}};
    const Context calm = context_.with_stop({});
    try {
      for (const std::string& source : site_.sources()) {
        const KeptStore kept = site_.sandbox(source).leave(calm);
        for (const std::string& line : kept.enter) {
          note.enter.push_back(source + ": " + line);
        }
        note.outside.insert(note.outside.end(), kept.outside.begin(), kept.outside.end());
      }
      std::vector<KeptArea> others = DrillArea::kept(parent);
      for (size_t i = 0; i + kMostKeptAreas <= others.size(); ++i) {
        DrillArea::remove(parent, others[i]);
        tools_.say("removed the sandboxes that drill " + others[i].id.substr(0, 8) + " had left");
      }
      area.keep(note);
    } catch (const Error& error) {
      finding("the sandboxes could not be kept: " + error.message());
      return;
    }
    report_.kept = note.enter;
    report_.kept_until = note.until;
  }

  void rehearse(const DrillArea& area) {
    choose_points();
    const bool fault = !order_.scenario.empty();
    report_.declared = now();  // without a fault: the restore itself is what is measured
    open_sandboxes(area);
    plan::PlanGraph graph = order_.plan
                                ? *order_.plan
                                : plan::resolve_plan(plan::default_plan(order_.sources, fault), {});
    report_.plan = order_.plan ? graph.name : "";
    report_.plan_hash = graph.hash;
    if (fault) {
      break_sandboxes();
      look_for_faults();
    }
    if (!order_.sandbox.network) {
      site_.cut_off();
    }
    if (fault || order_.plan) {
      declare();
    }
    run_plan(std::move(graph));
  }

  // The disaster. What can be brought back is asked at this instant, not when the sandboxes were
  // begun: production went on meanwhile, and so did its log.
  void declare() {
    for (const std::string& source : order_.sources) {
      newest_[source] = newest_in(tools_.stores.open(source)->ranges(context_));
    }
    report_.declared = now();
  }

  // The newest point of each source, or now and then a random older one.
  void choose_points() {
    const bool older = order_.older_point_percent > context_.random.next_u64() % 100;
    for (const std::string& source : order_.sources) {
      const std::vector<RecoveryRange> ranges = tools_.stores.open(source)->ranges(context_);
      PinnedPoint point = plan::choose_point(source, "latest", ranges, now());
      newest_[source] = newest_in(ranges);
      std::vector<const RecoveryRange*> others;
      for (const RecoveryRange& range : ranges) {
        if (!range.damaged && range.snapshot != point.snapshot) {
          others.push_back(&range);
        }
      }
      const bool take_older = older && !others.empty();
      if (take_older) {
        const auto& chosen = *others[context_.random.next_u64() % others.size()];
        point = plan::choose_point(source, "snapshot:" + chosen.snapshot, ranges, now());
      }
      report_.points.push_back({.source = source,
                                .snapshot = point.snapshot,
                                .asked = point.asked,
                                .wanted = point.wanted,
                                .captured = point.captured,
                                .reached = {},
                                .restored_bytes = 0,
                                .older = take_older,
                                .fault = {}});
      points_[source] = std::move(point);
    }
  }

  void open_sandboxes(const DrillArea& area) {
    for (DrillPoint& point : report_.points) {
      SandboxSpec sandbox = order_.sandbox;
      sandbox.directory = area.path().string();
      const PinnedPoint& pinned = points_.at(point.source);
      tools_.say("restoring " + point.source + " into a sandbox");
      SandboxSeen& seen = seen_[point.source];
      try {
        site_.add(point.source,
                  std::make_unique<WatchedSandbox>(
                      tools_.stores.open(point.source)
                          ->open_sandbox(context_, sandbox,
                                         {.moment = pinned.moment, .base = pinned.snapshot}),
                      seen));
      } catch (const Error& error) {
        seen.failure = blames_backup(error) ? error.message() : "";
        throw;
      }
    }
  }

  void break_sandboxes() {
    // What takes a region takes every store in it.
    const std::string fault = order_.scenario == "region" ? "loss" : order_.scenario;
    bool any = false;
    for (DrillPoint& point : report_.points) {
      const StoreKind* kind = find_store_kind(tools_.stores.open(point.source)->spec().kind);
      const bool known =
          kind != nullptr &&
          std::find(kind->scenarios.begin(), kind->scenarios.end(), fault) != kind->scenarios.end();
      if (!known) {
        finding("the scenario " + fault + " cannot be made real for " + point.source);
        continue;
      }
      point.fault = site_.sandbox(point.source).break_it(context_, fault);
      tools_.say(point.source + ", in its sandbox: " + point.fault);
      any = true;
    }
    if (!any) {
      throw Error(ErrorCode::kFailed,
                  "the scenario " + order_.scenario + " could not be made real for any source");
    }
  }

  // A fault that no check sees makes the drill a proof of nothing: the same checks say afterwards
  // that all is well.
  void look_for_faults() {
    for (DrillPoint& point : report_.points) {
      if (point.fault.empty()) {
        continue;
      }
      tools_.say("the checks of " + point.source + " look for it");
      const std::vector<CheckResult> checks = site_.sandbox(point.source).check(context_);
      seen_[point.source].checks.clear();  // of what was broken on purpose
      const auto seen = std::find_if(checks.begin(), checks.end(),
                                     [](const CheckResult& check) { return !check.passed; });
      if (seen == checks.end()) {
        unseen_.insert(point.source);
        finding("no check of " + point.source + " saw that " + point.fault +
                ": give the source assertions that do");
      } else {
        point.fault += tools_.secrets.hide("; seen by \"" + seen->name + "\": " + seen->value);
      }
    }
  }

  void run_plan(plan::PlanGraph graph) {
    const plan::RunTools tools{.site = site_,
                               .secrets = tools_.secrets,
                               .observer = tools_.observer,
                               .people = tools_.people};
    const plan::Preflight preflight =
        look_ahead(context_, graph, site_, tools_.secrets,
                   {.parameters = order_.parameters, .fixed = points_, .run = order_.id});
    throw_problems(graph, preflight);
    auto run = plan::PlanRun::start(context_, tools_.folder, tools, graph, preflight,
                                    {.id = order_.id,
                                     .mode = "drill",
                                     .who = report_.who,
                                     .scenario = order_.scenario,
                                     .configuration = tools_.application.file});
    if (tools_.begin) {
      tools_.begin(*run);
    }
    const plan::RunEnd end = run->execute();
    const WallTime ended = now();
    take_steps(*run);
    switch (end) {
      case plan::RunEnd::kSucceeded:
        report_.outcome = RunOutcome::kSucceeded;
        report_.service_ok = ended;
        break;
      case plan::RunEnd::kIncomplete:
        report_.outcome = RunOutcome::kIncomplete;
        report_.service_ok = ended;
        break;
      case plan::RunEnd::kInterrupted:
        report_.outcome = RunOutcome::kInterrupted;
        break;
      default:
        report_.outcome = RunOutcome::kFailed;
    }
    if (!run->error().empty()) {
      finding(run->error() + (run->hint().empty() ? "" : ". " + run->hint()));
      blame(run->error());
    }
    if (!unseen_.empty() && report_.outcome == RunOutcome::kSucceeded) {
      report_.outcome = RunOutcome::kIncomplete;
      blame("no check of " + *unseen_.begin() + " saw what was broken in it");
    }
    if (report_.checks.empty() && report_.outcome == RunOutcome::kSucceeded) {
      report_.outcome = RunOutcome::kIncomplete;
      finding(
          "nothing was checked: a restore that nobody looked into proves little. Add check, "
          "sql or http steps");
      blame("nothing was checked");
    }
    if (end == plan::RunEnd::kInterrupted) {
      // What was begun outside the sandboxes is taken back all the same.
      run.reset();
      const Context calm = context_.with_stop({});
      run = plan::PlanRun::resume(calm, tools_.folder, tools, std::move(graph), order_.id, true);
      undo(*run, end);
      run.reset();
      return;
    }
    undo(*run, end);
  }

  // What the steps did outside the sandboxes (services that were started for the drill).
  void undo(plan::PlanRun& run, plan::RunEnd end) {
    if (end == plan::RunEnd::kUndone) {
      return;
    }
    if (run.undo() != plan::RunEnd::kUndone) {
      finding("the drill could not be undone: " + run.error());
    }
  }

  void take_steps(const plan::PlanRun& run) {
    const RunState& state = run.state();
    std::vector<std::pair<uint64_t, DrillStep>> steps;
    for (const PlanNode& node : run.graph().nodes) {
      const auto it = state.steps.find(node.spec.id);
      const StepRecord record = it == state.steps.end() ? StepRecord{} : it->second;
      steps.emplace_back(record.begun_at == 0 ? UINT64_MAX : record.begun_at,
                         step_of(run, node, record));
      report_.checks.insert(report_.checks.end(), record.result.checks.begin(),
                            record.result.checks.end());
      if (record.state == StepState::kSkipped && node.spec.only == StepScope::kAlways) {
        finding("not exercised: " + node.spec.id + " (" + record.skipped + ")");
      }
      const std::string left = plan::undo_skip_reason(node, plan::Mode::kDrill);
      if (record.begun_at > 0 && !left.empty()) {
        finding("not exercised: the undo of " + node.spec.id + " (" + left + ")");
      }
      take_point(node, record);
    }
    std::stable_sort(steps.begin(), steps.end(),
                     [](const auto& a, const auto& b) { return a.first < b.first; });
    for (auto& [number, step] : steps) {
      report_.steps.push_back(std::move(step));
    }
  }

  static DrillStep step_of(const plan::PlanRun& run, const PlanNode& node,
                           const StepRecord& record) {
    DrillStep step{
        .id = node.spec.id,
        .title = node.spec.title,
        .kind = node.spec.action.kind,
        .state = std::string(name_of(record.state)),
        .started = record.began,
        .finished = record.ended,
        .attempts = record.attempts,
        .summary = record.state == StepState::kSkipped ? record.skipped : record.result.summary,
        .error = record.error,
        .checks = record.result.checks,
        .after = {}};
    for (const auto& [name, value] : record.result.facts) {
      step.network = name == "network" ? value : step.network;
    }
    if (record.state == StepState::kWaiting || record.state == StepState::kBegun) {
      step.state = record.state == StepState::kWaiting ? "not run" : "failed";
    }
    for (const size_t one : node.after) {
      step.after.push_back(run.graph().nodes[one].spec.id);
    }
    return step;
  }

  void take_point(const PlanNode& node, const StepRecord& record) {
    const std::string source = node.spec.action.settings.text("source");
    const auto it = std::find_if(report_.points.begin(), report_.points.end(),
                                 [&](const DrillPoint& one) { return one.source == source; });
    if (it == report_.points.end() || record.state != StepState::kDone) {
      return;
    }
    ready_[source] = std::max(ready_[source], record.ended);
    for (const auto& [name, value] : record.result.outputs) {
      if (name == "reached") {
        it->reached = plan::time_of(value);
      } else if (name == "bytes") {
        it->restored_bytes = std::stoull(value);
      } else if (name == "snapshot" && !value.empty()) {
        it->snapshot = value;
      }
    }
  }

  void judge_points(bool passed) {
    for (const DrillPoint& point : report_.points) {
      PointFinding finding = judge_point(seen_[point.source], passed);
      if (finding.verdict == PointVerdict::kProven && unseen_.contains(point.source)) {
        finding.verdict = PointVerdict::kNothing;  // checks that see no fault prove nothing
      }
      finding.error = tools_.secrets.hide(finding.error);
      for (CheckResult& check : finding.checks) {
        check.name = tools_.secrets.hide(check.name);
        check.value = tools_.secrets.hide(check.value);
        check.expected = tools_.secrets.hide(check.expected);
      }
      findings_[point.source] = std::move(finding);
    }
  }

  // Null: nothing was promised.
  [[nodiscard]] const ObjectiveSpec* objective(const std::string& source) const {
    const ObjectiveSpec* best = nullptr;
    for (const ObjectiveSpec& one : tools_.application.objectives) {
      const bool exact = !order_.scenario.empty() && one.scenario == order_.scenario;
      if (one.source == source && (exact || (one.scenario == "any" && best == nullptr))) {
        best = &one;
      }
    }
    return best;
  }

  void measure() {
    const bool served = report_.service_ok != WallTime{};
    const bool declared = report_.declared != WallTime{};
    std::optional<double> worst_rpo;
    std::vector<DrillMeasure> measures;
    for (const DrillPoint& point : report_.points) {
      DrillMeasure measure{.source = point.source};
      const auto ready = ready_.find(point.source);
      if (ready != ready_.end() && declared) {
        measure.rto_seconds = seconds_between(report_.declared, ready->second);
      }
      // What a failure at this instant would have lost: design, "Formulas".
      const WallTime newest = newest_[point.source];
      if (declared && newest != WallTime{}) {
        measure.rpo_seconds = std::max(0.0, seconds_between(newest, report_.declared));
        worst_rpo = std::max(worst_rpo.value_or(0), *measure.rpo_seconds);
      }
      judge(measure);
      measures.push_back(std::move(measure));
    }
    DrillMeasure whole{.source = {}, .rpo_seconds = worst_rpo};
    if (served) {
      whole.rto_seconds = seconds_between(report_.declared, report_.service_ok);
    }
    judge(whole);
    report_.measures.push_back(std::move(whole));
    report_.measures.insert(report_.measures.end(), measures.begin(), measures.end());
  }

  void judge(DrillMeasure& measure) {
    const ObjectiveSpec* promised = objective(measure.source);
    const std::string name = measure.source.empty() ? "the application" : measure.source;
    if (promised == nullptr) {
      return;
    }
    const auto hold = [&](const std::optional<double>& found, std::chrono::seconds limit,
                          std::optional<double>& shown, const char* what) {
      if (limit.count() == 0) {
        return;
      }
      shown = static_cast<double>(limit.count());
      if (found && *found > *shown) {
        measure.met = false;
        const std::string missed = fmt::format("{} of {}: measured {:.1f} s, promised {} s", what,
                                               name, *found, limit.count());
        finding(missed);
        blame(missed);
        if (report_.outcome == RunOutcome::kSucceeded) {
          report_.outcome = RunOutcome::kIncomplete;
        }
      }
      measure.met = measure.met && found.has_value();
    };
    hold(measure.rto_seconds, promised->rto, measure.rto_objective_seconds, "recovery time");
    hold(measure.rpo_seconds, promised->rpo, measure.rpo_objective_seconds, "data loss");
  }

  const Context& context_;
  const DrillTools& tools_;
  const DrillOrder& order_;
  plan::SandboxSite site_;
  DrillReport report_;
  std::string error_;  // the first thing that was wrong with it
  std::map<std::string, PinnedPoint> points_;
  std::map<std::string, WallTime> newest_;  // of each source, what can be reached
  std::map<std::string, WallTime> ready_;   // when its last step was done
  std::set<std::string> unseen_;            // sources with a fault that no check saw
  std::map<std::string, SandboxSeen> seen_;
  std::map<std::string, PointFinding> findings_;
};

std::string record_id(const std::string& id, const std::string& source) {
  // Stable, so that the same drill is never counted twice.
  return plan::text_hash(id + "/" + source).substr(0, id.size());
}

RunRecord record_of_drill(const Application& application, const DrillResult& result) {
  const DrillReport& report = result.report;
  RunRecord record{.id = report.id,
                   .kind = RunKind::kDrill,
                   .outcome = report.outcome,
                   .subject = !report.name.empty()   ? report.name
                              : !report.plan.empty() ? report.plan
                                                     : application.name,
                   .started = report.started,
                   .finished = report.finished,
                   .scenario = report.scenario,
                   .checks = report.checks,
                   .error = result.error,
                   .who = report.who,
                   .plan_hash = report.plan_hash};
  if (!report.plan.empty()) {
    record.facts.emplace_back("plan", report.plan);
  }
  return record;
}

// What the drill found out about the source's own point, whatever became of the rest.
void take_finding(const PointFinding& finding, RunRecord& record) {
  if (finding.verdict == PointVerdict::kNothing) {
    set_fact(record, kProofFact, kProofNone);
    return;
  }
  const bool proven = finding.verdict == PointVerdict::kProven;
  record.outcome = proven ? RunOutcome::kSucceeded : RunOutcome::kFailed;
  record.error = finding.error;
  if (!proven || !finding.checks.empty()) {
    record.checks = finding.checks;  // otherwise the drill's own have looked into it
  }
}

RunRecord record_of_source(const Application& application, const DrillResult& result,
                           const DrillMeasure& measure, const RunRecord& whole) {
  RunRecord record = whole;
  record.id = record_id(result.report.id, measure.source);
  record.subject = measure.source;
  record.rto_seconds = measure.rto_seconds;
  record.rpo_seconds = measure.rpo_seconds;
  if (const SourceSpec* source = find_named(application.sources, measure.source)) {
    record.repository = source->repository;
  }
  for (const DrillPoint& point : result.report.points) {
    if (point.source == measure.source) {
      record.snapshot = point.snapshot;
      record.captured = point.captured;
      record.reached = point.reached;
      record.read_bytes = point.restored_bytes;
    }
  }
  const auto finding = result.points.find(measure.source);
  take_finding(finding == result.points.end() ? PointFinding{} : finding->second, record);
  return record;
}

}  // namespace

const std::vector<std::string>& drill_scenarios() {
  static const std::vector<std::string> names{"corruption", "deletion", "migration",
                                              "loss",       "region",   "ransomware"};
  return names;
}

DrillResult run_drill(const Context& context, const DrillTools& tools, const DrillOrder& order) {
  return Drill(context, tools, order).run();
}

std::vector<RunRecord> drill_records(const Application& application, const DrillResult& result) {
  const DrillReport& report = result.report;
  RunRecord whole = record_of_drill(application, result);
  std::vector<RunRecord> records;
  for (const DrillMeasure& measure : report.measures) {
    if (measure.source.empty()) {
      whole.rto_seconds = measure.rto_seconds;
      whole.rpo_seconds = measure.rpo_seconds;
      continue;
    }
    records.push_back(record_of_source(application, result, measure, whole));
    if (whole.repository.empty()) {
      whole.repository = records.back().repository;
    }
  }
  for (const DrillPoint& point : report.points) {
    const auto finding = result.points.find(point.source);
    const bool told =
        finding != result.points.end() && finding->second.verdict != PointVerdict::kNothing;
    if (told || !result.passed) {
      whole.facts.emplace_back(kSourceFact, point.source);
    }
  }
  if (result.passed) {
    set_fact(whole, kProofFact, kProofPassed);
  }
  records.insert(records.begin(), std::move(whole));
  return records;
}

}  // namespace salvor
