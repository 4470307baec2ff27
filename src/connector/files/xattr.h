// Extended attributes of an entry of an open directory, or of an open file. The *xattrat system
// calls (Linux 6.13) are used where they exist; before that, a detour through /proc/self/fd.
//
// Each function returns 0 or an errno. A null `name` means the open file `fd` itself; otherwise the
// entry `name` of directory `fd`, symbolic links not followed.
#pragma once

#include <string>
#include <vector>

#include "base/bytes.h"
#include "model/node.h"

namespace salvor {

// Names in the kernel's order. `names` is replaced; nothing and 0 when the file system has no
// attributes. `scratch` is working memory, kept by the caller because this is called for every
// file.
[[nodiscard]] int list_xattrs(int fd, const char* name, std::vector<std::string>& names,
                              Buffer& scratch);
// ENODATA when there is no such attribute.
[[nodiscard]] int get_xattr(int fd, const char* name, const std::string& attribute,
                            std::string& value, Buffer& scratch);
[[nodiscard]] int set_xattr(int fd, const char* name, const std::string& attribute,
                            std::string_view value);
[[nodiscard]] int remove_xattr(int fd, const char* name, const std::string& attribute);

}  // namespace salvor
