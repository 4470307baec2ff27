#include "storage/gcs/gcs_settings.h"

#include <algorithm>

#include "base/error.h"
#include "base/format.h"
#include "storage/layout.h"
#include "storage/past_objects.h"

namespace salvor {
namespace {

[[noreturn]] void refuse(std::string_view rest, const std::string& why) {
  throw Error(ErrorCode::kUsage, "the repository location gs:" + printable(rest) + " " + why,
              "Write gs:BUCKET:/PATH, for example gs:my-backups:/db. Credentials do not belong "
              "there: see docs/storage-gcs.md.");
}

std::string cleaned(std::string_view rest, std::string_view path) {
  auto prefix = clean_prefix(path);
  if (!prefix) {
    refuse(rest, "must not contain \"..\"");
  }
  return std::move(*prefix);
}

bool is_bucket_name(std::string_view name) {
  return name.size() >= 3 && name.size() <= 222 && std::ranges::all_of(name, [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
                  c == '.';
         });
}

std::string checked_endpoint(std::string text, const std::string& origin) {
  while (text.ends_with('/')) {
    text.pop_back();
  }
  const bool url = text.starts_with("http://") || text.starts_with("https://");
  if (!url || text.ends_with(':') || text.find_first_of("?#@ ") != std::string::npos) {
    throw Error(ErrorCode::kUsage, origin + " is not an address: " + printable(text),
                "It looks like https://storage.example.com or http://127.0.0.1:4443.");
  }
  return text;
}

void set_endpoint(ExtendedOptions& extended, const StorageOptions& options, GcsSettings& settings) {
  const std::string own = extended.text("endpoint");
  if (!own.empty()) {
    settings.endpoint = checked_endpoint(own, "the extended option gs.endpoint");
  } else if (const auto emulator = options.environment("STORAGE_EMULATOR_HOST")) {
    const bool url = emulator->find("://") != std::string::npos;
    settings.endpoint =
        checked_endpoint(url ? *emulator : "http://" + *emulator, "STORAGE_EMULATOR_HOST");
    settings.anonymous = true;
  } else {
    settings.endpoint = "https://storage.googleapis.com";
  }
}

void set_lock(ExtendedOptions& extended, GcsSettings& settings) {
  const std::string mode = extended.choice("object-lock", {"", "unlocked", "locked"});
  settings.lock_days = std::chrono::days(extended.number("object-lock-days", 0, 1, 36'500));
  if (mode.empty() != (settings.lock_days.count() == 0)) {
    throw Error(ErrorCode::kUsage,
                "gs.object-lock and gs.object-lock-days are only meaningful together",
                "For example -o gs.object-lock=unlocked -o gs.object-lock-days=30.");
  }
  settings.lock_mode = mode == "locked" ? "Locked" : mode == "unlocked" ? "Unlocked" : "";
}

}  // namespace

std::string GcsSettings::description() const {
  return "Google Cloud Storage bucket " + printable(bucket + (prefix.empty() ? "" : "/" + prefix)) +
         (endpoint == "https://storage.googleapis.com" ? "" : " at " + printable(endpoint));
}

GcsSettings gcs_settings(std::string_view rest, const StorageOptions& options) {
  GcsSettings settings;
  const size_t colon = std::min(rest.find(':'), rest.size());
  const bool named = !rest.empty() && colon != 0;
  if (rest.starts_with('/') || (named && colon == rest.size())) {
    refuse(rest, "is not BUCKET:/PATH");
  }
  settings.bucket = rest.substr(0, colon);
  for (const char* name : {"GCS_BUCKET", "BACKUP_BUCKET"}) {
    if (settings.bucket.empty()) {
      settings.bucket = options.environment(name).value_or("");
    }
  }
  if (!is_bucket_name(settings.bucket)) {
    refuse(rest,
           "names no bucket: their names have 3 to 222 lower-case letters, digits and \"-_.\"");
  }
  settings.prefix = cleaned(rest, rest.substr(std::min(colon + 1, rest.size())));
  ExtendedOptions extended(options, "gs");
  set_endpoint(extended, options, settings);
  settings.anonymous |= extended.flag("unsafe-anonymous-auth");
  for (const char* name : {"GOOGLE_PROJECT_ID", "GOOGLE_CLOUD_PROJECT"}) {
    if (settings.project.empty()) {
      settings.project = options.environment(name).value_or("");
    }
  }
  settings.location = extended.text("region", "us");
  settings.storage_class = extended.text("storage-class");
  settings.user_project = extended.text("user-project");
  settings.kms_key = extended.text("kms-key");
  settings.connections = extended.number("connections", settings.connections, 1, 256);
  settings.as_of = parse_as_of(extended, "gs");
  set_lock(extended, settings);
  extended.finish();
  return settings;
}

}  // namespace salvor
