// Times: text that is read survives writing, and any value can be written.
#include <cstring>

#include "codec/go_json.h"
#include "fuzz_support.h"

using namespace salvor;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (const auto time = parse_go_time(as_text(fuzz::input(data, size)))) {
    std::string text;
    append_go_time(text, *time);
    const auto again = parse_go_time(text);
    // A zone that moves the date out of years 0 to 9999 is the one thing that changes it.
    fuzz::require(again.has_value());
    const bool in_range =
        time->seconds > -62167219200 + 90'000 && time->seconds < 253402300799 - 90'000;
    fuzz::require(!in_range || again == time);
  }
  Timestamp any;
  if (size >= 16) {
    std::memcpy(&any.seconds, data, 8);
    std::memcpy(&any.nanoseconds, data + 8, 4);
    std::memcpy(&any.utc_offset_seconds, data + 12, 4);
    std::string text;
    append_go_time(text, any);
    fuzz::require(text.size() >= 20 && text.size() <= 35);
  }
  return 0;
}
