// Checks of a repository read a share of its packs at a time, in turn, so that all of it is read
// over the time. What a check has found wrong stays wrong until one that read the same packs, or
// all of them, finds nothing: another share that is well says nothing of it. Pure.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/run_record.h"

namespace salvor {

// Part `part` of `parts`: packs are divided by the first byte of their names (engine/maintenance/
// checker.h: ReadPart).
struct CheckShare {
  unsigned part = 1;
  unsigned parts = 1;  // at most 256; 1: everything
  [[nodiscard]] bool everything() const { return parts == 1; }
  [[nodiscard]] std::string text() const;  // "3/20", as the fact kShareFact has it
  friend bool operator==(const CheckShare&, const CheckShare&) = default;
};

// Into how many parts the packs are divided so that one is at least so much; `percent`: 1 to 100.
[[nodiscard]] unsigned parts_for(unsigned percent);

// What the next check reads. `checks` of the repository, newest first. A share in which errors were
// found is read again until they are gone; so is everything where nobody knows which share that
// was. Otherwise the share after that of the last check that succeeded.
[[nodiscard]] CheckShare next_share(std::span<const RunRecord> checks, unsigned parts);

// Checks, newest first, whose errors no later one has found gone. Those that were interrupted or
// missed, or could not be made, say nothing. Records from before shares were written down chose
// packs at random: an error among them is taken for gone with the next of them that found none.
[[nodiscard]] std::vector<const RunRecord*> standing_errors(std::span<const RunRecord> checks);

}  // namespace salvor
