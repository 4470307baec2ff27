#include "storage/storage.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>

#include "base/format.h"
#include "storage/layout.h"

namespace salvor {

std::string_view object_kind_name(ObjectKind kind) {
  switch (kind) {
    case ObjectKind::kConfig:
      return "config";
    case ObjectKind::kKey:
      return "key";
    case ObjectKind::kLock:
      return "lock";
    case ObjectKind::kSnapshot:
      return "snapshot";
    case ObjectKind::kIndex:
      return "index";
    case ObjectKind::kPack:
      return "pack";
    case ObjectKind::kSalvor:
      return "salvor";
  }
  return "object";
}

std::string ObjectName::display() const {
  std::string text(object_kind_name(kind));
  if (kind == ObjectKind::kSalvor) {
    return text + "/" + printable(name);
  }
  return name.empty() ? text : text + " " + printable(std::string_view(name).substr(0, 8));
}

void Storage::remove_many(const Context& context, std::span<const ObjectName> objects) {
  for (const ObjectName& object : objects) {
    remove(context, object);
  }
}

void Storage::list_prefix(const Context& context, ObjectKind kind, std::string_view prefix,
                          const std::function<void(const ObjectInfo&)>& on_object) {
  list(context, kind, [&](const ObjectInfo& object) {
    if (object.name.starts_with(prefix)) {
      on_object(object);
    }
  });
}

std::vector<ObjectInfo> Storage::list_all(const Context& context, ObjectKind kind) {
  std::vector<ObjectInfo> objects;
  list(context, kind, [&](const ObjectInfo& object) { objects.push_back(object); });
  return objects;
}

namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

bool is_plain(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         std::string_view("._-+=@,~%").find(c) != std::string_view::npos;
}

bool is_plain_component(std::string_view component) {
  return !component.empty() && component.size() <= 200 && component[0] != '.' &&
         std::ranges::all_of(component, is_plain) && !before_temporary_mark(component);
}

bool is_plain_path(std::string_view path) {
  if (path.size() > 900) {
    return false;
  }
  for (;;) {
    const size_t slash = path.find('/');
    if (!is_plain_component(path.substr(0, slash))) {
      return false;
    }
    if (slash == std::string_view::npos) {
      return true;
    }
    path.remove_prefix(slash + 1);
  }
}

}  // namespace

std::vector<Leftover> Storage::leftovers(const Context& context, std::chrono::seconds /*age*/) {
  context.check_stopped();
  return {};
}

void Storage::remove_leftovers(const Context& context, std::span<const Leftover> leftovers) {
  context.check_stopped();
  if (!leftovers.empty()) {
    throw Error(ErrorCode::kFailed, traits().description + " has no temporary files");
  }
}

std::optional<StorageSpace> Storage::space(const Context& /*context*/) {
  return std::nullopt;
}

std::optional<Retention> Storage::retention(const Context& /*context*/,
                                            const ObjectName& /*object*/) {
  return std::nullopt;
}

void Storage::extend_retention(const Context& /*context*/, const ObjectName& /*object*/,
                               WallTime /*until*/) {
  throw Error(ErrorCode::kUsage, traits().description + " cannot protect objects from removal",
              "S3 buckets can, when object lock was switched on: see docs/immutability.md.");
}

WallTime Storage::server_time(const Context& context) {
  return context.clock.now();
}

bool may_begin_name(ObjectKind kind, std::string_view prefix) {
  if (kind == ObjectKind::kConfig) {
    return prefix.empty();
  }
  if (kind != ObjectKind::kSalvor) {
    return prefix.size() <= 64 && std::ranges::all_of(prefix, [](char c) {
             return is_digit(c) || (c >= 'a' && c <= 'f');
           });
  }
  const size_t slash = prefix.rfind('/');
  const std::string_view last = prefix.substr(slash == std::string_view::npos ? 0 : slash + 1);
  return (slash == std::string_view::npos || is_plain_path(prefix.substr(0, slash))) &&
         !last.starts_with('.') && std::ranges::all_of(last, is_plain);
}

bool is_object_name(ObjectKind kind, std::string_view name) {
  if (kind == ObjectKind::kConfig) {
    return name.empty();
  }
  if (kind == ObjectKind::kSalvor) {
    return is_plain_path(name);
  }
  return name.size() == 64 &&
         std::ranges::all_of(name, [](char c) { return is_digit(c) || (c >= 'a' && c <= 'f'); });
}

void check_call(const Context& context, const ObjectName& object) {
  context.check_stopped();
  if (!is_object_name(object.kind, object.name)) {
    throw Error(ErrorCode::kFailed, "invalid name of an object of kind " +
                                        std::string(object_kind_name(object.kind)) + ": \"" +
                                        printable(object.name) + "\"");
  }
}

uint64_t total_size(std::span<const ByteView> parts) {
  uint64_t total = 0;
  for (const ByteView part : parts) {
    total += part.size();
  }
  return total;
}

bool same_bytes(std::span<const ByteView> parts, ByteView bytes) {
  for (const ByteView part : parts) {
    if (part.size() > bytes.size() || !std::ranges::equal(part, bytes.first(part.size()))) {
      return false;
    }
    bytes = bytes.subspan(part.size());
  }
  return bytes.empty();
}

void remove_in_parallel(Storage& storage, const Context& context,
                        std::span<const ObjectName> objects, unsigned threads) {
  context.check_stopped();
  std::atomic<size_t> next = 0;
  std::mutex failing;
  std::exception_ptr failure;
  {
    std::vector<std::jthread> workers;
    for (size_t i = 0; i < std::min<size_t>(threads, objects.size()); ++i) {
      workers.emplace_back([&] {
        try {
          for (size_t at = next++; at < objects.size(); at = next++) {
            storage.remove(context, objects[at]);
          }
        } catch (...) {
          const std::scoped_lock lock(failing);
          failure = std::current_exception();
          next = objects.size();
        }
      });
    }
  }
  if (failure) {
    std::rethrow_exception(failure);
  }
}

void check_existing(Storage& storage, const Context& context, const ObjectName& object,
                    uint64_t existing_bytes, std::span<const ByteView> parts) {
  const uint64_t size_bytes = total_size(parts);
  const bool named_by_hash =
      object.kind != ObjectKind::kConfig && object.kind != ObjectKind::kSalvor;
  if (existing_bytes == size_bytes &&
      (named_by_hash || same_bytes(parts, storage.get(context, object, size_bytes).view()))) {
    return;
  }
  const std::string what =
      "cannot write " + object.display() + " to " + storage.traits().description;
  if (named_by_hash) {
    throw Error(ErrorCode::kFailed,
                what + ": it exists with " + std::to_string(existing_bytes) + " instead of " +
                    std::to_string(size_bytes) + " bytes",
                "The stored object is damaged. Run check to see what it affects.");
  }
  throw Error(ErrorCode::kFailed, what + ": it exists with other content",
              "Another process may have created it at the same time.");
}

}  // namespace salvor
