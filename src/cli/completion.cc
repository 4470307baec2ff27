#include "cli/completion.h"

#include <functional>

namespace salvor::cli {

namespace {

using Path = std::vector<const CommandSpec*>;

// Calls for the root and every command below it that is not hidden, parents first.
void for_each_command(const CommandSpec& command, Path& path,
                      const std::function<void(const Path&)>& visit) {
  path.push_back(&command);
  visit(path);
  for (const CommandSpec& sub : command.commands) {
    if (!sub.hidden) {
      for_each_command(sub, path, visit);
    }
  }
  path.pop_back();
}

std::string joined(const Path& path, const char* between) {
  std::string text;
  for (const CommandSpec* command : path) {
    text += (text.empty() ? "" : between) + command->name;
  }
  return text;
}

// Own options first, then those of the groups above, then --help.
std::vector<const OptionSpec*> visible_options(const Path& path) {
  std::vector<const OptionSpec*> options;
  for (auto command = path.rbegin(); command != path.rend(); ++command) {
    for (const OptionSpec& option : (*command)->options) {
      if (!option.hidden) {
        options.push_back(&option);
      }
    }
  }
  return options;
}

std::string words(const std::vector<std::string>& list) {
  std::string text;
  for (const std::string& word : list) {
    text += (text.empty() ? "" : " ") + word;
  }
  return text;
}

std::string command_names(const CommandSpec& command) {
  std::string text;
  for (const CommandSpec& sub : command.commands) {
    if (!sub.hidden) {
      text += (text.empty() ? "" : " ") + sub.name;
    }
  }
  return text;
}

std::string replaced(std::string text, std::string_view what, std::string_view by) {
  for (size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += by.size()) {
    text.replace(at, what.size(), by);
  }
  return text;
}

// Within single quotes of a POSIX shell.
std::string single_quoted(std::string text) {
  return "'" + replaced(std::move(text), "'", "'\\''") + "'";
}

// --- bash

std::string bash_value_action(const std::vector<std::string>& choices, ValueHint hint) {
  if (!choices.empty()) {
    return "COMPREPLY=($(compgen -W " + single_quoted(words(choices)) + " -- \"$cur\"))";
  }
  switch (hint) {
    case ValueHint::kFile:
      return "_salvor_files -f";
    case ValueHint::kDirectory:
      return "_salvor_files -d";
    case ValueHint::kNone:
      break;
  }
  return ":";
}

// "name|-x" patterns of an option, each behind the command's path.
std::string bash_option_pattern(const std::string& path, const OptionSpec& option) {
  std::string pattern = "'" + path + " --" + option.long_name + "'";
  if (option.short_name != '\0') {
    pattern += std::string("|'") + path + " -" + option.short_name + "'";
  }
  return pattern;
}

void append_bash_command(const Path& path, std::string& steps, std::string& values,
                         std::string& candidates) {
  const CommandSpec& command = *path.back();
  const std::string name = joined(path, " ");
  std::string flags = "--help";
  for (const OptionSpec* option : visible_options(path)) {
    flags += " --" + option->long_name;
    if (takes_value(*option)) {
      values += "    " + bash_option_pattern(name, *option) + ") " +
                bash_value_action(option->choices, option->hint) + "; return ;;\n";
      steps += "      " + bash_option_pattern(name, *option) + ") i=$((i + 1)) ;;\n";
    }
  }
  for (const CommandSpec& sub : command.commands) {
    if (!sub.hidden) {
      steps += "      '" + name + " " + sub.name + "') path='" + name + " " + sub.name + "' ;;\n";
    }
  }
  std::string action = ":";
  if (!command.commands.empty()) {
    action = "COMPREPLY=($(compgen -W '" + command_names(command) + "' -- \"$cur\"))";
  } else if (!command.positionals.empty()) {
    action = bash_value_action(command.positionals[0].choices, command.positionals[0].hint);
  }
  candidates += "    '" + name + "')\n      if [[ $cur == -* ]]; then COMPREPLY=($(compgen -W '" +
                flags + "' -- \"$cur\"))\n      else " + action + "; fi ;;\n";
}

// --- zsh

std::string zsh_text(std::string text) {
  for (const char* special : {"\\", "[", "]", ":"}) {
    text = replaced(std::move(text), special, std::string("\\") + special);
  }
  return replaced(std::move(text), "'", "'\\''");
}

std::string zsh_action(const std::vector<std::string>& choices, ValueHint hint) {
  if (!choices.empty()) {
    return "(" + words(choices) + ")";
  }
  return hint == ValueHint::kFile ? "_files" : hint == ValueHint::kDirectory ? "_files -/" : " ";
}

std::string zsh_option(const OptionSpec& option) {
  const std::string long_name = "--" + option.long_name;
  std::string rest = "[" + zsh_text(option.help) + "]";
  if (takes_value(option)) {
    const std::string name = option.value_name.empty() ? "value" : option.value_name;
    rest += ":" + zsh_text(name) + ":" + zsh_action(option.choices, option.hint);
  }
  const std::string equals = takes_value(option) ? "=" : "";
  const std::string star = is_repeatable(option) ? "*" : "";
  if (option.short_name == '\0') {
    return "'" + star + long_name + equals + rest + "'";
  }
  const std::string short_name = std::string("-") + option.short_name;
  const std::string plus = takes_value(option) ? "+" : "";
  const std::string exclusion = star.empty() ? "'(" + short_name + " " + long_name + ")'" : "'*'";
  return exclusion + "{" + short_name + plus + "," + long_name + equals + "}'" + rest + "'";
}

std::string zsh_function(const Path& path) {
  const CommandSpec& command = *path.back();
  std::string text = joined(path, "_") + "() {\n";
  text.insert(0, "_");
  const bool group = !command.commands.empty();
  if (group) {
    text += "  local curcontext=\"$curcontext\" state line\n  typeset -A opt_args\n";
  }
  text += group ? "  _arguments -C" : "  _arguments -s -S";
  text += " \\\n    '(-h --help)'{-h,--help}'[help]'";
  for (const OptionSpec* option : visible_options(path)) {
    text += " \\\n    " + zsh_option(*option);
  }
  if (group) {
    text += " \\\n    '1:command:->command' '*::argument:->argument'\n";
    text += "  case $state in\n    command)\n      local -a commands\n      commands=(\n";
    for (const CommandSpec& sub : command.commands) {
      if (!sub.hidden) {
        text += "        '" + sub.name + ":" + zsh_text(sub.summary) + "'\n";
      }
    }
    text += "      )\n      _describe command commands ;;\n    argument)\n      case $line[1] in\n";
    for (const CommandSpec& sub : command.commands) {
      if (!sub.hidden) {
        text += "        " + sub.name + ") _" + joined(path, "_") + "_" + sub.name + " ;;\n";
      }
    }
    return text + "      esac ;;\n  esac\n}\n\n";
  }
  for (const PositionalSpec& positional : command.positionals) {
    const std::string place = positional.maximum > 1 ? "*" : "";
    text += " \\\n    '" + place + ":" + zsh_text(positional.name) + ":" +
            zsh_action(positional.choices, positional.hint) + "'";
  }
  return text + "\n}\n\n";
}

// --- fish

std::string fish_quoted(std::string text) {
  return "'" + replaced(replaced(std::move(text), "\\", "\\\\"), "'", "\\'") + "'";
}

// True when exactly the commands of `path` are on the line and none of its sub-commands.
std::string fish_condition(const Path& path) {
  if (path.size() == 1) {
    return "__fish_use_subcommand";
  }
  std::string condition;
  for (size_t i = 1; i < path.size(); ++i) {
    condition += (i == 1 ? "__fish_seen_subcommand_from " : "; and __fish_seen_subcommand_from ") +
                 path[i]->name;
  }
  if (!path.back()->commands.empty()) {
    condition += "; and not __fish_seen_subcommand_from " + command_names(*path.back());
  }
  return condition;
}

std::string fish_option(const OptionSpec& option, const std::string& condition) {
  std::string line = "complete -c salvor";
  if (!condition.empty()) {
    line += " -n " + fish_quoted(condition);
  }
  if (option.short_name != '\0') {
    line += std::string(" -s ") + option.short_name;
  }
  line += " -l " + option.long_name + " -d " + fish_quoted(option.help);
  if (takes_value(option)) {
    line += " -r";
    if (!option.choices.empty()) {
      line += " -f -a " + fish_quoted(words(option.choices));
    } else if (option.hint == ValueHint::kNone) {
      line += " -f";
    } else {
      line += " -F";
    }
  }
  return line + "\n";
}

// --- PowerShell

// A field of the table: a line of a here-string in which nothing but tabs and line ends has a
// meaning, so nothing needs quotes.
std::string powershell_field(const std::string& text) {
  return replaced(replaced(text, "\t", " "), "\n", " ");
}

std::string powershell_option(const OptionSpec& option) {
  const std::string short_name =
      option.short_name == '\0' ? "" : std::string("-") + option.short_name;
  const char* const kind = !takes_value(option)     ? "flag"
                           : option.choices.empty() ? "value"
                                                    : "choice";
  return "option\t--" + option.long_name + "\t" + short_name + "\t" + kind + "\t" +
         words(option.choices) + "\t" + powershell_field(option.help) + "\n";
}

std::string powershell_command(const Path& path) {
  const CommandSpec& command = *path.back();
  std::string text = "command\t" + joined(path, " ") + "\n";
  for (const CommandSpec& sub : command.commands) {
    if (!sub.hidden) {
      text += "sub\t" + sub.name + "\t\t\t\t" + powershell_field(sub.summary) + "\n";
    }
  }
  if (!command.positionals.empty()) {
    const PositionalSpec& first = command.positionals[0];
    for (const std::string& choice : first.choices) {
      text += "argument\t" + choice + "\t\t\t\t" + powershell_field(first.help) + "\n";
    }
  }
  text += "option\t--help\t-h\tflag\t\thelp\n";
  for (const OptionSpec* option : visible_options(path)) {
    text += powershell_option(*option);
  }
  return text;
}

// Reads the table once; completes from it.
constexpr const char* kPowerShellCode =
    R"ps('@
$salvorCommands = @{}
foreach ($line in $salvorTable -split "\r?\n") {
  $field = $line -split "`t"
  if ($field[0] -ceq 'command') {
    $salvorCommand = @{ sub = @(); argument = @(); option = @() }
    $salvorCommands[$field[1]] = $salvorCommand
  } elseif ($field.Count -eq 6) {
    $salvorCommand[$field[0]] += [pscustomobject]@{
      Name = $field[1]; Short = $field[2]; Kind = $field[3]; Choices = $field[4]; Help = $field[5]
    }
  }
}

Register-ArgumentCompleter -Native -CommandName 'salvor', 'salvor.exe' -ScriptBlock {
  param($wordToComplete, $commandAst, $cursorPosition)
  $path = 'salvor'
  $waiting = $null  # the option whose value comes next
  $words = @($commandAst.CommandElements | Select-Object -Skip 1 |
      Where-Object { $_.Extent.EndOffset -lt $cursorPosition } |
      ForEach-Object { $_.Extent.Text })
  foreach ($word in $words) {
    if ($null -ne $waiting) {
      $waiting = $null
      continue
    }
    $command = $salvorCommands[$path]
    if (@($command.sub | Where-Object { $_.Name -ceq $word }).Count -gt 0) {
      $path = "$path $word"
      continue
    }
    $waiting = $command.option |
        Where-Object { $_.Kind -cne 'flag' -and ($_.Name -ceq $word -or $_.Short -ceq $word) } |
        Select-Object -First 1
  }
  $command = $salvorCommands[$path]
  $prefix = ''
  $typed = "$wordToComplete"
  if ($null -eq $waiting -and $typed -cmatch '^(--[a-z-]+)=(.*)$') {
    $prefix = $Matches[1] + '='
    $name = $Matches[1]
    $typed = $Matches[2]
    $waiting = $command.option | Where-Object { $_.Name -ceq $name } | Select-Object -First 1
  }
  $candidates = if ($null -ne $waiting) {
    # Without choices nothing is offered here, and PowerShell completes file names.
    $waiting.Choices -split ' ' | Where-Object { $_ } |
        ForEach-Object { [pscustomobject]@{ Name = $_; Help = $waiting.Help } }
  } elseif ($typed.StartsWith('-')) {
    $command.option
  } else {
    @($command.sub) + @($command.argument)
  }
  $candidates | Where-Object { $_ -and $_.Name.StartsWith($typed) } | ForEach-Object {
    [System.Management.Automation.CompletionResult]::new(
      $prefix + $_.Name, $_.Name, 'ParameterValue', $_.Help)
  }
}.GetNewClosure()
)ps";

}  // namespace

