#include "cli/stores/configured_stores.h"

#include "base/format.h"
#include "cli/stores/files_store.h"
#include "cli/stores/logical_store.h"
#include "cli/stores/postgres_store.h"

namespace salvor::cli {

std::unique_ptr<Store> ConfiguredStores::open(const std::string& source) {
  const SourceSpec& found = source_of(site_.application, source);
  if (found.kind == "files") {
    return make_files_store(site_, found);
  }
  if (found.kind == "postgres") {
    if (found.settings.text("method", "physical") == "logical") {
      return make_logical_store(site_, found);
    }
    return make_postgres_store(site_, found);
  }
  throw Error(ErrorCode::kUsage, "sources of kind " + printable(found.kind) + " are not known");
}

}  // namespace salvor::cli
