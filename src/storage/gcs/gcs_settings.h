// Where a repository on Google Cloud Storage is and how it is to be treated: the URL and the
// options.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "storage/storage_options.h"

namespace salvor {

struct GcsSettings {
  std::string endpoint;  // "https://storage.googleapis.com", without a slash at its end
  std::string bucket;
  std::string prefix;         // without slashes at its ends; may be empty
  bool anonymous = false;     // public buckets, and emulators
  std::string project;        // to make a bucket in; empty: the credentials' own
  std::string location;       // of a bucket that is made
  std::string storage_class;  // of packs; empty: the bucket's own
  std::string user_project;   // who pays for the requests; empty: the bucket's owner
  std::string kms_key;        // "projects/P/locations/L/keyRings/R/cryptoKeys/K" or empty
  std::string lock_mode;      // "Unlocked", "Locked" or empty
  std::chrono::days lock_days{0};
  std::optional<WallTime> as_of;  // read what was there then
  unsigned connections = 8;
  unsigned list_page = 1000;  // names a reply; not more
  // Objects from this size on are sent in upload sessions; so much at a time (a multiple of 256
  // KiB).
  uint64_t session_bytes = uint64_t{64} << 20;
  uint64_t piece_bytes = uint64_t{32} << 20;

  [[nodiscard]] std::string description() const;  // "Google Cloud Storage bucket b/prefix"
};

// `rest` is what follows "gs:": "bucket:/prefix", as restic writes it; without a bucket ("",
// ":/prefix") it is GCS_BUCKET or BACKUP_BUCKET of the environment. STORAGE_EMULATOR_HOST names
// another server as Google's own libraries take it ("host:port" without TLS, or a URL) and then
// nothing is sent that could be a credential; -o gs.endpoint=URL is another server with them.
// Throws Error{kUsage}.
[[nodiscard]] GcsSettings gcs_settings(std::string_view rest, const StorageOptions& options);

}  // namespace salvor
