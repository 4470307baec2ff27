// What the stores of a configuration have in common: where they are configured, how they open their
// repository, and how their snapshots are known.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "cli/stores/repository_session.h"
#include "engine/backup/archiver.h"
#include "engine/snapshots/snapshot_filter.h"
#include "engine/store.h"

namespace salvor::cli {

class SharedReaders;

// Referred to by the stores; outlives them.
struct StoreSite {
  Session& session;
  const Application& application;
  SecretLookup secrets;
  // Progress and a summary on the terminal, as `salvor backup` gives; else only messages.
  bool report = false;
  // Where set, what only reads shares one opening of each repository; outlives the stores.
  SharedReaders* readers = nullptr;
};

// A source's repository, opened.
class SourceRepository {
 public:
  SourceRepository(const StoreSite& site, const Context& context, const SourceSpec& source,
                   const OpenRequest& request);
  [[nodiscard]] Session& session() { return access_.session(); }
  [[nodiscard]] OpenedRepository& opened() { return opened_; }
  [[nodiscard]] Repository& repository() { return *opened_.repository; }
  // Stops when the lock is lost, too.
  [[nodiscard]] const Context& context() const { return opened_.context; }

 private:
  RepositorySession access_;
  OpenedRepository opened_;
};

// Repositories that all who only read in one command share: opening costs five requests one after
// the other and the derivation of the key. Thread-safe.
class SharedReaders {
 public:
  // Opened without a lock, under `context` the first time; what is then read, is read under the
  // reader's own. Throws what open_repository throws, each time anew.
  [[nodiscard]] std::shared_ptr<SourceRepository> of(const StoreSite& site, const Context& context,
                                                     const SourceSpec& source);

 private:
  struct Place {
    std::mutex mutex;  // held while it is opened
    std::shared_ptr<SourceRepository> repository;
  };
  std::mutex mutex_;
  std::map<std::string, std::unique_ptr<Place>> places_;  // by name
};

// The source's repository for reading: the shared one, or its own.
[[nodiscard]] std::shared_ptr<SourceRepository> open_reader(const StoreSite& site,
                                                            const Context& context,
                                                            const SourceSpec& source);

// Throws Error{kUsage} when the configuration has no such repository.
[[nodiscard]] const RepositorySpec& repository_of(const Application& application,
                                                  const std::string& name);
// The named source; throws Error{kUsage} that lists those there are.
[[nodiscard]] const SourceSpec& source_of(const Application& application, const std::string& name);
// What the source's policy allows; none without one.
[[nodiscard]] RateLimits limits_of(const Application& application, const SourceSpec& source);

// The tag by which a source's snapshots are known whatever host made them:
// "salvor:source=shop/db", with an environment "salvor:source=shop:production/db".
[[nodiscard]] std::string source_tag(const Application& application, const SourceSpec& source);
// "shop", with an environment "shop:production".
[[nodiscard]] std::string application_text(const Application& application);
inline constexpr std::string_view kSourceTag = "salvor:source=";

// For a new snapshot: time, host, user, label and the source's tag.
[[nodiscard]] BackupOptions backup_options(const StoreSite& site, Session& session,
                                           const SourceSpec& source, const BackupOrder& order);
// Begins the record of a run of the source: id, kind, times, who.
[[nodiscard]] RunRecord begin_record(const StoreSite& site, const Context& context, RunKind kind,
                                     const SourceSpec& source);
// What every backup of a snapshot's content has found out (V1): figures, `items`, bytes, outcome,
// and the sample that is read again. Not for dry runs.
void finish_backup(const Context& context, const Repository& repository, const BackupResult& result,
                   RunRecord& record);

[[nodiscard]] std::string who_text();  // user@host
[[nodiscard]] std::string new_run_id(Random& random);

// The snapshot that `moment` (or `base`) names, among `snapshots`, of which each was captured when
// `captured` says. For stores without a log. Throws Error{kNotFound} that says what there is.
[[nodiscard]] const StoredSnapshot& choose_snapshot(
    std::span<const StoredSnapshot> snapshots, const Moment& moment, const std::string& base,
    const std::function<WallTime(const StoredSnapshot&)>& captured, const std::string& source);
[[nodiscard]] std::string label_of(const Snapshot& snapshot);
// What such a store can be brought back to: each of `snapshots` (oldest first), newest first.
[[nodiscard]] std::vector<RecoveryRange> snapshot_ranges(
    std::span<const StoredSnapshot> snapshots,
    const std::function<WallTime(const StoredSnapshot&)>& captured);

// The repository can be opened with what is configured, and has room.
[[nodiscard]] std::vector<ProbeResult> probe_repository(const StoreSite& site,
                                                        const Context& context,
                                                        const SourceSpec& source);

// Where sandboxes are made; the directory is there afterwards.
[[nodiscard]] std::string sandbox_parent(const SandboxSpec& sandbox);

// Runs `body` and makes a check of it: what it returns is the value, what it throws the failure.
[[nodiscard]] CheckResult checked(const Context& context, const std::string& name,
                                  const std::function<std::string()>& body);

}  // namespace salvor::cli
