// A repository behind restic's REST server (rest-server, rclone serve restic), over its protocol,
// version 1 or 2.
#pragma once

#include <memory>
#include <string_view>

#include "storage/rest/rest_config_memory.h"
#include "storage/storage.h"
#include "storage/storage_options.h"

namespace salvor {

// `rest` is what follows "rest:" in the location: "http://host:8000/path/",
// "https://user:pw@host/", "http+unix:///run/rest.sock:/path/". Without user information
// RESTIC_REST_USERNAME and _PASSWORD (SALVOR_... first). -o rest.connections=N (5). Touches nothing
// yet; does not try again by itself (see RetryStorage). Throws Error{kUsage}.
//
// Durability and atomicity are the server's: rest-server verifies the content against the name,
// fsyncs, and never replaces. Two things the protocol cannot: it has no place for our own area
// (kSalvor: reading finds nothing, put throws Error{kFailed}), and replace_config has to remove the
// old config before it stores the new one: it is kept in TMPDIR (/var/tmp) meanwhile, put back when
// the new one cannot be stored, and when not even that works the error names the file. Calling it
// again after an error goes on where it was. An append-only server lets nothing but locks be
// removed: Error{kPermission} that says so.
//
// Any 404 says "absent" in this protocol. One is believed while the config is there, which costs a
// second request; when the config has been there and is gone as well, it is Error{kUnreachable}.
[[nodiscard]] std::unique_ptr<Storage> open_rest_storage(std::string_view rest,
                                                         const StorageOptions& options);
// The same, remembering what an earlier one on the same repository knew.
[[nodiscard]] std::unique_ptr<Storage> open_rest_storage(std::string_view rest,
                                                         const StorageOptions& options,
                                                         std::shared_ptr<RestConfigMemory> memory);
// For that: where the old config is kept is the environment's TMPDIR, else /var/tmp.
[[nodiscard]] std::shared_ptr<RestConfigMemory> new_rest_config_memory(
    const StorageOptions& options);

}  // namespace salvor
