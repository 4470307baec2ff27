// Files of evidence from anywhere: whatever the bytes are, they are refused with an Error or read;
// what is read can be written, and shown as text and HTML without a tag of its own.
#include <cstdlib>

#include "evidence/evidence_store.h"
#include "evidence/report_html.h"
#include "evidence/report_page.h"
#include "evidence/trusted_keys.h"
#include "fuzz_support.h"

using namespace salvor;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  static const SigningKey kKey = [] {
    SeededRandom random(1);
    return SigningKey::generate(random);
  }();
  const TrustedKey trusted{kKey.public_key(), {}, {}};
  try {
    (void)decode_trusted_keys(text);
  } catch (const Error&) {
  }
  try {
    (void)verify_evidence(text, std::span(&trusted, 1));
    std::abort();  // nobody has signed this
  } catch (const Error&) {
  }
  // The payload itself, as if it had been signed.
  try {
    const DrillReport report = decode_statement(text);
    const std::string again = encode_statement(report);
    if (encode_statement(decode_statement(again)) != again) {
      std::abort();
    }
    const Evidence evidence =
        verify_evidence(encode_envelope(sign_envelope(std::string(kStatementPayload), again, kKey)),
                        std::span(&trusted, 1));
    const ReportPage page = report_page(evidence);
    (void)report_text(page);
    if (report_html(page).find("<script") != std::string::npos) {
      std::abort();
    }
  } catch (const Error&) {
  }
  return 0;
}
