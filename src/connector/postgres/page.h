// PostgreSQL's 8 KiB pages: header and checksum (storage/bufpage.h, storage/checksum_impl.h).
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/bytes.h"
#include "connector/postgres/lsn.h"

namespace salvor::postgres {

inline constexpr size_t kPageBytes = 8192;
inline constexpr uint32_t kSegmentPages = 131072;  // of a relation file, but for the last: 1 GiB

// Of the whole page with its checksum field taken as zero; `block` counts from the start of the
// relation (of its first file). Never 0. `page` has kPageBytes.
[[nodiscard]] uint16_t page_checksum(ByteView page, uint32_t block);

enum class PageVerdict : uint8_t {
  kGood,
  kNew,      // never written; carries no checksum
  kChanged,  // written after `start`: may be torn, and replay brings it whole from the log
  kDamaged,
};

// The server's own rule for base backups: a page written since the backup began is not judged.
[[nodiscard]] PageVerdict judge_page(ByteView page, uint32_t block, Lsn start);

// A relation file inside a data directory, by its path ("base/16384/16397_fsm.2").
struct RelationFile {
  uint32_t tablespace = 0;  // oid; 0: the default one (base), or global
  uint32_t database = 0;    // oid; 0: global
  uint32_t file_number = 0;
  std::string_view fork;  // "", "fsm", "vm", "init"
  uint32_t segment = 0;
  [[nodiscard]] uint32_t first_block() const { return segment * kSegmentPages; }
};

// Nothing for files that do not hold pages with checksums.
[[nodiscard]] std::optional<RelationFile> parse_relation_path(std::string_view path);

}  // namespace salvor::postgres
