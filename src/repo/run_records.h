// Run records in the repository: what was run, when, and how it ended.
//
//   salvor/records/<yyyy-mm>/<yyyymmddThhmmssZ>-<id>
//   salvor/records/bundles/<yyyymmddThhmmssZ>-<yyyymmddThhmmssZ>
//
// One object a run, sealed as the journal's are (docs/format.md), never changed. So whoever has the
// repository and the key has the history; the catalog is only a faster copy of it. No lock is
// needed.
//
// A bundle holds copies of the records that began in its time, so that a machine which knows
// nothing yet need not ask for tens of thousands of objects. The records stay: a bundle that is
// missing or damaged costs time only, and one holds not all of its time when a record came late.
#pragma once

#include <string>
#include <vector>

#include "base/context.h"
#include "model/run_record.h"
#include "repo/journal.h"

namespace salvor {

// 32 hexadecimal digits, new each time.
[[nodiscard]] std::string make_run_id(Random& random);

// Where a record is kept; "2026-11/20261121T130840Z-<id>". The start is cut to seconds.
[[nodiscard]] std::string run_record_position(const RunRecord& record);
// The id at the end of a position; empty for what is no record's.
[[nodiscard]] std::string run_id_of(std::string_view position);
// "20261121T130840Z" of a record's position: comparing these compares times.
[[nodiscard]] std::string_view run_time_of(std::string_view position);

struct RecordBundle {
  std::string position;
  std::string from;  // run_time_of its first record
  std::string to;    // and of its last
};
struct RecordNames {
  std::vector<std::string> positions;  // by age, oldest first
  std::vector<RecordBundle> bundles;   // likewise
};

// Thread-safe. The repository must outlive it; its index need not be loaded.
class RunRecords {
 public:
  explicit RunRecords(const Repository& repository);

  // Durable on return. The same record again changes nothing; another one of the same id and start
  // throws Error{kFailed}. Throws Error{kUsage} when the id is none.
  void store(const Context& context, const RunRecord& record) const;
  // By age, oldest first. Reads names only: a request for each 1,000 where storages answer in
  // pages.
  [[nodiscard]] std::vector<std::string> list(const Context& context) const {
    return list_all(context).positions;
  }
  [[nodiscard]] RecordNames list_all(const Context& context) const;
  // The positions of runs that began on a day (in UTC) from `from`'s to `to`'s. A request a day,
  // all at once, and more for a day with more than 1,000. At most kMostDays.
  static constexpr int kMostDays = 14;
  [[nodiscard]] std::vector<std::string> list_days(const Context& context, WallTime from,
                                                   WallTime to) const;
  // Verified. Throws Error{kNotFound}, Error{kDamaged}.
  [[nodiscard]] RunRecord load(const Context& context, const std::string& position) const;

  // Copies of records that are stored, oldest first and not none. A bundle of the same time that is
  // there already stays.
  void store_bundle(const Context& context, const std::vector<RunRecord>& records) const;
  // Verified. Throws Error{kNotFound}, Error{kDamaged}.
  [[nodiscard]] std::vector<RunRecord> load_bundle(const Context& context,
                                                   const std::string& position) const;

 private:
  [[nodiscard]] unsigned threads() const;

  const Repository& repository_;
  Journal area_;
};

}  // namespace salvor
