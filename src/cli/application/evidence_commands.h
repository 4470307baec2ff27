// What the files of the command `evidence` share.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cli/command.h"
#include "cli/session.h"
#include "evidence/dsse.h"
#include "repo/repository.h"

namespace salvor::cli {

CommandSpec evidence_show_spec();
CommandSpec evidence_report_spec();

// To a file, or with "" or "-" to standard output. Throws Error.
void write_output(Session& session, const std::string& path, std::string_view content);
// "user@host", for records.
[[nodiscard]] std::string who(const Session& session);
[[nodiscard]] std::vector<TrustedKey> keys_from_files(const std::vector<std::string>& paths);
// Those of the files, else the repository's.
[[nodiscard]] std::vector<TrustedKey> trusted_keys(const Context& context,
                                                   const Repository& repository, Session& session,
                                                   const std::vector<std::string>& files);
// Whether an argument is a file's name; otherwise it is an id or "latest". "./" in front of a name
// that looks like an id makes it a file's.
[[nodiscard]] bool names_file(const std::string& text);

}  // namespace salvor::cli
