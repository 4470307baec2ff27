#include "storage/azure/azure_settings.h"

#include <algorithm>

#include "base/error.h"
#include "base/format.h"
#include "storage/layout.h"
#include "storage/past_objects.h"

namespace salvor {
namespace {

[[noreturn]] void refuse(std::string_view rest, const std::string& why) {
  throw Error(ErrorCode::kUsage, "the repository location azure:" + printable(rest) + " " + why,
              "Write azure:CONTAINER:/PATH, for example azure:backups:/db, with the account in "
              "AZURE_ACCOUNT_NAME. Credentials do not belong there: see docs/storage-azure.md.");
}

std::string cleaned(std::string_view rest, std::string_view path) {
  auto prefix = clean_prefix(path);
  if (!prefix) {
    refuse(rest, "must not contain \"..\"");
  }
  return std::move(*prefix);
}

bool is_name(std::string_view name, size_t most, std::string_view more) {
  return name.size() >= 3 && name.size() <= most && std::ranges::all_of(name, [&](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                  more.find(c) != std::string_view::npos;
         });
}

void set_proof(const StorageOptions& options, AzureSettings& settings) {
  if (const auto key = options.environment("AZURE_ACCOUNT_KEY")) {
    Buffer decoded;
    if (!from_base64(*key, decoded) || decoded.empty()) {
      throw Error(ErrorCode::kPermission, "the variable AZURE_ACCOUNT_KEY is not an account key",
                  "It is the text in base64 that the portal shows below \"Access keys\".");
    }
    settings.key = Secret(std::string(as_text(decoded.view())));
    return;
  }
  if (const auto sas = options.environment("AZURE_ACCOUNT_SAS")) {
    const std::string text = sas->starts_with('?') ? sas->substr(1) : *sas;
    if (("&" + text).find("&sig=") == std::string::npos ||
        text.find_first_of(" \r\n#") != std::string::npos) {
      throw Error(ErrorCode::kPermission,
                  "the variable AZURE_ACCOUNT_SAS is not a shared access signature",
                  "It looks like sv=...&se=...&sp=racwdl&sig=...: the query of the URL that the "
                  "portal shows, not the URL.");
    }
    settings.sas = Secret(text);
  }
}

void set_endpoint(ExtendedOptions& extended, const StorageOptions& options,
                  AzureSettings& settings) {
  settings.account = options.environment("AZURE_ACCOUNT_NAME").value_or("");
  if (!is_name(settings.account, 24, "")) {
    throw Error(ErrorCode::kUsage,
                settings.account.empty()
                    ? "the variable AZURE_ACCOUNT_NAME is not set"
                    : "AZURE_ACCOUNT_NAME=" + printable(settings.account) + " is not an account",
                "It names the storage account: 3 to 24 lower-case letters and digits.");
  }
  settings.endpoint = extended.text("endpoint");
  if (settings.endpoint.empty()) {
    const std::string suffix =
        options.environment("AZURE_ENDPOINT_SUFFIX").value_or("core.windows.net");
    settings.endpoint = "https://" + settings.account + ".blob." + suffix;
  }
  while (settings.endpoint.ends_with('/')) {
    settings.endpoint.pop_back();
  }
  const bool url =
      settings.endpoint.starts_with("http://") || settings.endpoint.starts_with("https://");
  if (!url || settings.endpoint.ends_with(':') ||
      settings.endpoint.find_first_of("?#@ ") != std::string::npos) {
    throw Error(ErrorCode::kUsage, "this is not an address: " + printable(settings.endpoint),
                "azure.endpoint looks like https://ACCOUNT.blob.example.com or "
                "http://127.0.0.1:10000/ACCOUNT, AZURE_ENDPOINT_SUFFIX like core.windows.net.");
  }
}

void set_tier(ExtendedOptions& extended, AzureSettings& settings) {
  std::string tier = extended.text("access-tier");
  std::ranges::transform(tier, tier.begin(), ::tolower);
  if (tier == "archive") {
    throw Error(ErrorCode::kUsage,
                "the access tier Archive cannot be used: packs that hold directory trees must "
                "stay readable",
                "Cold costs little more and can be read at once. Or let a lifecycle rule move old "
                "blobs below data/.");
  }
  if (!tier.empty() && tier != "hot" && tier != "cool" && tier != "cold") {
    throw Error(ErrorCode::kUsage, "the extended option azure.access-tier=" + printable(tier) +
                                       " must be one of Hot, Cool, Cold");
  }
  if (!tier.empty()) {
    tier[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(tier[0])));
  }
  settings.access_tier = tier;
}

void set_lock(ExtendedOptions& extended, AzureSettings& settings) {
  const std::string mode = extended.choice("object-lock", {"", "unlocked", "locked"});
  settings.lock_days = std::chrono::days(extended.number("object-lock-days", 0, 1, 36'500));
  if (mode.empty() != (settings.lock_days.count() == 0)) {
    throw Error(ErrorCode::kUsage,
                "azure.object-lock and azure.object-lock-days are only meaningful together",
                "For example -o azure.object-lock=unlocked -o azure.object-lock-days=30.");
  }
  settings.lock_mode = mode == "locked" ? "Locked" : mode == "unlocked" ? "Unlocked" : "";
}

}  // namespace

std::string AzureSettings::description() const {
  return "Azure container " + printable(container + (prefix.empty() ? "" : "/" + prefix)) +
         " of account " + printable(account);
}

AzureSettings azure_settings(std::string_view rest, const StorageOptions& options) {
  AzureSettings settings;
  const size_t colon = rest.find(':');
  if (colon == std::string_view::npos || rest.starts_with('/')) {
    refuse(rest, "is not CONTAINER:/PATH");
  }
  settings.container = rest.substr(0, colon);
  if (!is_name(settings.container, 63, "-")) {
    refuse(rest,
           "names no container: their names have 3 to 63 lower-case letters, digits and hyphens");
  }
  settings.prefix = cleaned(rest, rest.substr(colon + 1));
  ExtendedOptions extended(options, "azure");
  set_endpoint(extended, options, settings);
  set_proof(options, settings);
  set_tier(extended, settings);
  set_lock(extended, settings);
  settings.as_of = parse_as_of(extended, "azure");
  settings.block_bytes = uint64_t{extended.number("block-size", 64, 1, 4000)} << 20U;
  settings.connections = extended.number("connections", settings.connections, 1, 256);
  extended.finish();
  return settings;
}

}  // namespace salvor