std::string render_powershell_completion(const CommandSpec& root) {
  std::string text =
      "# PowerShell completion for salvor; made by \"salvor completion powershell\"\n"
      "$salvorTable = @'\n";
  Path path;
  for_each_command(root, path, [&](const Path& p) { text += powershell_command(p); });
  return text + kPowerShellCode;
}

std::string render_bash_completion(const CommandSpec& root) {
  std::string steps;
  std::string values;
  std::string candidates;
  Path path;
  for_each_command(root, path,
                   [&](const Path& p) { append_bash_command(p, steps, values, candidates); });
  return "# bash completion for salvor; made by \"salvor completion bash\"\n"
         "_salvor_files() {\n"
         "  compopt -o filenames 2>/dev/null\n"
         "  local IFS=$'\\n'\n"
         "  COMPREPLY=($(compgen \"$1\" -- \"$cur\"))\n"
         "}\n\n"
         "_salvor() {\n"
         "  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} path=salvor i\n"
         "  COMPREPLY=()\n"
         "  # bash parts \"--option=value\" into three words.\n"
         "  if [[ $cur == = ]]; then cur=\n"
         "  elif [[ $prev == = ]]; then prev=${COMP_WORDS[COMP_CWORD-2]}; fi\n"
         "  for ((i = 1; i < COMP_CWORD; i++)); do\n"
         "    if [[ ${COMP_WORDS[i+1]} == = ]]; then i=$((i + 2)); continue; fi\n"
         "    case \"$path ${COMP_WORDS[i]}\" in\n" +
         steps +
         "    esac\n"
         "  done\n"
         "  case \"$path $prev\" in\n" +
         values +
         "  esac\n"
         "  case \"$path\" in\n" +
         candidates +
         "  esac\n"
         "}\n\n"
         "complete -F _salvor salvor\n";
}

