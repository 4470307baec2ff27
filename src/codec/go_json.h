// JSON text byte for byte as Go's encoding/json and strconv.Quote write it (restic format,
// section 6.2, 6.3). Blob ids are hashes of this text, so every byte counts.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "model/timestamp.h"

namespace salvor {

// `"..."` with Go's escapes (Go >= 1.22: \b and \f; invalid UTF-8 becomes \ufffd).
void append_json_string(std::string& out, std::string_view raw);

// A node name: Go-quoted first (strconv.Quote without its outer quotes, Unicode 15 print table),
// then JSON-encoded. ASCII names without specials take a fast path.
void append_json_name(std::string& out, std::string_view raw);

// The inverse of the Go-quoting, after JSON decoding. Nothing when malformed.
[[nodiscard]] std::optional<std::string> unquote_go(std::string_view quoted);

// RFC 3339 with nanoseconds (trailing zeros dropped) in the timestamp's own zone, without JSON
// quotes.
void append_go_time(std::string& out, const Timestamp& time);
// Accepts what Go's time.UnmarshalJSON accepts for RFC 3339. Nothing when malformed.
[[nodiscard]] std::optional<Timestamp> parse_go_time(std::string_view text);

void append_decimal(std::string& out, uint64_t value);

}  // namespace salvor
