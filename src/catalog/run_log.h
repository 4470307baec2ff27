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
// repository in the configuration. Throws Error when the repository or the catalog fails.
SyncResult sync_catalog(const Context& context, const Repository& repository,
                        const std::string& name, Catalog& catalog);

}  // namespace salvor
