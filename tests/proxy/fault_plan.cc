#include "proxy/fault_plan.h"

#include <algorithm>
#include <stdexcept>

namespace salvor::proxy {
namespace {

constexpr std::array<std::string_view, static_cast<size_t>(Fault::kCount)> kNames = {
    "none",          "cut-request", "cut-reply", "truncate", "lost-reply", "duplicate",
    "stall-request", "stall-reply", "garble",    "500",      "503",        "429"};

std::vector<double> weights_of(const PlanOptions& options) {
  std::vector<double> weights(kNames.size(), options.weights.empty() ? 1 : 0);
  weights[0] = 0;
  for (const auto& [name, weight] : options.weights) {
    const auto at = std::ranges::find(kNames, name);
    if (at == kNames.end() || at == kNames.begin()) {
      throw std::invalid_argument("there is no fault called " + name);
    }
    weights[static_cast<size_t>(at - kNames.begin())] = weight;
  }
  return weights;
}

size_t longest_chain(std::vector<std::pair<Clock::time_point, Clock::time_point>> spans) {
  std::ranges::sort(spans, {}, [](const auto& span) { return span.second; });
  size_t count = 0;
  Clock::time_point end{};
  for (const auto& [begin, until] : spans) {
    if (begin >= end) {
      ++count;
      end = until;
    }
  }
  return count;
}

}  // namespace

std::string_view fault_name(Fault fault) {
  return kNames.at(static_cast<size_t>(fault));
}

void FaultPlan::check(const PlanOptions& options) {
  (void)weights_of(options);
}

FaultPlan::FaultPlan(PlanOptions options) : options_(std::move(options)), random_(options_.seed) {
  const std::vector<double> weights = weights_of(options_);
  kinds_ = std::discrete_distribution<int>(weights.begin(), weights.end());
  if (options_.mean_bytes > 0) {
    until_next_ = std::uniform_int_distribution<uint64_t>(1, 2 * options_.mean_bytes)(random_);
  }
}

Fault FaultPlan::draw() {
  const auto fault = static_cast<Fault>(kinds_(random_));
  return active_ && injected_ < options_.most ? fault : Fault::kNone;
}

Fault FaultPlan::next() {
  const std::scoped_lock lock(mutex_);
  const bool hit = std::uniform_real_distribution<>(0, 1)(random_) < options_.rate;
  const Fault fault = draw();
  return hit ? fault : Fault::kNone;
}

Fault FaultPlan::next_of_traffic(size_t bytes) {
  const std::scoped_lock lock(mutex_);
  if (options_.mean_bytes == 0) {
    return Fault::kNone;
  }
  if (bytes < until_next_) {
    until_next_ -= bytes;
    return Fault::kNone;
  }
  until_next_ = std::uniform_int_distribution<uint64_t>(1, 2 * options_.mean_bytes)(random_);
  return draw();
}

uint64_t FaultPlan::place(uint64_t size) {
  const std::scoped_lock lock(mutex_);
  return size == 0 ? 0 : std::uniform_int_distribution<uint64_t>(0, size - 1)(random_);
}

void FaultPlan::happened(Fault fault) {
  const std::scoped_lock lock(mutex_);
  ++happened_.at(static_cast<size_t>(fault));
  ++injected_;
}

void FaultPlan::set_active(bool active) {
  const std::scoped_lock lock(mutex_);
  active_ = active;
}

void FaultPlan::count_connection(Clock::time_point begin, Clock::time_point end) {
  const std::scoped_lock lock(mutex_);
  ++connections_;
  spans_.emplace_back(begin, end);
}

void FaultPlan::count_request(const std::string& method, Clock::time_point begin,
                              Clock::time_point end) {
  const std::scoped_lock lock(mutex_);
  ++requests_[method];
  spans_.emplace_back(begin, end);
}

void FaultPlan::count_bytes(uint64_t up, uint64_t down) {
  const std::scoped_lock lock(mutex_);
  up_ += up;
  down_ += down;
}

void FaultPlan::reset() {
  const std::scoped_lock lock(mutex_);
  happened_ = {};
  requests_.clear();
  spans_.clear();
  injected_ = connections_ = up_ = down_ = 0;
}

std::string FaultPlan::report() const {
  const std::scoped_lock lock(mutex_);
  std::string faults;
  for (size_t i = 1; i < kNames.size(); ++i) {
    if (happened_[i] > 0) {
      faults += (faults.empty() ? "\"" : ",\"") + std::string(kNames[i]) +
                "\":" + std::to_string(happened_[i]);
    }
  }
  std::string requests;
  uint64_t total = 0;
  for (const auto& [method, count] : requests_) {
    requests += (requests.empty() ? "\"" : ",\"") + method + "\":" + std::to_string(count);
    total += count;
  }
  return "{\"injected\":" + std::to_string(injected_) + ",\"faults\":{" + faults +
         "},\"requests\":" + std::to_string(total) + ",\"methods\":{" + requests +
         "},\"connections\":" + std::to_string(connections_) +
         ",\"chain\":" + std::to_string(longest_chain(spans_)) + ",\"up\":" + std::to_string(up_) +
         ",\"down\":" + std::to_string(down_) + "}";
}

}  // namespace salvor::proxy
