// Text as restic reads it from lists and pattern files, and paths as it cleans them.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace salvor {

// A byte order mark is removed (UTF-8) or obeyed (UTF-16 becomes UTF-8); anything else stays as it
// is.
[[nodiscard]] std::string decode_text(std::string_view content);

// Lines without their "\n" or "\r\n"; `content` is decoded first.
[[nodiscard]] std::vector<std::string> split_text_lines(std::string_view content);

// White space in Unicode's sense removed from both ends.
[[nodiscard]] std::string_view trim_space(std::string_view text);

// `$NAME` and `${NAME}` replaced as Go's os.Expand does; `environment` gives a name's value.
using EnvironmentLookup = std::function<std::string(std::string_view name)>;
[[nodiscard]] std::string expand_variables(std::string_view text,
                                           const EnvironmentLookup& environment);

// An exclude or include file's patterns: one a line, blank lines and lines that begin with "#"
// ignored, surrounding white space removed, variables expanded, `$$` is a dollar.
[[nodiscard]] std::vector<std::string> parse_pattern_file(std::string_view content,
                                                          const EnvironmentLookup& environment);

// "/a//b/../c/" -> "/a/c", "./x" -> "x", "" -> ".": Go's path.Clean.
[[nodiscard]] std::string clean_path(std::string_view path);

}  // namespace salvor
