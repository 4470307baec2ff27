// The past of a versioned bucket: what was in it at a moment, whatever was removed or written over
// since.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "codec/xml_reader.h"
#include "storage/past_objects.h"
#include "storage/s3/s3_client.h"
#include "storage/storage.h"

namespace salvor {

// One version of an object, or a mark that says it was removed.
struct S3Version {
  std::string key;
  std::string id;
  WallTime modified{};
  uint64_t size_bytes = 0;
  bool marker = false;
  bool latest = false;
};

struct S3VersionsPage {
  std::vector<S3Version> versions;  // of one key: the newest first
  // Where the next page begins; empty at the end.
  std::string next_key;
  std::string next_id;
};
// A ListVersionsResult. Throws Error{kFailed} for anything else, with `what` in front.
[[nodiscard]] S3VersionsPage parse_s3_versions(const XmlElement& root, const std::string& what);

// Every version below `prefix` (of keys in the bucket). Needs s3:ListBucketVersions.
void list_s3_versions(const Context& context, S3Client& client, const std::string& prefix,
                      const std::function<void(const S3Version&)>& on_version);

// What was in the bucket at `as_of`: a request for each 1,000 versions.
[[nodiscard]] PastObjectMap s3_past(const Context& context, S3Client& client, WallTime as_of);

}  // namespace salvor
