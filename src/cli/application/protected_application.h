// The application of a configuration with all that commands about it need: its stores, its
// repositories, the catalog.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "catalog/catalog.h"
#include "cli/application/configuration_access.h"
#include "cli/stores/configured_stores.h"
#include "protect/survey.h"

namespace salvor::cli {

// Not movable: its parts refer to each other and to the session.
class ProtectedApplication {
 public:
  // Reads the configuration and opens the catalog; a catalog that fails is done without. Throws
  // what load_configuration_for throws.
  ProtectedApplication(Session& session, const ConfigurationOptions& options);
  ProtectedApplication(const ProtectedApplication&) = delete;
  ProtectedApplication& operator=(const ProtectedApplication&) = delete;

  [[nodiscard]] const Application& application() const { return configuration_.application; }
  [[nodiscard]] Stores& stores() { return stores_; }
  [[nodiscard]] Catalog& catalog() { return catalog_; }

  using Body = std::function<void(OpenedRepository& opened)>;
  // Opens one of the repositories, under `context`; throws what open_repository throws.
  void with_repository(const Context& context, const std::string& name, LockMode lock,
                       const Body& body);
  // The same without a lock, for surveys.
  [[nodiscard]] WithRepository opener();
  [[nodiscard]] Survey take_survey(const Context& context, std::chrono::seconds patience,
                                   bool offline);
  // The named source; throws Error{kUsage} that lists those there are.
  [[nodiscard]] const SourceSpec& source(const std::string& name) const;

 private:
  Session& session_;
  config::Configuration configuration_;
  config::SecretResolver secrets_;
  StoreSite site_;
  ConfiguredStores stores_;
  Catalog catalog_;
};

}  // namespace salvor::cli
