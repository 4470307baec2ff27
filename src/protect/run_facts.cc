#include "protect/run_facts.h"

#include <algorithm>

namespace salvor {

std::string_view fact_of(const RunRecord& run, std::string_view name) {
  const auto fact = std::ranges::find(run.facts, name, &TextMap::value_type::first);
  return fact == run.facts.end() ? std::string_view() : fact->second;
}

std::vector<std::string_view> facts_of(const RunRecord& run, std::string_view name) {
  std::vector<std::string_view> values;
  for (const auto& [key, value] : run.facts) {
    if (key == name) {
      values.emplace_back(value);
    }
  }
  return values;
}

void set_fact(RunRecord& run, std::string_view name, std::string_view value) {
  std::erase_if(run.facts, [name](const auto& fact) { return fact.first == name; });
  run.facts.emplace_back(name, value);
}

void end_with(RunRecord& run, const Error& error, WallTime now) {
  run.outcome =
      error.code() == ErrorCode::kCancelled ? RunOutcome::kInterrupted : RunOutcome::kFailed;
  run.error = error.message();
  run.hint = error.hint();
  run.finished = now;
}

}  // namespace salvor
