// Help texts and man pages from the command tables.
#pragma once

#include <string>
#include <vector>

#include "cli/command.h"

namespace salvor::cli {

// What `--help` prints. `path` leads from the root to the command. `columns` is the terminal's
// width.
// Without `inherited`, the options of the commands above are left out.
[[nodiscard]] std::string render_help(const std::vector<const CommandSpec*>& path, size_t columns,
                                      bool inherited = true);

// "salvor backup [flags] [FILE/DIR] ...".
[[nodiscard]] std::string render_usage(const std::vector<const CommandSpec*>& path);

// The table of exit statuses: what `salvor help exit-codes` prints.
[[nodiscard]] std::string render_exit_codes(size_t columns);

struct ManPage {
  std::string file_name;  // "salvor-key-add.1"
  std::string text;       // roff, man(7) macros
};
// One page a command, groups and root included; hidden ones left out. Deterministic: no date in it.
[[nodiscard]] std::vector<ManPage> render_man_pages(const CommandSpec& root);

// All commands in one Markdown document, for docs/.
[[nodiscard]] std::string render_markdown(const CommandSpec& root);

// The help of an option with default, choices and environment added, as --help shows it.
[[nodiscard]] std::string full_option_help(const OptionSpec& option);

}  // namespace salvor::cli
