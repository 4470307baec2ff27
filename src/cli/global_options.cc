#include "cli/global_options.h"

#include <algorithm>

#include "base/error.h"

namespace salvor::cli {

int GlobalOptions::verbosity() const {
  return quiet ? 0 : 1 + std::clamp(verbose.value, 0, 2);
}

namespace {

std::vector<OptionSpec> access_options(GlobalOptions& options) {
  return {
      {.long_name = "repo",
       .short_name = 'r',
       .value_name = "repository",
       .help = "repository to backup to or restore from",
       .target = &options.repository,
       .environment = "REPOSITORY",
       .hint = ValueHint::kDirectory,
       .exclusive_group = "repository"},
      {.long_name = "repository-file",
       .value_name = "file",
       .help = "file to read the repository location from",
       .target = &options.repository_file,
       .environment = "REPOSITORY_FILE",
       .hint = ValueHint::kFile,
       .exclusive_group = "repository"},
      {.long_name = "repository-name",
       .value_name = "name",
       .help = "repository of salvor.yaml, where none is named otherwise (default main)",
       .target = &options.repository_name,
       .exclusive_group = "repository"},
      // Shown by the commands that have them of their own.
      {.long_name = "config",
       .value_name = "file",
       .help = "configuration that the repository is taken from where none is named",
       .target = &options.configuration,
       .environment = "CONFIG",
       .hint = ValueHint::kFile,
       .hidden = true},
      {.long_name = "environment",
       .value_name = "name",
       .help = "environment of that configuration",
       .target = &options.configuration_environment,
       .environment = "ENVIRONMENT",
       .hidden = true},
      {.long_name = "set",
       .value_name = "path=value",
       .help = "set a key of that configuration",
       .target = &options.configuration_settings,
       .hidden = true},
      {.long_name = "password-file",
       .short_name = 'p',
       .value_name = "file",
       .help = "file to read the repository password from",
       .target = &options.password_file,
       .environment = "PASSWORD_FILE",
       .hint = ValueHint::kFile,
       .exclusive_group = "password"},
      {.long_name = "password-command",
       .value_name = "command",
       .help = "command whose output is the repository password; run without a shell",
       .target = &options.password_command,
       .environment = "PASSWORD_COMMAND",
       .exclusive_group = "password"},
      {.long_name = "insecure-no-password",
       .help =
           "use an empty password for the repository, must be passed to every command (insecure)",
       .target = &options.insecure_no_password},
      {.long_name = "key-hint",
       .value_name = "key",
       .help = "key ID of key to try decrypting first",
       .target = &options.key_hint,
       .environment = "KEY_HINT"},
      {.long_name = "no-lock",
       .help = "do not lock the repository, this allows some operations on read-only repositories",
       .target = &options.no_lock},
      {.long_name = "retry-lock",
       .value_name = "duration",
       .help = "retry to lock the repository if it is already locked, takes a value like 5m or 2h",
       .target = &options.retry_lock,
       .default_text = "no retries"},
  };
}

std::vector<OptionSpec> output_options(GlobalOptions& options) {
  return {
      {.long_name = "json",
       .help = "set output mode to JSON for commands that support it",
       .target = &options.json},
      {.long_name = "quiet",
       .short_name = 'q',
       .help = "do not output comprehensive progress report",
       .target = &options.quiet},
      {.long_name = "verbose",
       .short_name = 'v',
       .help =
           "be verbose (specify multiple times or a level using --verbose=n, max level/times is 2)",
       .target = &options.verbose},
      {.long_name = "profile",
       .help = "print how long each stage of the work took, on stderr",
       .target = &options.profile},
  };
}

std::vector<OptionSpec> storage_options(GlobalOptions& options) {
  return {
      {.long_name = "no-cache", .help = "do not use a local cache", .target = &options.no_cache},
      {.long_name = "cache-dir",
       .value_name = "directory",
       .help = "set the cache directory",
       .target = &options.cache_dir,
       .default_text = "$SALVOR_CACHE_DIR, else salvor in $XDG_CACHE_HOME or ~/.cache",
       .hint = ValueHint::kDirectory},
      {.long_name = "cleanup-cache",
       .help = "auto remove old cache directories",
       .target = &options.cleanup_cache},
      {.long_name = "compression",
       .value_name = "mode",
       .help = "compression mode (only available for repository format version 2)",
       .target = &options.compression,
       .environment = "COMPRESSION",
       .choices = {"auto", "off", "fastest", "better", "max"},
       .default_text = "auto"},
      {.long_name = "pack-size",
       .value_name = "size",
       .help = "set target pack size in MiB (4 to 128), created pack files may be larger",
       .target = &options.pack_size_mib,
       .environment = "PACK_SIZE",
       .default_text = "16"},
      {.long_name = "limit-upload",
       .value_name = "rate",
       .help = "limits uploads to a maximum rate in KiB/s",
       .target = &options.limit_upload_kib,
       .default_text = "unlimited"},
      {.long_name = "limit-download",
       .value_name = "rate",
       .help = "limits downloads to a maximum rate in KiB/s",
       .target = &options.limit_download_kib,
       .default_text = "unlimited"},
      {.long_name = "no-extra-verify",
       .help = "accepted for restic's sake, without effect: what is written is always verified",
       .target = &options.no_extra_verify},
      {.long_name = "option",
       .short_name = 'o',
       .value_name = "key=value",
       .help = "set extended option",
       .target = &options.extended},
  };
}

// Understood so that restic's command lines work; not shown until there is a storage over HTTP.
std::vector<OptionSpec> http_options(GlobalOptions& options) {
  return {
      {.long_name = "cacert",
       .value_name = "file",
       .help = "file to load root certificates from",
       .target = &options.ca_certificate,
       .environment = "CACERT",
       .hint = ValueHint::kFile},
      {.long_name = "tls-client-cert",
       .value_name = "file",
       .help = "path to a file containing PEM encoded TLS client certificate and private key",
       .target = &options.client_certificate,
       .environment = "TLS_CLIENT_CERT",
       .hint = ValueHint::kFile},
      {.long_name = "insecure-tls",
       .help = "skip TLS certificate verification when connecting to the repository (insecure)",
       .target = &options.insecure_tls},
      {.long_name = "http-user-agent",
       .value_name = "string",
       .help = "set a http user agent for outgoing http requests",
       .target = &options.http_user_agent,
       .environment = "HTTP_USER_AGENT"},
      {.long_name = "stuck-request-timeout",
       .value_name = "duration",
       .help = "duration after which to retry stuck requests",
       .target = &options.stuck_request_timeout,
       .default_text = "5m"},
  };
}

}  // namespace

std::vector<OptionSpec> global_option_table(GlobalOptions& options) {
  std::vector<OptionSpec> table = access_options(options);
  for (auto part : {output_options(options), storage_options(options), http_options(options)}) {
    std::move(part.begin(), part.end(), std::back_inserter(table));
  }
  std::sort(table.begin(), table.end(),
            [](const OptionSpec& a, const OptionSpec& b) { return a.long_name < b.long_name; });
  return table;
}

namespace {

// Options of other storages are left alone, as by restic: a script may set them for several.
void check_extended_option(const std::string& option) {
  const size_t equals = option.find('=');
  if (equals == std::string::npos) {
    throw Error(ErrorCode::kUsage, "extended options have the form key=value: \"" + option + "\"");
  }
  const std::string key = option.substr(0, equals);
  if (key.starts_with("local.") && key != "local.connections" &&
      !(key == "local.layout" && option.substr(equals + 1) != "s3legacy")) {
    throw Error(ErrorCode::kUsage, "the extended option " + option + " is not supported",
                "For local directories there are local.connections and local.layout=default.");
  }
}

}  // namespace

void check_global_options(const GlobalOptions& options) {
  if (options.quiet && options.verbose.value > 0) {
    throw Error(ErrorCode::kUsage, "--quiet and --verbose exclude each other",
                "Give only one of them.");
  }
  if (options.pack_size_mib != 0 && (options.pack_size_mib < 4 || options.pack_size_mib > 128)) {
    throw Error(ErrorCode::kUsage, "--pack-size must be between 4 and 128 (MiB)");
  }
  for (const std::string& option : options.extended) {
    check_extended_option(option);
  }
}

std::vector<OptionSpec> from_option_table(FromOptions& options, const std::string& purpose) {
  return {
      {.long_name = "from-repo",
       .value_name = "repository",
       .help = "source repository " + purpose,
       .target = &options.repository,
       .environment = "FROM_REPOSITORY",
       .hint = ValueHint::kDirectory,
       .exclusive_group = "from-repository"},
      {.long_name = "from-repository-file",
       .value_name = "file",
       .help = "file from which to read the source repository location " + purpose,
       .target = &options.repository_file,
       .environment = "FROM_REPOSITORY_FILE",
       .hint = ValueHint::kFile,
       .exclusive_group = "from-repository"},
      {.long_name = "from-repository-name",
       .value_name = "name",
       .help = "source repository of salvor.yaml " + purpose + " (default main)",
       .target = &options.repository_name,
       .exclusive_group = "from-repository"},
      {.long_name = "from-password-file",
       .value_name = "file",
       .help = "file to read the source repository password from",
       .target = &options.password_file,
       .environment = "FROM_PASSWORD_FILE",
       .hint = ValueHint::kFile,
       .exclusive_group = "from-password"},
      {.long_name = "from-password-command",
       .value_name = "command",
       .help = "command whose output is the source repository password; run without a shell",
       .target = &options.password_command,
       .environment = "FROM_PASSWORD_COMMAND",
       .exclusive_group = "from-password"},
      {.long_name = "from-insecure-no-password",
       .help = "use an empty password for the source repository (insecure)",
       .target = &options.insecure_no_password},
      {.long_name = "from-key-hint",
       .value_name = "string",
       .help = "key ID of key to try decrypting the source repository first",
       .target = &options.key_hint,
       .environment = "FROM_KEY_HINT"},
  };
}

}  // namespace salvor::cli
