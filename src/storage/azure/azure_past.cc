#include "storage/azure/azure_past.h"

#include "codec/go_json.h"
#include "net/http_client.h"

namespace salvor {

void AzurePast::add(const XmlElement& blob, uint64_t size_bytes) {
  const std::string version = blob.child_text("VersionId");
  versioned_ = versioned_ || !version.empty();
  const std::string key = blob.child_text("Name");
  if (blob.child_text("Deleted") == "true" || !blob.child_text("Snapshot").empty() ||
      !key.starts_with(root_)) {
    return;
  }
  const auto object = object_at_path(std::string_view(key).substr(root_.size()));
  if (!object) {
    return;
  }
  std::optional<WallTime> written;
  if (const auto time = parse_go_time(version)) {
    written = time->wall();
  } else if (const XmlElement* properties = blob.child("Properties");
             version.empty() && properties != nullptr) {
    // Written before versions were kept, and still there.
    written = parse_http_date(properties->child_text("Last-Modified"));
  }
  if (!written) {
    throw Error(ErrorCode::kFailed, what_ + ": the reply has a version without its time");
  }
  if (*written > as_of_) {
    return;
  }
  const auto [at, is_new] = newest_.try_emplace(*object);
  if (is_new || *written >= at->second.written) {
    at->second = {*written, {version, size_bytes}};
  }
}

PastObjectMap AzurePast::take() {
  PastObjectMap objects;
  for (auto& [object, newest] : newest_) {
    objects.emplace_hint(objects.end(), object, std::move(newest.object));
  }
  newest_.clear();
  return objects;
}

}  // namespace salvor
