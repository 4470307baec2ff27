#include "storage/gcs/jwt.h"

#include <memory>
#include <vector>

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include "base/error.h"

namespace salvor {
namespace {

constexpr int kLeastBits = 2048;

// Instead of OpenSSL's default, which asks at the terminal.
int no_passphrase(char*, int, int, void*) {
  return -1;
}

}  // namespace

std::string to_base64url(ByteView bytes) {
  std::string text = to_base64(bytes);
  while (text.ends_with('=')) {
    text.pop_back();
  }
  for (char& c : text) {
    c = c == '+' ? '-' : c == '/' ? '_' : c;
  }
  return text;
}

Secret sign_jwt(const Secret& pem, std::string_view header_json, std::string_view claims_json) {
  const std::unique_ptr<BIO, decltype(&BIO_free)> memory(
      BIO_new_mem_buf(pem.reveal().data(), static_cast<int>(pem.reveal().size())), &BIO_free);
  const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(
      PEM_read_bio_PrivateKey(memory.get(), nullptr, &no_passphrase, nullptr), &EVP_PKEY_free);
  if (!key || EVP_PKEY_base_id(key.get()) != EVP_PKEY_RSA ||
      EVP_PKEY_bits(key.get()) < kLeastBits) {
    throw Error(ErrorCode::kPermission,
                "the private key is not an RSA key in PEM form of 2048 bits or more",
                "Download the key file again; line breaks in it are written as \\n.");
  }
  std::string text =
      to_base64url(as_bytes(header_json)) + "." + to_base64url(as_bytes(claims_json));
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> signer(EVP_MD_CTX_new(),
                                                                       &EVP_MD_CTX_free);
  std::vector<std::byte> signature(static_cast<size_t>(EVP_PKEY_size(key.get())));
  size_t size_bytes = signature.size();
  if (EVP_DigestSignInit(signer.get(), nullptr, EVP_sha256(), nullptr, key.get()) != 1 ||
      EVP_DigestSign(signer.get(), reinterpret_cast<unsigned char*>(signature.data()), &size_bytes,
                     reinterpret_cast<const unsigned char*>(text.data()), text.size()) != 1) {
    throw Error(ErrorCode::kFailed, "OpenSSL cannot sign with the private key");
  }
  text += "." + to_base64url(ByteView(signature).first(size_bytes));
  return Secret(std::move(text));
}

}  // namespace salvor
