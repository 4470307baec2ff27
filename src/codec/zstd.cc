#include "codec/zstd.h"

#include <algorithm>
#include <array>

#include <zstd.h>
#include <zstd_errors.h>

#include "base/error.h"

// Compression never fails for want of input; its errors are bugs or lack of memory. Decompression
// meets hostile input: before a frame is decoded its blocks are walked, which tells how much it can
// yield at most (128 KiB a block), so the memory taken is bounded by the input, whatever the frame
// promises.

namespace salvor {
namespace {

constexpr int kMaxWindowLog = 23;
constexpr int kMaxDecodeWindowLog = 29;  // what restic's decoder accepts
constexpr uint64_t kMaxDecodeWindow = uint64_t{1} << kMaxDecodeWindowLog;
constexpr int kFirstLevelWithLargeWindow = 20;

// ---- frames (RFC 8878, section 3.1) ----

constexpr uint32_t kFrameMagic = 0xfd2fb528;
constexpr uint32_t kSkippableMagic = 0x184d2a50;  // low four bits free
constexpr uint64_t kBlockMax = uint64_t{128} << 10;

struct Frame {
  size_t size = 0;         // bytes in the input
  uint64_t max_yield = 0;  // it decodes to no more than this
};

uint64_t load_le(ByteView bytes) {
  uint64_t value = 0;
  for (size_t i = bytes.size(); i-- > 0;) {
    value = value << 8 | std::to_integer<uint64_t>(bytes[i]);
  }
  return value;
}

struct FrameHeader {
  size_t size = 0;
  uint64_t window = 0;
  std::optional<uint64_t> content_size;
  bool checksum = false;
};

std::optional<FrameHeader> read_frame_header(ByteView in) {
  if (in.size() < 6) {
    return std::nullopt;
  }
  const auto descriptor = std::to_integer<unsigned>(in[4]);
  const unsigned size_flag = descriptor >> 6;
  const bool single_segment = (descriptor >> 5 & 1U) != 0;
  static constexpr std::array<size_t, 4> kDictionaryBytes{0, 1, 2, 4};
  const size_t window_bytes = single_segment ? 0 : 1;
  const size_t dictionary_bytes = kDictionaryBytes[descriptor & 3U];
  const size_t size_bytes = size_flag == 0 ? (single_segment ? 1 : 0) : size_t{1} << size_flag;
  FrameHeader header;
  header.checksum = (descriptor >> 2 & 1U) != 0;
  header.size = 5 + window_bytes + dictionary_bytes + size_bytes;
  if (in.size() < header.size || load_le(in.subspan(5 + window_bytes, dictionary_bytes)) != 0) {
    return std::nullopt;
  }
  if (size_bytes > 0) {
    header.content_size =
        load_le(in.subspan(header.size - size_bytes, size_bytes)) + (size_bytes == 2 ? 256 : 0);
  }
  if (single_segment) {
    header.window = header.content_size.value_or(0);  // always there
  } else {
    const auto window = std::to_integer<unsigned>(in[5]);
    const uint64_t base = uint64_t{1} << (10 + (window >> 3));
    header.window = base + base / 8 * (window & 7U);
  }
  return header;
}

// The frame at the start of `in`; nothing when it is malformed, truncated or not for us.
std::optional<Frame> measure_frame(ByteView in) {
  if (in.size() < 8) {
    return std::nullopt;
  }
  const uint32_t magic = load_u32le(in.data());
  if ((magic & 0xfffffff0U) == kSkippableMagic) {
    const uint64_t size = uint64_t{8} + load_u32le(in.data() + 4);
    return size > in.size() ? std::nullopt : std::optional(Frame{static_cast<size_t>(size), 0});
  }
  const auto header = magic == kFrameMagic ? read_frame_header(in) : std::nullopt;
  if (!header || header->window > kMaxDecodeWindow) {
    return std::nullopt;
  }
  Frame frame;
  frame.size = header->size;
  for (bool last = false; !last;) {
    if (in.size() < frame.size + 3) {
      return std::nullopt;
    }
    const auto block = static_cast<uint32_t>(load_le(in.subspan(frame.size, 3)));
    last = (block & 1U) != 0;
    const unsigned type = block >> 1 & 3U;
    const uint32_t size = block >> 3;
    frame.size += 3 + (type == 1 ? size_t{1} : size_t{size});  // 1: one byte repeated
    frame.max_yield +=
        type < 2 ? uint64_t{size} : std::min(kBlockMax, std::max<uint64_t>(header->window, 1024));
    if (type == 3 || size > kBlockMax || frame.size > in.size()) {
      return std::nullopt;
    }
  }
  frame.size += header->checksum ? 4 : 0;
  if (frame.size > in.size()) {
    return std::nullopt;
  }
  if (header->content_size) {
    if (*header->content_size > frame.max_yield) {
      return std::nullopt;
    }
    frame.max_yield = *header->content_size;
  }
  return frame;
}

// ---- sampling ----

constexpr size_t kSampleBytes = 512;
constexpr size_t kMaxSamples = 32;
constexpr size_t kTrialPiece = 2048;
constexpr size_t kMaxTrialPieces = 16;
constexpr size_t kTrialGain = 100;
constexpr int kTrialLevel = -1;
constexpr size_t kWorthSampling = size_t{32} << 10;
constexpr size_t kRatioPieces = 4;
constexpr size_t kRatioPiece = 1024;

// How far the sum of the squared byte counts of a sample is from that of random bytes, whose
// expectation is n + n(n-1)/256. A surplus of n*n*0.00020 is what makes an entropy of 0.995 * 8
// bits. A deficit (counts more even than chance) is structure too.
int64_t surplus(ByteView sample) {
  std::array<uint16_t, 256> counts{};
  for (const std::byte byte : sample) {
    ++counts[std::to_integer<size_t>(byte)];
  }
  uint32_t squares = 0;  // at most 512 * 512
  for (const uint16_t count : counts) {
    squares += uint32_t{count} * count;
  }
  const auto n = static_cast<int64_t>(sample.size());
  return int64_t{squares} - n - n * (n - 1) / 256;
}

}  // namespace

struct Compressor::State {
  std::unique_ptr<ZSTD_CCtx, size_t (*)(ZSTD_CCtx*)> context{ZSTD_createCCtx(), ZSTD_freeCCtx};
  Buffer pieces;
  Buffer trial;

