#include "protect/promises.h"

#include <algorithm>

#include "base/error.h"

namespace salvor {
namespace {

SysSeconds whole(WallTime time) {
  return std::chrono::floor<std::chrono::seconds>(time);
}

std::optional<Schedule> schedule_of(const std::string& text, const std::string& zone,
                                    const std::string& otherwise) {
  if (text.empty()) {
    return {};
  }
  try {
    return Schedule::parse(text, TimeZone::named(zone.empty() ? otherwise : zone));
  } catch (const Error&) {
    return {};
  }
}

template <class Times>
void consider(std::optional<Due>& next, std::string what, const std::optional<Times>& schedule,
              WallTime now) {
  if (schedule) {
    const WallTime at = schedule->next(whole(now));
    if (!next || at < next->at) {
      next = Due{std::move(what), at};
    }
  }
}

// `any` holds where no other objective does; where there are only others, the strictest does.
void take_objectives(const Application& application, const std::string& source,
                     Promises& promises) {
  const auto strictest = [&](auto member, std::string& scenario) {
    std::optional<std::chrono::seconds> found;
    const auto look = [&](bool any, bool own) {
      for (const ObjectiveSpec& objective : application.objectives) {
        const std::chrono::seconds value = objective.*member;
        if ((objective.scenario == "any") == any && objective.source == (own ? source : "") &&
            value.count() > 0 && (!found || value < *found)) {
          found = value;
          scenario = objective.scenario;
        }
      }
    };
    for (const bool any : {true, false}) {
      for (const bool own : {true, false}) {
        if (!found && (own || !source.empty())) {
          look(any, own);
        }
      }
    }
    return found;
  };
  promises.rpo = strictest(&ObjectiveSpec::rpo, promises.rpo_scenario);
  promises.rto = strictest(&ObjectiveSpec::rto, promises.rto_scenario);
}

// Drills without a plan restore every source; those with one may, and are counted, too.
void take_drills(const Application& application, WallTime now, Promises& promises,
                 std::optional<std::chrono::seconds>& gap) {
  for (const DrillSpec& drill : application.drills) {
    const auto schedule = schedule_of(drill.schedule, drill.time_zone, application.time_zone);
    consider(promises.next_proof, "drill " + drill.name, schedule, now);
    if (schedule) {
      const std::chrono::seconds longest = schedule->longest_gap(whole(now));
      gap = gap ? std::min(*gap, longest) : longest;
    }
  }
}

}  // namespace

Promises promises_of(const Application& application, const SourceSpec& source, WallTime now) {
  Promises promises;
  take_objectives(application, source.name, promises);
  const PolicySpec* policy = find_named(application.policies, source.policy);
  std::optional<std::chrono::seconds> proof_gap;
  if (policy != nullptr) {
    promises.jitter = policy->jitter;
    if (auto schedule = schedule_of(policy->schedule, policy->time_zone, application.time_zone)) {
      const std::string& zone =
          policy->time_zone.empty() ? application.time_zone : policy->time_zone;
      promises.backup.emplace(std::move(*schedule), policy->window, TimeZone::named(zone));
    }
    consider(promises.next_backup, "backup", promises.backup, now);
    if (promises.backup) {
      promises.backup_gap = promises.backup->longest_gap(whole(now));
    }
    const auto proofs =
        schedule_of(policy->verification.restore, policy->time_zone, application.time_zone);
    consider(promises.next_proof, "restore test", proofs, now);
    if (proofs) {
      proof_gap = proofs->longest_gap(whole(now));
    }
  }
  take_drills(application, now, promises, proof_gap);
  if (policy != nullptr && policy->verification.proven_for.count() > 0) {
    promises.proof_stands = policy->verification.proven_for;
  } else if (proof_gap) {
    promises.proof_stands = 2 * *proof_gap;
  }
  return promises;
}

Promises promises_of(const Application& application, WallTime now) {
  Promises promises;
  take_objectives(application, "", promises);
  std::optional<std::chrono::seconds> ignored;
  take_drills(application, now, promises, ignored);
  return promises;
}

}  // namespace salvor
