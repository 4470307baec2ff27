// Man pages and the Markdown reference from the command tables.
#include <algorithm>

#include "cli/help.h"
#include "cli/parser.h"

namespace salvor::cli {

namespace {

using Path = std::vector<const CommandSpec*>;

// roff gives a meaning to backslashes everywhere and to dots and quotes at the start of a line; a
// plain
// "-" would become a hyphen, which cannot be pasted into a shell.
std::string roff(std::string_view text) {
  std::string out;
  bool line_start = true;
  for (const char c : text) {
    if (line_start && (c == '.' || c == '\'')) {
      out += "\\&";
    }
    if (c == '\\') {
      out += "\\e";
    } else if (c == '-') {
      out += "\\-";
    } else {
      out += c;
    }
    line_start = c == '\n';
  }
  return out;
}

std::string dashed(const Path& path) {
  std::string text;
  for (const CommandSpec* command : path) {
    text += (text.empty() ? "" : "-") + command->name;
  }
  return text;
}

// Paragraphs; indented lines as they are.
std::string roff_paragraphs(std::string_view text) {
  std::string out;
  bool literal = false;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const bool indented = line.starts_with(' ');
    if (indented != literal && !line.empty()) {
      out += indented ? ".nf\n" : ".fi\n";
      literal = indented;
    }
    out += line.empty() ? ".PP\n" : roff(line) + "\n";
  }
  return out + (literal ? ".fi\n" : "");
}

std::string roff_option(const OptionSpec& option) {
  std::string names;
  if (option.short_name != '\0') {
    names = std::string("\\fB\\-") + option.short_name + "\\fR, ";
  }
  names += "\\fB\\-\\-" + roff(option.long_name) + "\\fR";
  if (takes_value(option)) {
    names += "=\\fI" + roff(option.value_name.empty() ? "value" : option.value_name) + "\\fR";
  }
  return ".TP\n" + names + "\n" + roff(full_option_help(option)) + "\n";
}

std::string roff_options(const CommandSpec& command) {
  std::string text;
  for (const OptionSpec& option : command.options) {
    text += option.hidden ? std::string() : roff_option(option);
  }
  return text;
}

std::string see_also(const Path& path) {
  std::string text;
  // The comma stands on the line of the name before.
  const auto add = [&](const std::string& name) {
    text += (text.empty() ? "" : ",\n") + (".BR " + roff(name) + " (1)");
  };
  Path parent = path;
  parent.pop_back();
  if (!parent.empty()) {
    add(dashed(parent));
  }
  for (const CommandSpec& sub : path.back()->commands) {
    if (!sub.hidden) {
      add(dashed(path) + "-" + sub.name);
    }
  }
  return text;
}

ManPage man_page(const Path& path) {
  const CommandSpec& command = *path.back();
  std::string title = dashed(path);
  std::string upper = title;
  std::transform(upper.begin(), upper.end(), upper.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  std::string text = ".TH \"" + roff(upper) + "\" \"1\" \"\" \"Salvor\" \"Salvor manual\"\n";
  text += ".SH NAME\n" + roff(title) + " \\- " + roff(command.summary) + "\n";
  text += ".SH SYNOPSIS\n.B " + roff(render_usage(path)) + "\n";
  text += ".SH DESCRIPTION\n" +
          roff_paragraphs(command.description.empty() ? command.summary : command.description);
  for (const PositionalSpec& positional : command.positionals) {
    if (!positional.help.empty()) {
      text += ".TP\n\\fI" + roff(positional.name) + "\\fR\n" + roff(positional.help) + "\n";
    }
  }
  if (!command.commands.empty()) {
    text += ".SH COMMANDS\n";
    for (const CommandSpec& sub : command.commands) {
      if (!sub.hidden) {
        text += ".TP\n\\fB" + roff(sub.name) + "\\fR\n" + roff(sub.summary) + "\n";
      }
    }
  }
  text += ".SH OPTIONS\n" + roff_options(command) +
          ".TP\n\\fB\\-h\\fR, \\fB\\-\\-help\\fR\nhelp for " + roff(command.name) + "\n";
  for (size_t i = path.size() - 1; i-- > 0;) {
    const std::string inherited = roff_options(*path[i]);
    text += inherited.empty() ? "" : ".SH OPTIONS INHERITED FROM PARENT COMMANDS\n" + inherited;
  }
  if (!command.examples.empty()) {
    text += ".SH EXAMPLES\n";
    for (const Example& example : command.examples) {
      text += ".TP\n" + roff(example.explanation) + "\n.B " + roff(example.command) + "\n";
    }
  }
  if (command.run) {
    text += ".SH EXIT STATUS\n";
    for (const ExitCodeNote& note : command.exit_codes) {
      text += ".TP\n\\fB" + std::to_string(note.code) + "\\fR\n" + roff(note.meaning) + "\n";
    }
  }
  const std::string others = see_also(path);
  text += others.empty() ? "" : ".SH SEE ALSO\n" + others + "\n";
  return {title + ".1", text};
}

void append_pages(const CommandSpec& command, Path& path, std::vector<ManPage>& pages) {
  path.push_back(&command);
  pages.push_back(man_page(path));
  for (const CommandSpec& sub : command.commands) {
    if (!sub.hidden) {
      append_pages(sub, path, pages);
    }
  }
  path.pop_back();
}

constexpr size_t kMarkdownColumns = 100;

void append_markdown(const CommandSpec& command, Path& path, std::string& out) {
  path.push_back(&command);
  out += std::string(std::min<size_t>(path.size() + 1, 4), '#') + " " + command_path_text(path) +
         "\n\n" + command.summary + ".\n\n```text\n" +
         render_help(path, kMarkdownColumns, path.size() == 1) + "```\n\n";
  for (const CommandSpec& sub : command.commands) {
    if (!sub.hidden) {
      append_markdown(sub, path, out);
    }
  }
  path.pop_back();
}

}  // namespace

std::vector<ManPage> render_man_pages(const CommandSpec& root) {
  std::vector<ManPage> pages;
  Path path;
  append_pages(root, path, pages);
  return pages;
}

std::string render_markdown(const CommandSpec& root) {
  std::string out =
      "# Command reference\n\nMade by `salvor generate --markdown`. The options of `salvor` itself "
      "are "
      "options of every command.\n\n";
  Path path;
  append_markdown(root, path, out);
  return out;
}

}  // namespace salvor::cli
