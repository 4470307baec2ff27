// A repository on whatever rclone reaches, through `rclone serve restic`.
#pragma once

#include <memory>
#include <string_view>

#include "storage/storage.h"
#include "storage/storage_options.h"

namespace salvor {

// `rest` is what follows "rclone:" in the location: "remote:path". The first call starts
//
//   rclone serve restic --b2-hard-delete --cache-objects=false --addr 127.0.0.1:0 REMOTE
//
// and speaks the REST protocol (rest_storage.h, with its limits). Not over rclone's standard input
// and output as restic does: that is HTTP/2 without TLS over a pipe, which libcurl does not speak.
// Other users of the machine cannot use the port: the server wants a password that is drawn for
// each run and handed over in the environment, and one that answers without it is not used.
//
// The program ends with the storage, also when this process is killed, and is started again when
// it ends before. A Ctrl-C at the terminal does not reach it (the lock has still to be removed).
//
// -o rclone.program (the program, split as a shell does), rclone.args (in place of "serve restic
// --b2-hard-delete"), rclone.connections. Throws Error{kUsage}.
//
// Whether objects appear at once or grow, and when they are durable, is up to the remote: an object
// that is being stored may be seen in part. rclone replaces what exists, so put looks first; two
// `init`s at the same moment are not told apart.
[[nodiscard]] std::unique_ptr<Storage> open_rclone_storage(std::string_view rest,
                                                           const StorageOptions& options);

}  // namespace salvor
