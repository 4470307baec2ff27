// What the storages of S3, Google Cloud and Azure have in common: a repository is the objects under
// a prefix of one bucket, read over HTTP, where the server keeps versions also as of a time.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "net/http_client.h"
#include "storage/past_objects.h"
#include "storage/storage.h"

namespace salvor {

// As Storage: blocking and thread-safe. What each server does in its own way is virtual.
class BucketStorage : public Storage {
 public:
  using Storage::put;
  void put(const Context& context, const ObjectName& object,
           std::span<const ByteView> parts) override;
  void replace_config(const Context& context, ByteView bytes) final;
  Buffer get(const Context& context, const ObjectName& object, uint64_t limit_bytes) final;
  void get_range(const Context& context, const ObjectName& object, uint64_t offset,
                 MutableBytes out) final;
  std::optional<ObjectInfo> stat(const Context& context, const ObjectName& object) final;
  void list(const Context& context, ObjectKind kind,
            const std::function<void(const ObjectInfo&)>& on_object) final;
  void list_prefix(const Context& context, ObjectKind kind, std::string_view prefix,
                   const std::function<void(const ObjectInfo&)>& on_object) final;
  void remove(const Context& context, const ObjectName& object) final;
  void remove_many(const Context& context, std::span<const ObjectName> objects) override;
  [[nodiscard]] StorageTraits traits() const final;

 protected:
  struct Bucket {
    std::string description;  // "S3 bucket b/prefix at host"
    std::string prefix;       // of every key; without slashes at its ends; may be empty
    std::string scheme;       // "s3", for messages
    unsigned connections = 1;
    std::optional<WallTime> as_of;  // what was there then is read, and nothing can be changed
  };
  // What of an object is to be read.
  struct Reading {
    std::string version;  // as the server names it; empty: the present one
    std::string range;    // "bytes=0-99"; empty: all
    std::optional<MutableBytes> into;
    uint64_t limit_bytes = uint64_t{1} << 20;
    std::string what;  // for messages
  };
  // A key below what was asked for; others are passed over.
  using OnKey = std::function<void(std::string_view key, uint64_t size_bytes)>;

  explicit BucketStorage(Bucket bucket);

  // Stores, even over what is there unless `if_absent`. Called when that is permitted.
  virtual void upload(const Context& context, const ObjectName& object,
                      std::span<const ByteView> parts, bool if_absent) = 0;
  // Status 416 (no such range) comes back; what is absent throws Error{kNotFound}.
  virtual HttpResponse fetch(const Context& context, const ObjectName& object,
                             const Reading& reading) = 0;
  // Nothing when the object is absent.
  virtual std::optional<uint64_t> size_of(const Context& context, const ObjectName& object) = 0;
  virtual void list_keys(const Context& context, const std::string& below, const OnKey& on_key) = 0;
  virtual void remove_present(const Context& context, const ObjectName& object) = 0;
  // What was there then; called once, and only where `Bucket::as_of` is set.
  virtual PastObjectMap load_past(const Context& context, WallTime as_of) = 0;

  [[nodiscard]] const std::string& description() const { return bucket_.description; }
  // "cannot read pack 1a2b3c4d from S3 bucket b at host"
  [[nodiscard]] std::string what(const char* verb, const ObjectName& object) const;
  [[nodiscard]] std::string key_of(const ObjectName& object) const;
  // Of a key below the prefix.
  [[nodiscard]] std::string_view path_of_key(std::string_view key) const;
  [[nodiscard]] std::string key_prefix() const;  // "prefix/", or ""
  [[nodiscard]] bool reads_past() const { return bucket_.as_of.has_value(); }
  // Throws Error{kPermission} when it is the past that is read.
  void refuse_when_past() const;
  // What the answer to HEAD says of an object; nothing when it is absent (404).
  [[nodiscard]] static std::optional<uint64_t> size_in(const HttpResponse& response,
                                                       const std::string& what);
  // For `upload`, when the server says that there is such an object: throws unless it is the same.
  void accept_existing(const Context& context, const ObjectName& object,
                       std::span<const ByteView> parts);

 private:
  // The version that is read; empty: the present one.
  std::string version_of(const Context& context, const ObjectName& object);

  const Bucket bucket_;
  PastObjects past_;
};

// The decimal number that `text` is; nothing when it is anything else.
[[nodiscard]] std::optional<uint64_t> parse_size(std::string_view text);

}  // namespace salvor
