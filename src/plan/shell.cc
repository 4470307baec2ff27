#include "plan/shell.h"

#include <algorithm>
#include <charconv>

#include "base/error.h"
#include "base/format.h"
#include "model/text_file.h"

namespace salvor::plan {
namespace {

bool is_variable_name(std::string_view name) {
  return !name.empty() && (name[0] < '0' || name[0] > '9') &&
         name.find_first_not_of(
             "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") ==
             std::string_view::npos;
}

// Ends with the connection: sshd sends nothing to what it has started when ssh goes away, and a
// step that ran out of time must not go on over there. 0 is the process group of the session.
constexpr const char* kWatchConnection =
    "if [ \"$PPID\" = 1 ] || { [ -d /proc/self ] && [ ! -d \"/proc/$PPID\" ]; }; then\n"
    "  exit 125\n"  // it was gone before we began
    "fi\n"
    "if kill -0 \"$PPID\" 2>/dev/null; then\n"
    "  ( trap '' TERM; while kill -0 \"$PPID\" 2>/dev/null; do sleep 1; done\n"
    "    kill -TERM 0; sleep 5; kill -KILL 0 ) </dev/null >/dev/null 2>&1 &\n"
    "fi\n";

std::vector<std::string> words_of(StepScene& scene, const std::vector<std::string>& command) {
  if (command.size() == 1) {
    return {"/bin/sh", "-c",
            expand(command[0],
                   plain_values(scene.lookup, is_plain_word, "the shell",
                                "Give the command as a list (program and arguments), or put the "
                                "value into `environment` and write \"$NAME\" in the command."))};
  }
  std::vector<std::string> words;
  for (const std::string& word : command) {
    words.push_back(expand(word, scene.lookup));
  }
  return words;
}

void refuse_passwords(const Secrets& secrets, const std::vector<std::string>& words) {
  for (const std::string& word : words) {
    if (secrets.hide(word) != word) {
      throw Error(ErrorCode::kUsage, "a command's argument holds a password",
                  "Every user of the machine sees arguments. Put it into `environment` as a "
                  "reference and let the command read \"$NAME\".");
    }
  }
}

std::vector<std::pair<std::string, Secret>> environment_of(StepScene& scene, const TextMap& more) {
  std::vector<std::pair<std::string, Secret>> variables;
  for (auto& [name, value] : secret_settings(scene, "environment")) {
    if (!is_variable_name(name)) {
      throw Error(ErrorCode::kUsage, "\"" + printable(name) + "\" is no variable's name");
    }
    if (value.reveal().find('\0') != std::string_view::npos) {
      throw Error(ErrorCode::kUsage, "the value of " + name + " holds a zero byte");
    }
    variables.emplace_back(name, std::move(value));
  }
  for (const auto& [name, value] : more) {
    variables.emplace_back(name, Secret(as_plain_text(value, SIZE_MAX)));
  }
  variables.emplace_back("SALVOR_RUN", Secret(scene.run));
  variables.emplace_back("SALVOR_STEP", Secret(scene.step));
  variables.emplace_back("SALVOR_MODE", Secret(std::string(name_of(scene.site.mode()))));
  return variables;
}

std::string last_lines(const std::string& text) {
  constexpr size_t kMost = 600;
  const std::string_view tidy = trim_space(text);
  return printable(tidy.size() > kMost ? tidy.substr(tidy.size() - kMost) : tidy);
}

}  // namespace

std::string shell_quoted(std::string_view text) {
  std::string result = "'";
  for (const char c : text) {
    result += c == '\'' ? "'\\''" : std::string(1, c);
  }
  return result + "'";
}

std::vector<FieldSpec> place_fields() {
  return {{.name = "host",
           .help = "run it there, over ssh; as ssh takes it (user@host)",
           .example = "deploy@app1.example.com"},
          {.name = "ssh-options",
           .type = FieldType::kTextList,
           .help = "more arguments for ssh, one each",
           .example = "-p2222"},
          {.name = "environment",
           .type = FieldType::kSecretMap,
           .help = "variables for it; values may be references to secrets"},
          {.name = "directory", .help = "where it runs"},
          {.name = "network",
           .type = FieldType::kFlag,
           .help = "whether it may use the network in a drill, too",
           .default_text = "false"}};
}

namespace {

// The words that cut a drill's command off from the network.
std::vector<std::string> cut_off(StepScene& scene) {
  const NetworkCage* const cage = scene.site.cage();
  if (cage == nullptr) {
    return {};
  }
  if (scene.settings.flag("network", false)) {
    scene.network = "open: network: true";
    return {};
  }
  scene.network = cage->prefix().empty() ? "open: the system does not let it be cut off" : "off";
  return cage->prefix();
}

}  // namespace

CommandOrder command_order(StepScene& scene, const std::vector<std::string>& command,
                           const TextMap& more) {
  if (command.empty() || command[0].empty()) {
    throw Error(ErrorCode::kUsage, "no command was given");
  }
  const std::vector<std::string> words = words_of(scene, command);
  const auto variables = environment_of(scene, more);
  refuse_passwords(scene.secrets, words);
  CommandOrder order;
  order.marks = {"SALVOR_RUN=" + scene.run, "SALVOR_STEP=" + scene.step};
  const std::string host = scene.settings.text("host");
  const std::string directory = scene.settings.text("directory");
  if (host.empty()) {
    for (const std::string& word : words) {
      if (word.find('\0') != std::string::npos) {
        throw Error(ErrorCode::kUsage, "an argument of the command holds a zero byte");
      }
    }
    order.arguments = words;
    const std::vector<std::string> apart = cut_off(scene);
    order.arguments.insert(order.arguments.begin(), apart.begin(), apart.end());
    order.directory = directory;
    for (const auto& [name, value] : variables) {
      order.environment.push_back(name + "=" + std::string(value.reveal()));
    }
    return order;
  }
  if (scene.site.cage() != nullptr) {
    scene.network = "open: it runs on " + printable(host);
  }
  if (host.front() == '-') {
    throw Error(ErrorCode::kUsage, "\"" + printable(host) + "\" is no host");
  }
  // What is said first counts. A host that went away is noticed after a minute.
  order.arguments = {"ssh"};
  for (const std::string& option : scene.settings.list("ssh-options")) {
    order.arguments.push_back(option);
  }
  for (const char* const option : {"BatchMode=yes", "ConnectTimeout=15", "ServerAliveInterval=15",
                                   "ServerAliveCountMax=4", "ControlPath=none"}) {
    order.arguments.insert(order.arguments.end(), {"-o", option});
  }
  order.arguments.insert(order.arguments.end(), {"--", host, "exec /bin/sh -s"});
  // In braces, so that the shell has read everything before anything runs.
  order.input = "{\n";
  for (const auto& [name, value] : variables) {
    order.input += "export " + name + "=" + shell_quoted(value.reveal()) + "\n";
  }
  if (!directory.empty()) {
    order.input += "cd -- " + shell_quoted(directory) + " || exit 126\n";
  }
  order.input += kWatchConnection;
  for (const std::string& word : words) {
    order.input += shell_quoted(word) + " ";
  }
  order.input += "</dev/null\nstatus=$?\n[ -z \"$!\" ] || kill -KILL \"$!\"\nexit \"$status\"\n}\n";
  return order;
}

std::vector<std::string> command_problems(StepScene& scene,
                                          const std::vector<std::string>& command) {
  std::vector<std::string> problems;
  for (const auto& [name, value] : scene.settings.map("environment")) {
    if (value.find("${") != std::string::npos) {
      continue;
    }
    try {
      static_cast<void>(scene.secrets.resolve(value));
    } catch (const Error& error) {
      problems.push_back("secret for " + name + ": " + error.message());
    }
  }
  const bool remote = !scene.settings.text("host").empty();
  const std::string program = remote ? "ssh" : command.size() == 1 ? "/bin/sh" : command.at(0);
  if (program.find("${") == std::string::npos && !program_exists(program)) {
    problems.push_back("there is no program " + printable(program));
  }
  return problems;
}

CommandOutcome run_accepted(StepScene& scene, const CommandOrder& order,
                            const std::vector<int>& accepted) {
  CommandOutcome outcome = run_command(scene.context, order);
  if (outcome.cut) {
    const size_t doubtful = scene.secrets.longest();
    outcome.output.resize(outcome.output.size() - std::min(outcome.output.size(), doubtful));
    outcome.errors.erase(0, doubtful);
    scene.say("it wrote more than can be kept: " + format_bytes(order.output_limit_bytes) +
              " of its output (the beginning) and of its errors (the end) are");
  }
  outcome.output = scene.secrets.hide(outcome.output);
  outcome.errors = scene.secrets.hide(outcome.errors);
  const bool good = outcome.exit.signal == 0 && std::find(accepted.begin(), accepted.end(),
                                                          outcome.exit.status) != accepted.end();
  if (!good) {
    const std::string said = last_lines(outcome.errors.empty() ? outcome.output : outcome.errors);
    throw Error(ErrorCode::kFailed,
                "the command ended with " + outcome.exit.text() + (said.empty() ? "" : ": " + said),
                scene.network == "off"
                    ? "It ran without a network, as a drill's commands do: `network: true` in the "
                      "step gives it one."
                    : "");
  }
  return outcome;
}

std::vector<int> exit_codes(const std::vector<std::string>& texts) {
  std::vector<int> codes;
  for (const std::string& text : texts) {
    int code = -1;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), code);
    constexpr int kMost = 255;
    if (error != std::errc() || end != text.data() + text.size() || code < 0 || code > kMost) {
      throw Error(ErrorCode::kUsage, "\"" + printable(text) + "\" is no exit status");
    }
    codes.push_back(code);
  }
  return codes.empty() ? std::vector<int>{0} : codes;
}

}  // namespace salvor::plan
