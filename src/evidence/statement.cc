#include "evidence/statement.h"

#include <algorithm>

#include "base/error.h"
#include "base/format.h"
#include "evidence/dsse.h"
#include "evidence/json.h"

namespace salvor {
namespace {

constexpr size_t kItemsLimit = 10'000;  // of each list

[[noreturn]] void fail(const std::string& what) {
  throw Error(ErrorCode::kDamaged, what);
}

Json optional_time(const std::optional<WallTime>& time) {
  return time ? Json::time(*time) : Json();
}
// The epoch stands for "never".
Json time_or_null(WallTime time) {
  return time == WallTime() ? Json() : Json::time(time);
}
Json optional_number(const std::optional<double>& number) {
  return number ? Json(*number) : Json();
}

Json encode(const CheckResult& check) {
  return Json::Object{{"name", check.name},
                      {"passed", check.passed},
                      {"value", check.value},
                      {"expected", check.expected},
                      {"seconds", check.seconds}};
}

template <class Value, class Encode>
Json list_of(const std::vector<Value>& values, Encode encode_one) {
  Json::Array array;
  for (const Value& value : values) {
    array.emplace_back(encode_one(value));
  }
  return array;
}

Json checks_of(const std::vector<CheckResult>& checks) {
  return list_of(checks, [](const CheckResult& check) { return encode(check); });
}
Json texts_of(const std::vector<std::string>& texts) {
  return list_of(texts, [](const std::string& text) { return Json(text); });
}

Json encode(const DrillPoint& point) {
  return Json::Object{{"source", point.source},
                      {"snapshot", point.snapshot},
                      {"asked", point.asked},
                      {"wanted", time_or_null(point.wanted)},
                      {"captured", optional_time(point.captured)},
                      {"reached", optional_time(point.reached)},
                      {"restoredBytes", Json::bytes(point.restored_bytes)},
                      {"older", point.older},
                      {"fault", point.fault}};
}

Json encode(const DrillStep& step) {
  return Json::Object{{"id", step.id},
                      {"title", step.title},
                      {"kind", step.kind},
                      {"state", step.state},
                      {"started", time_or_null(step.started)},
                      {"finished", time_or_null(step.finished)},
                      {"attempts", Json::integer(step.attempts)},
                      {"summary", step.summary},
                      {"error", step.error},
                      {"checks", checks_of(step.checks)},
                      {"after", texts_of(step.after)},
                      {"network", step.network}};
}

Json encode(const DrillMeasure& measure) {
  return Json::Object{{"source", measure.source},
                      {"rtoSeconds", optional_number(measure.rto_seconds)},
                      {"rpoSeconds", optional_number(measure.rpo_seconds)},
                      {"rtoObjectiveSeconds", optional_number(measure.rto_objective_seconds)},
                      {"rpoObjectiveSeconds", optional_number(measure.rpo_objective_seconds)},
                      {"met", measure.met}};
}

bool is_sha256(std::string_view text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

// What the statement is about, each by its SHA-256: the snapshots (their id is one) and the plan.
Json subjects_of(const DrillReport& report) {
  Json::Array subjects;
  const auto add = [&](const std::string& name, const std::string& hash) {
    if (is_sha256(hash)) {
      subjects.emplace_back(
          Json::Object{{"name", name}, {"digest", Json::Object{{"sha256", hash}}}});
    }
  };
  for (const DrillPoint& point : report.points) {
    add("snapshot of " + point.source, point.snapshot);
  }
  add(report.plan.empty() ? "plan" : "plan " + report.plan, report.plan_hash);
  return subjects;
}

const Json::Array& limited(const Json& json, std::string_view key) {
  const Json::Array& array = json.array_or_empty(key);
  if (array.size() > kItemsLimit) {
    fail("\"" + std::string(key) + "\" is too long");
  }
  return array;
}

std::vector<CheckResult> decode_checks(const Json& json) {
  std::vector<CheckResult> checks;
  for (const Json& one : limited(json, "checks")) {
    checks.push_back({.name = one.text_at("name"),
                      .passed = one.flag_or("passed", false),
                      .value = one.text_or("value", ""),
                      .expected = one.text_or("expected", ""),
                      .seconds = one.real_at("seconds").value_or(0)});
  }
  return checks;
}

std::vector<std::string> decode_texts(const Json& json, std::string_view key) {
  std::vector<std::string> texts;
  for (const Json& one : limited(json, key)) {
    texts.push_back(one.as_text(key));
  }
  return texts;
}

DrillPoint decode_point(const Json& json) {
  return {.source = json.text_at("source"),
          .snapshot = json.text_or("snapshot", ""),
          .asked = json.text_or("asked", ""),
          .wanted = json.time_at("wanted").value_or(WallTime()),
          .captured = json.time_at("captured"),
          .reached = json.time_at("reached"),
          .restored_bytes = json.number_or("restoredBytes", 0),
          .older = json.flag_or("older", false),
          .fault = json.text_or("fault", "")};
}

DrillStep decode_step(const Json& json) {
  return {.id = json.text_at("id"),
          .title = json.text_or("title", ""),
          .kind = json.text_or("kind", ""),
          .state = json.text_or("state", ""),
          .started = json.time_at("started").value_or(WallTime()),
          .finished = json.time_at("finished").value_or(WallTime()),
          .attempts =
              static_cast<unsigned>(std::min<uint64_t>(json.number_or("attempts", 0), 1'000'000)),
          .summary = json.text_or("summary", ""),
          .error = json.text_or("error", ""),
          .checks = decode_checks(json),
          .after = decode_texts(json, "after"),
          .network = json.text_or("network", "")};
}

DrillMeasure decode_measure(const Json& json) {
  return {.source = json.text_or("source", ""),
          .rto_seconds = json.real_at("rtoSeconds"),
          .rpo_seconds = json.real_at("rpoSeconds"),
          .rto_objective_seconds = json.real_at("rtoObjectiveSeconds"),
          .rpo_objective_seconds = json.real_at("rpoObjectiveSeconds"),
          .met = json.flag_or("met", false)};
}

RunOutcome decode_outcome(const Json& json) {
  const std::string& name = json.text_at("outcome");
  const std::optional<RunOutcome> outcome = run_outcome(name);
  if (!outcome) {
    fail("\"" + printable(name) + "\" is not an outcome");
  }
  return *outcome;
}

DrillReport decode_predicate(const Json& json) {
  DrillReport report;
  report.id = json.text_at("id");
  if (report.id.empty() || report.id.size() > 64 ||
      report.id.find_first_not_of("0123456789abcdef") != std::string::npos) {
    fail("\"id\" is not the id of a run");
  }
  report.name = json.text_or("drill", "");
  report.application = json.text_or("application", "");
  report.environment = json.text_or("environment", "");
  report.scenario = json.text_or("scenario", "");
  report.sandbox = json.text_or("sandbox", "");
  report.who = json.text_or("who", "");
  report.program = json.text_or("program", "");
  report.outcome = decode_outcome(json);
  const Json& plan = json.at("plan");
  report.plan = plan.text_or("name", "");
  report.plan_hash = plan.text_or("sha256", "");
  const Json& time = json.at("time");
  report.started = time.time_at("started").value_or(WallTime());
  report.declared = time.time_at("declared").value_or(WallTime());
  report.service_ok = time.time_at("serviceOk").value_or(WallTime());
  report.finished = time.time_at("finished").value_or(WallTime());
  for (const Json& one : limited(json, "points")) {
    report.points.push_back(decode_point(one));
  }
  for (const Json& one : limited(json, "steps")) {
    report.steps.push_back(decode_step(one));
  }
  report.checks = decode_checks(json);
  for (const Json& one : limited(json, "measures")) {
    report.measures.push_back(decode_measure(one));
  }
  report.findings = decode_texts(json, "findings");
  return report;
}

}  // namespace

bool drill_passed(const DrillReport& report) {
  return report.outcome == RunOutcome::kSucceeded &&
         std::all_of(report.checks.begin(), report.checks.end(),
                     [](const CheckResult& check) { return check.passed; }) &&
         std::all_of(report.measures.begin(), report.measures.end(),
                     [](const DrillMeasure& measure) { return measure.met; });
}

std::string encode_statement(const DrillReport& report) {
  Json predicate = Json::Object{
      {"id", report.id},
      {"application", report.application},
      {"environment", report.environment},
      {"drill", report.name},
      {"scenario", report.scenario},
      {"sandbox", report.sandbox},
      {"who", report.who},
      {"program", report.program},
      {"outcome", name_of(report.outcome)},
      {"passed", drill_passed(report)},
      {"plan", Json::Object{{"name", report.plan}, {"sha256", report.plan_hash}}},
      {"time", Json::Object{{"started", time_or_null(report.started)},
                            {"declared", time_or_null(report.declared)},
                            {"serviceOk", time_or_null(report.service_ok)},
                            {"finished", time_or_null(report.finished)}}},
      {"points", list_of(report.points, [](const DrillPoint& one) { return encode(one); })},
      {"steps", list_of(report.steps, [](const DrillStep& one) { return encode(one); })},
      {"checks", checks_of(report.checks)},
      {"measures", list_of(report.measures, [](const DrillMeasure& one) { return encode(one); })},
      {"findings", texts_of(report.findings)}};
  return Json(Json::Object{{"_type", kStatementType},
                           {"subject", subjects_of(report)},
                           {"predicateType", kDrillPredicate},
                           {"predicate", std::move(predicate)}})
      .text();
}

DrillReport decode_statement(std::string_view text) {
  const Json json = Json::parse(text, kEnvelopeLimit);
  if (const std::string& type = json.text_at("_type"); type != kStatementType) {
    fail("it is no in-toto statement of version 1 but \"" + printable(type.substr(0, 100)) + "\"");
  }
  if (const std::string& predicate = json.text_at("predicateType"); predicate != kDrillPredicate) {
    fail("its predicate is \"" + printable(predicate.substr(0, 100)) +
         "\", which this program does not know");
  }
  DrillReport report = decode_predicate(json.at("predicate"));
  // Who reads only the subjects, as tools for in-toto do, must be told the same.
  if (json.at("subject") != subjects_of(report)) {
    fail("its subjects are not the points and the plan that it is about");
  }
  return report;
}

}  // namespace salvor
