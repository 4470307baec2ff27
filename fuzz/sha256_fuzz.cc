// Every SHA-256 kernel and both ways to feed it against OpenSSL.
//
// The first byte says how many messages there are; then each takes two bytes for its length and
// shares the rest of the input, read round and round from a place of its own.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <vector>

#include <openssl/sha.h>

#include "crypto/sha256.h"
#include "crypto/sha256_kernels.h"

namespace salvor {
namespace {

constexpr size_t kMaxLength = 3000;  // many runs are worth more than long messages

void require(bool ok, std::string_view kernel) {
  if (!ok) {
    std::fprintf(stderr, "%.*s: wrong digest\n", static_cast<int>(kernel.size()), kernel.data());
    std::abort();
  }
}

std::vector<std::vector<std::byte>> messages_of(ByteView input) {
  std::vector<std::vector<std::byte>> messages;
  if (input.empty()) {
    return messages;
  }
  const size_t count = std::to_integer<size_t>(input[0]) % 12;
  input = input.subspan(1);
  std::vector<size_t> lengths;
  while (lengths.size() < count && input.size() >= 2) {
    const size_t length =
        std::to_integer<size_t>(input[0]) << 8 | std::to_integer<size_t>(input[1]);
    lengths.push_back(length % kMaxLength);
    input = input.subspan(2);
  }
  for (size_t i = 0; i < lengths.size(); ++i) {
    std::vector<std::byte>& message = messages.emplace_back(lengths[i]);
    for (size_t at = 0; at < message.size() && !input.empty(); ++at) {
      message[at] = input[(at + 7 * i) % input.size()];
    }
  }
  return messages;
}

void check(const std::vector<std::vector<std::byte>>& messages) {
  const std::vector<ByteView> views(messages.begin(), messages.end());
  std::vector<Digest> expected(views.size());
  for (size_t i = 0; i < views.size(); ++i) {
    SHA256(reinterpret_cast<const unsigned char*>(views[i].data()), views[i].size(),
           reinterpret_cast<unsigned char*>(expected[i].data()));
  }
  for (const Sha256Kernel& kernel : sha256_kernels()) {
    std::vector<Digest> digests(views.size());
    sha256_many(kernel, views, digests);
    require(digests == expected, kernel.name);
  }
  // In steps whose lengths depend on the bytes themselves.
  std::vector<Sha256> hashes(views.size());
  std::vector<ByteView> left = views;
  for (bool more = true; more;) {
    more = false;
    std::vector<Sha256Update> updates;
    for (size_t i = 0; i < left.size(); ++i) {
      size_t step = left[i].empty() ? 0 : std::to_integer<size_t>(left[i][0]) + 1;
      step = std::min(step % 3 == 0 ? 16 * step : step, left[i].size());
      updates.push_back({&hashes[i], left[i].first(step)});
      left[i] = left[i].subspan(step);
      more = more || !left[i].empty();
    }
    sha256_update_many(updates);
  }
  for (size_t i = 0; i < hashes.size(); ++i) {
    require(hashes[i].finish() == expected[i], "incremental");
  }
}

}  // namespace
}  // namespace salvor

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, size_t size) {
  salvor::check(salvor::messages_of({reinterpret_cast<const std::byte*>(data), size}));
  return 0;
}
