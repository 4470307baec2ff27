// An application as its configuration describes it, ready to be worked with: its sources as Stores,
// its repositories as `-r` would open them, its secrets.
#pragma once

#include <functional>

#include "cli/application/configuration_access.h"
#include "cli/stores/configured_stores.h"

namespace salvor::cli {

// Not movable: its parts refer to each other and to the session, which must outlive it. As
// thread-safe as the stores are.
class ConfiguredApplication {
 public:
  // Reads the configuration. Throws what load_configuration_for throws.
  ConfiguredApplication(Session& session, const ConfigurationOptions& options);
  ConfiguredApplication(const ConfiguredApplication&) = delete;
  ConfiguredApplication& operator=(const ConfiguredApplication&) = delete;

  [[nodiscard]] const Application& application() const { return configuration_.application; }
  [[nodiscard]] Stores& stores() { return stores_; }
  [[nodiscard]] StoreSite& site() { return site_; }
  // Throws Error that names the reference.
  [[nodiscard]] Secret secret(const SecretReference& reference) const;

  using Body = std::function<void(OpenedRepository& opened, Session& inner)>;
  // Opens one of the repositories, under `context`, by name. Throws what open_repository throws.
  void with_repository(const Context& context, const std::string& name, LockMode lock,
                       const Body& body);

 private:
  Session& session_;
  config::Configuration configuration_;
  config::SecretResolver resolver_;
  StoreSite site_;
  ConfiguredStores stores_;
};

}  // namespace salvor::cli
