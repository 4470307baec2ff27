#include "engine/maintenance/prune_plan.h"

#include <algorithm>
#include <charconv>
#include <string>

#include "base/error.h"
#include "base/format.h"

namespace salvor {
namespace {

constexpr uint64_t kSmallestTarget = 4 << 20;  // restic's smallest pack size
// Fewer small packs than this are not worth the trouble; it also keeps a repository whose last pack
// is always small from being repacked for ever.
constexpr size_t kFewestSmallPacks = 10;
constexpr size_t kPacksNamed = 10;

// Packs below this are "small": 80 % of the larger of 4 MiB and the 3rd percentile of all sizes. A
// repository without small packs so never finds any.
uint64_t small_pack_limit(std::span<const PackUse> packs, const PruneLimits& limits) {
  if (limits.repack_smaller_than > 0) {
    return limits.repack_smaller_than;
  }
  if (packs.empty()) {
    return 0;
  }
  std::vector<uint64_t> sizes;
  sizes.reserve(packs.size());
  for (const PackUse& pack : packs) {
    sizes.push_back(pack.size());
  }
  const auto percentile = sizes.begin() + static_cast<ptrdiff_t>(sizes.size() * 3 / 100);
  std::nth_element(sizes.begin(), percentile, sizes.end());
  return std::max(kSmallestTarget, *percentile) * 4 / 5;
}

class Decision {
 public:
  Decision(std::span<const PackUse> packs, const PruneLimits& limits, PruneStatistics statistics)
      : packs_(packs), limits_(limits), small_(small_pack_limit(packs, limits)) {
    plan_.statistics = statistics;
    plan_.fates.assign(packs.size(), PackFate::kKeep);
  }

  PrunePlan run(std::vector<UnlistedPack> unlisted) {
    refuse_damage();
    sort_out();
    choose_repacks();
    PruneStatistics& figures = plan_.statistics;
    for (const UnlistedPack& pack : unlisted) {
      figures.bytes.unreferenced += pack.size_bytes;
    }
    figures.packs.unreferenced = unlisted.size();
    figures.packs.keep = 0;
    for (const PackFate fate : plan_.fates) {
      figures.packs.keep += fate == PackFate::kKeep ? 1 : 0;
      figures.packs.repack += fate == PackFate::kRepack ? 1 : 0;
      figures.packs.remove += fate == PackFate::kRemove ? 1 : 0;
      figures.packs.wait += fate == PackFate::kWait ? 1 : 0;
      figures.packs.recover += fate == PackFate::kRecover ? 1 : 0;
    }
    if (limits_.repository_version < 2) {
      figures.bytes.uncompressed = 0;
    }
    plan_.unlisted = std::move(unlisted);
    return std::move(plan_);
  }

 private:
  void refuse_damage() const;
  void sort_out();
  void choose_repacks();
  void remove(size_t number, PackFate fate);
  void repack(size_t number);

  [[nodiscard]] bool is_small(const PackUse& pack) const { return pack.size() < small_; }
  // In version 2, raw trees always become compressed, raw data on demand.
  [[nodiscard]] bool must_compress(const PackUse& pack) const {
    return limits_.repository_version >= 2 && pack.has_raw &&
           ((pack.has_trees && !pack.has_data) || limits_.repack_uncompressed);
  }