  size_t run(ByteView plain, const CompressionMethod& method, Buffer& out) {
    out.resize(ZSTD_compressBound(plain.size()));
    ZSTD_CCtx* const c = context.get();
    const bool large = method.level >= kFirstLevelWithLargeWindow;
    ZSTD_CCtx_setParameter(c, ZSTD_c_compressionLevel, method.level);
    ZSTD_CCtx_setParameter(c, ZSTD_c_windowLog, large ? kMaxWindowLog : method.window_log);
    ZSTD_CCtx_setParameter(c, ZSTD_c_hashLog, method.hash_log);
    ZSTD_CCtx_setParameter(c, ZSTD_c_chainLog, method.chain_log);
    ZSTD_CCtx_setParameter(c, ZSTD_c_minMatch, method.min_match);
    ZSTD_CCtx_setParameter(c, ZSTD_c_strategy, method.two_tables ? ZSTD_dfast : 0);
    const size_t size = ZSTD_compress2(c, out.data(), out.size(), plain.data(), plain.size());
    if (ZSTD_isError(size) != 0) {
      throw Error(ErrorCode::kFailed, std::string("cannot compress: ") + ZSTD_getErrorName(size));
    }
    return size;
  }
};

Compressor::Compressor() : state_(std::make_unique<State>()) {
  if (!state_->context) {
    throw std::bad_alloc();
  }
}
Compressor::~Compressor() = default;
Compressor::Compressor(Compressor&&) noexcept = default;
Compressor& Compressor::operator=(Compressor&&) noexcept = default;

void Compressor::compress(ByteView plain, const CompressionMethod& method, Buffer& out) {
  out.resize(state_->run(plain, method, out));
}

double Compressor::sample_ratio(ByteView plain) {
  const size_t stride = plain.size() / kRatioPieces;
  state_->pieces.clear();
  for (size_t i = 0; i < kRatioPieces; ++i) {
    state_->pieces.append(plain.subspan(i * stride + (stride - kRatioPiece) / 2, kRatioPiece));
  }
  const size_t size = state_->run(state_->pieces.view(), {.level = 1}, state_->trial);
  return static_cast<double>(size) / static_cast<double>(state_->pieces.size());
}

bool Compressor::looks_incompressible(ByteView plain) {
  if (plain.size() < kWorthSampling) {
    return false;
  }
  // Evenly spread samples.
  const size_t count = std::clamp<size_t>(plain.size() / 8 / kSampleBytes, 8, kMaxSamples);
  const size_t stride = (plain.size() - kSampleBytes) / (count - 1);
  // A sample's saving in units of its squared size; text would be 0.07. Beyond 0.02 (a third saved)
  // it says no more.
  constexpr auto kSquare = static_cast<int64_t>(kSampleBytes * kSampleBytes);
  constexpr int64_t kCap = kSquare / 50;
  constexpr int64_t kThreshold = kSquare * 20 / 100'000;
  constexpr int64_t kTooEven = -kSquare / 800;  // seven standard deviations
  int64_t total = 0;
  for (size_t i = 0; i < count; ++i) {
    const int64_t one = surplus(plain.subspan(i * stride, kSampleBytes));
    if (one < kTooEven) {
      return false;
    }
    total += std::min(one, kCap);
    if (total > kThreshold * static_cast<int64_t>(count) + kCap) {
      return false;
    }
  }
  if (total > kThreshold * static_cast<int64_t>(count)) {
    return false;
  }
  // The bytes look random. Repetitions (headers within archives, copies) do not show in counts: try
  // on pieces from everywhere, put together.
  const size_t pieces = std::clamp<size_t>(plain.size() / 16 / kTrialPiece, 1, kMaxTrialPieces);
  const size_t length = std::min(plain.size(), kTrialPiece);
  state_->pieces.clear();
  for (size_t i = 0; i < pieces; ++i) {
    state_->pieces.append(plain.subspan((plain.size() - length) / pieces * i, length));
  }
  const size_t trial = state_->pieces.size();
  return state_->run(state_->pieces.view(), {.level = kTrialLevel}, state_->trial) >
         trial - trial / kTrialGain;
}

struct Decompressor::State {
  std::unique_ptr<ZSTD_DCtx, size_t (*)(ZSTD_DCtx*)> context{ZSTD_createDCtx(), ZSTD_freeDCtx};

