// restic's default layout: which path holds which object (restic format, section 1). The same on
// every storage but the REST server.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "storage/storage.h"

namespace salvor {

// Relative to the repository: "data/1a/1a2b...", "keys/3c...", "config", "salvor/<name>".
[[nodiscard]] std::string object_path(const ObjectName& object);
// What all paths of a kind begin with: "data/", "keys/", "salvor/"; "config" for kConfig.
[[nodiscard]] std::string_view kind_prefix(ObjectKind kind);
// What the paths of the objects begin with whose names begin with `prefix`.
[[nodiscard]] std::string path_prefix(ObjectKind kind, std::string_view prefix);
// The name of the object at `path`; nothing when it is not one of that kind (foreign files).
[[nodiscard]] std::optional<std::string> name_of_path(ObjectKind kind, std::string_view path);
// What stands before the mark of a temporary file, "-tmp-<digits>"; nothing without one.
[[nodiscard]] std::optional<std::string_view> before_temporary_mark(std::string_view path);
// Whether a put of an object may have left a temporary file there: an object's path with
// "-tmp-<1 to 20 digits>" behind it.
[[nodiscard]] bool is_leftover_path(std::string_view path);
// Throws Error{kFailed} when one of them is not; `place` for the message.
void check_leftovers(std::span<const Leftover> leftovers, std::string_view place);

// A repository's folder in a bucket, as restic cleans it: "/a//b/./c/" -> "a/b/c". Nothing when it
// contains "..".
[[nodiscard]] std::optional<std::string> clean_prefix(std::string_view path);

}  // namespace salvor
