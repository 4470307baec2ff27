#include "cli/help.h"

#include <algorithm>

#include "cli/output/text.h"
#include "cli/parser.h"

namespace salvor::cli {

namespace {

constexpr size_t kWidestLeftColumn = 30;

struct Row {
  std::string left;
  std::string right;
};

// Two columns; a left cell that is too wide gets a line of its own.
std::string render_rows(const std::vector<Row>& rows, size_t columns) {
  size_t left_width = 0;
  for (const Row& row : rows) {
    const size_t width = display_width(row.left);
    if (width <= kWidestLeftColumn) {
      left_width = std::max(left_width, width);
    }
  }
  const size_t indent = 2 + left_width + 3;
  const size_t right_width = columns > indent + 20 ? columns - indent : 20;
  std::string text;
  for (const Row& row : rows) {
    std::string line = "  " + row.left;
    const size_t width = 2 + display_width(row.left);
    const auto lines = wrap(row.right, right_width);
    size_t next = 0;
    if (width + 3 <= indent && !lines.empty()) {
      line += std::string(indent - width, ' ') + lines[next++];
    }
    text += line + "\n";
    for (; next < lines.size(); ++next) {
      text += std::string(indent, ' ') + lines[next] + "\n";
    }
  }
  return text;
}

std::string option_names(const OptionSpec& option) {
  std::string names =
      option.short_name != '\0' ? std::string("-") + option.short_name + ", " : std::string("    ");
  names += "--" + option.long_name;
  if (takes_value(option)) {
    names += " " + (option.value_name.empty() ? std::string("value") : option.value_name);
  }
  return names;
}

std::string render_options(const std::vector<const OptionSpec*>& options, size_t columns) {
  std::vector<Row> rows;
  for (const OptionSpec* option : options) {
    rows.push_back({option_names(*option), full_option_help(*option)});
  }
  return render_rows(rows, columns);
}

std::vector<const OptionSpec*> shown_options(const CommandSpec& command,
                                             const std::string& heading) {
  std::vector<const OptionSpec*> options;
  for (const OptionSpec& option : command.options) {
    if (!option.hidden && option.heading == heading) {
      options.push_back(&option);
    }
  }
  return options;
}

// The headings of a command's options in order of appearance, the empty one first.
std::vector<std::string> option_headings(const CommandSpec& command) {
  std::vector<std::string> headings{""};
  for (const OptionSpec& option : command.options) {
    if (!option.hidden &&
        std::find(headings.begin(), headings.end(), option.heading) == headings.end()) {
      headings.push_back(option.heading);
    }
  }
  return headings;
}

std::string render_commands(const CommandSpec& command, size_t columns) {
  std::vector<std::string> headings;
  for (const CommandSpec& sub : command.commands) {
    if (!sub.hidden && std::find(headings.begin(), headings.end(), sub.heading) == headings.end()) {
      headings.push_back(sub.heading);
    }
  }
  std::string text;
  for (const std::string& heading : headings) {
    std::vector<Row> rows;
    for (const CommandSpec& sub : command.commands) {
      if (!sub.hidden && sub.heading == heading) {
        rows.push_back({sub.name, sub.summary});
      }
    }
    std::sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) { return a.left < b.left; });
    text += "\n" + (heading.empty() ? std::string("Available Commands") : heading) + ":\n" +
            render_rows(rows, columns);
  }
  return text;
}

OptionSpec help_option(const CommandSpec& command) {
  // The parser knows --help by itself; this entry only shows it.
  return {.long_name = "help",
          .short_name = 'h',
          .help = "help for " + command.name,
          .target = static_cast<bool*>(nullptr)};
}

std::string render_own_options(const CommandSpec& command, bool root, size_t columns) {
  const OptionSpec help = help_option(command);
  std::string text;
  for (const std::string& heading : option_headings(command)) {
    auto options = shown_options(command, heading);
    if (heading.empty()) {
      options.push_back(&help);
      std::stable_sort(options.begin(), options.end(),
                       [](const auto* a, const auto* b) { return a->long_name < b->long_name; });
    }
    if (!options.empty()) {
      const std::string title = !heading.empty() ? heading : root ? "Global Flags" : "Flags";
      text += "\n" + title + ":\n" + render_options(options, columns);
    }
  }
  return text;
}

