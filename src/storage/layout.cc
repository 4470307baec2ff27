#include "storage/layout.h"

#include <algorithm>

namespace salvor {

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
