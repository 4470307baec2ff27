// All chunking kernels against the bit-by-bit reference, on files that the input describes.
//
// Chunks are at least 512 KiB long and inputs are small, so the input is a recipe: each step
// appends a literal, a run, a period, noise, or turns the end into a place where a cut is allowed.
// The first bytes choose the polynomial, how long the file is, and how it is fed.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

#include "base/random.h"
#include "chunk/chunker.h"
#include "chunk/kernel.h"
#include "support/reference_chunker.h"

namespace salvor {
namespace {

struct Field {
  explicit Field(uint64_t bits)
      : polynomial(bits), rabin(polynomial), tables(polynomial), reference(bits) {}
  Polynomial polynomial;
  RabinTables rabin;
  ChunkerTables tables;
  testing::ReferenceChunker reference;
};

const Field& field(size_t choice) {
  static const Field fields[] = {Field(0x3da3358b4dc173), Field(0x25b468838dcb75),
                                 Field(uint64_t{1} << 53),  // as reducible as can be
                                 Field((uint64_t{1} << 54) - 1)};
  return fields[choice % 4];
}

class Recipe {
 public:
  explicit Recipe(ByteView input) : input_(input) {}
  [[nodiscard]] bool empty() const { return input_.empty(); }
  size_t number(size_t bytes) {
    size_t value = 0;
    for (size_t i = 0; i < bytes && !input_.empty(); ++i) {
      value = value << 8 | static_cast<size_t>(input_[0]);
      input_ = input_.subspan(1);
    }
    return value;
  }
  ByteView literal(size_t size) {
    const ByteView taken = input_.first(std::min(size, input_.size()));
    input_ = input_.subspan(taken.size());
    return taken;
  }

 private:
  ByteView input_;
};

// The window before the end gets a fingerprint that ends in `low` (24 bits).
void plant(const Field& in, std::vector<std::byte>& file, uint64_t low) {
  if (file.size() < kChunkWindow) {
    return;
  }
  std::fill(file.end() - 3, file.end(), std::byte{0});
  low ^= in.reference.fingerprint(ByteView(file).last(kChunkWindow));
  for (size_t i = 0; i < 3; ++i) {
    file[file.size() - 1 - i] = static_cast<std::byte>(low >> (8 * i));
  }
}

std::vector<std::byte> follow(const Field& in, Recipe& recipe, size_t limit) {
  std::vector<std::byte> file;
  while (!recipe.empty() && file.size() < limit) {
    const size_t step = recipe.number(1);
    // Lengths of all magnitudes, and near the sizes that matter to lanes and blocks.
    const size_t wanted = (recipe.number(1) + 1) << (step >> 4);
    const size_t length = std::min(wanted, limit - file.size());
    const size_t old = file.size();
    switch (step % 6) {
      case 0: {
        const ByteView literal = recipe.literal(std::min<size_t>(length, 200));
        file.insert(file.end(), literal.begin(), literal.end());
        break;
      }
      case 1:
        file.resize(old + length, static_cast<std::byte>(recipe.number(1)));
        break;
      case 2: {
        const size_t period = std::min(old, recipe.number(1) + 1);
        file.resize(old + length);
        for (size_t i = old; period > 0 && i < file.size(); ++i) {
          file[i] = file[i - period];
        }
        break;
      }
      case 3:
      case 4:
        file.resize(old + length);
        SeededRandom(recipe.number(2)).fill(MutableBytes(file).subspan(old));
        break;
      default:
        plant(in, file, recipe.number(1) % 2 == 0 ? 0 : uint64_t{1} << (wanted % 24));
    }
  }
  return file;
}

void require(bool ok, std::string_view what, std::string_view kernel) {
  if (!ok) {
    std::fprintf(stderr, "%.*s: %.*s\n", static_cast<int>(kernel.size()), kernel.data(),
                 static_cast<int>(what.size()), what.data());
    std::abort();
  }
}

void check_kernels(const Field& in, ByteView bytes, size_t from) {
  const std::vector<size_t> candidates = in.reference.candidates(bytes);
  constexpr size_t kMaxHits = 8;
  for (const ChunkerKernel& kernel : chunker_kernels()) {
    auto next = std::lower_bound(candidates.begin(), candidates.end(), from);
    const std::byte* at = bytes.data() + from;
    const std::byte* end = bytes.data() + bytes.size();
    for (size_t i = 0; i < kMaxHits; ++i) {
      const std::byte* hit = kernel.find(in.rabin, at, end);
      const std::byte* expected = next == candidates.end() ? end : bytes.data() + *next;
      require(hit == expected, "wrong hit", kernel.name);
      if (hit == end) {
        break;
      }
      at = hit + 1;
      ++next;
    }
  }
}

void check_chunker(const Field& in, ByteView file, size_t piece, size_t first_piece) {
  const std::vector<uint64_t> expected = in.reference.cuts(file);
  for (const ChunkerKernel& kernel : chunker_kernels()) {
    Chunker chunker(in.tables, kernel);
    std::vector<uint64_t> cuts;
    size_t length = first_piece;
    for (size_t at = 0; at < file.size(); at += length, length = piece) {
      length = std::min(length, file.size() - at);
      const Buffer copy = Buffer::copy_of(file.subspan(at, length));  // so that over-reads are seen
      chunker.feed(copy.view(), cuts);
    }
    require(cuts == expected, "wrong cuts", kernel.name);
  }
}

}  // namespace
}  // namespace salvor

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace salvor;
  Recipe recipe(ByteView(reinterpret_cast<const std::byte*>(data), size));
  const size_t choice = recipe.number(1);
  const Field& in = field(choice);
  const bool whole = (choice & 0xf0) == 0;  // the slower half, less often
  const size_t piece = recipe.number(3) + 1;
  const std::vector<std::byte> file = follow(in, recipe, whole ? 1'600'000 : 300'000);
  if (whole) {
    // At most a few hundred pieces after the first, which may end anywhere.
    check_chunker(in, file, std::max(piece, file.size() / 300 + 1), 1 + piece % 1'100'000);
  } else if (file.size() > kChunkWindow) {
    check_kernels(in, file, kChunkWindow + piece % (file.size() - kChunkWindow));
  }
  return 0;
}
