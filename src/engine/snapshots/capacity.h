// How large a repository is, how fast it grows, and when its storage will be full.
//
// Growth is what backups stored, not the difference of two sizes (a repository keeps no record of
// its former sizes). With t0 the time of the oldest snapshot and w = 30 days:
//
//   begin  = max(now - w, t0)
//   growth = sum of data_added_packed of the snapshots after `begin` / (now - begin)   [a day]
//   days until full = free bytes / growth
//
// The oldest snapshot itself does not count: a first backup is not growth. What forget and prune
// free is not subtracted, so the forecast is the pessimistic one; snapshots that are forgotten, or
// do not say what they added (restic before 0.17), make it too good by what they added.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <span>

#include "base/context.h"
#include "model/snapshot.h"
#include "storage/storage.h"

namespace salvor {

inline constexpr std::chrono::days kGrowthWindow{30};

struct Growth {
  uint64_t added_bytes = 0;  // since `begin`
  WallTime begin{};
  double days = 0;                      // from `begin` to now
  uint64_t snapshots_without_size = 0;  // after `begin`
  // Nothing within the first day: that would be a guess.
  [[nodiscard]] std::optional<double> bytes_per_day() const;
};

// In any order; those after `now` (a wrong clock) count as of now.
[[nodiscard]] Growth growth_of(std::span<const StoredSnapshot> snapshots, WallTime now);

// Nothing when either is unknown or nothing is added.
[[nodiscard]] std::optional<double> days_until_full(const std::optional<StorageSpace>& space,
                                                    const Growth& growth);

struct KindSize {
  ObjectKind kind = ObjectKind::kConfig;
  uint64_t objects = 0;
  uint64_t bytes = 0;
};
// What is stored, by listing it all.
[[nodiscard]] std::array<KindSize, 7> measure_size(const Context& context, Storage& storage);

}  // namespace salvor