std::string render_zsh_completion(const CommandSpec& root) {
  std::string text =
      "#compdef salvor\n# zsh completion for salvor; made by \"salvor completion zsh\"\n\n";
  Path path;
  for_each_command(root, path, [&](const Path& p) { text += zsh_function(p); });
  // Works both as a file in $fpath (then the function is called) and sourced (then it is
  // registered).
  return text +
         "if [[ ${funcstack[1]} == _salvor ]]; then\n  _salvor \"$@\"\nelse\n  compdef _salvor "
         "salvor\nfi\n";
}

std::string render_fish_completion(const CommandSpec& root) {
  std::string text =
      "# fish completion for salvor; made by \"salvor completion fish\"\n"
      "complete -c salvor -s h -l help -d 'help'\n";
  for (const OptionSpec& option : root.options) {
    if (!option.hidden) {
      text += fish_option(option, "");
    }
  }
  Path path;
  for_each_command(root, path, [&](const Path& p) {
    const std::string condition = fish_condition(p);
    for (const CommandSpec& sub : p.back()->commands) {
      if (!sub.hidden) {
        text += "complete -c salvor -f -n " + fish_quoted(condition) + " -a " + sub.name + " -d " +
                fish_quoted(sub.summary) + "\n";
      }
    }
    if (p.size() > 1) {
      for (const OptionSpec& option : p.back()->options) {
        text += option.hidden ? std::string() : fish_option(option, condition);
      }
      for (const PositionalSpec& positional : p.back()->positionals) {
        if (!positional.choices.empty()) {
          text += "complete -c salvor -f -n " + fish_quoted(condition) + " -a " +
                  fish_quoted(words(positional.choices)) + "\n";
        }
      }
    }
  });
  return text;
}

}  // namespace salvor::cli