  // Decodes all frames; the number of bytes they yield, nothing when they are malformed or yield
  // more than fits. There must be at least one frame.
  std::optional<size_t> run(ByteView in, MutableBytes out) {
    size_t done = 0;
    if (in.empty()) {
      return std::nullopt;
    }
    while (!in.empty()) {
      const auto frame = measure_frame(in);
      if (!frame) {
        return std::nullopt;
      }
      if (load_u32le(in.data()) == kFrameMagic) {
        const size_t yield = ZSTD_decompressDCtx(context.get(), out.data() + done,
                                                 out.size() - done, in.data(), frame->size);
        if (ZSTD_isError(yield) != 0) {
          return std::nullopt;
        }
        done += yield;
      }
      in = in.subspan(frame->size);
    }
    return done;
  }
};

Decompressor::Decompressor() : state_(std::make_unique<State>()) {
  if (!state_->context) {
    throw std::bad_alloc();
  }
}
Decompressor::~Decompressor() = default;
Decompressor::Decompressor(Decompressor&&) noexcept = default;
Decompressor& Decompressor::operator=(Decompressor&&) noexcept = default;

bool Decompressor::decompress(ByteView compressed, MutableBytes out) {
  const auto size = state_->run(compressed, out);
  return size && *size == out.size();
}

bool Decompressor::decompress_pieces(ByteView compressed, uint64_t size_bytes,
                                     const std::function<void(ByteView)>& take) {
  uint64_t bound = 0;
  for (ByteView rest = compressed; !rest.empty();) {
    const auto frame = measure_frame(rest);
    if (!frame) {
      return false;
    }
    bound += frame->max_yield;
    rest = rest.subspan(frame->size);
  }
  ZSTD_DCtx* const context = state_->context.get();
  ZSTD_DCtx_reset(context, ZSTD_reset_session_and_parameters);
  ZSTD_DCtx_setParameter(context, ZSTD_d_windowLogMax, kMaxDecodeWindowLog);
  Buffer piece(ZSTD_DStreamOutSize());
  ZSTD_inBuffer in{compressed.data(), compressed.size(), 0};
  uint64_t done = 0;
  bool good = bound >= size_bytes;
  for (size_t more = 1; good && (in.pos < in.size || more != 0);) {
    ZSTD_outBuffer out{piece.data(), piece.size(), 0};
    const size_t before = in.pos;
    more = ZSTD_decompressStream(context, &out, &in);
    if (ZSTD_getErrorCode(more) == ZSTD_error_memory_allocation) {
      throw std::bad_alloc();
    }
    done += out.pos;
    good = ZSTD_isError(more) == 0 && done <= size_bytes && (out.pos > 0 || in.pos > before);
    if (good) {
      take(piece.view().subspan(0, out.pos));
    }
  }
  ZSTD_DCtx_reset(context, ZSTD_reset_session_and_parameters);
  return good && done == size_bytes;
}

std::optional<Buffer> Decompressor::decompress_unknown(ByteView compressed, size_t limit_bytes) {
  uint64_t bound = 0;
  for (ByteView rest = compressed; !rest.empty();) {
    const auto frame = measure_frame(rest);
    if (!frame) {
      return std::nullopt;
    }
    bound += frame->max_yield;
    rest = rest.subspan(frame->size);
  }
  Buffer out(static_cast<size_t>(std::min<uint64_t>(bound, limit_bytes)));
  const auto size = state_->run(compressed, out.bytes());
  if (!size) {
    return std::nullopt;
  }
  out.resize(*size);
  return out;
}

}  // namespace salvor
