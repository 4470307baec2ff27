#include "cli/application/protected_application.h"

#include "base/format.h"
#include "base/suggest.h"

namespace salvor::cli {

ProtectedApplication::ProtectedApplication(Session& session, const ConfigurationOptions& options)
    : session_(session),
      configuration_(load_configuration_for(session, options)),
      secrets_(secret_resolver(session)),
      site_{.session = session,
            .application = configuration_.application,
            .secrets =
                [this](const SecretReference& reference) {
                  return secrets_.resolve(reference, session_.context.stop);
                }},
      stores_(site_),
      catalog_(Catalog::open_or_do_without(session.context,
                                           configuration_.application.state_directory)) {}

void ProtectedApplication::with_repository(const Context& context, const std::string& name,
                                           LockMode lock, const Body& body) {
  RepositorySession access(session_, context, repository_of(application(), name), {},
                           site_.secrets);
  OpenedRepository opened =
      open_repository(access.session(), {.lock = lock, .no_lock = NoLock::kIgnored});
  body(opened);
}

WithRepository ProtectedApplication::opener() {
  return [this](const Context& context, const std::string& name, const auto& body) {
    with_repository(context, name, LockMode::kNone,
                    [&](OpenedRepository& opened) { body(opened.context, *opened.repository); });
  };
}

Survey ProtectedApplication::take_survey(const Context& context, std::chrono::seconds patience,
                                         bool offline) {
  return survey(context, {.application = application(),
                          .stores = stores_,
                          .with_repository = opener(),
                          .catalog = catalog_,
                          .host = current_host_name(),
                          .patience = patience,
                          .offline = offline});
}

const SourceSpec& ProtectedApplication::source(const std::string& name) const {
  if (const SourceSpec* found = find_named(application().sources, name)) {
    return *found;
  }
  std::string all;
  for (const SourceSpec& each : application().sources) {
    all += (all.empty() ? "" : ", ") + each.name;
  }
  throw Error(ErrorCode::kUsage, "there is no source \"" + printable(name) + "\"",
              "The configuration has " + (all.empty() ? "none" : all) + ".");
}

}  // namespace salvor::cli
