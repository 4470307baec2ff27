// Speed of hashing, sealing and key derivation. Every run checks its result.
#include <algorithm>
#include <vector>

#include <benchmark/benchmark.h>

#include "base/random.h"
#include "crypto/scrypt.h"
#include "crypto/seal.h"
#include "crypto/sha256.h"
#include "crypto/sha256_kernels.h"

namespace salvor {
namespace {

Buffer noise(size_t size) {
  SeededRandom random(7);
  Buffer data(size);
  random.fill(data.bytes());
  return data;
}

void set_speed(benchmark::State& state, size_t bytes) {
  state.SetBytesProcessed(static_cast<int64_t>(static_cast<size_t>(state.iterations()) * bytes));
}

// `range(0)` messages of `range(1)` bytes.
void hash_many(benchmark::State& state, const Sha256Kernel& kernel) {
  const auto count = static_cast<size_t>(state.range(0));
  const auto size = static_cast<size_t>(state.range(1));
  const Buffer data = noise(count * size);
  std::vector<ByteView> messages;
  for (size_t i = 0; i < count; ++i) {
    messages.push_back(data.view(i * size, size));
  }
  std::vector<Digest> digests(count);
  for (auto _ : state) {
    sha256_many(kernel, messages, digests);
    benchmark::DoNotOptimize(digests.data());
  }
  for (size_t i = 0; i < count; ++i) {
    std::vector<Digest> expected(1);
    sha256_many(sha256_kernels().back(), std::span(messages).subspan(i, 1), expected);
    if (digests[i] != expected[0]) {
      state.SkipWithError("wrong digest");
    }
  }
  set_speed(state, count * size);
}

const int kRegistered = [] {
  for (const Sha256Kernel& kernel : sha256_kernels()) {
    const std::string name = "sha256_many/" + std::string(kernel.name);
    auto* many = benchmark::RegisterBenchmark(
        name.c_str(), [&kernel](benchmark::State& state) { hash_many(state, kernel); });
    for (const int64_t size : {100, 4096, 1 << 20}) {
      for (const int64_t count : {1, 2, 3, 4, 16}) {
        many->Args({count, size});
      }
    }
  }
  return 0;
}();

void seal(benchmark::State& state) {
  SystemRandom random;
  Sealer sealer(MasterKey::random(random), random);
  const Buffer plain = noise(static_cast<size_t>(state.range(0)));
  Buffer sealed(plain.size() + kSealOverhead);
  for (auto _ : state) {
    sealer.seal(plain.view(), sealed.bytes());
    benchmark::DoNotOptimize(sealed.data());
  }
  const auto opened = sealer.unseal(sealed.view());
  if (!opened || !std::ranges::equal(opened->view(), plain.view())) {
    state.SkipWithError("does not come back");
  }
  set_speed(state, plain.size());
}
BENCHMARK(seal)->Arg(0)->Arg(100)->Arg(4096)->Arg(1 << 20)->Arg(16 << 20);

void unseal(benchmark::State& state) {
  SystemRandom random;
  Sealer sealer(MasterKey::random(random), random);
  const Buffer plain = noise(static_cast<size_t>(state.range(0)));
  const Buffer sealed = sealer.seal(plain.view());
  Buffer out(plain.size());
  for (auto _ : state) {
    if (!sealer.unseal(sealed.view(), out.bytes())) {
      state.SkipWithError("refused");
      break;
    }
  }
  if (!std::ranges::equal(out.view(), plain.view())) {
    state.SkipWithError("does not come back");
  }
  set_speed(state, plain.size());
}
BENCHMARK(unseal)->Arg(0)->Arg(100)->Arg(4096)->Arg(1 << 20);

// p and threads. The result must not depend on the threads.
void open_key(benchmark::State& state) {
  const ScryptParameters parameters{32768, 8, static_cast<uint32_t>(state.range(0))};
  Buffer out(64);
  Buffer expected(64);
  scrypt(as_bytes("password"), as_bytes("salt"), parameters, expected.bytes(), 1);
  for (auto _ : state) {
    scrypt(as_bytes("password"), as_bytes("salt"), parameters, out.bytes(),
           static_cast<unsigned>(state.range(1)));
  }
  if (!std::ranges::equal(out.view(), expected.view())) {
    state.SkipWithError("wrong key");
  }
}
BENCHMARK(open_key)
    ->ArgsProduct({{1, 4, 5, 6}, {1, 2}})
    ->Unit(benchmark::kMillisecond)
    ->MeasureProcessCPUTime()
    ->UseRealTime();

void calibrate(benchmark::State& state) {
  uint32_t p = 0;
  for (auto _ : state) {
    p = calibrated_scrypt_parameters().p;
  }
  state.counters["p"] = p;
}
BENCHMARK(calibrate)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace salvor
