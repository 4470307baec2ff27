// A repository behind restic's REST server (rest-server, rclone serve restic), over its protocol,
// version 1 or 2.
#pragma once

#include <memory>
#include <string_view>

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
// old config before it stores the new one. An append-only server lets nothing but locks be
// removed: Error{kPermission} that says so.
[[nodiscard]] std::unique_ptr<Storage> open_rest_storage(std::string_view rest,
                                                         const StorageOptions& options);

}  // namespace salvor
