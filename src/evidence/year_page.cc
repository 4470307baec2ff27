#include "evidence/year_page.h"

#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "model/count_text.h"
#include "model/duration_text.h"
#include "model/schedule.h"
#include "model/utc_text.h"

namespace salvor {
namespace {

constexpr std::array<const char*, 12> kMonths{"January",   "February", "March",    "April",
                                              "May",       "June",     "July",     "August",
                                              "September", "October",  "November", "December"};

SysSeconds first_of(int year, unsigned month) {
  return std::chrono::sys_days(std::chrono::year(year) / std::chrono::month(month) / 1);
}

std::string scenario_name(const std::string& scenario) {
  return scenario.empty() ? "no fault" : scenario;
}

struct Tally {
  YearScenario row;
  std::vector<double> times;
  std::optional<double> objective;
};

void finish(Tally& tally) {
  YearMonth& total = tally.row.total;
  for (const YearMonth& month : tally.row.months) {
    total.run += month.run;
    total.passed += month.passed;
    total.expected += month.expected;
  }
  const size_t of = std::max(total.expected, total.run);
  tally.row.rate = of == 0 ? "-"
                           : fmt::format("{:.0f} %", 100.0 * static_cast<double>(total.passed) /
                                                         static_cast<double>(of));
  std::vector<double>& times = tally.times;
  std::sort(times.begin(), times.end());
  if (!times.empty()) {
    tally.row.best = duration_text(times.front());
    tally.row.median = duration_text(times[(times.size() - 1) / 2]);
    tally.row.worst = duration_text(times.back());
  }
  tally.row.objective = tally.objective ? duration_text(*tally.objective) : "none";
}

const DrillMeasure* leading_measure(const DrillReport& report) {
  return report.measures.empty() ? nullptr : report.measures.data();
}

YearEvidence row_of(const Evidence& evidence) {
  const DrillReport& report = evidence.report;
  const DrillMeasure* measure = leading_measure(report);
  const auto text = [](const std::optional<double>& seconds) {
    return seconds ? duration_text(*seconds) : std::string("-");
  };
  return {.date = utc_date(report.started),
          .scenario = scenario_name(report.scenario),
          .rto = text(measure == nullptr ? std::nullopt : measure->rto_seconds),
          .rpo = text(measure == nullptr ? std::nullopt : measure->rpo_seconds),
          .id = report.id,
          .sha256 = evidence.sha256,
          .problem = evidence.problem,
          .passed = drill_passed(report) && evidence.problem.empty()};
}

void count(Tally& tally, const Evidence& evidence) {
  YearMonth& month = tally.row.months.at(utc_month(evidence.report.started) - 1);
  ++month.run;
  month.passed += drill_passed(evidence.report) ? 1 : 0;
  const DrillMeasure* measure = leading_measure(evidence.report);
  if (measure != nullptr && measure->rto_seconds) {
    tally.times.push_back(*measure->rto_seconds);
  }
  if (measure != nullptr && measure->rto_objective_seconds) {
    tally.objective = measure->rto_objective_seconds;
  }
}

// `met`: how many of those that were expected were run.
std::string sentence_of(const YearMonth& total, size_t met, size_t unbelieved, bool known) {
  const auto were = [](size_t count) { return count == 1 ? "was" : "were"; };
  std::string text;
  if (known && total.expected == 0) {
    text = fmt::format("No drill was due yet, {} {} run", total.run, were(total.run));
  } else if (known) {
    const size_t more = total.run - met;
    text = fmt::format("{} of {} {} run", met, counted(total.expected, "expected drill"),
                       were(total.expected));
    text += more == 0 ? "" : fmt::format(", and {} that nobody had asked for", more);
  } else {
    text = fmt::format("{} {} run", counted(total.run, "drill"), were(total.run));
  }
  text += fmt::format("; {} of {} passed.", total.passed, total.run);
  if (unbelieved > 0) {
    text += fmt::format(" {} {} not authentic and {} not count.", unbelieved,
                        unbelieved == 1 ? "piece of evidence is" : "pieces of evidence are",
                        unbelieved == 1 ? "does" : "do");
  }
  return text;
}

}  // namespace

std::string YearMonth::text() const {
  if (run == 0 && expected == 0) {
    return "-";
  }
  return fmt::format("{} of {}", passed, std::max(run, expected));
}

ExpectedYear expected_drills(const Application& application, int year, WallTime since,
                             WallTime until) {
  std::map<std::string, ExpectedDrills> by_scenario;
  const auto begin = std::chrono::ceil<std::chrono::seconds>(since) - std::chrono::seconds(1);
  const auto end = std::chrono::floor<std::chrono::seconds>(until);
  for (const DrillSpec& drill : application.drills) {
    if (drill.schedule.empty()) {
      continue;
    }
    const std::string& zone = drill.time_zone.empty() ? application.time_zone : drill.time_zone;
    const Schedule schedule = Schedule::parse(drill.schedule, TimeZone::named(zone));
    ExpectedDrills& expected = by_scenario[scenario_name(drill.scenario)];
    expected.scenario = scenario_name(drill.scenario);
    for (unsigned month = 1; month <= 12; ++month) {
      // After the last second of the month before, up to the last of this one.
      const SysSeconds from =
          std::max<SysSeconds>(first_of(year, month) - std::chrono::seconds(1), begin);
      const SysSeconds to =
          std::min<SysSeconds>((month == 12 ? first_of(year + 1, 1) : first_of(year, month + 1)) -
                                   std::chrono::seconds(1),
                               end);
      if (to > from) {
        expected.months.at(month - 1) += schedule.count(from, to);
      }
    }
  }
  ExpectedYear all{.since = since};
  for (auto& [scenario, expected] : by_scenario) {
    all.drills.push_back(std::move(expected));
  }
  return all;
}

YearPage year_page(int year, const std::string& application, std::span<const Evidence> evidence,
                   const std::optional<ExpectedYear>& expected) {
  YearPage page;
  page.title = fmt::format("Recovery drills of {} in {}", application, year);
  std::map<std::string, Tally> tallies;
  if (expected) {
    for (const ExpectedDrills& one : expected->drills) {
      for (size_t month = 0; month < 12; ++month) {
        tallies[one.scenario].row.months[month].expected += one.months[month];
      }
    }
  }
  size_t unbelieved = 0;
  for (const Evidence& one : evidence) {
    if (utc_year(one.report.started) != year) {
      continue;
    }
    page.evidence.push_back(row_of(one));
    if (one.problem.empty()) {
      count(tallies[scenario_name(one.report.scenario)], one);
    } else {
      ++unbelieved;
    }
  }
  std::stable_sort(page.evidence.begin(), page.evidence.end(),
                   [](const YearEvidence& a, const YearEvidence& b) { return a.date < b.date; });
  YearMonth total;
  size_t met = 0;  // of those that were expected
  for (auto& [scenario, tally] : tallies) {
    tally.row.scenario = scenario;
    finish(tally);
    total.run += tally.row.total.run;
    total.passed += tally.row.total.passed;
    total.expected += tally.row.total.expected;
    for (size_t month = 0; month < 12; ++month) {
      const YearMonth& cell = tally.row.months.at(month);
      met += std::min(cell.run, cell.expected);
      if (cell.run < cell.expected) {
        page.gaps.push_back(fmt::format("{}: {}: {} of {} expected drills were run",
                                        kMonths.at(month), scenario, cell.run, cell.expected));
      }
    }
    page.scenarios.push_back(std::move(tally.row));
  }
  const bool all_passed = total.run > 0 && total.passed >= std::max(total.run, total.expected) &&
                          unbelieved == 0 && page.gaps.empty();
  // Whether something is missing, only the schedules say.
  page.good = all_passed && expected.has_value();
  page.verdict = page.good               ? "COMPLETE"
                 : page.evidence.empty() ? "NO EVIDENCE"
                 : all_passed            ? "NOT KNOWN WHETHER COMPLETE"
                                         : "NOT COMPLETE";
  page.sentence = sentence_of(total, met, unbelieved, expected.has_value());
  page.basis = !expected ? "No configuration was at hand: how many drills were expected is not "
                           "known."
                         : "Expected: what the schedules of the configuration, as it was when this "
                           "page was made, ask for" +
                               (utc_year(expected->since) < year
                                    ? std::string(".")
                                    : " from " + utc_date(expected->since) +
                                          " on, the day of the first run that is recorded.");
  return page;
}

}  // namespace salvor
