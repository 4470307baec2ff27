// Two passes. The first only finds the command: it walks over the arguments, skipping options and
// the values they take, and picks the words that name commands. At that point a command's own
// options may already have appeared ("salvor --dry-run backup x"), so whether an unknown option
// takes a value is looked up over all commands. The second pass knows the command and assigns every
// value.
#include "cli/parser.h"

#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/format.h"
#include "base/suggest.h"
#include "cli/output/text.h"

namespace salvor::cli {

namespace {

using Path = std::vector<const CommandSpec*>;

const OptionSpec* find_long(const CommandSpec& command, std::string_view name) {
  for (const OptionSpec& option : command.options) {
    if (option.long_name == name) {
      return &option;
    }
  }
  return nullptr;
}

const OptionSpec* find_short(const CommandSpec& command, char name) {
  for (const OptionSpec& option : command.options) {
    if (option.short_name == name) {
      return &option;
    }
  }
  return nullptr;
}

// Whether any command knows such an option and wants a value for it. `matches` tells the option.
template <class Matches>
bool anywhere_takes_value(const CommandSpec& command, const Matches& matches) {
  for (const OptionSpec& option : command.options) {
    if (matches(option) && takes_value(option)) {
      return true;
    }
  }
  return std::any_of(command.commands.begin(), command.commands.end(),
                     [&](const CommandSpec& sub) { return anywhere_takes_value(sub, matches); });
}

// Whether `argument` (an option) takes the next argument too, judged by all commands' options.
bool takes_next(const CommandSpec& root, std::string_view argument) {
  if (argument.starts_with("--")) {
    const std::string_view name = argument.substr(2);
    return name.find('=') == std::string_view::npos &&
           anywhere_takes_value(root, [&](const OptionSpec& o) { return o.long_name == name; });
  }
  for (size_t i = 1; i < argument.size(); ++i) {
    const char name = argument[i];
    if (i + 1 < argument.size() && argument[i + 1] == '=') {
      return false;
    }
    // The global meaning of a letter wins before the command is known.
    const OptionSpec* global = find_short(root, name);
    const bool wants =
        global != nullptr
            ? takes_value(*global)
            : anywhere_takes_value(root, [&](const OptionSpec& o) { return o.short_name == name; });
    if (wants) {
      return i + 1 == argument.size();
    }
  }
  return false;
}

bool is_option(std::string_view argument) {
  return argument.size() > 1 && argument[0] == '-';
}

[[noreturn]] void refuse_command(const Path& path, const std::string& typed) {
  std::vector<std::string> names;
  for (const CommandSpec& command : path.back()->commands) {
    if (!command.hidden) {
      names.push_back(command.name);
      names.insert(names.end(), command.aliases.begin(), command.aliases.end());
    }
  }
  std::string hint;
  for (const std::string& suggestion : suggestions(typed, names)) {
    hint += (hint.empty() ? "Did you mean \"" : "\" or \"") + suggestion;
  }
  hint += hint.empty() ? "" : "\"? ";
  const std::string parent = command_path_text(path);
  throw Error(ErrorCode::kUsage,
              "unknown command \"" + printable(typed) + "\" for \"" + parent + "\"",
              hint + "Run \"" + parent + " --help\" for the list of commands.");
}

// Finds the command and removes its words from `arguments`.
Path find_path(const CommandSpec& root, std::vector<std::string>& arguments) {
  Path path{&root};
  for (size_t i = 0; i < arguments.size() && !path.back()->commands.empty();) {
    if (arguments[i] == "--") {
      break;
    }
    if (is_option(arguments[i])) {
      i += takes_next(root, arguments[i]) ? 2 : 1;
      continue;
    }
    const CommandSpec* next = find_command(*path.back(), arguments[i]);
    if (next == nullptr) {
      refuse_command(path, arguments[i]);
    }
    path.push_back(next);
    arguments.erase(arguments.begin() + static_cast<ptrdiff_t>(i));
  }
  return path;
}

// The second pass.
class Assignment {
 public:
  Assignment(const Path& path, const Environment& environment, ParsedCommand& parsed)
      : path_(path), environment_(environment), parsed_(parsed) {}

