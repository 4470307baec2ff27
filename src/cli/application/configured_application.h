// An application as its configuration describes it, ready to be worked with: its sources as Stores,
// its repositories as `-r` would open them, its secrets.
#pragma once

#include <functional>

#include "cli/application/application_audit.h"
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
  // Where what is done with the application is recorded.
  [[nodiscard]] ApplicationAudit& audit() { return audit_; }
  // Before something is destroyed: opens the repository (empty: the audit trail's home) and records
  // the event. Throws what open_repository throws, and Error when no record can be made durable.
  void record_before(const Context& context, const std::string& repository,
                     const AuditEvent& event);
  // Throws Error that names the reference.
  [[nodiscard]] Secret secret(const SecretReference& reference) const;

  using Body = std::function<void(OpenedRepository& opened, Session& inner)>;
  // Opens one of the repositories, under `context`, by name. Throws what open_repository throws.
  void with_repository(const Context& context, const std::string& name, LockMode lock,
                       const Body& body);

 protected:
  [[nodiscard]] Session& session() { return session_; }

 private:
  Session& session_;
  config::Configuration configuration_;
  ApplicationAudit audit_;
  config::SecretResolver resolver_;
  StoreSite site_;
  ConfiguredStores stores_;
};

}  // namespace salvor::cli
