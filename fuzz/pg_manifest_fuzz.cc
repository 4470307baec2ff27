// PostgreSQL's backup_manifest: refused or understood. The checksum is made right, or nothing would
// get past it.
#include <string>

#include "connector/postgres/backup_manifest.h"
#include "crypto/sha256.h"
#include "fuzz_support.h"

using namespace salvor;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const ByteView input = fuzz::input(data, size);
  static_cast<void>(fuzz::decoded([&] { return postgres::parse_backup_manifest(input); }));
  constexpr std::string_view kKey = "\"Manifest-Checksum\"";
  const size_t at = as_text(input).rfind(kKey);
  if (at != std::string_view::npos) {
    const std::string right = std::string(as_text(input.first(at))) + std::string(kKey) + ": \"" +
                              to_hex(ByteView(sha256(input.first(at)))) + "\"}\n";
    const auto manifest =
        fuzz::decoded([&] { return postgres::parse_backup_manifest(as_bytes(right)); });
    fuzz::require(!manifest || !manifest->wal_ranges.empty());
  }
  return 0;
}
