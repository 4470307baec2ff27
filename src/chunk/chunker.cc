#include "chunk/chunker.h"

#include <algorithm>
#include <array>

#include "chunk/kernel.h"

namespace salvor {

struct ChunkerTables::State {
  RabinTables rabin;
};

ChunkerTables::ChunkerTables(Polynomial polynomial)
    : state_(std::make_unique<const State>(State{RabinTables(polynomial)})) {}
ChunkerTables::~ChunkerTables() = default;
ChunkerTables::ChunkerTables(ChunkerTables&&) noexcept = default;
ChunkerTables& ChunkerTables::operator=(ChunkerTables&&) noexcept = default;

struct Chunker::State {
  // The first position in [from, stop) after which a cut is allowed, or `stop`. Both are file
  // offsets in the piece, of which `piece` is the first byte and `fed` the offset.
  [[nodiscard]] uint64_t find(ByteView piece, uint64_t from, uint64_t stop) const;
  // Remembers the last 64 bytes of the file so far.
  void remember(ByteView piece);

  const RabinTables* tables;
  const ChunkerKernel* kernel;
  uint64_t fed = 0;          // bytes of the file in earlier pieces
  uint64_t chunk_start = 0;  // offset of the open chunk
  // The last bytes fed. While fewer than 64 were, its beginning is meaningless, and not used: the
  // first byte looked at is number kChunkMin of a chunk.
  std::array<std::byte, kChunkWindow> tail{};
};

uint64_t Chunker::State::find(ByteView piece, uint64_t from, uint64_t stop) const {
  const auto at = [&](uint64_t offset) { return piece.data() + (offset - fed); };
  if (from - fed < kChunkWindow) {
    // The windows that began in an earlier piece.
    std::array<std::byte, 2 * kChunkWindow> seam;
    const size_t head = std::min(piece.size(), kChunkWindow);
    std::copy(tail.begin(), tail.end(), seam.begin());
    std::copy_n(piece.begin(), head, seam.begin() + kChunkWindow);
    const uint64_t seam_stop = std::min<uint64_t>(stop, fed + head);
    const std::byte* origin = seam.data() + kChunkWindow;
    const std::byte* last = origin + (seam_stop - fed);
    const std::byte* hit = rabin::find_portable(*tables, origin + (from - fed), last);
    from = fed + static_cast<uint64_t>(hit - origin);
    if (hit != last || from == stop) {
      return from;
    }
  }
  return from + static_cast<uint64_t>(kernel->find(*tables, at(from), at(stop)) - at(from));
}

void Chunker::State::remember(ByteView piece) {
  const size_t taken = std::min(piece.size(), kChunkWindow);
  std::copy(tail.begin() + static_cast<ptrdiff_t>(taken), tail.end(), tail.begin());
  std::copy_n(piece.end() - static_cast<ptrdiff_t>(taken), taken,
              tail.end() - static_cast<ptrdiff_t>(taken));
}

Chunker::Chunker(const ChunkerTables& tables) : Chunker(tables, chunker_kernel()) {}
Chunker::Chunker(const ChunkerTables& tables, const ChunkerKernel& kernel)
    : state_(std::make_unique<State>(State{&tables.state_->rabin, &kernel})) {}
Chunker::~Chunker() = default;
Chunker::Chunker(Chunker&&) noexcept = default;
Chunker& Chunker::operator=(Chunker&&) noexcept = default;

void Chunker::reset() {
  state_->fed = 0;
  state_->chunk_start = 0;
}

void Chunker::feed(ByteView bytes, std::vector<uint64_t>& cuts) {
  if (bytes.empty()) {
    return;
  }
  State& state = *state_;
  const uint64_t end = state.fed + bytes.size();
  while (true) {
    // Offsets of the last byte before a possible cut.
    const uint64_t from = std::max(state.fed, state.chunk_start + kChunkMin - 1);
    const uint64_t forced = state.chunk_start + kChunkMax - 1;
    if (from >= end) {
      break;
    }
    const uint64_t stop = std::min(end, forced);
    const uint64_t found = state.find(bytes, from, stop);
    if (found == end) {
      break;
    }
    state.chunk_start = found + 1;
    cuts.push_back(state.chunk_start);
  }
  state.remember(bytes);
  state.fed = end;
}

std::string_view chunker_kernel_name() {
  return chunker_kernel().name;
}

}  // namespace salvor
