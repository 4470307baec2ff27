#include "cli/application/configured_application.h"

namespace salvor::cli {
namespace {

config::Configuration load_and_prepare(Session& session, const ConfigurationOptions& options) {
  config::Configuration configuration = load_configuration_for(session, options);
  make_state_directory(configuration.application);
  return configuration;
}

}  // namespace

ConfiguredApplication::ConfiguredApplication(Session& session, const ConfigurationOptions& options)
    : session_(session),
      configuration_(load_and_prepare(session, options)),
      audit_(session, configuration_),
      resolver_(secret_resolver(session)),
      site_{.session = session,
            .application = configuration_.application,
            .secrets = [this](const SecretReference& reference) { return secret(reference); }},
      stores_(site_) {}

Secret ConfiguredApplication::secret(const SecretReference& reference) const {
  return resolver_.resolve(reference, session_.context.stop);
}

void ConfiguredApplication::record_before(const Context& context, const std::string& repository,
                                          const AuditEvent& event) {
  if (!audit_.on()) {
    return;
  }
  const std::string name = repository.empty() ? audit_.home() : repository;
  with_repository(context, name, LockMode::kNone, [&](OpenedRepository& opened, Session&) {
    audit_.deliver(opened.context, name, *opened.repository);
    audit_.begin(opened.context, *opened.repository, event);
  });
}

void ConfiguredApplication::with_repository(const Context& context, const std::string& name,
                                            LockMode lock, const Body& body) {
  RepositorySession access(session_, context, repository_of(application(), name), {},
                           site_.secrets);
  OpenedRepository opened =
      open_repository(access.session(), {.lock = lock, .no_lock = NoLock::kIgnored});
  body(opened, access.session());
}

}  // namespace salvor::cli
