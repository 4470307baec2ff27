// Where a repository in Azure Blob Storage is and how it is to be treated: the URL, the environment
// and the options.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/secret.h"
#include "storage/storage_options.h"

namespace salvor {

struct AzureSettings {
  std::string endpoint;  // "https://account.blob.core.windows.net", without a slash at its end
  std::string account;
  Secret key;  // decoded; goes before
  Secret sas;  // without "?"; without both: Entra ID (azure_credentials.h)
  std::string container;
  std::string prefix;       // without slashes at its ends; may be empty
  std::string access_tier;  // of packs: Hot, Cool, Cold or empty
  std::string lock_mode;    // Unlocked, Locked or empty
  std::chrono::days lock_days{0};
  std::optional<WallTime> as_of;  // read what was there then
  uint64_t block_bytes = 0;       // larger objects are uploaded in blocks of this size
  unsigned connections = 8;
  unsigned list_page = 5000;  // names a reply; not more

  [[nodiscard]] std::string description() const;  // "Azure container c/prefix of account a"
};

// `rest` is what follows "azure:": "container:/prefix", as restic writes it. The account comes from
// AZURE_ACCOUNT_NAME, the proof from AZURE_ACCOUNT_KEY or AZURE_ACCOUNT_SAS, the cloud from
// AZURE_ENDPOINT_SUFFIX (core.windows.net). -o azure.endpoint=URL is another server, whose path may
// begin with the account, as emulators have it. Throws Error{kUsage}, Error{kPermission} for a key
// that is none.
[[nodiscard]] AzureSettings azure_settings(std::string_view rest, const StorageOptions& options);

}  // namespace salvor
