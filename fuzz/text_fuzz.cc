// What people write: pattern files in any encoding, paths, commands, layouts of times.
#include "fuzz_support.h"
#include "model/go_time_layout.h"
#include "model/text_file.h"
#include "net/split_command.h"

using namespace salvor;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text = as_text(fuzz::input(data, size));
  for (const std::string& line : split_text_lines(text)) {
    fuzz::require(line.find('\n') == std::string::npos);
  }
  // Patterns of nothing but a variable may be empty: they match nothing, as in restic.
  (void)parse_pattern_file(text, [](std::string_view name) { return std::string(name); });
  const std::string clean = clean_path(text);
  fuzz::require(clean_path(clean) == clean && clean.size() <= std::max<size_t>(size, 1));
  try {
    fuzz::require(!split_command(text).empty());
  } catch (const Error& error) {
    fuzz::require(error.code() == ErrorCode::kUsage);
  }
  Timestamp time;
  for (const size_t i : {0U, 8U}) {
    for (size_t j = 0; j < 8 && i + j < size; ++j) {
      time.seconds = static_cast<int64_t>(static_cast<uint64_t>(time.seconds) * 7 + data[i + j]);
    }
  }
  static_cast<void>(format_go_layout(time, text));
  return 0;
}
