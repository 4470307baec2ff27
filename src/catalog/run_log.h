// Writing runs down, and bringing catalog and repository to know the same.
#pragma once

#include <string>
#include <vector>

#include "base/context.h"
#include "catalog/catalog.h"
#include "repo/repository.h"

namespace salvor {

// Writes a run down: in its repository (null: it cannot be reached), then in the catalog. Never
// throws and is not stopped by the context's token, because what was interrupted must be written
// down, too; what fails is a warning. A record that the repository does not take stays in the
// catalog until `sync_catalog` can send it. An empty id is filled in.
// Returns the record as it was written.
RunRecord record_run(const Context& context, const Repository* repository, Catalog& catalog,
                     RunRecord record);

struct SyncResult {
  size_t loaded = 0;                    // records that the catalog did not have
  size_t sent = 0;                      // that the repository did not have
  std::vector<std::string> unreadable;  // positions of records; told as warnings
};

// Sends what this machine could not send before, loads what others wrote. `name`: of the
// repository in the configuration. Throws Error when the repository or the catalog fails; what was
// loaded by then stays, the newest first.
//
// Looks for all records once a day, else for those of runs that began since the day before the last
// time: one of another machine that took longer, or was sent later, may be seen a day late.
SyncResult sync_catalog(const Context& context, const Repository& repository,
                        const std::string& name, Catalog& catalog);

// Puts copies of old records together (run_records.h), so that a machine without a catalog has them
// soon: in each bundle kBundleSize that are older than kBundleAge. Needs the right to write; costs
// one listing where there is nothing to do. Returns how many bundles were made.
inline constexpr size_t kBundleSize = 500;
inline constexpr std::chrono::hours kBundleAge{48};
size_t bundle_records(const Context& context, const Repository& repository, Catalog& catalog);

}  // namespace salvor
