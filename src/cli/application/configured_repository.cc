#include "cli/application/configured_repository.h"

#include "base/format.h"
#include "cli/command_audit.h"
#include "storage/location.h"

namespace salvor::cli {
namespace {

constexpr const char* kMain = "main";

// --config, --environment and --set of commands that have them not themselves.
ConfigurationOptions options_of(const GlobalOptions& global) {
  return {.file = global.configuration,
          .environment = global.configuration_environment,
          .settings = global.configuration_settings};
}

std::string names_of(const Application& application) {
  std::string names;
  for (const RepositorySpec& one : application.repositories) {
    names += (names.empty() ? "" : ", ") + one.name;
  }
  return names;
}

}  // namespace

bool names_repository(const GlobalOptions& global) {
  return (global.repository && !global.repository->empty()) || global.repository_file;
}

ConfiguredRepositories::ConfiguredRepositories(Session& outer)
    : outer_(outer), options_(options_of(outer.global)) {}

bool ConfiguredRepositories::available() const {
  return find_configuration(options_).has_value();
}

const RepositorySpec& ConfiguredRepositories::choose(const std::string& name) const {
  const Application& application = configuration_->application;
  if (!name.empty()) {
    if (const RepositorySpec* found = find_named(application.repositories, name)) {
      return *found;
    }
    throw Error(ErrorCode::kUsage,
                "the configuration has no repository \"" + printable(name) + "\"",
                "It has " + names_of(application) + ".");
  }
  if (const RepositorySpec* found = find_named(application.repositories, kMain)) {
    return *found;
  }
  if (application.repositories.size() == 1) {
    return application.repositories.front();
  }
  throw Error(ErrorCode::kUsage,
              "the configuration has several repositories: " + names_of(application),
              "Choose one with --repository-name, or name one with -r.");
}

void ConfiguredRepositories::load() {
  if (!configuration_) {
    configuration_ = load_configuration_for(outer_, options_);
    audit_.emplace(outer_, *configuration_);
    secrets_.emplace(secret_resolver(outer_));
  }
}

std::string ConfiguredRepositories::main() {
  load();
  return choose({}).name;
}

std::string ConfiguredRepositories::chosen() {
  load();
  return choose(outer_.global.repository_name.value_or("")).name;
}

Session& ConfiguredRepositories::of(const std::string& name) {
  load();
  const RepositorySpec& spec =
      choose(name.empty() ? outer_.global.repository_name.value_or("") : name);
  std::unique_ptr<RepositorySession>& session = sessions_[spec.name];
  if (!session) {
    session = std::make_unique<RepositorySession>(
        outer_, outer_.context, spec, RateLimits{},
        [this](const SecretReference& reference) {
          return secrets_->resolve(reference, outer_.context.stop);
        },
        CommandLine::kGoesBefore);
    session->session().audit = outer_.audit;
    if (outer_.audit != nullptr) {
      outer_.audit->of_configuration(spec.name, configuration_->application.state_directory,
                                     audit_->configuration_hash());
    }
    outer_.terminal.message("repository " + spec.name + " of " + configuration_->application.file +
                            ": " + display_location(spec.location));
  }
  return session->session();
}

}  // namespace salvor::cli
