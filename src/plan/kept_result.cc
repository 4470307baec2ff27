#include "plan/kept_result.h"

#include <algorithm>

namespace salvor::plan {
namespace {

constexpr size_t kLongestOutput = size_t{64} << 10;
constexpr size_t kLongestOutputs = size_t{256} << 10;  // of one attempt, together
constexpr size_t kLongestText = size_t{8} << 10;

TextMap kept_map(const Secrets& secrets, const TextMap& map) {
  TextMap kept;
  size_t room = kLongestOutputs;
  for (const auto& [name, value] : map) {
    kept.emplace_back(name, as_plain_text(secrets.hide(value), std::min(room, kLongestOutput)));
    room -= kept.back().second.size();
  }
  return kept;
}

}  // namespace

std::string kept_text(const Secrets& secrets, std::string_view text) {
  return as_plain_text(secrets.hide(text), kLongestText);
}

StepResult kept_result(const Secrets& secrets, StepResult result) {
  result.summary = kept_text(secrets, result.summary);
  result.outputs = kept_map(secrets, result.outputs);
  result.facts = kept_map(secrets, result.facts);
  for (CheckResult& check : result.checks) {
    check.name = kept_text(secrets, check.name);
    check.value = kept_text(secrets, check.value);
    check.expected = kept_text(secrets, check.expected);
  }
  return result;
}

}  // namespace salvor::plan
