// Nodes as ls and find show them.
#pragma once

#include <string>
#include <string_view>

#include "cli/output/terminal.h"
#include "model/node.h"

namespace salvor::cli {

// "drwxr-xr-x", "urwxr-xr-x" (set-user-id), as Go prints file modes.
[[nodiscard]] std::string mode_text(const Node& node);

// A name for standard output: raw bytes for programs, as restic prints them; on a terminal without
// what the terminal could act on.
[[nodiscard]] std::string shown_path(const Terminal& terminal, std::string_view path);

// `ls -l`: mode, owner, group, size, time, path, link target.
[[nodiscard]] std::string long_node_line(const Terminal& terminal, const Node& node,
                                         std::string_view path, bool human_readable);

}  // namespace salvor::cli
