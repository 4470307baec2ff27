#include "protect/forecast.h"

#include <algorithm>
#include <charconv>

#include "protect/run_facts.h"

namespace salvor {
namespace {

constexpr size_t kSamples = 5;  // newest: machines and data change

std::optional<double> seconds_fact(const RunRecord& run, std::string_view name) {
  for (const std::string_view text : facts_of(run, name)) {
    double value = 0;
    if (std::from_chars(text.data(), text.data() + text.size(), value).ec == std::errc() &&
        value >= 0) {
      return value;
    }
  }
  return {};
}

bool restored(const RunRecord& run) {
  return (run.kind == RunKind::kVerify || run.kind == RunKind::kRestore ||
          run.kind == RunKind::kDrill) &&
         run.outcome == RunOutcome::kSucceeded && run.read_bytes > 0 &&
         fact_of(run, kSelectionFact).empty();
}

double seconds_of(const RunRecord& run) {
  return run.rto_seconds.value_or(
      std::chrono::duration<double>(run.finished - run.started).count());
}

}  // namespace

std::optional<RestoreRates> measure_rates(std::span<const RunRecord> runs) {
  std::vector<const RunRecord*> samples;
  for (const RunRecord& run : runs) {
    if (restored(run) && seconds_of(run) > 0) {
      samples.push_back(&run);
    }
  }
  std::stable_sort(
      samples.begin(), samples.end(),
      [](const RunRecord* left, const RunRecord* right) { return left->started > right->started; });
  samples.resize(std::min(samples.size(), kSamples));
  if (samples.empty()) {
    return {};
  }
  double bytes = 0;
  double reading = 0;
  double replaying = 0;
  double replayed = 0;
  double fixed = 0;
  for (const RunRecord* run : samples) {
    const double all = seconds_of(*run);
    const double log = seconds_fact(*run, "log-seconds").value_or(0);
    const double read = std::max(seconds_fact(*run, "restore-seconds").value_or(all - log), 1e-3);
    bytes += static_cast<double>(run->read_bytes);
    reading += read;
    fixed += std::max(all - read - log, 0.0);
    if (run->captured && run->reached && *run->reached > *run->captured && log > 0) {
      replaying += log;
      replayed += std::chrono::duration<double>(*run->reached - *run->captured).count();
    }
  }
  RestoreRates rates{.samples = samples.size(),
                     .bytes_per_second = bytes / reading,
                     .fixed_seconds = fixed / static_cast<double>(samples.size())};
  if (replayed > 0) {
    rates.log_seconds_per_second = replaying / replayed;
  }
  return rates;
}

Forecast forecast_recovery(const RestoreRates& rates, uint64_t bytes,
                           std::chrono::nanoseconds log) {
  Forecast forecast{.fixed_seconds = rates.fixed_seconds, .bytes = bytes, .rates = rates};
  forecast.restore_seconds = static_cast<double>(bytes) / rates.bytes_per_second;
  forecast.log_seconds = rates.log_seconds_per_second.value_or(0) *
                         std::chrono::duration<double>(std::max(log, log.zero())).count();
  forecast.seconds = forecast.restore_seconds + forecast.log_seconds + forecast.fixed_seconds;
  return forecast;
}

}  // namespace salvor
