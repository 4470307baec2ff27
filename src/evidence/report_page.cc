#include "evidence/report_page.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "base/format.h"
#include "model/duration_text.h"
#include "model/utc_text.h"

namespace salvor {
namespace {

constexpr size_t kTicksWanted = 7;

bool is_set(WallTime time) {
  return time != WallTime();
}

double seconds_between(WallTime from, WallTime to) {
  return std::chrono::duration<double>(to - from).count();
}

std::string objective_text(const std::optional<double>& seconds) {
  return seconds ? duration_text(*seconds) : "none";
}
std::string measured_text(const std::optional<double>& seconds) {
  return seconds ? duration_text(*seconds) : "not measured";
}
bool is_met(const std::optional<double>& measured, const std::optional<double>& objective) {
  return !objective || (measured && *measured <= *objective);
}

std::vector<ReportMeasure> measures_of(const DrillReport& report) {
  std::vector<ReportMeasure> rows;
  for (const DrillMeasure& measure : report.measures) {
    rows.push_back({.what = measure.source.empty() ? "the application" : measure.source,
                    .rto = measured_text(measure.rto_seconds),
                    .rto_objective = objective_text(measure.rto_objective_seconds),
                    .rpo = measured_text(measure.rpo_seconds),
                    .rpo_objective = objective_text(measure.rpo_objective_seconds),
                    .rto_met = is_met(measure.rto_seconds, measure.rto_objective_seconds),
                    .rpo_met = is_met(measure.rpo_seconds, measure.rpo_objective_seconds)});
  }
  return rows;
}

std::string against(const std::optional<double>& objective) {
  return objective ? " (objective " + duration_text(*objective) + ")" : "";
}

size_t failed_checks(const DrillReport& report) {
  return static_cast<size_t>(std::count_if(report.checks.begin(), report.checks.end(),
                                           [](const CheckResult& check) { return !check.passed; }));
}

std::string plural(size_t count, const std::string& one) {
  return fmt::format("{} {}{}", count, one, count == 1 ? "" : "s");
}

// The application's own measure, else the worst that was measured.
const DrillMeasure* leading_measure(const DrillReport& report) {
  for (const DrillMeasure& measure : report.measures) {
    if (measure.source.empty()) {
      return &measure;
    }
  }
  return report.measures.empty() ? nullptr : report.measures.data();
}

std::string sentence_of(const DrillReport& report) {
  std::string text;
  if (report.outcome == RunOutcome::kSucceeded) {
    const DrillMeasure* measure = leading_measure(report);
    text = "Everything was recovered";
    if (measure != nullptr && measure->rto_seconds) {
      text +=
          " in " + duration_text(*measure->rto_seconds) + against(measure->rto_objective_seconds);
    }
    if (measure != nullptr && measure->rpo_seconds) {
      text += ", losing " + duration_text(*measure->rpo_seconds) + " of data" +
              against(measure->rpo_objective_seconds);
    }
    text += ".";
  } else {
    text = "The drill ended as \"" + std::string(name_of(report.outcome)) +
           "\": this recovery is not proven.";
  }
  if (const size_t failed = failed_checks(report); failed > 0) {
    text += fmt::format(" {} of {} failed.", failed, plural(report.checks.size(), "check"));
  } else if (!report.checks.empty()) {
    text += " " +
            (report.checks.size() == 1 ? std::string("The one check")
                                       : fmt::format("All {} checks", report.checks.size())) +
            " passed.";
  } else {
    text += " Nothing was checked.";
  }
  const auto missed = std::count_if(report.measures.begin(), report.measures.end(),
                                    [](const DrillMeasure& measure) { return !measure.met; });
  if (missed > 0) {
    text += " An objective was missed.";
  }
  return text;
}

Mark mark_of(const DrillStep& step) {
  return step.state == "done" ? Mark::kGood : step.state == "failed" ? Mark::kBad : Mark::kNeutral;
}

// The smallest step of these that gives few enough ticks.
double tick_seconds(double total) {
  static constexpr double kSteps[] = {0.1, 0.2, 0.5, 1,   2,    5,    10,   15,    30,    60,
                                      120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200};
  for (const double step : kSteps) {
    if (total / step <= kTicksWanted) {
      return step;
    }
  }
  return total / kTicksWanted;
}

// A step, or what went before them.
ReportBar bar_of(const DrillStep& step, WallTime end) {
  ReportBar bar{.title = step.title.empty() ? step.id : step.title,
                .kind = step.kind,
                .text = {},
                .state = step.state,
                .mark = mark_of(step)};
  if (is_set(step.started)) {
    bar.shown = true;
    bar.note =
        duration_text(seconds_between(step.started, is_set(step.finished) ? step.finished : end));
  }
  const std::string& more = step.error.empty() ? step.summary : step.error;
  bar.text = bar.note + (more.empty() || bar.note.empty() ? "" : ", ") + more;
  if (bar.state != "done") {
    bar.text = bar.state + (bar.text.empty() ? "" : ": " + bar.text);
    bar.note = bar.state + (bar.note.empty() ? "" : ", " + bar.note);
  }
  return bar;
}

// What the sandboxes took, as the first step of the picture.
std::optional<DrillStep> preparation(const DrillReport& report) {
  if (!is_set(report.declared) || report.declared <= report.started) {
    return {};
  }
  DrillStep step;
  step.title = "prepare sandboxes";
  step.state = "done";
  step.started = report.started;
  step.finished = report.declared;
  return step;
}

ReportTimeline timeline_of(const DrillReport& report) {
  ReportTimeline line;
  WallTime begin = report.started;
  WallTime end = report.finished;
  for (const DrillStep& step : report.steps) {
    if (is_set(step.started)) {
      begin = std::min(begin, step.started);
      end = std::max({end, step.started, step.finished});
    }
  }
  const double total = seconds_between(begin, end);
  if (!(total > 0)) {
    return line;
  }
  const auto share = [&](WallTime time) {
    return std::clamp(seconds_between(begin, time) / total, 0.0, 1.0);
  };
  const auto add = [&](const DrillStep& step) -> ReportBar& {
    ReportBar bar = bar_of(step, end);
    if (bar.shown) {
      bar.from = share(step.started);
      bar.to = share(is_set(step.finished) ? step.finished : end);
    }
    line.summary += (line.summary.empty() ? "" : "; ") + bar.title + ": " + bar.text;
    return line.bars.emplace_back(std::move(bar));
  };
  if (const auto before = preparation(report); before && !report.steps.empty()) {
    add(*before).mark = Mark::kNeutral;
  }
  for (const DrillStep& step : report.steps) {
    if (step.state != "skipped") {
      add(step);
    }
  }
  const WallTime zero = is_set(report.declared) ? report.declared : begin;
  const double first = seconds_between(zero, begin);
  const double step = tick_seconds(total);
  for (auto number = static_cast<long>(std::ceil(first / step));
       static_cast<double>(number) * step <= first + total * 1.0001; ++number) {
    const double at = static_cast<double>(number) * step;
    line.ticks.push_back({(at - first) / total, number == 0 ? "0" : duration_text(at)});
  }
  if (is_set(report.declared)) {
    line.declared = share(report.declared);
  }
  if (is_set(report.service_ok)) {
    line.service_ok = share(report.service_ok);
  }
  return line;
}

std::vector<ReportStep> steps_of(const DrillReport& report) {
  std::vector<ReportStep> steps;
  for (const DrillStep& step : report.steps) {
    const bool ran = is_set(step.started) && is_set(step.finished);
    steps.push_back({.title = step.title.empty() ? step.id : step.title,
                     .state = step.state,
                     .took = ran ? duration_text(seconds_between(step.started, step.finished)) : "",
                     .after = ran && is_set(report.declared) && step.finished >= report.declared
                                  ? duration_text(seconds_between(report.declared, step.finished))
                                  : "",
                     .what = step.error.empty() ? step.summary : step.error,
                     .mark = mark_of(step)});
  }
  return steps;
}

void add_fact(ReportPage& page, std::string name, std::string value) {
  if (!value.empty()) {
    page.facts.emplace_back(std::move(name), std::move(value));
  }
}

void add_signature(ReportPage& page, const Evidence& evidence) {
  page.believed = evidence.problem.empty() && !evidence.key_id.empty();
  page.signature = page.believed ? "The signature was verified when this page was made."
                                 : "This evidence cannot be believed: " + evidence.problem + ".";
  if (!evidence.key_id.empty()) {
    page.signature_facts.emplace_back("Key", evidence.key_id);
  }
  page.signature_facts.emplace_back("SHA-256 of the file", evidence.sha256);
  const std::string file = evidence.report.id.substr(0, 8) + ".dsse.json";
  page.how_to_verify = {
      "salvor evidence export " + evidence.report.id.substr(0, 8) + " --output " + file,
      "sha256sum " + file, "salvor evidence verify " + file + " --key evidence-public.pem"};
}

}  // namespace

ReportPage report_page(const Evidence& evidence) {
  const DrillReport& report = evidence.report;
  ReportPage page;
  page.title = "Recovery drill of " + report.application +
               (report.environment.empty() ? "" : " (" + report.environment + ")");
  add_signature(page, evidence);
  page.passed = drill_passed(report) && page.believed;
  page.verdict = !page.believed ? "NOT VERIFIED" : page.passed ? "PASSED" : "FAILED";
  page.sentence = sentence_of(report);
  add_fact(page, "Scenario", report.scenario.empty() ? "no fault" : report.scenario);
  for (const DrillPoint& point : report.points) {
    add_fact(page, "Broken in " + point.source, point.fault);
  }
  add_fact(page, "When",
           utc_text(report.started) + ", " +
               duration_text(seconds_between(report.started, report.finished)));
  add_fact(page, "Drill", report.name.empty() ? "by hand" : report.name);
  add_fact(page, "Plan",
           report.plan.empty() ? "every source restored, started and checked" : report.plan);
  add_fact(page, "Plan's SHA-256", report.plan_hash);
  add_fact(page, "Sandbox", report.sandbox);
  add_fact(page, "Run by", report.who);
  add_fact(page, "Program", report.program);
  add_fact(page, "Evidence", report.id);
  page.measures = measures_of(report);
  for (const DrillPoint& point : report.points) {
    page.points.push_back({point.source + (point.older ? " (an older point)" : ""),
                           point.snapshot.substr(0, 8), point.asked,
                           point.reached ? utc_text(*point.reached) : "not reached",
                           format_bytes(point.restored_bytes)});
  }
  page.timeline = timeline_of(report);
  page.steps = steps_of(report);
  for (const CheckResult& check : report.checks) {
    page.checks.push_back({.name = check.name,
                           .value = check.value,
                           .expected = check.expected,
                           .duration = check.seconds > 0 ? duration_text(check.seconds) : "",
                           .passed = check.passed});
  }
  page.findings = report.findings;
  return page;
}

std::string report_text(const ReportPage& page) {
  std::string out = page.verdict + "  " + printable(page.title) + "\n" + page.sentence + "\n\n";
  for (const auto& [name, value] : page.facts) {
    out += fmt::format("{:<16} {}\n", printable(name), printable(value));
  }
  out += "\nMeasured against the objectives:\n";
  for (const ReportMeasure& row : page.measures) {
    out += fmt::format("  {:<7} {}: recovery time {} (objective {}), data loss {} (objective {})\n",
                       row.rto_met && row.rpo_met ? "met" : "MISSED", printable(row.what), row.rto,
                       row.rto_objective, row.rpo, row.rpo_objective);
  }
  out += page.steps.empty() ? "" : "\nSteps:\n";
  for (const ReportStep& step : page.steps) {
    out += fmt::format("  {}: {}{}{}{}\n", printable(step.title), printable(step.state),
                       step.took.empty() ? "" : " in " + step.took,
                       step.after.empty() ? "" : ", " + step.after + " after the failure",
                       step.what.empty() ? "" : ": " + printable(step.what));
  }
  out += page.checks.empty() ? "" : "\nChecks:\n";
  for (const ReportCheck& check : page.checks) {
    out += fmt::format("  {:<7} {}: {}{}\n", check.passed ? "ok" : "FAILED", printable(check.name),
                       printable(check.value),
                       check.expected.empty() || check.expected == check.value
                           ? ""
                           : " (expected " + printable(check.expected) + ")");
  }
  out += page.findings.empty() ? "" : "\nFindings:\n";
  for (const std::string& finding : page.findings) {
    out += "  " + printable(finding) + "\n";
  }
  out += "\n" + printable(page.signature) + "\n";
  for (const auto& [name, value] : page.signature_facts) {
    out += name + ": " + value + "\n";
  }
  return out;
}

}  // namespace salvor
