// Our scrypt against OpenSSL's for small parameters, any password and salt; hostile parameters are
// refused.
#include <algorithm>
#include <cstdlib>
#include <cstring>

#include <openssl/evp.h>

#include "base/error.h"
#include "crypto/scrypt.h"

namespace salvor {
namespace {

void require(bool ok) {
  if (!ok) {
    std::abort();
  }
}

void check(ByteView input) {
  if (input.size() < 16) {
    return;
  }
  ScryptParameters wild;
  std::memcpy(&wild.n, input.data(), 4);
  std::memcpy(&wild.r, input.data() + 4, 4);
  std::memcpy(&wild.p, input.data() + 8, 4);
  Buffer ours(64);
  Buffer theirs(64);
  if (!acceptable(wild)) {
    try {
      scrypt({}, {}, wild, ours.bytes(), 1);
      std::abort();
    } catch (const Error&) {
    }
  } else {  // the promises that the sizes in the code rest on
    require(uint64_t{wild.n} * wild.r <= uint64_t{1} << 23);
    require(uint64_t{wild.p} * wild.r <= uint64_t{1} << 19);
  }
  const auto number = [&](size_t i, unsigned limit) {
    return std::to_integer<unsigned>(input[i]) % limit;
  };
  const ScryptParameters tame{2U << number(12, 9), 1 + number(13, 9), 1 + number(14, 10)};
  const unsigned threads = number(15, 4);
  const ByteView rest = input.subspan(16);
  const ByteView password = rest.first(rest.size() / 2);
  const ByteView salt = rest.subspan(rest.size() / 2);
  scrypt(password, salt, tame, ours.bytes(), threads);
  // OpenSSL takes a null password for "none given".
  const char* bytes = password.empty() ? "" : reinterpret_cast<const char*>(password.data());
  require(EVP_PBE_scrypt(bytes, password.size(),
                         reinterpret_cast<const unsigned char*>(salt.data()), salt.size(), tame.n,
                         tame.r, tame.p, uint64_t{1} << 30,
                         reinterpret_cast<unsigned char*>(theirs.data()), 64) == 1);
  require(std::ranges::equal(ours.view(), theirs.view()));
}

}  // namespace
}  // namespace salvor

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, size_t size) {
  salvor::check({reinterpret_cast<const std::byte*>(data), size});
  return 0;
}
