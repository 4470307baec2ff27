// PostgreSQL's small text files and names. What was understood must survive being written.
#include "connector/postgres/backup_facts.h"
#include "connector/postgres/backup_label.h"
#include "connector/postgres/lsn.h"
#include "connector/postgres/page.h"
#include "connector/postgres/timeline_history.h"
#include "fuzz_support.h"

using namespace salvor;
using namespace salvor::postgres;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text = as_text(fuzz::input(data, size));
  static_cast<void>(fuzz::decoded([&] { return parse_backup_label(text); }));
  const std::string plain = without_incremental_lines(text);
  fuzz::require(without_incremental_lines(plain) == plain);
  const auto map = fuzz::decoded([&] { return parse_tablespace_map(text); });
  if (map) {
    fuzz::require(parse_tablespace_map(format_tablespace_map(*map)) == *map);
  }
  const auto history = fuzz::decoded([&] { return TimelineHistory::parse({7}, text); });
  fuzz::require(!history || history->timeline_at({UINT64_MAX}).value == 7);
  if (const auto lsn = Lsn::parse(text)) {
    fuzz::require(Lsn::parse(lsn->text()) == lsn);
  }
  const SegmentSize segment_size;
  const auto name = parse_wal_file_name(text, segment_size);
  if (name && name->kind == WalFileKind::kSegment) {
    fuzz::require(segment_name(name->timeline, name->segment, segment_size) == text);
  }
  static_cast<void>(parse_relation_path(text));
  static_cast<void>(parse_utc(text));
  return 0;
}