  void take(const std::vector<std::string>& arguments) {
    bool options_ended = false;
    for (size_t i = 0; i < arguments.size(); ++i) {
      const std::string& argument = arguments[i];
      if (!options_ended && argument == "--") {
        options_ended = true;
      } else if (options_ended || !is_option(argument)) {
        positionals_.push_back(argument);
      } else if (argument.starts_with("--")) {
        i += take_long(argument, i + 1 < arguments.size() ? &arguments[i + 1] : nullptr);
      } else {
        i += take_short(argument, i + 1 < arguments.size() ? &arguments[i + 1] : nullptr);
      }
    }
  }

  void finish() {
    check_exclusive();
    for (const CommandSpec* command : path_) {
      for (const OptionSpec& option : command->options) {
        take_environment(option);
      }
    }
    assign_positionals();
  }

 private:
  // Returns how many further arguments were used.
  size_t take_long(const std::string& argument, const std::string* next) {
    const size_t equals = argument.find('=');
    const std::string name = argument.substr(2, equals == std::string::npos ? equals : equals - 2);
    const OptionSpec* option =
        find(name, [](const CommandSpec& c, const std::string& n) { return find_long(c, n); });
    if (option == nullptr) {
      return take_builtin(name, "--" + name);
    }
    if (equals != std::string::npos) {
      store(*option, std::string_view(argument).substr(equals + 1));
      return 0;
    }
    return store_next(*option, next, "--" + name);
  }

  size_t take_short(const std::string& argument, const std::string* next) {
    for (size_t i = 1; i < argument.size(); ++i) {
      const char name = argument[i];
      const OptionSpec* option =
          find(name, [](const CommandSpec& c, char n) { return find_short(c, n); });
      if (option == nullptr) {
        take_builtin(std::string(1, name), "-" + std::string(1, name));
        continue;
      }
      const std::string_view rest = std::string_view(argument).substr(i + 1);
      if (rest.starts_with('=')) {
        store(*option, rest.substr(1));
        return 0;
      }
      if (takes_value(*option) && !rest.empty()) {
        store(*option, rest);
        return 0;
      }
      const size_t used = store_next(*option, next, std::string("-") + name);
      if (used > 0) {
        return used;
      }
    }
    return 0;
  }

  template <class Name, class Find>
  const OptionSpec* find(const Name& name, const Find& find_in) const {
    for (auto command = path_.rbegin(); command != path_.rend(); ++command) {
      if (const OptionSpec* option = find_in(**command, name)) {
        return option;
      }
    }
    return nullptr;
  }

  size_t take_builtin(const std::string& name, const std::string& shown) {
    if (name == "help" || name == "h") {
      parsed_.help = true;
      return 0;
    }
    if (name == "version" && path_.size() == 1) {
      parsed_.version = true;
      return 0;
    }
    refuse_option(name, shown);
  }

  [[noreturn]] void refuse_option(const std::string& name, const std::string& shown) const {
    std::vector<std::string> names{"help"};
    for (const CommandSpec* command : path_) {
      for (const OptionSpec& option : command->options) {
        if (!option.hidden) {
          names.push_back(option.long_name);
        }
      }
    }
    std::string hint;
    for (const std::string& suggestion : suggestions(name, names)) {
      hint += (hint.empty() ? "Did you mean --" : " or --") + suggestion;
    }
    hint += hint.empty() ? "" : "? ";
    const std::string command = command_path_text(path_);
    throw Error(ErrorCode::kUsage,
                "unknown option " + printable(shown) + " for \"" + command + "\"",
                hint + "Run \"" + command + " --help\" for the list of options.");
  }

  size_t store_next(const OptionSpec& option, const std::string* next, const std::string& shown) {
    if (const auto* counter = std::get_if<Counter*>(&option.target)) {
      ++(*counter)->value;
      given_.insert(&option);
      return 0;
    }
    if (!takes_value(option)) {
      store(option, "true");
      return 0;
    }
    if (next == nullptr) {
      throw Error(ErrorCode::kUsage,
                  "option " + shown + " needs a value (" + option.value_name + ")",
                  "Run \"" + command_path_text(path_) + " --help\" for what it means.");
    }
    store(option, *next);
    return 1;
  }

  void store(const OptionSpec& option, std::string_view value) {
    assign(option, value);
    given_.insert(&option);
  }

  void check_exclusive() const {
    for (const OptionSpec* first : given_) {
      for (const OptionSpec* second : given_) {
        if (first < second && !first->exclusive_group.empty() &&
            first->exclusive_group == second->exclusive_group) {
          throw Error(
              ErrorCode::kUsage,
              "--" + first->long_name + " and --" + second->long_name + " exclude each other",
              "Give only one of them.");
        }
      }
    }
  }

