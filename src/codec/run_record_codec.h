// Run records as JSON: what the repository's `salvor/records/` holds (docs/format.md) and evidence
// quotes. Fields that say nothing are left out; unknown ones are ignored, so that an older Salvor
// reads what a newer one wrote.
#pragma once

#include <string>

#include "base/bytes.h"
#include "model/run_record.h"

namespace salvor {

inline constexpr int kRunRecordVersion = 1;
inline constexpr size_t kRunRecordLimit = size_t{16} << 20;  // bytes of one

[[nodiscard]] std::string encode_run_record(const RunRecord& record);
// Throws Error{kDamaged} for what is none: no id of 32 hexadecimal digits, unknown kind or outcome,
// a version above ours.
[[nodiscard]] RunRecord decode_run_record(ByteView json);

}  // namespace salvor