  const std::span<const PackUse> packs_;
  const PruneLimits& limits_;
  const uint64_t small_;
  PrunePlan plan_;
  std::vector<size_t> candidates_;
};

void Decision::refuse_damage() const {
  std::string missing;
  std::string wrong;
  size_t named = 0;
  for (const PackUse& pack : packs_) {
    if (pack.used_blobs == 0 || (pack.present && pack.real_size == pack.size())) {
      continue;
    }
    if (++named <= kPacksNamed) {
      (pack.present ? wrong : missing) += " " + pack.id.hex();
    }
  }
  if (named == 0) {
    return;
  }
  std::string message = "the repository is damaged, so nothing is removed from it";
  message += missing.empty() ? "" : "; packs that are needed are missing:" + missing;
  message += wrong.empty() ? "" : "; packs do not have the size that their blobs need:" + wrong;
  message += named > kPacksNamed ? " and " + std::to_string(named - kPacksNamed) + " more" : "";
  throw Error(ErrorCode::kDamaged, message,
              "Run `salvor check` to see what is affected and how to repair it.");
}

void Decision::remove(size_t number, PackFate fate) {
  const PackUse& pack = packs_[number];
  plan_.fates[number] = fate;
  plan_.statistics.blobs.remove += pack.unused_blobs;
  plan_.statistics.bytes.remove += pack.unused_bytes;
}

void Decision::repack(size_t number) {
  const PackUse& pack = packs_[number];
  plan_.fates[number] = PackFate::kRepack;
  PruneStatistics& figures = plan_.statistics;
  figures.blobs.repack += pack.used_blobs + pack.unused_blobs;
  figures.bytes.repack += pack.size();
  figures.blobs.repack_remove += pack.unused_blobs;
  figures.bytes.repack_remove += pack.unused_bytes;
  if (pack.has_raw) {
    figures.bytes.uncompressed -= pack.size();
  }
}

// What goes, what stays, and what is a candidate for repacking.
void Decision::sort_out() {
  std::vector<size_t> small;
  PruneStatistics& figures = plan_.statistics;
  for (size_t i = 0; i < packs_.size(); ++i) {
    const PackUse& pack = packs_[i];
    if (pack.marked && pack.used_blobs > 0) {
      plan_.fates[i] = PackFate::kRecover;
      continue;
    }
    if (pack.marked && pack.present && !pack.mark_is_old) {
      plan_.fates[i] = PackFate::kWait;
      continue;
    }
    if (pack.locked) {
      figures.bytes.locked += pack.unused_bytes;
    }
    if (pack.used_blobs == 0 && pack.present && pack.locked) {
      ++figures.packs.unused;
      ++figures.packs.locked;
      plan_.fates[i] = pack.marked ? PackFate::kWait : PackFate::kKeep;
      continue;
    }
    if (pack.used_blobs == 0) {
      figures.packs.unused += pack.present ? 1 : 0;
      remove(i, pack.present ? PackFate::kRemove : PackFate::kForget);
      continue;
    }
    ++(pack.unused_blobs == 0 ? figures.packs.used : figures.packs.partly_used);
    figures.bytes.uncompressed += pack.has_raw ? pack.size() : 0;
    if (pack.locked) {
      continue;  // its old form would stay beside the new one
    }
    if (limits_.repack_cacheable_only && pack.only_data()) {
      continue;
    }
    const bool mixed = pack.has_data && pack.has_trees;
    if (pack.unused_blobs > 0 || mixed || must_compress(pack)) {
      candidates_.push_back(i);
    } else if (is_small(pack)) {
      small.push_back(i);
    }
  }
  if (small.size() >= kFewestSmallPacks) {
    candidates_.insert(candidates_.end(), small.begin(), small.end());
  }
}

void Decision::choose_repacks() {
  // What holds trees first, then small packs, then those with the largest share of waste.
  std::stable_sort(candidates_.begin(), candidates_.end(), [&](size_t left, size_t right) {
    const PackUse& a = packs_[left];
    const PackUse& b = packs_[right];
    if (a.only_data() != b.only_data()) {
      return b.only_data();
    }
    if (is_small(a) != is_small(b)) {
      return is_small(a);
    }
    return static_cast<double>(a.unused_bytes) * static_cast<double>(b.used_bytes) >
           static_cast<double>(b.unused_bytes) * static_cast<double>(a.used_bytes);
  });
  const PruneStatistics& figures = plan_.statistics;
  // What is locked stays whatever is repacked.
  const uint64_t limit = limits_.max_unused.allowed(figures.bytes.used);
  const uint64_t allowed = limit + std::min(figures.bytes.locked, ~limit);
  for (const size_t number : candidates_) {
    const PackUse& pack = packs_[number];
    if (figures.bytes.repack + pack.size() >= limits_.max_repack_bytes) {
      continue;
    }
    const bool required = !pack.only_data() || must_compress(pack) || is_small(pack);
    if (required || figures.unused_bytes_after() >= allowed) {
      repack(number);
    }
  }
}

}  // namespace

uint64_t MaxUnused::allowed(uint64_t used_bytes) const {
  switch (kind) {
    case Kind::kUnlimited:
      return std::numeric_limits<uint64_t>::max();
    case Kind::kBytes:
      return bytes;
    case Kind::kPercent:
      break;
  }
  return static_cast<uint64_t>(percent / (100 - percent) * static_cast<double>(used_bytes));
}

MaxUnused parse_max_unused(std::string_view text) {
  const std::string whole(text);
  if (text == "unlimited") {
    return {MaxUnused::Kind::kUnlimited};
  }
  if (text.ends_with('%')) {
    MaxUnused limit;
    const char* const end = text.data() + text.size() - 1;
    const auto [rest, failure] = std::from_chars(text.data(), end, limit.percent);
    if (failure == std::errc() && rest == end && limit.percent >= 0 && limit.percent < 100) {
      return limit;
    }
  } else if (const std::optional<uint64_t> bytes = parse_bytes(text)) {
    return {MaxUnused::Kind::kBytes, 0, *bytes};
  }
  throw Error(ErrorCode::kUsage, "\"" + whole + "\" is not a limit for unused data",
              "Write a percentage from 0% to below 100%, a size like 10G, or 'unlimited'.");
}

PrunePlan decide_prune(std::span<const PackUse> packs, std::vector<UnlistedPack> unlisted,
                       const PruneLimits& limits, PruneStatistics statistics) {
  return Decision(packs, limits, statistics).run(std::move(unlisted));
}

}  // namespace salvor
