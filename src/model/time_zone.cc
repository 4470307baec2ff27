#include "model/time_zone.h"

#include <stdexcept>

#include <date/tz.h>

#include "base/error.h"

namespace salvor {
namespace {

const date::time_zone& zone_of(const void* zone) {
  return *static_cast<const date::time_zone*>(zone);
}

std::chrono::seconds since_epoch(SysSeconds instant) {
  return instant.time_since_epoch();
}

}  // namespace

TimeZone TimeZone::utc() {
  return {"UTC", nullptr};
}

TimeZone TimeZone::named(std::string_view name) {
  if (name == "UTC" || name == "Z") {
    return utc();
  }
  try {
    return {std::string(name), date::locate_zone(std::string(name))};
  } catch (const std::exception&) {
    bool any = false;
    try {
      any = !date::get_tzdb().zones.empty();
    } catch (const std::exception&) {
      // No database: said below.
    }
    if (!any) {
      throw Error(ErrorCode::kFailed, "this machine has no time zone files",
                  "Install the package tzdata, or use UTC.");
    }
    throw Error(ErrorCode::kUsage, "unknown time zone \"" + std::string(name) + "\"",
                "Use an IANA name such as Europe/Berlin, or UTC.");
  }
}

LocalSeconds TimeZone::local(SysSeconds instant) const {
  if (zone_ == nullptr) {
    return LocalSeconds(since_epoch(instant));
  }
  const date::sys_info info = zone_of(zone_).get_info(date::sys_seconds(since_epoch(instant)));
  return LocalSeconds(since_epoch(instant) + info.offset);
}

LocalMeaning TimeZone::meaning(LocalSeconds local) const {
  const std::chrono::seconds reading = local.time_since_epoch();
  if (zone_ == nullptr) {
    return {LocalMeaning::kOnce, SysSeconds(reading), SysSeconds(reading)};
  }
  const date::local_info info = zone_of(zone_).get_info(date::local_seconds(reading));
  const SysSeconds first(reading - info.first.offset);
  switch (info.result) {
    case date::local_info::nonexistent: {
      const SysSeconds after(info.first.end.time_since_epoch());
      return {LocalMeaning::kSkipped, after, after};
    }
    case date::local_info::ambiguous:
      return {LocalMeaning::kTwice, first, SysSeconds(reading - info.second.offset)};
    default:
      return {LocalMeaning::kOnce, first, first};
  }
}

}  // namespace salvor
