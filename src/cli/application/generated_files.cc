#include "cli/application/generated_files.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <functional>
#include <set>
#include <sstream>

#include <fmt/format.h>

#include "base/format.h"
#include "base/slug.h"
#include "config/configuration.h"
#include "config/yaml_printer.h"
#include "crypto/sha256.h"
#include "engine/store_kinds.h"

namespace salvor::cli {

namespace {

constexpr const char* kEvery = "5";  // minutes between two looks at what is due

// Everything that secrets come from, over all places of the application that refer to some.
struct References {
  std::set<std::string> variables;
  std::set<std::string> credentials;
  std::set<std::string> files;
};

void collect(const std::string& text, References& found) {
  const auto reference = SecretReference::parse(text);
  if (!reference) {
    return;
  }
  if (reference->kind == SecretReference::kEnvironment) {
    found.variables.insert(reference->name);
  } else if (reference->kind == SecretReference::kCredential) {
    found.credentials.insert(reference->name);
  } else if (reference->kind == SecretReference::kFile) {
    found.files.insert(reference->name);
  }
}

void collect(const std::vector<std::string>& texts, References& found) {
  for (const std::string& text : texts) {
    collect(text, found);
  }
}

void collect(const TextMap& map, References& found) {
  for (const auto& [name, text] : map) {
    collect(text, found);
  }
}

void collect(const Settings& settings, References& found) {
  for (const auto& [name, value] : settings.all()) {
    std::visit([&found](const auto& held) { collect(held, found); }, value);
  }
}

References references(const Application& application, const ScheduleSetting& setting) {
  References found{.variables = setting.variables, .credentials = {}, .files = {}};
  for (const RepositorySpec& repository : application.repositories) {
    collect(repository.password.text(), found);
    collect(repository.environment, found);
  }
  for (const SourceSpec& source : application.sources) {
    collect(source.settings, found);
  }
  for (const ChannelSpec& channel : application.channels) {
    collect(channel.settings, found);
  }
  for (const PlanSpec& plan : application.plans) {
    for (const StepSpec& step : plan.steps) {
      collect(step.action.settings, found);
      if (step.undo) {
        collect(step.undo->settings, found);
      }
    }
  }
  return found;
}

std::string short_name(const std::string& name) {
  constexpr size_t kLongest = 40;
  const std::string result = slug(slug(name).substr(0, kLongest));  // no "-" at the end of it
  return result.empty() ? "application" : result;
}

// A name that is too long loses its end to a few digits, so that two of them stay two.
std::string fitted(const std::string& name, size_t longest) {
  constexpr size_t kDigits = 8;
  if (name.size() <= longest) {
    return name;
  }
  std::string kept = name.substr(0, longest - kDigits - 1);
  while (kept.ends_with('-')) {
    kept.pop_back();
  }
  return kept + "-" + to_hex(sha256(as_bytes(name))).substr(0, kDigits);
}

// Of a Kubernetes CronJob: the names of its jobs have eleven characters more.
constexpr size_t kLongestName = 52;
// Of a label, which the pods of a followed log have.
constexpr size_t kLongestLabel = 63;

std::string object_name(const Application& application) {
  return fitted(
      "salvor-" + short_name(application.name) +
          (application.environment.empty() ? "" : "-" + short_name(application.environment)),
      kLongestName);
}

// Local folders that a backup writes: a protected file system must leave them open.
std::vector<std::string> written_folders(const Application& application) {
  std::vector<std::string> folders{application.state_directory};
  for (const RepositorySpec& repository : application.repositories) {
    if (repository.location.starts_with('/')) {
      folders.push_back(repository.location);
    }
  }
  for (const SandboxSpec& sandbox : application.sandboxes) {
    if (!sandbox.directory.starts_with(application.state_directory + "/")) {
      folders.push_back(sandbox.directory);
    }
  }
  return folders;
}

// The options of this call that make the configuration what it is.
std::vector<std::string> option_words(const Application& application,
                                      const ScheduleSetting& setting) {
  std::vector<std::string> words;
  if (!application.environment.empty()) {
    words = {"--environment", application.environment};
  }
  for (const std::string& path_and_value : setting.settings) {
    words.insert(words.end(), {"--set", path_and_value});
  }
  return words;
}

std::string joined(const std::vector<std::string>& words, std::string_view between,
                   const std::function<std::string(const std::string&)>& quoted) {
  std::string text;
  for (const std::string& word : words) {
    text += between;
    text += quoted(word);
  }
  return text;
}

// systemd takes "%" for a specifier, everywhere.
std::string unit_text(const std::string& text) {
  std::string result;
  for (const char c : text) {
    result += c == '%' ? "%%" : std::string(1, c);
  }
  return result;
}

// And blanks for the end of a word, where a line holds several.
std::string unit_word(const std::string& text) {
  std::string result;
  for (const char c : text) {
    result += c == '%' ? "%%" : c == '"' ? "\\\"" : c == '\\' ? "\\\\" : std::string(1, c);
  }
  return result.find_first_of(" \t;'$") == std::string::npos ? result : "\"" + result + "\"";
}

// A source whose log is followed by a command that runs on and on.
struct FollowedLog {
  std::string source;
  std::string name;  // of what runs it
  std::vector<std::string> words;
};

std::vector<FollowedLog> followed_logs(const Application& application) {
  std::vector<FollowedLog> logs;
  for (const SourceSpec& source : application.sources) {
    const StoreKind* kind = find_store_kind(source.kind);
    if (kind == nullptr || kind->log_command == nullptr) {
      continue;
    }
    std::vector<std::string> words = kind->log_command(source.settings);
    if (!words.empty()) {
      words.push_back(source.name);
      logs.push_back({.source = source.name,
                      .name = fitted(object_name(application) + "-log-" + short_name(source.name),
                                     kLongestLabel),
                      .words = std::move(words)});
    }
  }
  return logs;
}

// What services of both kinds have: where secrets come from, and how little they may do.
std::string systemd_surroundings(const Application& application, const ScheduleSetting& setting) {
  const References found = references(application, setting);
  // One path, to the end of the line: quotes would be a part of it.
  std::string text =
      fmt::format("WorkingDirectory={}\n",
                  unit_text(std::filesystem::path(application.file).parent_path().string()));
  for (const std::string& credential : found.credentials) {
    text += fmt::format("LoadCredential={0}:/etc/salvor/credentials/{0}\n", unit_text(credential));
  }
  if (!found.variables.empty()) {
    text += "# NAME='value' lines, mode 0600, for:";
    for (const std::string& variable : found.variables) {
      text += " " + variable;
    }
    text += fmt::format("\nEnvironmentFile=-/etc/salvor/{}.env\n", object_name(application));
  }
  text +=
      "NoNewPrivileges=yes\n"
      "ProtectSystem=full\n"
      "ProtectKernelTunables=yes\n"
      "ProtectControlGroups=yes\n"
      "RestrictRealtime=yes\n";
  for (const std::string& folder : written_folders(application)) {
    text += fmt::format("ReadWritePaths={}\n", unit_word("-" + folder));
  }
  return text;
}

GeneratedFile systemd_log_service(const Application& application, const ScheduleSetting& setting,
                                  const FollowedLog& log) {
  std::string command = unit_word(setting.program);
  for (const std::string& word : log.words) {
    command += " " + unit_word(word);
  }
  return {log.name + ".service",
          fmt::format("# Follows the log of {1} of {0}: seconds behind, between two backups.\n"
                      "[Unit]\n"
                      "Description=Salvor: follow the log of {1} of {0}\n"
                      "Wants=network-online.target\n"
                      "After=network-online.target\n"
                      "\n"
                      "[Service]\n"
                      "ExecStart={2} --config {3}{4}\n"
                      "Restart=always\n"
                      "RestartSec=5\n"
                      "{5}"
                      "\n"
                      "[Install]\n"
                      "WantedBy=multi-user.target\n",
                      unit_text(printable(application.name)), unit_text(log.source), command,
                      unit_word(application.file),
                      joined(option_words(application, setting), " ", unit_word),
                      systemd_surroundings(application, setting))};
}

std::vector<GeneratedFile> systemd_files(const Application& application,
                                         const ScheduleSetting& setting) {
  const std::string name = object_name(application);
  const std::string service = fmt::format(
      "# Does whatever is due for {0}: backups, proofs, copies, drills.\n"
      "[Unit]\n"
      "Description=Salvor: what is due for {0}\n"
      "Wants=network-online.target\n"
      "After=network-online.target\n"
      "\n"
      "[Service]\n"
      "Type=oneshot\n"
      "ExecStart={1} run --config {2}{3}\n"
      "# Backups take as long as they take, and leave the machine to others.\n"
      "TimeoutStartSec=infinity\n"
      "Nice=10\n"
      "IOSchedulingClass=idle\n"
      "{4}",
      unit_text(printable(application.name)), unit_word(setting.program),
      unit_word(application.file), joined(option_words(application, setting), " ", unit_word),
      systemd_surroundings(application, setting));
  const std::string timer = fmt::format(
      "# Looks every {1} minutes what is due; what was missed while the machine was off is caught "
      "up.\n"
      "[Unit]\n"
      "Description=Salvor: look what is due for {0}\n"
      "\n"
      "[Timer]\n"
      "OnCalendar=*:0/{1}\n"
      "Persistent=true\n"
      "RandomizedDelaySec=20\n"
      "AccuracySec=1s\n"
      "\n"
      "[Install]\n"
      "WantedBy=timers.target\n",
      unit_text(printable(application.name)), kEvery);
  std::vector<GeneratedFile> files{{name + ".service", service}, {name + ".timer", timer}};
  for (const FollowedLog& log : followed_logs(application)) {
    files.push_back(systemd_log_service(application, setting, log));
  }
  return files;
}

// For sh: in single quotes where it must be.
std::string shell_word(const std::string& text) {
  if (text.find_first_not_of(
          "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-") ==
      std::string::npos) {
    return text;
  }
  std::string result = "'";
  for (const char c : text) {
    result += c == '\'' ? "'\\''" : std::string(1, c);
  }
  return result + "'";
}

// "%" is a line end to cron.
std::string cron_line(const std::string& user, std::string command) {
  for (size_t at = command.find('%'); at != std::string::npos; at = command.find('%', at + 2)) {
    command.insert(at, "\\");
  }
  return fmt::format("*/{} * * * * {} {}\n", kEvery, user.empty() ? "root" : user, command);
}

std::vector<GeneratedFile> cron_files(const Application& application,
                                      const ScheduleSetting& setting) {
  const References found = references(application, setting);
  const std::string configured =
      fmt::format("--config {}{}", shell_word(application.file),
                  joined(option_words(application, setting), " ", shell_word));
  std::string before;
  std::string text = fmt::format(
      "# Does whatever is due for {}: backups, proofs, copies, drills. Put into /etc/cron.d.\n"
      "# What was missed while the machine was off is caught up at the next look.\n",
      printable(application.name));
  if (!found.variables.empty()) {
    const std::string file = "/etc/salvor/" + object_name(application) + ".env";
    // The shell reads it: without quotes an "&" of a URL would end the value.
    text += fmt::format("# {} (mode 0600) has NAME='value' lines for:", file);
    for (const std::string& variable : found.variables) {
      text += " " + variable;
    }
    text += "\n";
    before = fmt::format("set -a; . {}; ", file);
  }
  text +=
      "SHELL=/bin/sh\n"
      "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n" +
      cron_line(setting.user, before + shell_word(setting.program) + " -q run " + configured);
  for (const FollowedLog& log : followed_logs(application)) {
    std::string words;
    for (const std::string& word : log.words) {
      words += " " + shell_word(word);
    }
    text +=
        fmt::format("# Follows the log of {}, and is begun again when it has ended.\n", log.source);
    text +=
        cron_line(setting.user,
                  fmt::format("{}mkdir -p {}; exec flock -n {} {} -q{} {}", before,
                              shell_word(application.state_directory),
                              shell_word(application.state_directory + "/" + log.name + ".lock"),
                              shell_word(setting.program), words, configured));
  }
  return {{object_name(application), text}};
}

std::string indented(const std::string& text, size_t spaces) {
  std::istringstream lines(text);
  std::string result;
  for (std::string line; std::getline(lines, line);) {
    result += (line.empty() ? "" : std::string(spaces, ' ') + line) + "\n";
  }
  return result;
}

std::string file_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// The files of the configuration as the entries of a ConfigMap.
std::string config_entries(const Application& application) {
  // "2": the first line may be indented itself.
  std::string entries = "  salvor.yaml: |2\n" + indented(file_text(application.file), 4);
  const std::string beside = config::environment_file(application.file, application.environment);
  std::error_code ignored;
  if (!application.environment.empty() && std::filesystem::exists(beside, ignored)) {
    entries += fmt::format("  {}: |2\n",
                           config::yaml_text("salvor." + application.environment + ".yaml")) +
               indented(file_text(beside), 4);
  }
  return entries;
}

// The secret with the values that the configuration refers to, for a container; empty: there are
// none.
std::string container_secrets(const Application& application, const ScheduleSetting& setting,
                              size_t spaces) {
  return references(application, setting).variables.empty()
             ? ""
             : indented(
                   fmt::format("envFrom:\n  - secretRef: {{name: {}}}\n", object_name(application)),
                   spaces);
}

// In a list in brackets, where a comma would end it.
std::string command_words(const Application& application, const ScheduleSetting& setting) {
  return joined(option_words(application, setting), ", ", [](const std::string& word) {
    std::string result = "\"";
    for (const char c : word) {
      result += c == '"' || c == '\\' ? std::string{'\\', c} : std::string(1, c);
    }
    return result + "\"";
  });
}

// Runs on and on beside the CronJob, with a disk of its own for what is not stored yet.
std::string kubernetes_log(const Application& application, const ScheduleSetting& setting,
                           const FollowedLog& log) {
  std::string words;
  for (const std::string& word : log.words) {
    words += config::yaml_text(word) + ", ";
  }
  return fmt::format(
      "---\n"
      "# Follows the log of {0}: seconds behind, between two backups. Two must not do it at once.\n"
      "apiVersion: v1\n"
      "kind: PersistentVolumeClaim\n"
      "metadata: {{name: {1}}}\n"
      "spec:\n"
      "  accessModes: [ReadWriteOnce]\n"
      "  resources: {{requests: {{storage: 10Gi}}}}\n"
      "---\n"
      "apiVersion: apps/v1\n"
      "kind: Deployment\n"
      "metadata: {{name: {1}}}\n"
      "spec:\n"
      "  replicas: 1\n"
      "  strategy: {{type: Recreate}}\n"
      "  selector: {{matchLabels: {{app: {1}}}}}\n"
      "  template:\n"
      "    metadata: {{labels: {{app: {1}}}}}\n"
      "    spec:\n"
      "      containers:\n"
      "        - name: salvor\n"
      "          image: {2}\n"
      "          command: [salvor, {3}--config, /etc/salvor/salvor.yaml{4}, --set, "
      "state-directory=/var/lib/salvor]\n"
      "{5}"
      "          volumeMounts:\n"
      "            - {{name: configuration, mountPath: /etc/salvor, readOnly: true}}\n"
      "            - {{name: state, mountPath: /var/lib/salvor}}\n"
      "      volumes:\n"
      "        - name: configuration\n"
      "          configMap: {{name: {6}}}\n"
      "        - name: state\n"
      "          persistentVolumeClaim: {{claimName: {1}}}\n",
      log.source, log.name, config::yaml_text(setting.image), words,
      command_words(application, setting), container_secrets(application, setting, 10),
      object_name(application));
}

std::vector<GeneratedFile> kubernetes_files(const Application& application,
                                            const ScheduleSetting& setting) {
  const std::string name = object_name(application);
  std::string text = fmt::format(
      "# Does whatever is due for {0}: backups, proofs, copies, drills.\n"
      "apiVersion: v1\n"
      "kind: ConfigMap\n"
      "metadata: {{name: {1}}}\n"
      "data:\n"
      "{2}"
      "---\n"
      "# The catalog and the journals of runs. They can be made anew from the repository, slowly.\n"
      "apiVersion: v1\n"
      "kind: PersistentVolumeClaim\n"
      "metadata: {{name: {1}-state}}\n"
      "spec:\n"
      "  accessModes: [ReadWriteOnce]\n"
      "  resources: {{requests: {{storage: 10Gi}}}}\n"
      "---\n"
      "apiVersion: batch/v1\n"
      "kind: CronJob\n"
      "metadata: {{name: {1}}}\n"
      "spec:\n"
      "  schedule: \"*/{3} * * * *\"\n"
      "  concurrencyPolicy: Forbid\n"
      "  startingDeadlineSeconds: 300\n"
      "  jobTemplate:\n"
      "    spec:\n"
      "      backoffLimit: 0\n"
      "      template:\n"
      "        spec:\n"
      "          restartPolicy: Never\n"
      "          containers:\n"
      "            - name: salvor\n"
      "              image: {4}\n"
      "              command: [salvor, run, --config, /etc/salvor/salvor.yaml{6}, --set, "
      "state-directory=/var/lib/salvor]\n"
      "{5}"
      "              volumeMounts:\n"
      "                - {{name: configuration, mountPath: /etc/salvor, readOnly: true}}\n"
      "                - {{name: state, mountPath: /var/lib/salvor}}\n"
      "          volumes:\n"
      "            - name: configuration\n"
      "              configMap: {{name: {1}}}\n"
      "            - name: state\n"
      "              persistentVolumeClaim: {{claimName: {1}-state}}\n",
      printable(application.name), name, config_entries(application), kEvery,
      config::yaml_text(setting.image), container_secrets(application, setting, 14),
      command_words(application, setting));
  for (const FollowedLog& log : followed_logs(application)) {
    text += kubernetes_log(application, setting, log);
  }
  return {{name + ".yaml", text}};
}

std::vector<GeneratedFile> github_files(const Application& application,
                                        const ScheduleSetting& setting) {
  const std::string name = object_name(application);
  const std::string file = std::filesystem::path(application.file).filename().string();
  std::string environment;
  for (const std::string& variable : references(application, setting).variables) {
    environment += fmt::format("          {0}: ${{{{ secrets.{0} }}}}\n", variable);
  }
  return {
      {name + ".yml",
       fmt::format(
           "# Does whatever is due for {0}: backups, proofs, copies, drills. Put into "
           ".github/workflows.\n"
           "# The repository must be reachable from a runner; GitHub starts no schedule more often "
           "than every 5 minutes, and late when it is busy.\n"
           "name: {1}\n"
           "on:\n"
           "  schedule:\n"
           "    - cron: \"*/15 * * * *\"\n"
           "  workflow_dispatch:\n"
           "permissions:\n"
           "  contents: read\n"
           "concurrency: {1}\n"
           "jobs:\n"
           "  run:\n"
           "    runs-on: ubuntu-latest\n"
           "    steps:\n"
           "      - uses: actions/checkout@v4\n"
           "      # Catalog and run journals, from the last run.\n"
           "      - uses: actions/cache@v4\n"
           "        with:\n"
           "          path: .salvor-state\n"
           "          key: {1}-${{{{ github.run_id }}}}\n"
           "          restore-keys: {1}-\n"
           "      # The program: examples/github-actions/backup.yml shows how it is built.\n"
           "      - run: {2}\n{3}",
           printable(application.name), name,
           config::yaml_text(fmt::format(
               "salvor run --config {}{} --set "
               "state-directory=.salvor-state",
               shell_word(file), joined(option_words(application, setting), " ", shell_word))),
           environment.empty() ? "" : "        env:\n" + environment)}};
}

}  // namespace

std::vector<GeneratedFile> schedule_files(const std::string& scheduler,
                                          const Application& application,
                                          const ScheduleSetting& setting) {
  if (scheduler == "systemd") {
    return systemd_files(application, setting);
  }
  if (scheduler == "cron") {
    return cron_files(application, setting);
  }
  return scheduler == "kubernetes" ? kubernetes_files(application, setting)
                                   : github_files(application, setting);
}

std::string schedule_advice(const std::string& scheduler, const Application& application,
                            const ScheduleSetting& setting) {
  const std::string name = object_name(application);
  const References found = references(application, setting);
  std::string secrets;
  for (const std::string& variable : found.variables) {
    secrets += " " + variable;
  }
  std::string advice = "Next:\n";
  if (scheduler == "systemd") {
    const std::vector<FollowedLog> logs = followed_logs(application);
    advice += fmt::format(
        "  copy {} files to /etc/systemd/system\n"
        "  systemctl enable --now {}.timer",
        logs.empty() ? "both" : "the", name);
    for (const FollowedLog& log : logs) {
      advice += fmt::format("\n  systemctl enable --now {}.service", log.name);
    }
    for (const std::string& credential : found.credentials) {
      advice += "\n  put the credential into /etc/salvor/credentials/" + credential;
    }
    if (!secrets.empty()) {
      advice += fmt::format("\n  write /etc/salvor/{}.env with{}", name, secrets);
    }
  } else if (scheduler == "cron") {
    advice += "  copy the file to /etc/cron.d";
    if (!secrets.empty()) {
      advice += fmt::format("\n  write /etc/salvor/{}.env with{}", name, secrets);
    }
  } else if (scheduler == "kubernetes") {
    if (!secrets.empty()) {
      advice += fmt::format("  make the secret {} with the keys{}\n", name, secrets);
    }
    advice += fmt::format("  kubectl apply -f {}.yaml", name);
  } else {
    advice += "  copy the file to .github/workflows";
    for (const FollowedLog& log : followed_logs(application)) {
      advice += "\n  nothing here follows the log of " + log.source + ": somewhere must run salvor";
      for (const std::string& word : log.words) {
        advice += " " + word;
      }
    }
    if (!secrets.empty()) {
      advice += "\n  make the repository's secrets" + secrets;
    }
  }
  if ((scheduler == "kubernetes" || scheduler == "github") && !found.files.empty()) {
    advice += "\n  these files must be there, too:";
    // What is beside the configuration here is beside it there.
    const std::string beside = std::filesystem::path(application.file).parent_path() / "";
    for (const std::string& file : found.files) {
      advice += " ";
      advice += !file.starts_with(beside)   ? file
                : scheduler == "kubernetes" ? "/etc/salvor/" + file.substr(beside.size())
                                            : file.substr(beside.size());
    }
  }
  for (const std::string& credential : found.credentials) {
    if (scheduler != "systemd") {
      advice += "\n  only systemd has credential:" + credential +
                ": refer to env:NAME or file:PATH instead";
    }
  }
  return advice;
}

std::set<std::string> variables_of(const config::Configuration& loaded) {
  std::set<std::string> names;
  const std::function<void(const config::YamlNode&)> walk = [&](const config::YamlNode& node) {
    const config::SourceText& source = loaded.sources->at(node.place.source);
    if (source.kind == config::SourceText::kVariable || source.kind == config::SourceText::kUsual) {
      names.insert(source.name);
    }
    std::for_each(node.items.begin(), node.items.end(), walk);
    for (const config::YamlEntry& entry : node.entries) {
      walk(entry.value);
    }
  };
  walk(loaded.tree);
  const config::YamlNode* services = loaded.tree.find("services");
  for (const config::YamlEntry& entry :
       services == nullptr ? std::vector<config::YamlEntry>() : services->entries) {
    const std::string& text = entry.value.text;
    for (size_t open = text.find("${"); open != std::string::npos; open = text.find("${", open)) {
      open += 2;
      names.insert(text.substr(open, std::min(text.find('}', open), text.size()) - open));
    }
  }
  names.erase("environment");
  return names;
}

std::string program_path() {
  std::error_code ignored;
  const auto path = std::filesystem::read_symlink("/proc/self/exe", ignored);
  return ignored ? "/usr/bin/salvor" : path.string();
}

}  // namespace salvor::cli
