// Exported audit trails and heads from anywhere: refused with an Error or read; nothing that was
// not signed is taken for signed, and what is decoded can be encoded again.
#include <cstdlib>

#include "evidence/audit_verify.h"
#include "fuzz_support.h"

using namespace salvor;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  static const SigningKey kKey = [] {
    SeededRandom random(1);
    return SigningKey::generate(random);
  }();
  const TrustedKey trusted{kKey.public_key(), {}, {}};
  const std::span keys(&trusted, 1);
  try {
    (void)decode_audit_heads(text, keys);
    std::abort();
  } catch (const Error&) {
  }
  try {
    const AuditReport report = verify_audit(parse_audit_export(text), keys, {});
    for (const VerifiedAuditRecord& record : report.records) {
      if (!record.key_id.empty()) {
        std::abort();
      }
    }
  } catch (const Error&) {
  }
  try {
    const AuditRecord record =
        decode_audit_record(encode_envelope({std::string(kAuditPayload), std::string(text), {}}))
            .record;
    const std::string again = encode_audit_record(record, &kKey);
    if (encode_audit_record(decode_audit_record(again).record, &kKey) != again) {
      std::abort();
    }
  } catch (const Error&) {
  }
  return 0;
}
