#include "protect/status_sentence.h"

#include <algorithm>

#include <fmt/format.h>

#include "model/duration_text.h"
#include "protect/time_text.h"

namespace salvor {
namespace {

// "database and uploads"
std::string names(const StatusReport& report, const auto& wanted) {
  std::vector<std::string> found;
  for (const StoreStatus& store : report.stores) {
    if (wanted(store)) {
      found.push_back(store.source);
    }
  }
  std::string text;
  for (size_t i = 0; i < found.size(); ++i) {
    text += (i == 0 ? "" : i + 1 == found.size() ? " and " : ", ") + found[i];
  }
  return text;
}

std::string point_text(const StatusReport& report) {
  const WallTime time = report.common->time;
  std::string text =
      fmt::format("{}, {}", instant_text(time, report.at), ago_text(report.at - time));
  if (report.common->skew >= std::chrono::seconds(1)) {
    text += fmt::format(" (sources up to {} apart)", span_text(report.common->skew));
  }
  return text;
}

std::string proof_text(const StatusReport& report) {
  if (!report.proven_at) {
    return report.stores.size() < 2 ? "never proven by a restore"
                                    : "not all of it proven by a restore";
  }
  std::string text = "last proven " + ago_text(report.at - *report.proven_at);
  if (report.recovery_seconds && report.recovery_measured) {
    text += " in " + duration_text(*report.recovery_seconds);
    std::optional<std::chrono::seconds> rto = report.promises.rto;
    for (const StoreStatus& store : report.stores) {
      if (!rto && store.promises.rto) {
        rto = store.promises.rto;
      }
    }
    text += rto ? " (objective " + span_text(*rto) + ")" : "";
  }
  return text;
}

}  // namespace

std::string status_sentence(const StatusReport& report) {
  if (report.stores.empty()) {
    return "Nothing is protected: the configuration has no source.";
  }
  const std::string none =
      names(report, [](const StoreStatus& store) { return !store.newest.has_value(); });
  const std::string dead =
      names(report, [](const StoreStatus& store) { return !store.unreachable.empty(); });
  if (!dead.empty()) {
    WallTime seen = report.at;
    for (const StoreStatus& store : report.stores) {
      seen = store.unreachable.empty() ? seen : std::min(seen, store.seen_at);
    }
    const std::string head = "Not known whether " + dead + " can be recovered right now";
    if (seen == WallTime{}) {
      return head + ", and this machine has never seen a recovery point of it.";
    }
    return fmt::format("{}: when last seen, {}, {}.", head, ago_text(report.at - seen),
                       report.common ? "recoverable to " + point_text(report)
                                     : "there was no usable backup of " + none);
  }
  if (!report.common) {
    return fmt::format("{}: there is no usable backup{}.",
                       none.find(" and ") == std::string::npos && report.stores.size() < 2
                           ? "Nothing can be recovered"
                           : "Not everything can be recovered",
                       report.stores.size() < 2 ? "" : " of " + none);
  }
  return fmt::format(
      "{} {}; {}.", report.state == Assurance::kBreached ? "Recoverable only to" : "Recoverable to",
      point_text(report), proof_text(report));
}

}  // namespace salvor
