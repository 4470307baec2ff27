// A status report as people and programs read it.
#pragma once

#include <string>

#include "cli/output/json_writer.h"
#include "protect/key_figures.h"
#include "protect/status.h"

namespace salvor::cli {

struct TextStyle {
  size_t columns = 80;  // of the terminal; too few for a table give a block a store
  bool color = false;
};

// The sentence, the stores, and what to do about what is not green. Ends in a newline.
[[nodiscard]] std::string status_text(const StatusReport& report, const TextStyle& style);
// {"message_type":"recovery_status",...}: docs/recovery-status.md.
[[nodiscard]] JsonWriter status_json(const StatusReport& report);

struct SourceFigures {
  std::string source;
  Promises promises;
  std::vector<KeyFigures> periods;
};
[[nodiscard]] std::string figures_text(const std::vector<SourceFigures>& figures,
                                       const TextStyle& style);
[[nodiscard]] JsonWriter figures_json(const std::vector<SourceFigures>& figures);

// `text` in the colour of a state.
[[nodiscard]] std::string colored(const std::string& text, Assurance state, bool color);

void append_time(JsonWriter& json, std::string_view name, const std::optional<WallTime>& time);
void append_seconds(JsonWriter& json, std::string_view name,
                    const std::optional<std::chrono::nanoseconds>& span);

}  // namespace salvor::cli
