#include "protect/survey.h"

#include <algorithm>
#include <functional>
#include <set>

#include "base/task.h"
#include "catalog/run_log.h"
#include "engine/copies/copies.h"
#include "protect/check_shares.h"
#include "protect/patience.h"
#include "protect/run_facts.h"

namespace salvor {
namespace {

// What status looks at; proofs and drills that are older say nothing about today.
constexpr std::chrono::days kHistory{800};

constexpr const char* kLateHint = "Look at the network; `salvor doctor` shows which step hangs.";

// Trouble with the catalog must not keep anybody from the answer.
template <class Body>
void with_catalog(const Context& context, const Body& body) {
  try {
    body();
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kCancelled) {
      throw;
    }
    context.events.on(Warning{error.message(), error.hint()});
  }
}

std::vector<std::string> repositories_of(const SourceSpec& source) {
  std::vector<std::string> names{source.repository};
  for (const CopySpec& copy : source.copies) {
    names.push_back(copy.to);
  }
  return names;
}

class Surveyor {
 public:
  Surveyor(const Context& context, const SurveyRequest& request)
      : context_(context), request_(request), now_(context.clock.now()) {}

  Survey run() {
    read_repositories();
    read_ranges();
    Survey survey;
    for (const SourceSpec& source : request_.application.sources) {
      survey.facts[source.name] = facts_of(source);
    }
    with_catalog(context_,
                 [&] { survey.drills = runs({.kind = RunKind::kDrill, .from = now_ - kHistory}); });
    // Beside a drill's own record there is one for each of its sources, which is among theirs.
    std::erase_if(survey.drills,
                  [](const RunRecord& run) { return fact_of(run, kSourceFact).empty(); });
    return survey;
  }

 private:
  // Each at once with the others: what takes long is waiting for storages.
  void at_once(const std::vector<std::function<void()>>& tasks) const {
    constexpr size_t kAtOnce = 16;
    ThreadPool pool("survey", static_cast<unsigned>(std::clamp<size_t>(tasks.size(), 1, kAtOnce)));
    TaskGroup group(pool, context_.stop);
    for (const std::function<void()>& task : tasks) {
      group.run([&task] { task(); });
    }
    group.wait();
  }

  // Each once: which snapshots there are, then what was run: the catalog is for one at a time.
  void read_repositories() {
    std::set<std::string> names;
    for (const SourceSpec& source : request_.application.sources) {
      for (const std::string& name : repositories_of(source)) {
        names.insert(name);
      }
    }
    std::vector<std::function<void()>> tasks;
    for (const std::string& name : names) {
      Failure& failure = failures_[name];
      if (request_.offline) {
        failure = {"it was not asked", "Leave out --offline."};
        continue;
      }
      tasks.emplace_back([this, name, &failure, &snapshots = snapshots_[name],
                          &unreadable_here = unreadable_[name]] {
        failure = within(context_, request_.patience, kLateHint, [&](const Context& context) {
          request_.with_repository(context, name,
                                   [&](const Context& opened, Repository& repository) {
                                     std::vector<UnreadableObject> unreadable;
                                     snapshots = repository.load_snapshots(opened, &unreadable);
                                     unreadable_here = unreadable.size();
                                   });
        });
      });
    }
    at_once(tasks);
    for (const std::string& name : names) {
      if (failures_[name].message.empty()) {
        failures_[name] = read_history(name);
      }
    }
  }

  // A history that is too long to be read now is no reason to know nothing: its newest part has
  // come first, and the next call goes on.
  Failure read_history(const std::string& name) {
    const Failure failure =
        within(context_, request_.patience, kLateHint, [&](const Context& context) {
          request_.with_repository(
              context, name, [&](const Context& opened, Repository& repository) {
                with_catalog(opened, [&] {
                  static_cast<void>(sync_catalog(opened, repository, name, request_.catalog));
                });
              });
        });
    if (failure.message.empty() || failure.hint != kLateHint) {
      return failure;
    }
    context_.events.on(
        Warning{"the runs that repository " + name +
                    " knows of are not all known here yet: " + failure.message,
                "The next call goes on with them; `salvor catalog rebuild` waits for all."});
    return {};
  }

  // What can be reached, of each source whose repository answers.
  void read_ranges() {
    std::vector<std::function<void()>> tasks;
    for (const SourceSpec& source : request_.application.sources) {
      Failure& failure = range_failures_[source.name];
      failure = failures_[source.repository];
      if (failure.message.empty()) {
        tasks.emplace_back([this, &source, &failure, &ranges = ranges_[source.name]] {
          failure = within(context_, request_.patience, kLateHint, [&](const Context& context) {
            ranges = request_.stores.open(source.name)->ranges(context);
          });
        });
      }
    }
    at_once(tasks);
  }

