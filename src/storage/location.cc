#include "storage/location.h"

#include <optional>

#include "base/format.h"
#include "storage/azure/azure_storage.h"
#include "storage/decorators/counting_storage.h"
#include "storage/decorators/retry_storage.h"
#include "storage/export/export_storage.h"
#include "storage/export/volumes.h"
#include "storage/gcs/gcs_storage.h"
#include "storage/local/local_storage.h"
#include "storage/rest/rclone_storage.h"
#include "storage/rest/rest_storage.h"
#include "storage/s3/s3_storage.h"
#include "storage/sftp/sftp_storage.h"

namespace salvor {
namespace {

struct Location {
  std::string_view scheme;  // empty: a plain path
  std::string_view rest;
};

// A scheme is what stands before the first colon, unless that is part of a path ("./a:b",
// "dir/a:b").
Location split(std::string_view location) {
  const size_t colon = location.find(':');
  if (colon == std::string_view::npos || colon == 0 || location[0] == '.' ||
      location.substr(0, colon).find('/') != std::string_view::npos) {
    return {{}, location};
  }
  return {location.substr(0, colon), location.substr(colon + 1)};
}

std::unique_ptr<Storage> counted(std::unique_ptr<Storage> base, const StorageOptions& options) {
  return options.counts != nullptr
             ? std::make_unique<CountingStorage>(std::move(base), *options.counts)
             : std::move(base);
}

// For what may fail and succeed the next time.
std::unique_ptr<Storage> persistent(std::unique_ptr<Storage> base, const StorageOptions& options) {
  return std::make_unique<RetryStorage>(counted(std::move(base), options));
}

}  // namespace

std::unique_ptr<Storage> open_storage(std::string_view location, const StorageOptions& options) {
  const auto [scheme, rest] = split(location);
  if (scheme == "tar") {
    return open_tar_storage(std::make_shared<VolumeReader>(std::string(rest)));
  }
  if (scheme == "s3") {
    return persistent(open_s3_storage(rest, options), options);
  }
  if (scheme == "azure") {
    return persistent(open_azure_storage(rest, options), options);
  }
  if (scheme == "gs") {
    return persistent(open_gcs_storage(rest, options), options);
  }
  if (scheme == "sftp") {
    return persistent(open_sftp_storage(parse_sftp_settings(location, options, has_terminal())),
                      options);
  }
  if (scheme == "rest") {
    return persistent(open_rest_storage(rest, options), options);
  }
  if (scheme == "rclone") {
    return persistent(open_rclone_storage(rest, options), options);
  }
  if (!scheme.empty() && scheme != "local") {
    throw Error(ErrorCode::kUsage,
                "repository location " + display_location(location) +
                    " has the unsupported scheme " + printable(scheme),
                "Supported are a local directory (a path or local:PATH), s3:HOST/BUCKET/PATH, "
                "gs:BUCKET:/PATH, azure:CONTAINER:/PATH, sftp:USER@HOST:PATH, "
                "rest:https://HOST/PATH, rclone:REMOTE:PATH and "
                "tar:FILE (what export wrote). Write a path that holds a colon as ./PATH.");
  }
  if (rest.empty()) {
    throw Error(ErrorCode::kUsage, "the repository location is empty",
                "Give one with -r or SALVOR_REPOSITORY.");
  }
  return counted(open_local_storage(std::string(rest)), options);
}

std::string display_location(std::string_view location) {
  const auto [scheme, rest] = split(location);
  if (scheme.empty() || scheme == "local" || scheme == "tar") {
    return printable(location);
  }
  // The secrets of a URL: the password in "user:password@", a user alone over HTTP (often a token),
  // and the query (Azure's signatures).
  std::string text(location.substr(0, location.find('?')));
  const bool query = text.size() < location.size();
  const size_t marker = text.find("://");
  const size_t authority = marker == std::string::npos ? scheme.size() + 1 : marker + 3;
  const bool http = text.substr(0, authority).find("http") != std::string::npos;
  const size_t end = text.find('/', authority);
  // A password that was not %-encoded may hold a slash: rather hide too much.
  const size_t at = text.rfind('@', http || end == std::string::npos ? std::string::npos : end - 1);
  if (at != std::string::npos && at >= authority) {
    const size_t colon = text.find(':', authority);
    if (colon < at) {
      text.replace(colon + 1, at - colon - 1, "***");
    } else if (http) {
      text.replace(authority, at - authority, "***");
    }
  }
  return printable(text) + (query ? "?***" : "");
}

}  // namespace salvor
