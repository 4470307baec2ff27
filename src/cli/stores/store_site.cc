#include "cli/stores/store_site.h"

#include <algorithm>
#include <filesystem>

#include <fmt/format.h>
#include <unistd.h>

#include "base/format.h"
#include "connector/postgres/backup_facts.h"
#include "engine/maintenance/sample_check.h"
#include "engine/postgres/postgres_proof.h"
#include "engine/snapshots/snapshot_labels.h"

namespace salvor::cli {
namespace {

constexpr std::string_view kLabelTag = "salvor:label=";

std::string keep_text(std::chrono::seconds keep) {
  return keep.count() == 0
             ? std::string()
             : fmt::format("{}h", std::chrono::ceil<std::chrono::hours>(keep).count());
}

}  // namespace

const RepositorySpec& repository_of(const Application& application, const std::string& name) {
  const RepositorySpec* found = find_named(application.repositories, name);
  if (found == nullptr) {
    throw Error(ErrorCode::kUsage,
                "the configuration has no repository \"" + printable(name) + "\"",
                "`salvor config show` lists what it has.");
  }
  return *found;
}

const SourceSpec& source_of(const Application& application, const std::string& name) {
  if (const SourceSpec* found = find_named(application.sources, name)) {
    return *found;
  }
  std::string all;
  for (const SourceSpec& each : application.sources) {
    all += (all.empty() ? "" : ", ") + each.name;
  }
  throw Error(ErrorCode::kUsage, "there is no source \"" + printable(name) + "\"",
              "The configuration has " + (all.empty() ? "none" : all) + ".");
}

RateLimits limits_of(const Application& application, const SourceSpec& source) {
  const PolicySpec* policy = find_named(application.policies, source.policy);
  return policy != nullptr ? policy->limits : RateLimits{};
}

SourceRepository::SourceRepository(const StoreSite& site, const Context& context,
                                   const SourceSpec& source, const OpenRequest& request)
    : access_(site.session, context, repository_of(site.application, source.repository),
              limits_of(site.application, source), site.secrets),
      opened_(open_repository(access_.session(), request)) {}

std::shared_ptr<SourceRepository> SharedReaders::of(const StoreSite& site, const Context& context,
                                                    const SourceSpec& source) {
  Place* place = nullptr;
  {
    const std::scoped_lock lock(mutex_);
    std::unique_ptr<Place>& here = places_[source.repository];
    if (!here) {
      here = std::make_unique<Place>();
    }
    place = here.get();
  }
  const std::scoped_lock lock(place->mutex);
  if (!place->repository) {
    place->repository = std::make_shared<SourceRepository>(site, context, source,
                                                           OpenRequest{.lock = LockMode::kNone});
  }
  return place->repository;
}

std::shared_ptr<SourceRepository> open_reader(const StoreSite& site, const Context& context,
                                              const SourceSpec& source) {
  return site.readers != nullptr ? site.readers->of(site, context, source)
                                 : std::make_shared<SourceRepository>(
                                       site, context, source, OpenRequest{.lock = LockMode::kNone});
}

std::string application_text(const Application& application) {
  return application.environment.empty() ? application.name
                                         : application.name + ":" + application.environment;
}

std::string source_tag(const Application& application, const SourceSpec& source) {
  std::string tag = std::string(kSourceTag) + application_text(application) + "/" + source.name;
  std::replace(tag.begin(), tag.end(), ',', '_');  // restic parts tags there
  return tag;
}

BackupOptions backup_options(const StoreSite& site, Session& session, const SourceSpec& source,
                             const BackupOrder& order) {
  BackupOptions backup;
  backup.time = LocalZone().stamp(session.context.clock.now());
  backup.hostname = current_host_name();
  backup.username = current_user_name();
  backup.uid = getuid();
  backup.gid = getgid();
  backup.tags = {source_tag(site.application, source)};
  for (std::string& tag : label_tags(order.label, keep_text(order.keep), backup.time)) {
    backup.tags.push_back(std::move(tag));
  }
  backup.program_version = "salvor " SALVOR_VERSION;
  backup.write = write_options(session.global);
  backup.write.dry_run = order.dry_run;
  return backup;
}

std::string who_text() {
  return current_user_name() + "@" + current_host_name();
}

std::string new_run_id(Random& random) {
  return fmt::format("{:016x}{:016x}", random.next_u64(), random.next_u64());
}

RunRecord begin_record(const StoreSite& site, const Context& context, RunKind kind,
                       const SourceSpec& source) {
  RunRecord record;
  record.id = new_run_id(context.random);
  record.kind = kind;
  record.subject = source.name;
  record.repository = source.repository;
  record.started = context.clock.now();
  record.who = who_text();
  // Several applications may share a repository.
  record.facts.emplace_back("application", application_text(site.application));
  return record;
}

void finish_backup(const Context& context, const Repository& repository, const BackupResult& result,
                   RunRecord& record) {
  const SnapshotSummary& summary = result.summary;
  record.snapshot = result.snapshot ? result.snapshot->hex() : "";
  record.read_bytes = summary.total_bytes_processed;
  record.added_bytes = summary.data_added_packed;
  record.items = summary.total_files_processed;
  record.outcome = result.errors > 0 ? RunOutcome::kIncomplete : RunOutcome::kSucceeded;
  if (result.errors > 0) {
    record.error = fmt::format("{} items are missing from the snapshot", result.errors);
    record.hint = "They were named when the backup ran; `salvor backup` names them again.";
  }
  const MonotonicTime begun = context.clock.monotonic();
  const SampleResult sample =
      check_sample(context, repository, result.tree, {.snapshot_bytes = record.read_bytes});
  record.checks.push_back(
      {.name = "sample read again",
       .passed = sample.sound(),
       .value = sample.text(),
       .expected = {},
       .seconds = std::chrono::duration<double>(context.clock.monotonic() - begun).count()});
  record.finished = context.clock.now();
  const auto failed = std::find_if(record.checks.begin(), record.checks.end(),
                                   [](const CheckResult& check) { return !check.passed; });
  if (failed != record.checks.end()) {
    record.outcome = RunOutcome::kFailed;
    record.error = failed->name + ": " + failed->value;
    record.hint =
        "The snapshot is there and must not be relied on. Run `salvor check --read-data`.";
  }
}

std::string label_of(const Snapshot& snapshot) {
  for (const std::string& tag : snapshot.tags) {
    if (tag.starts_with(kLabelTag)) {
      return tag.substr(kLabelTag.size());
    }
  }
  return "";
}

std::vector<RecoveryRange> snapshot_ranges(
    std::span<const StoredSnapshot> snapshots,
    const std::function<WallTime(const StoredSnapshot&)>& captured) {
  std::vector<RecoveryRange> ranges;
  for (auto stored = snapshots.rbegin(); stored != snapshots.rend(); ++stored) {
    RecoveryRange range;
    range.snapshot = stored->id.hex();
    range.captured = captured(*stored);
    range.until = range.captured;
    const auto& summary = stored->snapshot.summary;
    range.durable = summary ? summary->backup_end.wall() : range.captured;
    range.bytes = summary ? summary->total_bytes_processed : 0;
    range.label = label_of(stored->snapshot);
    range.tags = stored->snapshot.tags;
    ranges.push_back(std::move(range));
  }
  return ranges;
}

const StoredSnapshot& choose_snapshot(
    std::span<const StoredSnapshot> snapshots, const Moment& moment, const std::string& base,
    const std::function<WallTime(const StoredSnapshot&)>& captured, const std::string& source) {
  if (moment.kind == Moment::kPosition) {
    throw Error(ErrorCode::kUsage,
                source + " has no log: \"" + printable(moment.text) + "\" means nothing there",
                "Name a time, a label or a snapshot.");
  }
  const std::string& prefix = base.empty() && moment.kind == Moment::kSnapshot ? moment.text : base;
  const StoredSnapshot* best = nullptr;
  const StoredSnapshot* oldest = nullptr;
  for (const StoredSnapshot& stored : snapshots) {
    if (oldest == nullptr || captured(stored) < captured(*oldest)) {
      oldest = &stored;
    }
    const bool fits = !prefix.empty()                 ? stored.id.hex().starts_with(prefix)
                      : moment.kind == Moment::kLabel ? has_label(stored.snapshot, moment.text)
                      : moment.kind == Moment::kAt    ? captured(stored) <= moment.time
                                                      : true;
    if (!fits) {
      continue;
    }
    if (best != nullptr && !prefix.empty() && best->id != stored.id) {
      throw Error(ErrorCode::kUsage, "several snapshots begin with " + printable(prefix),
                  "Give more of the id.");
    }
    if (best == nullptr || captured(*best) <= captured(stored)) {
      best = &stored;
    }
  }
  if (best == nullptr) {
    throw Error(ErrorCode::kNotFound,
                "there is no snapshot of " + source + " for " + printable(moment.display()),
                oldest == nullptr
                    ? "Nothing was backed up yet: `salvor backup " + source + "` does."
                    : fmt::format("There are {}; the oldest is {} of {}.", snapshots.size(),
                                  oldest->id.short_hex(), postgres::format_utc(captured(*oldest))));
  }
  return *best;
}

std::vector<ProbeResult> probe_repository(const StoreSite& site, const Context& context,
                                          const SourceSpec& source) {
  std::vector<ProbeResult> results;
  try {
    SourceRepository at(site, context, source, {.lock = LockMode::kNone});
    results.push_back({.name = "repository",
                       .ok = true,
                       .fatal = true,
                       .found = at.repository().storage().traits().description,
                       .hint = {}});
    if (const auto space = at.repository().storage().space(context)) {
      // A tenth is where people should look, a hundredth where backups begin to fail.
      const bool enough = space->free_bytes > space->total_bytes / 100;
      results.push_back({.name = "repository space",
                         .ok = space->free_bytes > space->total_bytes / 10,
                         .fatal = !enough,
                         .found = format_bytes(space->free_bytes) + " free of " +
                                  format_bytes(space->total_bytes),
                         .hint = "Make room, or let `salvor prune` do it."});
    }
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kCancelled) {
      throw;
    }
    results.push_back({.name = "repository",
                       .ok = false,
                       .fatal = true,
                       .found = error.message(),
                       .hint = error.hint()});
  }
  return results;
}

std::string sandbox_parent(const SandboxSpec& sandbox) {
  const std::string parent = sandbox.directory.empty() ? "/var/tmp" : sandbox.directory;
  make_passable(parent);
  return std::filesystem::absolute(parent).string();
}

CheckResult checked(const Context& context, const std::string& name,
                    const std::function<std::string()>& body) {
  CheckResult result{.name = name, .passed = false, .value = {}, .expected = {}, .seconds = 0};
  const MonotonicTime begun = context.clock.monotonic();
  try {
    result.value = body();
    result.passed = true;
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kCancelled) {
      throw;
    }
    result.value = error.message();
  }
  result.seconds = std::chrono::duration<double>(context.clock.monotonic() - begun).count();
  return result;
}

}  // namespace salvor::cli
