#include "cli/application/protected_application.h"

namespace salvor::cli {

ProtectedApplication::ProtectedApplication(Session& session, const ConfigurationOptions& options)
    : ConfiguredApplication(session, options),
      catalog_(Catalog::open_or_do_without(session.context, application().state_directory)) {}

WithRepository ProtectedApplication::opener() {
  return [this](const Context& context, const std::string& name, const auto& body) {
    with_repository(context, name, LockMode::kNone, [&](OpenedRepository& opened, Session&) {
      body(opened.context, *opened.repository);
    });
  };
}

Survey ProtectedApplication::take_survey(const Context& context, std::chrono::seconds patience,
                                         bool offline) {
  return survey(context, {.application = application(),
                          .stores = stores(),
                          .with_repository = opener(),
                          .catalog = catalog_,
                          .host = current_host_name(),
                          .patience = patience,
                          .offline = offline});
}

}  // namespace salvor::cli
