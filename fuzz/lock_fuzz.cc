// Locks: what was decoded must survive encoding.
#include "codec/documents.h"
#include "fuzz_support.h"

using namespace salvor;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto document = fuzz::decoded([&] { return decode_lock(fuzz::input(data, size)); });
  if (document) {
    const std::string text = encode_lock(*document);
    fuzz::require(encode_lock(decode_lock(as_bytes(text))) == text);
  }
  return 0;
}
