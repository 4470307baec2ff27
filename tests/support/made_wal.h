// WAL that no server wrote: the headers of its pages are right, between them is filler.
#pragma once

#include <cstring>
#include <string>

#include "connector/postgres/lsn.h"
#include "connector/postgres/wal_segment.h"

namespace salvor::test {

inline constexpr uint64_t kMadeSystem = 7'000'000'000'000'000'001;

// The segment of `timeline` that starts at `start`.
[[nodiscard]] inline std::string made_wal(postgres::Timeline timeline, postgres::Lsn start,
                                          postgres::SegmentSize size, char fill,
                                          uint64_t system = kMadeSystem) {
  std::string wal(size.bytes, fill);
  const auto put = [&wal](size_t at, auto number) {
    std::memcpy(wal.data() + at, &number, sizeof number);
  };
  constexpr uint16_t kVersion15 = 0xD110;
  for (size_t page = 0; page < wal.size(); page += postgres::kWalPageBytes) {
    put(page, kVersion15);
    put(page + 2, static_cast<uint16_t>(page == 0 ? 2 : 0));  // the first has a long header
    put(page + 4, timeline.value);
    put(page + 8, start.value + page);
    put(page + 16, uint64_t{0});
  }
  put(24, system);
  put(32, size.bytes);
  put(36, static_cast<uint32_t>(postgres::kWalPageBytes));
  return wal;
}

}  // namespace salvor::test
