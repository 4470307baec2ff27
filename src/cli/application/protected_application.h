// A configured application with what is known of it: the catalog, the survey of its recovery
// points.
#pragma once

#include <chrono>

#include "catalog/catalog.h"
#include "cli/application/configured_application.h"
#include "protect/due.h"
#include "protect/survey.h"
#include "storage/doctor.h"

namespace salvor::cli {

class ProtectedApplication : public ConfiguredApplication {
 public:
  // Reads the configuration and opens the catalog; a catalog that fails is done without. Throws
  // what load_configuration_for throws.
  ProtectedApplication(Session& session, const ConfigurationOptions& options);

  [[nodiscard]] Catalog& catalog() { return catalog_; }
  // What doctor finds of one of the repositories' storage. Throws what examine_storage throws.
  [[nodiscard]] StorageReport examine_storage_of(const Context& context, const std::string& name);
  [[nodiscard]] std::vector<DueJob> due(WallTime now);
  [[nodiscard]] Survey take_survey(const Context& context, std::chrono::seconds patience,
                                   bool offline);

 private:
  Catalog catalog_;
};

}  // namespace salvor::cli
