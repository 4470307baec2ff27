// Run records in the repository: what was run, when, and how it ended.
//
//   salvor/records/<yyyy-mm>/<yyyymmddThhmmssZ>-<id>
//
// One object a run, sealed as the journal's are (docs/format.md), never changed. So whoever has the
// repository and the key has the history; the catalog is only a faster copy of it. No lock is
// needed.
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

// Thread-safe. The repository must outlive it; its index need not be loaded.
class RunRecords {
 public:
  explicit RunRecords(const Repository& repository);

  // Durable on return. The same record again changes nothing; another one of the same id and start
  // throws Error{kFailed}. Throws Error{kUsage} when the id is none.
  void store(const Context& context, const RunRecord& record) const;
  // By age, oldest first. Reads names only, but those of the whole `salvor/` area.
  [[nodiscard]] std::vector<std::string> list(const Context& context) const;
  // Verified. Throws Error{kNotFound}, Error{kDamaged}.
  [[nodiscard]] RunRecord load(const Context& context, const std::string& position) const;

 private:
  Journal area_;
};

}  // namespace salvor
