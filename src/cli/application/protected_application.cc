#include "cli/application/protected_application.h"

#include "protect/former_runs.h"

namespace salvor::cli {

ProtectedApplication::ProtectedApplication(Session& session, const ConfigurationOptions& options)
    : ConfiguredApplication(session, options),
      catalog_(Catalog::open_or_do_without(session.context, application().state_directory)) {}

StorageReport ProtectedApplication::examine_storage_of(const Context& context,
                                                       const std::string& name) {
  const RepositorySpec& spec = repository_of(application(), name);
  RepositorySession access(session(), context, spec, {}, site().secrets);
  return examine_storage(context, spec.location, storage_options(access.session()));
}

std::vector<DueJob> ProtectedApplication::due(WallTime now) {
  return all_due(
      application(),
      [this, now](const Job& job) { return former_runs(catalog_, application(), job, now); }, now);
}

Survey ProtectedApplication::take_survey(const Context& context, std::chrono::seconds patience,
                                         bool offline) {
  SharedReaders readers;
  site().readers = &readers;
  const std::shared_ptr<void> shared(nullptr, [this](void*) { site().readers = nullptr; });
  const auto opener = [&](const Context& under, const std::string& name, const auto& body) {
    SourceSpec whole;  // a source that is nothing but the repository
    whole.name = name;
    whole.repository = name;
    body(under, readers.of(site(), under, whole)->repository());
  };
  return survey(context, {.application = application(),
                          .stores = stores(),
                          .with_repository = opener,
                          .catalog = catalog_,
                          .host = current_host_name(),
                          .patience = patience,
                          .offline = offline});
}

}  // namespace salvor::cli
