// What runs say in their facts about what they prove. Records that are older than a fact lack it
// and count as they did before there was it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "model/run_record.h"

namespace salvor {

// Of a restore: what of the point it brought back, where that was not all. Such a run proves
// nothing of the rest and measures no recovery.
inline constexpr std::string_view kSelectionFact = "selection";

// Of a drill: what it proves, where its outcome does not say so. "none": nothing either way, what
// failed was not the backup; "passed": it was restored and looked into, and only an objective was
// missed.
inline constexpr std::string_view kProofFact = "proof";
inline constexpr std::string_view kProofNone = "none";
inline constexpr std::string_view kProofPassed = "passed";

// Of a drill's own record, as often as there are: the sources that were restored in it. Where it
// passed, those of which it says something.
inline constexpr std::string_view kSourceFact = "source";

// Of a check: which part of the packs it read, "3/20" as `salvor check --read-data-subset` has it;
// "1/1": all. And how many errors there were.
inline constexpr std::string_view kShareFact = "share";
inline constexpr std::string_view kErrorsFact = "errors";

// The first of that name; empty: none.
[[nodiscard]] std::string_view fact_of(const RunRecord& run, std::string_view name);
[[nodiscard]] std::vector<std::string_view> facts_of(const RunRecord& run, std::string_view name);
// It ends here with `error`: interrupted or failed.
void end_with(RunRecord& run, const Error& error, WallTime now);
void set_fact(RunRecord& run, std::string_view name, std::string_view value);

}  // namespace salvor
