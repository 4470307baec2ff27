// Could we recover right now, to when, how fast, and how do we know? (O2, O7.) Pure: what was read
// from the repositories and the catalog goes in, an answer comes out.
//
// A store is
//   proven    a restore of it was looked into, that proof still stands, and all objectives are met
//   unproven  the repository holds points within the objectives, but none was ever restored
//   breached  an objective is not met, there is no backup, or the last proof failed
//   unknown   its repository cannot be reached, or the last proof is older than proofs stand
// and the application is what its worst store is: breached, else unknown, else unproven.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "protect/forecast.h"
#include "protect/promises.h"
#include "protect/recovery_points.h"

namespace salvor {

enum class Assurance : uint8_t { kProven, kUnproven, kUnknown, kBreached };  // best first
[[nodiscard]] std::string_view name_of(Assurance assurance);

// A repository that does or should hold a source's snapshots.
struct PlaceFacts {
  std::string repository;  // its name in the configuration
  std::string kind;        // engine/copies: place_kind
  bool offsite = false;    // on another machine or in another region
  // Whether the credentials in use could not destroy it, as `salvor doctor` found out; nothing: not
  // known.
  std::optional<bool> immutable;
  std::optional<WallTime> immutable_seen_at;  // when it did; nothing: never
  // Snapshots that cannot be read, and one more where a check has found errors that none since has
  // found gone.
  uint64_t errors = 0;
  bool reachable = true;
  WallTime seen_at;                    // when the following was so
  std::vector<std::string> snapshots;  // ids in the source's own repository
};

struct SourceFacts {
  std::vector<RecoveryRange> ranges;  // newest first
  WallTime seen_at;                   // when they were
  std::string unreachable;            // why they are not of now; empty: they are
  std::string hint;
  std::vector<RunRecord> runs;     // of the source, any order
  std::vector<PlaceFacts> places;  // the own one first
};

// What is wrong and what to do about it.
struct Concern {
  Assurance weight = Assurance::kProven;  // what it makes of the store; kProven: only to be known
  std::string what;                       // a phrase: lower case, no full stop
  std::string next;                       // a sentence
};

struct CopyCount {
  size_t copies = 0;  // of the newest good snapshot
  size_t kinds = 0;
  size_t offsite = 0;
  std::optional<size_t> immutable;            // as found by doctor; nothing: not known of any place
  std::optional<WallTime> immutable_seen_at;  // the oldest finding that counts here
  uint64_t errors = 0;
  bool complete = true;                 // every place was reached
  [[nodiscard]] bool rule_met() const;  // 3-2-1-1-0, by what every place says now
};

struct StoreStatus {
  std::string source;
  std::string kind;
  std::string repository;
  Assurance state = Assurance::kUnknown;
  WallTime seen_at;         // when what follows was so
  std::string unreachable;  // why that is not now
  Promises promises;
  std::vector<RecoveryPoint> points;  // newest first

  std::optional<WallTime> newest;                    // c: the newest durable instant
  std::optional<WallTime> proven;                    // the newest instant of a standing proof
  std::optional<std::chrono::nanoseconds> exposure;  // nominal
  std::optional<std::chrono::nanoseconds> verified_exposure;
  bool open_ended = false;  // a log is followed
  // interval + capture to durable, as measured: what may be lost at worst without a log.
  std::optional<std::chrono::nanoseconds> worst_case;

  std::optional<ProofRun> last_proof;  // the newest that passed
  std::optional<WallTime> proof_stands_until;
  std::optional<ProofRun> failed_proof;  // newer than that
  std::optional<Forecast> forecast;      // for the newest point
  // What a recovery takes: the last one measured, else the forecast.
  std::optional<double> recovery_seconds;
  bool recovery_measured = false;

  CopyCount copies;
  std::optional<RunRecord> last_backup;
  std::vector<Concern> concerns;  // the gravest first
};

struct StatusReport {
  std::string application;
  std::string environment;
  WallTime at;
  Assurance state = Assurance::kUnknown;
  Promises promises;                  // of the whole
  std::optional<CommonPoint> common;  // to which all sources can be brought
  std::optional<CommonPoint> proven_common;
  // Of the whole: the last drill that proved every source, else the oldest of the sources' last
  // proofs with the slowest of their times.
  std::optional<WallTime> proven_at;
  std::optional<double> recovery_seconds;
  bool recovery_measured = false;
  std::optional<Due> next_proof;
  std::vector<StoreStatus> stores;
  std::vector<Concern> concerns;  // of the whole
};

// `facts` by source; one that is missing is a source that nothing is known of. `drills`: their own
// records, any order; those that do not name every source (run_facts.h) say nothing of the whole.
[[nodiscard]] StatusReport assess_status(const Application& application,
                                         const std::map<std::string, SourceFacts>& facts,
                                         const std::vector<RunRecord>& drills, WallTime now);

}  // namespace salvor