  [[nodiscard]] bool group_given(const OptionSpec& option) const {
    return std::any_of(given_.begin(), given_.end(), [&](const OptionSpec* other) {
      return !option.exclusive_group.empty() && other->exclusive_group == option.exclusive_group;
    });
  }

  void take_environment(const OptionSpec& option) {
    if (given_.contains(&option) || group_given(option)) {
      return;
    }
    for (const std::string& name : environment_names(option)) {
      if (const auto value = environment_.get(name)) {
        for (const auto& [other, other_name] : from_environment_) {
          if (!option.exclusive_group.empty() && other->exclusive_group == option.exclusive_group) {
            throw Error(
                ErrorCode::kUsage,
                "the environment variables " + other_name + " and " + name + " exclude each other",
                "Unset one of them.");
          }
        }
        try {
          assign(option, *value);
        } catch (Error& error) {
          throw error.within("environment variable " + name);
        }
        from_environment_.emplace_back(&option, name);
        return;
      }
    }
  }

  void assign_positionals() {
    const CommandSpec& command = *path_.back();
    size_t next = 0;
    size_t still_needed = 0;
    for (const PositionalSpec& positional : command.positionals) {
      still_needed += positional.minimum;
    }
    for (const PositionalSpec& positional : command.positionals) {
      still_needed -= positional.minimum;
      const size_t left = positionals_.size() - next;
      const size_t available = left > still_needed ? left - still_needed : 0;
      const size_t count = std::min(positional.maximum, available);
      if (count < positional.minimum) {
        throw Error(ErrorCode::kUsage, "argument " + positional.name + " is missing", usage_hint());
      }
      for (size_t i = 0; i < count; ++i) {
        assign_positional(positional, positionals_[next++]);
      }
    }
    if (next < positionals_.size()) {
      throw Error(ErrorCode::kUsage,
                  "unexpected argument \"" + printable(positionals_[next]) + "\"", usage_hint());
    }
  }

  void assign_positional(const PositionalSpec& positional, const std::string& value) const {
    const auto& choices = positional.choices;
    if (!choices.empty() && std::find(choices.begin(), choices.end(), value) == choices.end()) {
      std::string wanted;
      for (const std::string& choice : choices) {
        wanted += (wanted.empty() ? "" : ", ") + choice;
      }
      std::string hint;
      for (const std::string& suggestion : suggestions(value, choices)) {
        hint += (hint.empty() ? "Did you mean " : " or ") + suggestion;
      }
      throw Error(
          ErrorCode::kUsage,
          "invalid " + positional.name + " \"" + printable(value) + "\": expected one of " + wanted,
          hint.empty() ? usage_hint() : hint + "?");
    }
    if (const auto* one = std::get_if<std::string*>(&positional.target)) {
      **one = value;
    } else if (const auto* maybe = std::get_if<std::optional<std::string>*>(&positional.target)) {
      **maybe = value;
    } else {
      std::get<std::vector<std::string>*>(positional.target)->push_back(value);
    }
  }

  [[nodiscard]] std::string usage_hint() const {
    return "Run \"" + command_path_text(path_) + " --help\" for what the command expects.";
  }

  const Path& path_;
  const Environment& environment_;
  ParsedCommand& parsed_;
  std::set<const OptionSpec*> given_;
  std::vector<std::pair<const OptionSpec*, std::string>> from_environment_;
  std::vector<std::string> positionals_;
};

}  // namespace

std::string command_path_text(const std::vector<const CommandSpec*>& path) {
  std::string text;
  for (const CommandSpec* command : path) {
    text += (text.empty() ? "" : " ") + command->name;
  }
  return text;
}

ParsedCommand parse_command_line(const CommandSpec& root, std::span<const std::string> arguments,
                                 const Environment& environment) {
  std::vector<std::string> rest(arguments.begin(), arguments.end());
  ParsedCommand parsed;
  parsed.path = find_path(root, rest);
  Assignment assignment(parsed.path, environment, parsed);
  assignment.take(rest);
  if (!parsed.command().run && !parsed.version) {
    parsed.help = true;
  }
  if (!parsed.help && !parsed.version) {
    assignment.finish();
  }
  return parsed;
}

}  // namespace salvor::cli
