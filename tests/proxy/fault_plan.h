// Which faults happen when, and the record of what did.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <mutex>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/link.h"

namespace salvor::proxy {

enum class Fault : uint8_t {
  kNone,
  kCutRequest,    // reset somewhere in the request, which does not reach the server whole
  kCutReply,      // reset somewhere in the reply
  kTruncate,      // the same, but the stream ends in order
  kLostReply,     // the server has done it, its answer never arrives
  kDuplicate,     // the server gets the request twice; the second answer arrives
  kStallRequest,  // nothing moves any more from somewhere in the request
  kStallReply,    // ... in the reply
  kGarble,        // one byte of the reply's body is another one
  kError500,      // instead of the server, with InternalError
  kSlowDown,      // 503 SlowDown
  kTooMany,       // 429 with Retry-After: 1
  kCount
};
[[nodiscard]] std::string_view fault_name(Fault fault);

struct PlanOptions {
  uint64_t seed = 1;
  double rate = 0;          // of requests that suffer one
  uint64_t mean_bytes = 0;  // without requests (TCP): traffic between two faults, on average
  uint64_t most = UINT64_MAX;
  // By name; a kind that is not listed does not happen. Empty: all the same.
  std::map<std::string, double> weights;
};

// The n-th decision depends on the seed and n only. Thread-safe.
class FaultPlan {
 public:
  explicit FaultPlan(PlanOptions options);

  // Throws std::invalid_argument for a name that is none.
  static void check(const PlanOptions& options);

  // The fault of the next request, not yet counted: not each can happen to each request.
  [[nodiscard]] Fault next();
  // The same for traffic without requests: what happens to the connection that carries these bytes.
  [[nodiscard]] Fault next_of_traffic(size_t bytes);
  // Where in `size` bytes.
  [[nodiscard]] uint64_t place(uint64_t size);

  void happened(Fault fault);
  void set_active(bool active);

  void count_connection(Clock::time_point begin, Clock::time_point end);
  void count_request(const std::string& method, Clock::time_point begin, Clock::time_point end);
  void count_bytes(uint64_t up, uint64_t down);
  void reset();
  // One line of JSON. "chain" is the longest sequence of requests and connections of which each
  // began when the one before had ended: the round trips that somebody waited for.
  [[nodiscard]] std::string report() const;

 private:
  [[nodiscard]] Fault draw();  // under mutex_

  const PlanOptions options_;
  mutable std::mutex mutex_;
  std::mt19937_64 random_;
  std::discrete_distribution<int> kinds_;
  bool active_ = true;
  uint64_t until_next_ = 0;
  uint64_t injected_ = 0;
  uint64_t connections_ = 0;
  uint64_t up_ = 0;
  uint64_t down_ = 0;
  std::array<uint64_t, static_cast<size_t>(Fault::kCount)> happened_{};
  std::map<std::string, uint64_t> requests_;
  std::vector<std::pair<Clock::time_point, Clock::time_point>> spans_;
};

}  // namespace salvor::proxy
