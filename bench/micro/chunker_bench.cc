// Chunking speed of each kernel, by kind of data. Each run checks its cuts against the portable
// kernel's.
#include <cstdio>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "base/random.h"
#include "chunk/chunker.h"
#include "chunk/kernel.h"

namespace salvor {
namespace {

constexpr size_t kFileSize = size_t{64} << 20;
constexpr size_t kCachedSize = size_t{8} << 20;  // a buffer that was just read lies in the L3 cache

enum class Kind { kRandom, kZeros, kText };

std::vector<std::byte> make_file(Kind kind, size_t size) {
  std::vector<std::byte> file(size);
  if (kind == Kind::kRandom) {
    SeededRandom(1).fill(file);
  } else if (kind == Kind::kText) {
    for (size_t at = 0, line = 0; at < size; ++line) {
      char text[80];
      std::snprintf(text, sizeof text, "%08zu the quick brown fox jumps over the lazy dog\n", line);
      for (const char* c = text; *c != '\0' && at < size; ++c) {
        file[at++] = static_cast<std::byte>(*c);
      }
    }
  }
  return file;
}

void feed_all(Chunker& chunker, ByteView file, size_t piece, std::vector<uint64_t>& cuts) {
  cuts.clear();
  chunker.reset();
  for (size_t at = 0; at < file.size(); at += piece) {
    chunker.feed(file.subspan(at, std::min(piece, file.size() - at)), cuts);
  }
}

void chunk_file(benchmark::State& state, ChunkerKernel kernel, Kind kind, size_t size,
                size_t piece) {
  const ChunkerTables tables(Polynomial(0x3da3358b4dc173));
  const std::vector<std::byte> file = make_file(kind, size);
  std::vector<uint64_t> expected;
  Chunker reference(tables, chunker_kernels().front());
  feed_all(reference, file, size, expected);
  Chunker chunker(tables, kernel);
  std::vector<uint64_t> cuts;
  for (auto _ : state) {
    feed_all(chunker, file, piece, cuts);
    benchmark::DoNotOptimize(cuts.data());
  }
  if (cuts != expected) {
    state.SkipWithError("wrong cuts");
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * size));
}

// Without the bytes a chunker passes over: how fast a kernel looks.
void search(benchmark::State& state, ChunkerKernel kernel) {
  const RabinTables tables(Polynomial(0x3da3358b4dc173));
  const std::vector<std::byte> bytes = make_file(Kind::kRandom, kCachedSize);
  const std::byte* end = bytes.data() + bytes.size();
  constexpr size_t kRange = size_t{1} << 18;
  for (auto _ : state) {
    for (const std::byte* at = bytes.data() + kRange; at < end; at += kRange) {
      benchmark::DoNotOptimize(kernel.find(tables, at, at + kRange));
    }
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * (kCachedSize - kRange)));
}

[[maybe_unused]] const bool kRegistered = [] {
  const struct {
    const char* name;
    Kind kind;
    size_t size;
  } inputs[] = {{"random", Kind::kRandom, kFileSize},
                {"random_cached", Kind::kRandom, kCachedSize},
                {"zeros", Kind::kZeros, kFileSize},
                {"text", Kind::kText, kFileSize}};
  for (const ChunkerKernel& kernel : chunker_kernels()) {
    const std::string suffix = "/" + std::string(kernel.name);
    benchmark::RegisterBenchmark(("chunker/search" + suffix).c_str(), search, kernel);
    for (const auto& input : inputs) {
      for (const size_t piece : {size_t{64} << 10, size_t{1} << 20, size_t{4} << 20}) {
        const std::string name = "chunker/" + std::string(input.name) + suffix + "/" +
                                 std::to_string(piece >> 10) + "KiB";
        benchmark::RegisterBenchmark(name.c_str(), chunk_file, kernel, input.kind, input.size,
                                     piece);
      }
    }
  }
  return true;
}();

}  // namespace
}  // namespace salvor
