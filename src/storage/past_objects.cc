#include "storage/past_objects.h"

#include <array>

#include "base/format.h"
#include "codec/go_json.h"
#include "storage/layout.h"

namespace salvor {
namespace {

constexpr std::array kKinds = {ObjectKind::kConfig,   ObjectKind::kKey,   ObjectKind::kLock,
                               ObjectKind::kSnapshot, ObjectKind::kIndex, ObjectKind::kPack,
                               ObjectKind::kSalvor};

}  // namespace

void PastObjects::load(const Context& context) {
  if (!loaded_) {
    objects_ = load_(context);
    loaded_ = true;
  }
}

std::optional<PastObject> PastObjects::find(const Context& context, const ObjectName& object) {
  const std::scoped_lock lock(mutex_);
  load(context);
  const auto found = objects_.find(object);
  return found == objects_.end() ? std::nullopt : std::optional(found->second);
}

void PastObjects::list(const Context& context, ObjectKind kind, std::string_view prefix,
                       const std::function<void(const ObjectInfo&)>& on_object) {
  {
    const std::scoped_lock lock(mutex_);
    load(context);
  }
  for (auto at = objects_.lower_bound({kind, std::string(prefix)});
       at != objects_.end() && at->first.kind == kind && at->first.name.starts_with(prefix); ++at) {
    context.check_stopped();
    on_object({at->first.name, at->second.size_bytes});
  }
}

std::optional<ObjectName> object_at_path(std::string_view path) {
  for (const ObjectKind kind : kKinds) {
    if (path.starts_with(kind_prefix(kind))) {
      if (auto name = name_of_path(kind, path)) {
        return ObjectName{kind, std::move(*name)};
      }
    }
  }
  return std::nullopt;
}

std::optional<WallTime> parse_as_of(ExtendedOptions& options, std::string_view scheme) {
  const std::string text = options.text("as-of");
  if (text.empty()) {
    return std::nullopt;
  }
  const auto time = parse_go_time(text);
  if (!time) {
    throw Error(ErrorCode::kUsage,
                std::string(scheme) + ".as-of=" + printable(text) + " is not a time",
                "Write it with its zone: 2026-11-20T10:00:00Z or 2026-11-20T11:00:00+01:00.");
  }
  return time->wall();
}

Error past_is_fixed(const std::string& description, const std::string& as_of,
                    std::string_view scheme) {
  const std::string option = std::string(scheme) + ".as-of";
  return {ErrorCode::kPermission,
          description + " is read as of " + as_of + " and cannot be changed",
          "Leave " + option +
              " out for what writes. To copy the past into a new repository, name this one with "
              "--from-repo and give -o from." +
              option + "=TIME."};
}

Error no_past(const std::string& description, std::string_view scheme) {
  return {ErrorCode::kFailed, description + " keeps no versions, so its past is gone",
          "Leave out " + std::string(scheme) +
              ".as-of to read what is there now. Versioning protects only from the moment on when "
              "it is switched on."};
}

}  // namespace salvor
