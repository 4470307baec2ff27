// Options that every command has.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/command.h"

namespace salvor::cli {

struct GlobalOptions {
  std::optional<std::string> repository;
  std::optional<std::string> repository_file;
  // Where neither is given: of salvor.yaml (configured_repository.h).
  std::optional<std::string> repository_name;
  std::optional<std::string> configuration;
  std::optional<std::string> configuration_environment;
  std::vector<std::string> configuration_settings;
  std::optional<std::string> password_file;
  std::optional<std::string> password_command;
  bool insecure_no_password = false;
  std::string key_hint;

  bool json = false;
  bool quiet = false;
  Counter verbose;

  bool no_lock = false;
  Duration retry_lock{0};

  bool no_cache = false;
  std::optional<std::string> cache_dir;
  bool cleanup_cache = false;

  std::string compression = "auto";
  uint64_t pack_size_mib = 0;         // 0: the default
  uint64_t limit_upload_kib = 0;      // a second; 0: no limit
  uint64_t limit_download_kib = 0;    // a second; 0: no limit
  bool no_extra_verify = false;       // accepted, without effect: we always verify
  std::vector<std::string> extended;  // -o key=value
  bool profile = false;

  // For storages over HTTP; the local directory needs none of them.
  std::string ca_certificate;
  std::string client_certificate;
  bool insecure_tls = false;
  std::string http_user_agent;
  Duration stuck_request_timeout = std::chrono::minutes(5);

  // 0 quiet, 1 normal, 2 -v, 3 -vv: restic's levels.
  [[nodiscard]] int verbosity() const;
};

// The table of the options above, bound to `options`.
[[nodiscard]] std::vector<OptionSpec> global_option_table(GlobalOptions& options);
// What the parser cannot see by itself: --quiet with --verbose, a pack size out of range. Throws
// Error{kUsage}.
void check_global_options(const GlobalOptions& options);

// The second repository of `copy` and `init`.
struct FromOptions {
  std::optional<std::string> repository;
  std::optional<std::string> repository_file;
  std::optional<std::string> repository_name;  // of salvor.yaml
  std::optional<std::string> password_file;
  std::optional<std::string> password_command;
  bool insecure_no_password = false;
  std::string key_hint;
};
// `purpose`: "to copy snapshots from".
[[nodiscard]] std::vector<OptionSpec> from_option_table(FromOptions& options,
                                                        const std::string& purpose);

}  // namespace salvor::cli
