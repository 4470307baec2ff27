#include "cli/stores/configured_stores.h"

#include "base/format.h"
#include "cli/stores/files_store.h"
#include "cli/stores/postgres_store.h"

namespace salvor::cli {

std::unique_ptr<Store> ConfiguredStores::open(const std::string& source) {
  const SourceSpec& found = source_of(site_.application, source);
  if (found.kind == "files") {
    return make_files_store(site_, found);
  }
  if (found.kind == "postgres") {
    if (found.settings.text("method", "physical") == "logical") {
      throw Error(ErrorCode::kUsage,
                  "source " + printable(source) + " asks for logical backups, which no source does",
                  "Use `method: physical`, or call `salvor postgres dump` from a job of your own.");
    }
    return make_postgres_store(site_, found);
  }
  throw Error(ErrorCode::kUsage, "sources of kind " + printable(found.kind) + " are not known");
}

}  // namespace salvor::cli
