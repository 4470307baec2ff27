#include "engine/snapshots/capacity.h"

#include <algorithm>

namespace salvor {

std::optional<double> Growth::bytes_per_day() const {
  return days >= 1 ? std::optional(static_cast<double>(added_bytes) / days) : std::nullopt;
}

Growth growth_of(std::span<const StoredSnapshot> snapshots, WallTime now) {
  Growth growth;
  if (snapshots.empty()) {
    return growth;
  }
  const auto time_of = [&](const StoredSnapshot& stored) {
    return std::min(stored.snapshot.time.wall(), now);
  };
  const StoredSnapshot& oldest = *std::ranges::min_element(snapshots, {}, time_of);
  growth.begin = std::max(now - kGrowthWindow, time_of(oldest));
  growth.days = std::chrono::duration<double, std::ratio<86'400>>(now - growth.begin).count();
  for (const StoredSnapshot& stored : snapshots) {
    if (&stored == &oldest || time_of(stored) < growth.begin) {
      continue;
    }
    if (stored.snapshot.summary) {
      growth.added_bytes += stored.snapshot.summary->data_added_packed;
    } else {
      ++growth.snapshots_without_size;
    }
  }
  return growth;
}

std::optional<double> days_until_full(const std::optional<StorageSpace>& space,
                                      const Growth& growth) {
  const std::optional<double> daily = growth.bytes_per_day();
  if (!space || !daily || *daily <= 0) {
    return std::nullopt;
  }
  return static_cast<double>(space->free_bytes) / *daily;
}

std::array<KindSize, 7> measure_size(const Context& context, Storage& storage) {
  std::array<KindSize, 7> sizes{};
  for (size_t i = 0; i < sizes.size(); ++i) {
    KindSize& size = sizes[i];
    size.kind = static_cast<ObjectKind>(i);
    storage.list(context, size.kind, [&](const ObjectInfo& info) {
      ++size.objects;
      size.bytes += info.size_bytes;
    });
  }
  return sizes;
}

}  // namespace salvor
