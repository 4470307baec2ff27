#include "protect/check_shares.h"

#include <algorithm>
#include <bitset>
#include <charconv>
#include <optional>

#include "protect/run_facts.h"

namespace salvor {
namespace {

constexpr size_t kFirstBytes = 256;
using FirstBytes = std::bitset<kFirstBytes>;  // of packs' names

FirstBytes bytes_of(const CheckShare& share) {
  FirstBytes bytes;
  for (size_t byte = share.part - 1; byte < kFirstBytes; byte += share.parts) {
    bytes.set(byte);
  }
  return bytes;
}

// Nothing: it does not say.
std::optional<CheckShare> share_of(const RunRecord& check) {
  const std::string_view text = fact_of(check, kShareFact);
  const char* const end = text.data() + text.size();
  CheckShare share;
  const auto part = std::from_chars(text.data(), end, share.part);
  if (part.ec != std::errc() || part.ptr == end || *part.ptr != '/') {
    return {};
  }
  const auto parts = std::from_chars(part.ptr + 1, end, share.parts);
  const bool valid = parts.ec == std::errc() && parts.ptr == end && share.part >= 1 &&
                     share.part <= share.parts && share.parts <= kFirstBytes;
  return valid ? std::optional(share) : std::nullopt;
}

// One that could not be made (a lock, a storage that is away) has failed as well.
bool found_errors(const RunRecord& check) {
  const std::string_view errors = fact_of(check, kErrorsFact);
  return check.outcome == RunOutcome::kFailed &&
         ((!errors.empty() && errors != "0") ||
          std::ranges::find(check.checks, false, &CheckResult::passed) != check.checks.end());
}

}  // namespace

std::string CheckShare::text() const {
  return std::to_string(part) + "/" + std::to_string(parts);
}

unsigned parts_for(unsigned percent) {
  constexpr unsigned kWhole = 100;
  return (kWhole + std::clamp(percent, 1U, kWhole) - 1) / std::clamp(percent, 1U, kWhole);
}

std::vector<const RunRecord*> standing_errors(std::span<const RunRecord> checks) {
  std::vector<const RunRecord*> standing;
  FirstBytes well;              // that later checks have read and found well
  bool well_at_random = false;  // so has one that does not say what it read
  for (const RunRecord& check : checks) {
    const std::optional<CheckShare> share = share_of(check);
    if (check.outcome == RunOutcome::kSucceeded) {
      well |= share ? bytes_of(*share) : FirstBytes();
      well_at_random |= !share;
    } else if (found_errors(check)) {
      const FirstBytes read = share ? bytes_of(*share) : ~FirstBytes();
      const bool gone = (read & ~well).none() || (!share && well_at_random);
      if (!gone) {
        standing.push_back(&check);
      }
    }
  }
  return standing;
}

CheckShare next_share(std::span<const RunRecord> checks, unsigned parts) {
  if (const auto standing = standing_errors(checks); !standing.empty()) {
    return share_of(*standing.front()).value_or(CheckShare{});
  }
  for (const RunRecord& check : checks) {
    const std::optional<CheckShare> share = share_of(check);
    if (check.outcome == RunOutcome::kSucceeded && share && share->parts == parts) {
      return {.part = share->part % parts + 1, .parts = parts};
    }
  }
  return {.part = 1, .parts = parts};
}

}  // namespace salvor
