#include "catalog/range_text.h"

#include <nlohmann/json.hpp>

#include "base/error.h"

namespace salvor {
namespace {

using Json = nlohmann::json;

int64_t stamp(WallTime time) {
  return time.time_since_epoch().count();
}
WallTime wall(const Json& value) {
  return WallTime(std::chrono::nanoseconds(value.get<int64_t>()));
}

}  // namespace

std::string encode_ranges(const std::vector<RecoveryRange>& ranges) {
  Json list = Json::array();
  for (const RecoveryRange& range : ranges) {
    list.push_back({{"snapshot", range.snapshot},
                    {"captured", stamp(range.captured)},
                    {"until", stamp(range.until)},
                    {"durable", stamp(range.durable)},
                    {"open", range.open_ended},
                    {"bytes", range.bytes},
                    {"label", range.label},
                    {"tags", range.tags},
                    {"damaged", range.damaged},
                    {"gap", range.gap}});
  }
  // Names come from other programs' snapshots: what is not UTF-8 must not throw.
  return list.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::vector<RecoveryRange> decode_ranges(const std::string& text) {
  try {
    std::vector<RecoveryRange> ranges;
    for (const Json& entry : Json::parse(text)) {
      ranges.push_back({.snapshot = entry.at("snapshot"),
                        .captured = wall(entry.at("captured")),
                        .until = wall(entry.at("until")),
                        .durable = wall(entry.at("durable")),
                        .open_ended = entry.at("open"),
                        .bytes = entry.at("bytes"),
                        .label = entry.at("label"),
                        .tags = entry.at("tags"),
                        .damaged = entry.at("damaged"),
                        .gap = entry.at("gap")});
    }
    return ranges;
  } catch (const Json::exception& error) {
    throw Error(ErrorCode::kDamaged,
                std::string("the catalog's recovery points cannot be read: ") + error.what(),
                "Run `salvor catalog rebuild`: it is made from the repository again.");
  }
}

}  // namespace salvor
