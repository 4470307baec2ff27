// A directory in restic's default layout (restic format, section 1).
#pragma once

#include <memory>
#include <string>

#include "storage/local/file_calls.h"
#include "storage/storage.h"

namespace salvor {

// Temporary file ("<name>-tmp-<digits>" in the final directory, as restic), fsync, rename without
// replacing, fsync of the directory; read-only mode 0400 in directories of mode 0700 (0440 and 0770
// when `config` is group-readable). Left-over temporary files are ignored
// (`leftovers` finds them). A missing data/xx is
// made on demand, but never the directory itself: a file system that is not mounted must not look
// like an empty repository.
//
// Opening does not touch the file system; a relative directory is resolved now, so that a later
// chdir does not matter. The directory is held open from the first use on: it cannot be unmounted
// meanwhile. When it is removed instead, writing and listing throw Error{kNotFound}. Reads up to 64
// pack files are kept open.
//
// Throws Error{kStorageFull} (leaving no temporary file), {kPermission}, {kUnreachable} (network
// file systems) and {kFailed}, all with hints. Removals of packs by other processes are seen at
// once.
[[nodiscard]] std::unique_ptr<Storage> open_local_storage(const std::string& directory);

// The same over other file system calls, which must outlive it; for tests.
[[nodiscard]] std::unique_ptr<Storage> open_local_storage(const std::string& directory,
                                                          FileCalls& calls);

// Where an object of that name is kept, relative to the repository: "data/1a/1a2b...", "config".
[[nodiscard]] std::string local_path(const ObjectName& object);

}  // namespace salvor
