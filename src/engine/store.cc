#include "engine/store.h"

#include <array>

#include <fmt/format.h>

#include "base/error.h"
#include "engine/postgres/recovery_target.h"

namespace salvor {
namespace {

constexpr std::array<std::string_view, 3> kPositions{"lsn:", "xid:", "name:"};

}  // namespace

Moment Moment::parse(std::string_view text) {
  if (text.empty() || text == "latest") {
    return {};
  }
  const auto after = [&](std::string_view prefix) -> std::optional<std::string> {
    if (text.starts_with(prefix) && text.size() > prefix.size()) {
      return std::string(text.substr(prefix.size()));
    }
    return {};
  };
  if (auto label = after("label:")) {
    return {.kind = kLabel, .time = {}, .text = std::move(*label)};
  }
  if (auto snapshot = after("snapshot:")) {
    return {.kind = kSnapshot, .time = {}, .text = std::move(*snapshot)};
  }
  for (const std::string_view position : kPositions) {
    if (after(position)) {
      return {.kind = kPosition, .time = {}, .text = std::string(text)};
    }
  }
  return {.kind = kAt, .time = parse_target_time(text), .text = std::string(text)};
}

std::string Moment::display() const {
  switch (kind) {
    case kLatest:
      return "latest";
    case kSnapshot:
      return "snapshot:" + text;
    case kLabel:
      return "label:" + text;
    case kAt:
    case kPosition:
      break;
  }
  return text;
}

}  // namespace salvor
