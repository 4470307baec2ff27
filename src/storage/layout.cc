#include "storage/layout.h"

#include <algorithm>
#include <array>

#include "base/error.h"
#include "base/format.h"

namespace salvor {
namespace {

constexpr std::string_view kTemporaryMark = "-tmp-";

}  // namespace

std::string_view kind_prefix(ObjectKind kind) {
  switch (kind) {
    case ObjectKind::kConfig:
      return "config";
    case ObjectKind::kKey:
      return "keys/";
    case ObjectKind::kLock:
      return "locks/";
    case ObjectKind::kSnapshot:
      return "snapshots/";
    case ObjectKind::kIndex:
      return "index/";
    case ObjectKind::kPack:
      return "data/";
    case ObjectKind::kSalvor:
      return "salvor/";
  }
  return {};
}

std::string object_path(const ObjectName& object) {
  std::string path(kind_prefix(object.kind));
  if (object.kind == ObjectKind::kPack) {
    path += object.name.substr(0, 2) + "/";
  }
  return path + object.name;
}

std::string path_prefix(ObjectKind kind, std::string_view prefix) {
  std::string path(kind_prefix(kind));
  if (kind == ObjectKind::kPack && prefix.size() >= 2) {
    path.append(prefix.substr(0, 2)).append("/");
  }
  return path.append(prefix);
}

std::optional<std::string> name_of_path(ObjectKind kind, std::string_view path) {
  const std::string_view prefix = kind_prefix(kind);
  if (!path.starts_with(prefix)) {
    return std::nullopt;
  }
  std::string_view name = path.substr(prefix.size());
  if (kind == ObjectKind::kPack) {
    if (name.size() < 3 || name[2] != '/' || name.substr(0, 2) != name.substr(3, 2)) {
      return std::nullopt;
    }
    name.remove_prefix(3);
  }
  return is_object_name(kind, name) ? std::optional(std::string(name)) : std::nullopt;
}

std::optional<std::string_view> before_temporary_mark(std::string_view path) {
  const size_t mark = path.rfind(kTemporaryMark);
  if (mark == std::string_view::npos) {
    return std::nullopt;
  }
  const std::string_view digits = path.substr(mark + kTemporaryMark.size());
  return digits.empty() || digits.find_first_not_of("0123456789") != std::string_view::npos
             ? std::nullopt
             : std::optional(path.substr(0, mark));
}

bool is_leftover_path(std::string_view path) {
  constexpr size_t kMostDigits = 20;  // of a 64-bit number
  const auto object = before_temporary_mark(path);
  return object && path.size() - object->size() - kTemporaryMark.size() <= kMostDigits &&
         std::ranges::any_of(
             std::array{ObjectKind::kConfig, ObjectKind::kKey, ObjectKind::kLock,
                        ObjectKind::kSnapshot, ObjectKind::kIndex, ObjectKind::kPack,
                        ObjectKind::kSalvor},
             [&](ObjectKind kind) { return name_of_path(kind, *object).has_value(); });
}

void check_leftovers(std::span<const Leftover> leftovers, std::string_view place) {
  for (const Leftover& leftover : leftovers) {
    if (!is_leftover_path(leftover.path)) {
      throw Error(ErrorCode::kFailed, "not removing " + printable(leftover.path) + " from " +
                                          std::string(place) + ": it is not a temporary file");
    }
  }
}

std::optional<std::string> clean_prefix(std::string_view path) {
  std::string prefix;
  for (size_t at = 0; at < path.size();) {
    const size_t end = std::min(path.find('/', at), path.size());
    const std::string_view part = path.substr(at, end - at);
    if (part == "..") {
      return std::nullopt;
    }
    if (!part.empty() && part != ".") {
      prefix += (prefix.empty() ? "" : "/") + std::string(part);
    }
    at = end + 1;
  }
  return prefix;
}

}  // namespace salvor
