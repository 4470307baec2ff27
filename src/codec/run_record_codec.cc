#include "codec/run_record_codec.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/error.h"
#include "codec/go_json.h"
#include "codec/json_reader.h"

namespace salvor {
namespace {

using json_reader::fail;
using json_reader::for_each_field;
using json_reader::Value;

constexpr size_t kIdDigits = 32;

bool is_run_id(std::string_view id) {
  return id.size() == kIdDigits && std::all_of(id.begin(), id.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

Timestamp utc(WallTime time) {
  const auto whole = std::chrono::floor<std::chrono::seconds>(time);
  return {whole.time_since_epoch().count(), static_cast<uint32_t>((time - whole).count()), 0};
}

// One object after the other, without what says nothing.
class Writer {
 public:
  void key(std::string_view name) {
    if (out_.back() != '{') {
      out_ += ',';
    }
    append_json_string(out_, name);
    out_ += ':';
  }
  void text(std::string_view name, std::string_view value) {
    if (!value.empty()) {
      key(name);
      append_json_string(out_, value);
    }
  }
  void number(std::string_view name, uint64_t value) {
    if (value != 0) {
      key(name);
      append_decimal(out_, value);
    }
  }
  void number(std::string_view name, double value) {
    if (std::isfinite(value)) {
      char digits[64];
      const auto [end, error] = std::to_chars(digits, digits + sizeof digits, value);
      key(name);
      out_.append(digits, end);
    }
  }
  void number(std::string_view name, const std::optional<double>& value) {
    if (value) {
      number(name, *value);
    }
  }
  void time(std::string_view name, WallTime value) {
    if (value != WallTime{}) {
      key(name);
      out_ += '"';
      append_go_time(out_, utc(value));
      out_ += '"';
    }
  }
  void time(std::string_view name, const std::optional<WallTime>& value) {
    if (value) {
      time(name, *value);
    }
  }
  void flag(std::string_view name, bool value) {
    key(name);
    out_ += value ? "true" : "false";
  }
  void raw(std::string_view text) { out_ += text; }
  [[nodiscard]] bool ends_with(char c) const { return out_.back() == c; }
  [[nodiscard]] std::string take() { return std::move(out_); }

 private:
  std::string out_ = "{";
};

void write_checks(Writer& json, const std::vector<CheckResult>& checks) {
  if (checks.empty()) {
    return;
  }
  json.key("checks");
  json.raw("[");
  for (const CheckResult& check : checks) {
    json.raw(json.ends_with('[') ? "{" : ",{");
    json.text("name", check.name);
    json.flag("passed", check.passed);
    json.text("value", check.value);
    json.text("expected", check.expected);
    json.number("seconds", check.seconds);
    json.raw("}");
  }
  json.raw("]");
}

void write_facts(Writer& json, const TextMap& facts) {
  if (facts.empty()) {
    return;
  }
  // Pairs, not an object: their order is the store's, and a name may come twice.
  json.key("facts");
  json.raw("[");
  for (const auto& [name, value] : facts) {
    std::string pair = json.ends_with('[') ? "[" : ",[";
    append_json_string(pair, name);
    pair += ',';
    append_json_string(pair, value);
    json.raw(pair + "]");
  }
  json.raw("]");
}

std::string text_of(Value& value) {
  std::string text;
  json_reader::read_string(value, text);
  return text;
}

WallTime time_of(Value& value) {
  return json_reader::read_time(value).wall();
}

CheckResult read_check(Value& value) {
  CheckResult check;
  for_each_field(value.get_object().value(), [&](std::string_view name, Value& field) {
    if (name == "name") {
      check.name = text_of(field);
    } else if (name == "passed") {
      check.passed = field.get_bool().value();
    } else if (name == "value") {
      check.value = text_of(field);
    } else if (name == "expected") {
      check.expected = text_of(field);
    } else if (name == "seconds") {
      check.seconds = field.get_double().value();
    }
  });
  return check;
}

TextMap read_facts(Value& value) {
  TextMap facts;
  for (auto element : value.get_array()) {
    std::vector<std::string> pair;
    Value inner = element.value();
    for (auto part : inner.get_array()) {
      Value text = part.value();
      pair.push_back(text_of(text));
    }
    if (pair.size() != 2) {
      fail("a fact is not a name and a value");
    }
    facts.emplace_back(std::move(pair[0]), std::move(pair[1]));
  }
  return facts;
}

template <class Enum>
Enum known(std::optional<Enum> found, std::string_view what) {
  if (!found) {
    fail(what);
  }
  return *found;
}

bool read_text_field(std::string_view name, Value& value, RunRecord& record) {
  std::string* const target = name == "id"           ? &record.id
                              : name == "subject"    ? &record.subject
                              : name == "repository" ? &record.repository
                              : name == "snapshot"   ? &record.snapshot
                              : name == "scenario"   ? &record.scenario
                              : name == "error"      ? &record.error
                              : name == "hint"       ? &record.hint
                              : name == "who"        ? &record.who
                              : name == "plan-hash"  ? &record.plan_hash
                                                     : nullptr;
  if (target != nullptr) {
    *target = text_of(value);
  }
  return target != nullptr;
}

bool read_time_field(std::string_view name, Value& value, RunRecord& record) {
  if (name == "due") {
    record.due = time_of(value);
  } else if (name == "started") {
    record.started = time_of(value);
  } else if (name == "finished") {
    record.finished = time_of(value);
  } else if (name == "captured") {
    record.captured = time_of(value);
  } else if (name == "reached") {
    record.reached = time_of(value);
  } else {
    return false;
  }
  return true;
}

bool read_number_field(std::string_view name, Value& value, RunRecord& record) {
  if (name == "read-bytes") {
    record.read_bytes = value.get_uint64().value();
  } else if (name == "added-bytes") {
    record.added_bytes = value.get_uint64().value();
  } else if (name == "items") {
    record.items = value.get_uint64().value();
  } else if (name == "rto-seconds") {
    record.rto_seconds = value.get_double().value();
  } else if (name == "rpo-seconds") {
    record.rpo_seconds = value.get_double().value();
  } else {
    return false;
  }
  return true;
}

void read_field(std::string_view name, Value& value, RunRecord& record) {
  if (read_text_field(name, value, record) || read_time_field(name, value, record) ||
      read_number_field(name, value, record)) {
    return;
  }
  if (name == "version") {
    if (value.get_uint64().value() > static_cast<uint64_t>(kRunRecordVersion)) {
      fail("it was written by a newer Salvor");
    }
  } else if (name == "kind") {
    record.kind = known(run_kind(text_of(value)), "unknown kind of run");
  } else if (name == "outcome") {
    record.outcome = known(run_outcome(text_of(value)), "unknown outcome");
  } else if (name == "checks") {
    for (auto element : value.get_array()) {
      Value check = element.value();
      record.checks.push_back(read_check(check));
    }
  } else if (name == "facts") {
    record.facts = read_facts(value);
  }
}

}  // namespace

std::string encode_run_record(const RunRecord& record) {
  Writer json;
  json.number("version", uint64_t{kRunRecordVersion});
  json.text("id", record.id);
  json.text("kind", name_of(record.kind));
  json.text("outcome", name_of(record.outcome));
  json.text("subject", record.subject);
  json.text("repository", record.repository);
  json.time("due", record.due);
  json.time("started", record.started);
  json.time("finished", record.finished);
  json.text("snapshot", record.snapshot);
  json.time("captured", record.captured);
  json.time("reached", record.reached);
  json.number("read-bytes", record.read_bytes);
  json.number("added-bytes", record.added_bytes);
  json.number("items", record.items);
  json.text("scenario", record.scenario);
  json.number("rto-seconds", record.rto_seconds);
  json.number("rpo-seconds", record.rpo_seconds);
  write_checks(json, record.checks);
  json.text("error", record.error);
  json.text("hint", record.hint);
  json.text("who", record.who);
  json.text("plan-hash", record.plan_hash);
  write_facts(json, record.facts);
  json.raw("}");
  return json.take();
}

RunRecord decode_run_record(ByteView text) {
  return json_reader::guard("run record", [&] {
    RunRecord record;
    bool kind = false;
    bool outcome = false;
    json_reader::Reader reader;
    auto document = reader.open(text, kRunRecordLimit);
    for_each_field(document.get_object(), [&](std::string_view name, Value& value) {
      kind |= name == "kind";
      outcome |= name == "outcome";
      read_field(name, value, record);
    });
    reader.close(document);
    if (!is_run_id(record.id) || !kind || !outcome) {
      fail("it lacks its id, kind or outcome");
    }
    return record;
  });
}

}  // namespace salvor
