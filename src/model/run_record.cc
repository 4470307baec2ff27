#include "model/run_record.h"

#include <array>

namespace salvor {
namespace {

constexpr std::array<std::string_view, 8> kKinds{"backup", "verify", "restore",   "drill",
                                                 "plan",   "check",  "retention", "copy"};
constexpr std::array<std::string_view, 5> kOutcomes{"succeeded", "incomplete", "failed",
                                                    "interrupted", "missed"};

template <class Enum, size_t N>
std::optional<Enum> by_name(const std::array<std::string_view, N>& names, std::string_view name) {
  for (size_t i = 0; i < N; ++i) {
    if (names[i] == name) {
      return static_cast<Enum>(i);
    }
  }
  return {};
}

}  // namespace

std::string_view name_of(RunKind kind) {
  return kKinds.at(static_cast<size_t>(kind));
}
std::string_view name_of(RunOutcome outcome) {
  return kOutcomes.at(static_cast<size_t>(outcome));
}

std::optional<RunKind> run_kind(std::string_view name) {
  return by_name<RunKind>(kKinds, name);
}
std::optional<RunOutcome> run_outcome(std::string_view name) {
  return by_name<RunOutcome>(kOutcomes, name);
}

}  // namespace salvor
