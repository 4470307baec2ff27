#include "base/profile.h"

#include <fmt/format.h>

namespace salvor {

std::string_view stage_name(Stage stage) {
  switch (stage) {
    case Stage::kOpen:
      return "open";
    case Stage::kIndex:
      return "index";
    case Stage::kList:
      return "list";
    case Stage::kParent:
      return "parent";
    case Stage::kRead:
      return "read";
    case Stage::kChunk:
      return "chunk";
    case Stage::kHash:
      return "hash";
    case Stage::kCompress:
      return "compress";
    case Stage::kSeal:
      return "seal";
    case Stage::kVerify:
      return "verify";
    case Stage::kStore:
      return "store";
    case Stage::kTree:
      return "tree";
    case Stage::kFetch:
      return "fetch";
    case Stage::kDecode:
      return "decode";
    case Stage::kWrite:
      return "write";
    case Stage::kMetadata:
      return "metadata";
    case Stage::kWaitMemory:
      return "wait memory";
    case Stage::kWaitStore:
      return "wait store";
    case Stage::kCount:
      break;
  }
  return "";
}

std::string Profile::report() const {
  uint64_t total = 0;
  for (const Sum& sum : sums_) {
    total += sum.nanoseconds;
  }
  std::string text = "stage           seconds  share     calls        MB      MB/s\n";
  for (size_t i = 0; i < sums_.size(); ++i) {
    const Sum& sum = sums_[i];
    if (sum.calls == 0) {
      continue;
    }
    const double seconds = static_cast<double>(sum.nanoseconds) / 1e9;
    const double megabytes = static_cast<double>(sum.bytes) / 1e6;
    text += fmt::format(
        "{:<14} {:>8.3f} {:>5.1f}% {:>9} {:>9.1f} {:>9.0f}\n", stage_name(static_cast<Stage>(i)),
        seconds,
        total == 0 ? 0.0
                   : 100.0 * static_cast<double>(sum.nanoseconds) / static_cast<double>(total),
        sum.calls.load(), megabytes, seconds > 0 ? megabytes / seconds : 0.0);
  }
  return text;
}

}  // namespace salvor
