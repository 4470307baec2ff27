// The configuration, for every command that works on the application as a whole.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/session.h"
#include "config/configuration.h"
#include "config/secret_resolver.h"

namespace salvor::cli {

// Bound to the options below. The command owns it.
struct ConfigurationOptions {
  std::optional<std::string> file;
  std::optional<std::string> environment;
  std::vector<std::string> settings;
};

// --config, --environment, --set: to be added to the command's own.
[[nodiscard]] std::vector<OptionSpec> configuration_option_table(ConfigurationOptions& options);

// --config, SALVOR_CONFIG, ./salvor.yaml, /etc/salvor/salvor.yaml: the first that is named or
// there. Nothing when none is.
[[nodiscard]] std::optional<std::string> find_configuration(const ConfigurationOptions& options);

// What steps of plans may be.
[[nodiscard]] const std::vector<StepKind>& configuration_step_kinds();

// What the loader needs from this process.
[[nodiscard]] config::ConfigurationRequest configuration_request(
    const Session& session, const ConfigurationOptions& options, const std::string& file);

// Loads it. Mistakes are shown (with --json as objects on stderr) before the Error{kUsage} is
// thrown that stands for all of them; warnings are shown, too.
[[nodiscard]] config::Configuration load_configuration_for(Session& session,
                                                           const ConfigurationOptions& options);

// Makes the state directory before anybody keeps something in it, so that a server which root
// starts gets through to a sandbox below, whoever came first and whatever the umask. Does not
// throw: who needs the directory says why it cannot be made.
void make_state_directory(const Application& application);

// Resolves the references of this configuration. The session must outlive it.
[[nodiscard]] config::SecretResolver secret_resolver(Session& session);

// One mistake as the commands show it.
void show_problem(Session& session, const config::Problem& problem,
                  const config::SourceTexts& sources);

}  // namespace salvor::cli
