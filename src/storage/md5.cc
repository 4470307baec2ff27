#include "storage/md5.h"

#include <memory>

#include <openssl/evp.h>

#include "base/error.h"

namespace salvor {

std::array<std::byte, 16> md5(std::span<const ByteView> parts) {
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> hash(EVP_MD_CTX_new(),
                                                                     &EVP_MD_CTX_free);
  std::array<std::byte, 16> digest{};
  bool good = EVP_DigestInit_ex(hash.get(), EVP_md5(), nullptr) == 1;
  for (const ByteView part : parts) {
    good = good && EVP_DigestUpdate(hash.get(), part.data(), part.size()) == 1;
  }
  if (!good || EVP_DigestFinal_ex(hash.get(), reinterpret_cast<unsigned char*>(digest.data()),
                                  nullptr) != 1) {
    throw Error(ErrorCode::kFailed, "OpenSSL cannot compute MD5");
  }
  return digest;
}

}  // namespace salvor
