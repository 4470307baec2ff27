// Places in PostgreSQL's write-ahead log, and the names of the files that hold it.
//
// Sources: PostgreSQL's documentation, "WAL Internals" and "Continuous Archiving";
// access/xlog_internal.h for the names of files.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace salvor::postgres {

// A byte position in the log ("log sequence number").
struct Lsn {
  uint64_t value = 0;
  friend auto operator<=>(const Lsn&, const Lsn&) = default;
  // "16/B374D848": two hexadecimal halves, as PostgreSQL prints it.
  [[nodiscard]] std::string text() const;
  // Nothing unless the whole text is one.
  [[nodiscard]] static std::optional<Lsn> parse(std::string_view text);
};

// A history of the cluster; each promotion begins a new one. 0 is none.
struct Timeline {
  uint32_t value = 0;
  friend auto operator<=>(const Timeline&, const Timeline&) = default;
  // "00000001"
  [[nodiscard]] std::string hex() const;
};

// wal_segment_size: a power of two from 1 MiB to 1 GiB, in bytes.
struct SegmentSize {
  uint32_t bytes = 16U << 20;
  friend bool operator==(const SegmentSize&, const SegmentSize&) = default;
  [[nodiscard]] static bool is_valid(uint64_t bytes);
  // From "16MB", as the server shows it. Nothing when it is not one.
  [[nodiscard]] static std::optional<SegmentSize> parse(std::string_view text);
};

// The position of a segment in the log: its first byte is number * size.
struct SegmentNumber {
  uint64_t value = 0;
  friend auto operator<=>(const SegmentNumber&, const SegmentNumber&) = default;
};

[[nodiscard]] inline SegmentNumber segment_of(Lsn lsn, SegmentSize size) {
  return {lsn.value / size.bytes};
}
// The segment that holds the byte before `lsn`: the last one needed to reach it. For 0 it is 0.
[[nodiscard]] inline SegmentNumber segment_before(Lsn lsn, SegmentSize size) {
  return {lsn.value == 0 ? 0 : (lsn.value - 1) / size.bytes};
}
[[nodiscard]] inline Lsn start_of(SegmentNumber segment, SegmentSize size) {
  return {segment.value * size.bytes};
}

enum class WalFileKind : uint8_t {
  kSegment,  // 000000010000000000000005
  kPartial,  // 000000010000000000000005.partial: the unfinished last one of a timeline
  kBackup,   // 000000010000000000000005.00000028.backup: a note that a backup was made
  kHistory,  // 00000002.history: where a timeline branched off
};

// What an archived file's name says.
struct WalFileName {
  WalFileKind kind = WalFileKind::kSegment;
  Timeline timeline;
  SegmentNumber segment;  // not for kHistory
  uint32_t offset = 0;    // kBackup only
};

// "000000010000000000000005"
[[nodiscard]] std::string segment_name(Timeline timeline, SegmentNumber segment, SegmentSize size);
[[nodiscard]] std::string history_name(Timeline timeline);
// Nothing unless `name` is exactly what PostgreSQL would archive; so it is safe as a file name,
// too.
[[nodiscard]] std::optional<WalFileName> parse_wal_file_name(std::string_view name,
                                                             SegmentSize size);

}  // namespace salvor::postgres
