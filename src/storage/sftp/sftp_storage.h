// A directory on an SFTP server, in restic's default layout.
#pragma once

#include <memory>

#include "storage/sftp/sftp_settings.h"
#include "storage/storage.h"

namespace salvor {

// Connects on the first call, with as many connections as are used at a time (settings.connections
// at most; fewer when the server refuses more). Does not try again by itself (see RetryStorage);
// after an error of the connection the next call makes a new one.
//
// A put writes "<name>-tmp-<digits>" beside its object, fsyncs it where the server can
// (fsync@openssh.com), renames it without replacing, and fsyncs the directory: three round trips,
// whatever the size. Where a server replaces on a plain rename (against the protocol), two writers
// of one config could both believe to have won, unless it knows hardlink@openssh.com.
// replace_config is atomic with posix-rename@openssh.com; without, the config is absent for a
// moment. What writers left behind (`leftovers`) has its age from the server's times.
//
// Throws Error{kStorageFull} (statvfs@openssh.com tells), {kPermission}, {kUnreachable} and
// {kFailed}, with hints. File modes are as those of the local storage.
[[nodiscard]] std::unique_ptr<Storage> open_sftp_storage(SftpSettings settings);

}  // namespace salvor