std::string render_exit_status(const CommandSpec& command, size_t columns) {
  std::vector<Row> rows;
  for (const ExitCodeNote& note : command.exit_codes) {
    rows.push_back({std::to_string(note.code), note.meaning});
  }
  return "\nExit status:\n" + render_rows(rows, columns);
}

}  // namespace

std::string full_option_help(const OptionSpec& option) {
  std::string text = option.help;
  if (!option.choices.empty()) {
    std::string choices;
    for (const std::string& choice : option.choices) {
      choices += (choices.empty() ? "" : "|") + choice;
    }
    text += ", one of (" + choices + ")";
  }
  if (std::holds_alternative<std::vector<std::string>*>(option.target)) {
    text += " (can be specified multiple times)";
  }
  if (!option.default_text.empty()) {
    text += " (default " + option.default_text + ")";
  }
  const auto names = environment_names(option);
  if (!names.empty()) {
    text += " [$" + names[0] + "]";
  }
  return text;
}

std::string render_usage(const std::vector<const CommandSpec*>& path) {
  const CommandSpec& command = *path.back();
  std::string usage = command_path_text(path);
  if (!command.commands.empty()) {
    return usage + " [command]";
  }
  usage += " [flags]";
  for (const PositionalSpec& positional : command.positionals) {
    const bool many = positional.maximum > 1;
    usage += positional.minimum == 0 ? " [" + positional.name + (many ? " ...]" : "]")
                                     : " " + positional.name + (many ? " ..." : "");
  }
  return usage;
}

std::string render_help(const std::vector<const CommandSpec*>& path, size_t columns,
                        bool inherited) {
  const CommandSpec& command = *path.back();
  const bool root = path.size() == 1;
  std::string text = wrap_paragraphs(
      command.description.empty() ? command.summary + "." : command.description, columns);
  text += "\nUsage:\n  " + render_usage(path) + "\n";
  std::vector<Row> arguments;
  for (const PositionalSpec& positional : command.positionals) {
    if (!positional.help.empty()) {
      arguments.push_back({positional.name, positional.help});
    }
  }
  if (!arguments.empty()) {
    text += "\nArguments:\n" + render_rows(arguments, columns);
  }
  if (!command.commands.empty()) {
    text += render_commands(command, columns);
  }
  text += render_own_options(command, root, columns);
  for (size_t i = path.size() - 1; i-- > 0;) {
    const auto options = shown_options(*path[i], "");
    if (!options.empty() && inherited) {
      text += "\nGlobal Flags:\n" + render_options(options, columns);
    }
  }
  if (inherited) {
    text += wrap_paragraphs(
        "\nEvery environment variable SALVOR_NAME may also be given as RESTIC_NAME; "
        "options on the command line come first.\n",
        columns);
  }
  if (!command.examples.empty()) {
    text += "\nExamples:\n";
    for (const Example& example : command.examples) {
      text += (&example == &command.examples.front() ? "" : "\n");
      text += "  # " + example.explanation + "\n  " + example.command + "\n";
    }
  }
  if (command.run) {
    text += render_exit_status(command, columns);
  } else {
    text += "\nUse \"" + command_path_text(path) +
            " [command] --help\" for more information about a command.\n";
  }
  return text;
}

std::string render_exit_codes(size_t columns) {
  static const std::vector<Row> kRows = {
      {"0", "success"},
      {"1", "an error without a more precise code"},
      {"3",
       "incomplete: the work was done but some source data could not be read, or some items "
       "failed; each was reported"},
      {"10", "the repository does not exist"},
      {"11", "the repository is locked by somebody else"},
      {"12", "the password is wrong"},
      {"20", "stored data does not verify: the repository is damaged"},
      {"21", "the storage is full"},
      {"22", "permission denied"},
      {"23", "the storage or network cannot be reached; trying again may help"},
      {"24", "a named object (snapshot, file, key) does not exist"},
      {"30", "`status` only: unproven, something was never restored"},
      {"31", "`status` only: breached, an objective is not met or the last proof failed"},
      {"32", "`status` only: unknown, a repository is away or a proof is too old"},
      {"64", "wrong usage of the command line, or a mistake in the configuration"},
      {"130", "interrupted (SIGINT, SIGTERM)"},
      {"141", "whoever reads the output has gone away (as a process ended by SIGPIPE)"},
      {"255", "`wal fetch` only: the file may exist, so PostgreSQL must not go on without it"},
  };
  return "Exit statuses (0 to 12 and 130 are restic's, the others are Salvor's own):\n\n" +
         render_rows(kRows, columns);
}

}  // namespace salvor::cli
