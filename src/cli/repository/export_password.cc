#include "cli/repository/export_password.h"

#include "cli/password.h"

namespace salvor::cli {

std::vector<OptionSpec> export_password_table(ExportPasswordOptions& options) {
  return {
      {.long_name = "export-password-file",
       .value_name = "file",
       .help = "file to read the exported file's own password from",
       .target = &options.file,
       .environment = "EXPORT_PASSWORD_FILE",
       .default_text = "the repository's password",
       .hint = ValueHint::kFile,
       .exclusive_group = "export-password"},
      {.long_name = "export-password-command",
       .value_name = "command",
       .help = "command whose output is the exported file's password; run without a shell",
       .target = &options.command,
       .environment = "EXPORT_PASSWORD_COMMAND",
       .exclusive_group = "export-password"},
      {.long_name = "export-insecure-no-password",
       .help = "the exported file has an empty password (insecure)",
       .target = &options.none},
  };
}

Secret export_password(Session& session, const ExportPasswordOptions& options,
                       const Secret& repositorys) {
  const PasswordSources sources{.file = options.file,
                                .command = options.command,
                                .variable = "EXPORT_PASSWORD",
                                .none = options.none,
                                .prompt = "enter password for exported file: "};
  return has_password_source(sources, session.environment)
             ? find_password(sources, session.environment, session.terminal, session.context.stop)
                   .password
             : repositorys;
}

}  // namespace salvor::cli
