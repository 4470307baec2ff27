// What was in a versioned bucket at a moment, whatever was removed or written over since.
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "storage/storage.h"
#include "storage/storage_options.h"

namespace salvor {

// One version of an object.
struct PastObject {
  std::string version;  // as the server names it
  uint64_t size_bytes = 0;
};
using PastObjectMap = std::map<ObjectName, PastObject>;

// Asks the storage once, at the first use; about 250 bytes of memory an object. Thread-safe.
class PastObjects {
 public:
  using Load = std::function<PastObjectMap(const Context&)>;
  explicit PastObjects(Load load) : load_(std::move(load)) {}

  [[nodiscard]] std::optional<PastObject> find(const Context& context, const ObjectName& object);
  void list(const Context& context, ObjectKind kind, std::string_view prefix,
            const std::function<void(const ObjectInfo&)>& on_object);

 private:
  void load(const Context& context);

  const Load load_;
  std::mutex mutex_;
  bool loaded_ = false;
  PastObjectMap objects_;  // under mutex_ until loaded_
};

// The object at a path of the repository; nothing when it is a foreign file.
[[nodiscard]] std::optional<ObjectName> object_at_path(std::string_view path);

// The option "as-of". `scheme` ("s3"): what stands before it, for messages. Throws Error{kUsage}.
[[nodiscard]] std::optional<WallTime> parse_as_of(ExtendedOptions& options,
                                                  std::string_view scheme);
// That what is read as of a time cannot be changed: Error{kPermission}. `as_of` as text.
[[nodiscard]] Error past_is_fixed(const std::string& description, const std::string& as_of,
                                  std::string_view scheme);
// That there are no versions: Error{kFailed}.
[[nodiscard]] Error no_past(const std::string& description, std::string_view scheme);

}  // namespace salvor
