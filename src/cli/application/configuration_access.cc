#include "cli/application/configuration_access.h"

#include <filesystem>

#include <unistd.h>

#include "engine/postgres/postgres_proof.h"
#include "plan/step_kinds.h"

namespace salvor::cli {

namespace {

constexpr const char* kHere = "salvor.yaml";
constexpr const char* kSystem = "/etc/salvor/salvor.yaml";

// SALVOR_ variables that commands and options read: no keys of the configuration.
void collect_options(const CommandSpec& command, std::set<std::string>& names) {
  for (const OptionSpec& option : command.options) {
    for (const std::string& name : environment_names(option)) {
      names.insert(name);
    }
  }
  for (const CommandSpec& inner : command.commands) {
    collect_options(inner, names);
  }
}

std::string state_root(const Environment& environment) {
  if (const auto systemd = environment.get("STATE_DIRECTORY")) {
    return systemd->substr(0, systemd->find(':'));
  }
  if (::geteuid() == 0) {
    return "/var/lib/salvor";
  }
  if (const auto state = environment.get("XDG_STATE_HOME")) {
    return *state + "/salvor";
  }
  return environment.get("HOME").value_or("/tmp") + "/.local/state/salvor";
}

}  // namespace

std::vector<OptionSpec> configuration_option_table(ConfigurationOptions& options) {
  static const std::string kHeading = "Configuration Flags";
  return {{.long_name = "config",
           .value_name = "file",
           .help = "configuration file (else ./salvor.yaml, /etc/salvor/salvor.yaml)",
           .target = &options.file,
           .environment = "CONFIG",
           .hint = ValueHint::kFile,
           .heading = kHeading},
          {.long_name = "environment",
           .value_name = "name",
           .help = "environment, for example production: its layer is put over the file",
           .target = &options.environment,
           .environment = "ENVIRONMENT",
           .heading = kHeading},
          {.long_name = "set",
           .value_name = "path=value",
           .help = "set a key, for example sources.db.schedule=hourly; may be repeated",
           .target = &options.settings,
           .heading = kHeading}};
}

std::optional<std::string> find_configuration(const ConfigurationOptions& options) {
  if (options.file) {
    return options.file;
  }
  for (const char* file : {kHere, kSystem}) {
    std::error_code ignored;
    if (std::filesystem::exists(file, ignored)) {
      return file;
    }
  }
  return {};
}

const std::vector<StepKind>& configuration_step_kinds() {
  return plan::step_kinds();
}

config::ConfigurationRequest configuration_request(const Session& session,
                                                   const ConfigurationOptions& options,
                                                   const std::string& file) {
  config::ConfigurationRequest request;
  request.file = file;
  request.environment = options.environment.value_or("");
  request.variables = session.environment.variables();
  collect_options(session.root, request.not_ours);
  for (const std::string& name : session.environment.secret_names()) {
    request.passwords_set.insert(name);
  }
  request.settings = options.settings;
  request.home = session.environment.get("HOME").value_or("");
  request.state_root = state_root(session.environment);
  request.steps = configuration_step_kinds();
  request.now = std::chrono::floor<std::chrono::seconds>(session.context.clock.now());
  return request;
}

void show_problem(Session& session, const config::Problem& problem,
                  const config::SourceTexts& sources) {
  if (!session.terminal.json()) {
    std::string text = render(problem, sources);
    text.pop_back();
    session.terminal.raw_error_line(text);
    return;
  }
  JsonWriter json;
  json.begin_message(problem.warning ? "configuration_warning" : "configuration_mistake");
  json.field("source", sources.at(problem.place.source).name);
  if (problem.place.line != 0) {
    json.field("line", problem.place.line).field("column", problem.place.column);
  }
  json.field("message", problem.what);
  if (!problem.hint.empty()) {
    json.field("hint", problem.hint);
  }
  session.terminal.raw_error_line(json.end_object().text());
}

config::Configuration load_configuration_for(Session& session,
                                             const ConfigurationOptions& options) {
  const std::optional<std::string> file = find_configuration(options);
  if (!file) {
    throw Error(ErrorCode::kUsage, "there is no configuration",
                "\"salvor init\" in the application's folder writes one (salvor.yaml). One that "
                "is elsewhere is named with --config or SALVOR_CONFIG.");
  }
  try {
    config::Configuration loaded =
        config::load_configuration(configuration_request(session, options, *file));
    for (const config::Problem& warning : loaded.warnings) {
      show_problem(session, warning, *loaded.sources);
    }
    return loaded;
  } catch (const config::ConfigurationError& error) {
    for (const config::Problem& problem : error.problems()) {
      show_problem(session, problem, error.sources());
    }
    throw Error(error.code(), error.message(), error.hint());
  }
}

void make_state_directory(const Application& application) {
  try {
    make_passable(application.state_directory);
  } catch (const Error&) {  // not everybody who looks may write there
  }
}

config::SecretResolver secret_resolver(Session& session) {
  return config::SecretResolver(
      {.variable = [&environment =
                        session.environment](const std::string& name) -> std::optional<Secret> {
         if (auto secret = environment.secret(name)) {
           return secret;
         }
         const auto value = environment.get(name);
         return value ? std::optional(Secret(*value)) : std::nullopt;
       },
       .credentials_directory = session.environment.get("CREDENTIALS_DIRECTORY").value_or(""),
       .warn = [&terminal = session.terminal](
                   const std::string& message,
                   const std::string& hint) { terminal.warn(message, hint); }});
}

}  // namespace salvor::cli
