#include "model/key_material.h"

#include <algorithm>

#include "base/secret.h"

namespace salvor {
namespace {

template <size_t N>
bool all_zero(const std::array<std::byte, N>& bytes) {
  return std::all_of(bytes.begin(), bytes.end(),
                     [](std::byte byte) { return byte == std::byte{0}; });
}

}  // namespace

MasterKey::~MasterKey() {
  wipe(encrypt.data(), encrypt.size());
  wipe(mac_k.data(), mac_k.size());
  wipe(mac_r.data(), mac_r.size());
}

MasterKey MasterKey::random(Random& random) {
  MasterKey key;
  random.fill(key.encrypt);
  random.fill(key.mac_k);
  random.fill(key.mac_r);
  return key;
}

bool MasterKey::valid() const {
  return !all_zero(encrypt) && !all_zero(mac_k) && !all_zero(mac_r);
}

}  // namespace salvor
