// What a container with blob versioning held at a moment.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "codec/xml_reader.h"
#include "storage/past_objects.h"

namespace salvor {

// Takes the entries of a listing with versions, in any order. Every write makes a version, whose id
// is the time of the write; a removal leaves the last version behind and no trace of when it
// happened. So what was removed before the moment is found too, as long as its version is kept: for
// a repository that is an older snapshot or pack more. Versions that are themselves removed are
// left out. Source: "List Blobs" (REST, from 2019-12-12) and "Blob versioning" of Microsoft's
// documentation. Not thread-safe.
class AzurePast {
 public:
  // `root`: what all names of the repository begin with; `what`: for messages.
  AzurePast(WallTime as_of, std::string root, std::string what)
      : as_of_(as_of), root_(std::move(root)), what_(std::move(what)) {}

  // An element "Blob". Throws Error{kFailed} when it does not say when it was written.
  void add(const XmlElement& blob, uint64_t size_bytes);
  // Whether anything had a version: else the account keeps none (or had no write since it does).
  [[nodiscard]] bool versioned() const { return versioned_; }
  [[nodiscard]] PastObjectMap take();

 private:
  struct Newest {
    WallTime written;
    PastObject object;
  };

  const WallTime as_of_;
  const std::string root_;
  const std::string what_;
  std::map<ObjectName, Newest> newest_;  // not after as_of_
  bool versioned_ = false;
};

}  // namespace salvor
