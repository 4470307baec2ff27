#include "crypto/scrypt.h"

#include <bit>

#include <openssl/evp.h>

#include "base/error.h"

namespace salvor {
namespace {

constexpr uint64_t kGib = uint64_t{1} << 30;

}  // namespace

bool acceptable(const ScryptParameters& parameters) {
  const uint64_t n = parameters.n;
  const uint64_t r = parameters.r;
  const uint64_t p = parameters.p;
  if (n < 2 || !std::has_single_bit(n) || r == 0 || p == 0 || r * p >= kGib) {
    return false;
  }
  const uint64_t lane_bytes = 128 * r;  // n, r < 2^32: no product below overflows
  return lane_bytes <= kGib / n && lane_bytes * n <= 64 * kGib / p;
}

void scrypt(ByteView password, ByteView salt, const ScryptParameters& parameters, MutableBytes out,
            unsigned threads) {
  (void)threads;
  if (!acceptable(parameters)) {
    throw Error(ErrorCode::kDamaged, "the key file asks for unacceptable scrypt parameters");
  }
  if (EVP_PBE_scrypt(reinterpret_cast<const char*>(password.data()), password.size(),
                     reinterpret_cast<const unsigned char*>(salt.data()), salt.size(), parameters.n,
                     parameters.r, parameters.p, 4 * kGib,
                     reinterpret_cast<unsigned char*>(out.data()), out.size()) != 1) {
    throw Error(ErrorCode::kFailed, "scrypt failed: out of memory");
  }
}

ScryptParameters calibrated_scrypt_parameters(unsigned target_ms) {
  (void)target_ms;
  return {};
}

}  // namespace salvor