  std::vector<RunRecord> runs(const RunQuery& query) {
    std::vector<RunRecord> found = request_.catalog.runs(query);
    std::erase_if(found,
                  [&](const RunRecord& run) { return !belongs_to(run, request_.application); });
    return found;
  }

  SourceFacts facts_of(const SourceSpec& source) {
    SourceFacts facts{.seen_at = now_};
    Failure failure = range_failures_[source.name];
    facts.ranges = std::move(ranges_[source.name]);
    with_catalog(context_, [&] {
      if (failure.message.empty()) {
        request_.catalog.see_ranges(source.name, {.at = now_, .ranges = facts.ranges});
        return;
      }
      facts.seen_at = {};
      if (auto seen = request_.catalog.seen_ranges(source.name)) {
        facts.seen_at = seen->at;
        facts.ranges = std::move(seen->ranges);
      }
    });
    facts.unreachable = std::move(failure.message);
    facts.hint = std::move(failure.hint);
    with_catalog(context_,
                 [&] { facts.runs = runs({.subject = source.name, .from = now_ - kHistory}); });
    for (const std::string& name : repositories_of(source)) {
      facts.places.push_back(place(source, name, facts));
    }
    return facts;
  }

  PlaceFacts place(const SourceSpec& source, const std::string& name, const SourceFacts& facts) {
    PlaceFacts place{.repository = name, .seen_at = now_};
    const RepositorySpec* spec = find_named(request_.application.repositories, name);
    const RepositorySpec* own = find_named(request_.application.repositories, source.repository);
    if (spec != nullptr) {
      place.kind = place_kind(spec->location);
      place.offsite = is_offsite(spec->location, request_.host) ||
                      (own != nullptr && !spec->region.empty() && spec->region != own->region);
    }
    with_catalog(context_, [&] {
      place.errors = errors_of(name);
      if (const auto seen = request_.catalog.seen_storage(name)) {
        place.immutable = seen->immutable;
        place.immutable_seen_at = seen->at;
      }
    });
    if (name == source.repository) {
      place.reachable = facts.unreachable.empty();
      place.seen_at = facts.seen_at;
      for (const RecoveryRange& range : facts.ranges) {
        place.snapshots.push_back(range.snapshot);
      }
      return place;
    }
    place.reachable = failures_[name].message.empty();
    if (place.reachable && facts.unreachable.empty()) {
      place.snapshots = copied(source.repository, name, facts.ranges);
      with_catalog(context_, [&] {
        request_.catalog.see_copies(source.name, name, {.at = now_, .originals = place.snapshots});
      });
      return place;
    }
    place.seen_at = {};
    with_catalog(context_, [&] {
      if (auto seen = request_.catalog.seen_copies(source.name, name)) {
        place.seen_at = seen->at;
        place.snapshots = std::move(seen->originals);
      }
    });
    return place;
  }

  // Which of the ranges' snapshots have a copy in the other repository.
  std::vector<std::string> copied(const std::string& from, const std::string& to,
                                  const std::vector<RecoveryRange>& ranges) {
    std::set<std::string_view> wanted;
    for (const RecoveryRange& range : ranges) {
      wanted.insert(range.snapshot);
    }
    std::vector<CopyPlace> places(2);
    places[0].snapshots = snapshots_[from];
    places[1].snapshots = snapshots_[to];
    std::vector<std::string> found;
    for (const CopiedSnapshot& copy : match_copies(places)) {
      std::string id = copy.snapshot.id.hex();
      if (copy.places.size() == 2 && wanted.contains(id)) {
        found.push_back(std::move(id));
      }
    }
    return found;
  }

  uint64_t errors_of(const std::string& name) {
    const std::vector<RunRecord> checks = request_.catalog.runs(
        {.kind = RunKind::kCheck, .repository = name, .from = now_ - kHistory});
    return unreadable_[name] + (standing_errors(checks).empty() ? 0 : 1);
  }

  const Context& context_;
  const SurveyRequest& request_;
  const WallTime now_;
  std::map<std::string, Failure> failures_;        // by repository
  std::map<std::string, Failure> range_failures_;  // by source
  std::map<std::string, std::vector<RecoveryRange>> ranges_;
  std::map<std::string, std::vector<StoredSnapshot>> snapshots_;
  std::map<std::string, uint64_t> unreadable_;
};

}  // namespace

bool belongs_to(const RunRecord& run, const Application& application) {
  for (const auto& [name, value] : run.facts) {
    if (name == "application") {
      return value == application.name || value == application.name + ":" + application.environment;
    }
  }
  return true;
}

Survey survey(const Context& context, const SurveyRequest& request) {
  return Surveyor(context, request).run();
}

}  // namespace salvor
