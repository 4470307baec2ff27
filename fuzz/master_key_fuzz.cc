// Master keys: what was decoded must survive encoding.
#include "codec/documents.h"
#include "fuzz_support.h"

using namespace salvor;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto document = fuzz::decoded([&] { return decode_master_key(fuzz::input(data, size)); });
  if (document) {
    const std::string text = encode_master_key(*document);
    fuzz::require(encode_master_key(decode_master_key(as_bytes(text))) == text);
  }
  return 0;
}
