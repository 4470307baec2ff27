// The config: what was decoded must survive encoding.
#include "codec/documents.h"
#include "fuzz_support.h"

using namespace salvor;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::optional<RepositoryConfig> document;
  try {
    document = decode_config(fuzz::input(data, size));
  } catch (const Error& error) {  // a version of the future is not damage
    fuzz::require(error.code() == ErrorCode::kDamaged || error.code() == ErrorCode::kFailed);
  }
  if (document) {
    const std::string text = encode_config(*document);
    fuzz::require(encode_config(decode_config(as_bytes(text))) == text);
  }
  return 0;
}
