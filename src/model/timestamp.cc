#include "model/timestamp.h"

namespace salvor {

Timestamp LocalZone::stamp(int64_t seconds, uint32_t nanoseconds) {
  constexpr int64_t kQuarter = 900;
  const int64_t quarter = seconds >= 0 ? seconds / kQuarter : (seconds - kQuarter + 1) / kQuarter;
  Slot& slot = slots_[static_cast<uint64_t>(quarter) % kSlots];
  if (slot.quarter != quarter) {
    const auto time = static_cast<std::time_t>(seconds);
    std::tm local{};
    slot.offset = localtime_r(&time, &local) != nullptr ? static_cast<int32_t>(local.tm_gmtoff) : 0;
    slot.quarter = quarter;
  }
  return {seconds, nanoseconds, slot.offset};
}

Timestamp LocalZone::stamp(WallTime time) {
  const auto whole = std::chrono::floor<std::chrono::seconds>(time);
  return stamp(whole.time_since_epoch().count(), static_cast<uint32_t>((time - whole).count()));
}

}  // namespace salvor
