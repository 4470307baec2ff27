#include "connector/postgres/lsn.h"

#include <bit>
#include <charconv>

#include <fmt/format.h>

namespace salvor::postgres {
namespace {

// 1 to 8 hexadecimal digits and nothing else.
std::optional<uint32_t> parse_hex(std::string_view text) {
  uint32_t value = 0;
  if (text.empty() || text.size() > 8) {
    return std::nullopt;
  }
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  return error == std::errc() && end == text.data() + text.size() ? std::optional(value)
                                                                  : std::nullopt;
}

// Exactly 8 digits, capitals as PostgreSQL writes them.
std::optional<uint32_t> parse_field(std::string_view text) {
  if (text.size() != 8 || text.find_first_not_of("0123456789ABCDEF") != std::string_view::npos) {
    return std::nullopt;
  }
  return parse_hex(text);
}

}  // namespace

std::string Lsn::text() const {
  return fmt::format("{:X}/{:X}", value >> 32U, value & UINT32_MAX);
}

std::optional<Lsn> Lsn::parse(std::string_view text) {
  const size_t slash = text.find('/');
  if (slash == std::string_view::npos) {
    return std::nullopt;
  }
  const auto high = parse_hex(text.substr(0, slash));
  const auto low = parse_hex(text.substr(slash + 1));
  if (!high || !low) {
    return std::nullopt;
  }
  return Lsn{uint64_t{*high} << 32U | *low};
}

std::string Timeline::hex() const {
  return fmt::format("{:08X}", value);
}

bool SegmentSize::is_valid(uint64_t bytes) {
  return std::has_single_bit(bytes) && bytes >= (1U << 20) && bytes <= (1U << 30);
}

std::optional<SegmentSize> SegmentSize::parse(std::string_view text) {
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string_view unit = text.substr(static_cast<size_t>(end - text.data()));
  if (error != std::errc() || number > (1U << 30)) {
    return std::nullopt;
  }
  const uint64_t bytes = unit == "GB" ? number << 30U : unit == "MB" ? number << 20U : 0;
  return is_valid(bytes) ? std::optional(SegmentSize{static_cast<uint32_t>(bytes)}) : std::nullopt;
}

std::string segment_name(Timeline timeline, SegmentNumber segment, SegmentSize size) {
  const uint64_t per_high = (uint64_t{1} << 32U) / size.bytes;
  return fmt::format("{:08X}{:08X}{:08X}", timeline.value, segment.value / per_high,
                     segment.value % per_high);
}

std::string history_name(Timeline timeline) {
  return timeline.hex() + ".history";
}

std::optional<WalFileName> parse_wal_file_name(std::string_view name, SegmentSize size) {
  WalFileName result;
  const auto timeline = parse_field(name.substr(0, 8));
  if (!timeline || *timeline == 0) {
    return std::nullopt;
  }
  result.timeline = {*timeline};
  if (name.size() == 16 && name.substr(8) == ".history") {
    result.kind = WalFileKind::kHistory;
    return result;
  }
  if (name.size() < 24) {
    return std::nullopt;
  }
  const uint64_t per_high = (uint64_t{1} << 32U) / size.bytes;
  const auto high = parse_field(name.substr(8, 8));
  const auto low = parse_field(name.substr(16, 8));
  if (!high || !low || *low >= per_high) {
    return std::nullopt;
  }
  result.segment = {*high * per_high + *low};
  const std::string_view rest = name.substr(24);
  if (rest.empty()) {
    return result;
  }
  if (rest == ".partial") {
    result.kind = WalFileKind::kPartial;
    return result;
  }
  const auto offset =
      rest.size() == 16 && rest[0] == '.' ? parse_field(rest.substr(1, 8)) : std::nullopt;
  if (!offset || rest.substr(9) != ".backup") {
    return std::nullopt;
  }
  result.kind = WalFileKind::kBackup;
  result.offset = *offset;
  return result;
}

}  // namespace salvor::postgres
