// config: what the configuration says, where it comes from, whether it is right.
#include <filesystem>

#include "base/format.h"
#include "cli/application/configuration_access.h"
#include "cli/commands.h"
#include "config/schema_text.h"
#include "config/yaml_printer.h"

namespace salvor::cli {

namespace {

using config::Configuration;
using config::YamlEntry;
using config::YamlNode;

struct Options {
  ConfigurationOptions configuration;
  bool origin = false;
  bool markdown = false;
};

void write_node(const YamlNode& node, JsonWriter& json) {
  switch (node.kind) {
    case YamlNode::Kind::kNull:
      json.null();
      return;
    case YamlNode::Kind::kScalar:
      if (!node.quoted && (node.text == "true" || node.text == "false")) {
        json.value(node.text == "true");
      } else if (!node.quoted && node.text.size() < 16 &&
                 config::yaml_reading(node.text) == config::YamlReading::kInteger) {
        json.raw(node.text);
      } else {
        json.value(node.text);
      }
      return;
    case YamlNode::Kind::kList:
      json.begin_array();
      for (const YamlNode& item : node.items) {
        write_node(item, json);
      }
      json.end_array();
      return;
    case YamlNode::Kind::kMap:
      json.begin_object();
      for (const YamlEntry& entry : node.entries) {
        json.key(entry.key);
        write_node(entry.value, json);
      }
      json.end_object();
      return;
  }
}

void write_origins(const YamlNode& node, const std::string& path,
                   const config::SourceTexts& sources, JsonWriter& json) {
  for (const YamlEntry& entry : node.entries) {
    write_origins(entry.value, path + (path.empty() ? "" : ".") + entry.key, sources, json);
  }
  for (size_t i = 0; i < node.items.size(); ++i) {
    write_origins(node.items[i], path + "." + std::to_string(i), sources, json);
  }
  if (node.entries.empty() && node.items.empty()) {
    json.field(path, sources.origin(node.place));
  }
}

int show(const Options& options, Session& session) {
  const Configuration loaded = load_configuration_for(session, options.configuration);
  if (session.terminal.json()) {
    JsonWriter json;
    json.begin_message("configuration");
    json.field("file", loaded.application.file);
    json.field("environment", loaded.application.environment);
    json.key("configuration");
    write_node(loaded.tree, json);
    if (options.origin) {
      json.key("origins").begin_object();
      write_origins(loaded.tree, "", *loaded.sources, json);
      json.end_object();
    }
    session.terminal.print_json(json.end_object());
    return 0;
  }
  session.terminal.print(
      write_yaml(loaded.tree, options.origin ? config::YamlComment([&](const config::Place& place) {
                   return loaded.sources->origin(place);
                 })
                                             : config::YamlComment()));
  return 0;
}

std::string counted(size_t count, const std::string& one, const std::string& many) {
  return std::to_string(count) + " " + (count == 1 ? one : many);
}

int check(const Options& options, Session& session) {
  const Configuration loaded = load_configuration_for(session, options.configuration);
  const Application& application = loaded.application;
  if (session.terminal.json()) {
    JsonWriter json;
    json.begin_message("configuration_checked");
    json.field("application", application.name).field("file", application.file);
    json.field("environment", application.environment);
    json.field("warnings", loaded.warnings.size());
    session.terminal.print_json(json.end_object());
    return 0;
  }
  session.terminal.print_line(
      printable(application.name) +
      (application.environment.empty() ? "" : " (" + printable(application.environment) + ")") +
      ": " + counted(application.sources.size(), "source", "sources") + ", " +
      counted(application.repositories.size(), "repository", "repositories") + ", " +
      counted(application.plans.size(), "plan", "plans") + ", " +
      counted(application.drills.size(), "drill", "drills") + "; no mistakes in " + [&] {
        std::string files;
        for (const std::string& file : loaded.files) {
          files += (files.empty() ? "" : " and ") + printable(file);
        }
        return files;
      }());
  return 0;
}

int schema(const Options& options, Session& session) {
  const config::Schema made(configuration_step_kinds());
  session.terminal.print(options.markdown ? reference(made) : json_schema(made));
  return 0;
}

int path(const Options& options, Session& session) {
  const auto file = find_configuration(options.configuration);
  if (!file) {
    throw Error(ErrorCode::kNotFound, "there is no configuration",
                "Looked for ./salvor.yaml and /etc/salvor/salvor.yaml. \"salvor init\" writes "
                "one; --config and SALVOR_CONFIG name one.");
  }
  const auto absolute = [](const std::string& name) {
    return std::filesystem::absolute(name).lexically_normal().string();
  };
  session.terminal.print_line(absolute(*file));
  if (options.configuration.environment) {
    const std::string beside =
        config::environment_file(absolute(*file), *options.configuration.environment);
    if (std::filesystem::exists(beside)) {
      session.terminal.print_line(beside);
    }
  }
  return 0;
}

CommandSpec sub_command(const std::string& name, const std::string& summary,
                        const std::string& description, const std::shared_ptr<Options>& options,
                        int (*run)(const Options&, Session&)) {
  return {.name = name,
          .summary = summary,
          .description = description,
          .options = configuration_option_table(options->configuration),
          .exit_codes = {{0, "success"}, {1, "an error"}, {64, "a mistake in the configuration"}},
          .run = [options, run](Session& session) { return run(*options, session); }};
}

}  // namespace

CommandSpec config_command() {
  auto options = std::make_shared<Options>();
  CommandSpec show_command = sub_command(
      "show", "Show the configuration as it is in effect",
      "Prints everything that is in effect: what the files say, the layer of the environment, the "
      "SALVOR_ variables, --set, the usual variables (DATABASE_URL, S3_BUCKET ...) and the "
      "defaults. Secrets appear as references only. What is printed is itself a configuration.",
      options, show);
  show_command.options.insert(show_command.options.begin(),
                              {.long_name = "origin",
                               .help = "say beside each value where it comes from",
                               .target = &options->origin});
  show_command.examples = {
      {"salvor config show --origin --environment production", "Where each value comes from"}};
  CommandSpec schema_command = sub_command(
      "schema", "Print the JSON Schema of salvor.yaml",
      "For editors, which then complete and check while one types. In VS Code with the YAML "
      "extension, this line at the top of salvor.yaml:\n\n"
      "  # yaml-language-server: $schema=salvor.schema.json\n",
      options, schema);
  schema_command.options = {{.long_name = "markdown",
                             .help = "print the reference of docs/configuration.md instead",
                             .target = &options->markdown,
                             .hidden = true}};
  schema_command.examples = {{"salvor config schema > salvor.schema.json", "Beside salvor.yaml"}};
  return {.name = "config",
          .summary = "Show and check the configuration, salvor.yaml",
          .description =
              "salvor.yaml says what is protected, where it is kept, and what is promised. It is "
              "found by --config, SALVOR_CONFIG, in the current directory, or in /etc/salvor.",
          .commands = {std::move(show_command),
                       sub_command("check", "Check the configuration",
                                   "Reports all mistakes at once, each with its place and what to "
                                   "write instead. Nothing is contacted: that is for \"salvor "
                                   "doctor\".",
                                   options, check),
                       std::move(schema_command),
                       sub_command("path", "Print which files are used",
                                   "Prints the absolute path of the configuration that is found, "
                                   "and of the environment's own file when there is one.",
                                   options, path)}};
}

}  // namespace salvor::cli
