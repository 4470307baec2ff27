// The repository for commands that are about one (`snapshots`, `ls`, `check` ...) where neither -r
// nor the environment names it: that of salvor.yaml.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "cli/application/application_audit.h"
#include "cli/application/configuration_access.h"
#include "cli/stores/repository_session.h"

namespace salvor::cli {

// Whether -r, --repository-file or their variables name a repository: they always win.
[[nodiscard]] bool names_repository(const GlobalOptions& global);

// Made for one run of a command; loads the configuration when it is asked for the first time. Not
// thread-safe. `outer` must outlive it.
class ConfiguredRepositories {
 public:
  explicit ConfiguredRepositories(Session& outer);
  ConfiguredRepositories(const ConfiguredRepositories&) = delete;
  ConfiguredRepositories& operator=(const ConfiguredRepositories&) = delete;

  // Which configuration, where the command has --config and its kin itself. Before all else.
  void read_from(const ConfigurationOptions& options) { options_ = options; }
  // Whether there is a configuration to take one from.
  [[nodiscard]] bool available() const;
  // The session that opens the repository of that name; empty: the one that --repository-name
  // says, else `main`, else the only one. Says on stderr which it is, once. What the command line
  // says of a password, of -o and of limits goes before the configuration. Throws what
  // load_configuration_for throws, and Error{kUsage} that lists the names.
  [[nodiscard]] Session& of(const std::string& name = {});
  // After `of`.
  [[nodiscard]] const Application& application() const { return configuration_->application; }
  // The name of `main`, else of the only one, whatever --repository-name says.
  [[nodiscard]] std::string main();
  // The name of the repository that `of()` chooses.
  [[nodiscard]] std::string chosen();

 private:
  void load();
  [[nodiscard]] const RepositorySpec& choose(const std::string& name) const;

  Session& outer_;
  ConfigurationOptions options_;
  std::optional<config::Configuration> configuration_;
  std::optional<ApplicationAudit> audit_;  // sees changes of the configuration
  std::optional<config::SecretResolver> secrets_;
  std::map<std::string, std::unique_ptr<RepositorySession>> sessions_;
};

}  // namespace salvor::cli
