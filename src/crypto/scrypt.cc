// scrypt := PBKDF2 (one iteration) into p blocks, ROMix of each, PBKDF2 of the password and all
// blocks. Nearly all of the time goes into ROMix (scrypt_kernels.h) and, on a cold machine, into
// the page faults of its tables: fresh memory costs 0.1 ms a MiB, and on virtual machines that give
// idle memory back to their host 1.5 ms. So only every other table entry is kept: the recomputation
// costs 5 %, the faults halve. Where four lanes fit one register, every fourth: one lane then costs
// 25 % more, but three run side by side for less than twice the price of one in the memory that
// they would take one after the other. Three lanes beside two on another thread keep every third.
#include "crypto/scrypt.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cmath>
#include <ctime>
#include <memory>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <sys/mman.h>

#include "base/error.h"
#include "base/secret.h"
#include "crypto/scrypt_kernels.h"
#include "crypto/sha256.h"

namespace salvor {
namespace {

constexpr uint64_t kMib = uint64_t{1} << 20;
constexpr uint64_t kGib = uint64_t{1} << 30;

constexpr uint64_t kMaxLaneTable = kGib;       // n * r * 128
constexpr uint64_t kMaxBlocks = 64 * kMib;     // p * r * 128
constexpr uint64_t kMaxWork = 64 * kGib;       // n * r * p * 128: about half a minute on one core
constexpr uint64_t kSharedMemory = 64 * kMib;  // lanes run together as long as they fit in this
constexpr uint64_t kSmallTable = 2 * kMib;     // kept whole: it stays in the cache

class SecretBytes {
 public:
  explicit SecretBytes(size_t size) : bytes_(new std::byte[size]), size_(size) {}
  ~SecretBytes() { wipe(bytes_.get(), size_); }
  SecretBytes(const SecretBytes&) = delete;
  SecretBytes& operator=(const SecretBytes&) = delete;
  [[nodiscard]] MutableBytes bytes() const { return {bytes_.get(), size_}; }

 private:
  std::unique_ptr<std::byte[]> bytes_;
  size_t size_;
};

// HMAC-SHA-256 (RFC 2104) under one key, which is expanded once.
class Hmac {
 public:
  explicit Hmac(ByteView key) {
    std::array<std::byte, 64> pad{};
    if (key.size() > pad.size()) {
      const Digest digest = sha256(key);
      std::copy(digest.begin(), digest.end(), pad.begin());
    } else {
      std::copy(key.begin(), key.end(), pad.begin());
    }
    for (std::byte& byte : pad) {
      byte ^= std::byte{0x36};
    }
    inner_.update(pad);
    for (std::byte& byte : pad) {
      byte ^= std::byte{0x36 ^ 0x5c};
    }
    outer_.update(pad);
    wipe(pad.data(), pad.size());
  }
  ~Hmac() {
    wipe(&inner_, sizeof inner_);
    wipe(&outer_, sizeof outer_);
  }
  Hmac(const Hmac&) = delete;
  Hmac& operator=(const Hmac&) = delete;

  [[nodiscard]] const Sha256& inner() const { return inner_; }
  // Of what was added to a copy of inner().
  [[nodiscard]] Digest finish(Sha256& message) const {
    Sha256 outer = outer_;
    outer.update(message.finish());
    const Digest digest = outer.finish();
    wipe(&outer, sizeof outer);
    return digest;
  }

 private:
  Sha256 inner_;
  Sha256 outer_;
};

// PBKDF2-HMAC-SHA-256 with one iteration (RFC 8018, 5.2).
void pbkdf2_once(const Hmac& password, ByteView salt, MutableBytes out) {
  Sha256 salted = password.inner();
  salted.update(salt);
  for (uint32_t i = 1; !out.empty(); ++i) {
    const std::array<std::byte, 4> counter{
        static_cast<std::byte>(i >> 24), static_cast<std::byte>(i >> 16 & 0xffU),
        static_cast<std::byte>(i >> 8 & 0xffU), static_cast<std::byte>(i & 0xffU)};
    Sha256 message = salted;
    message.update(counter);
    Digest digest = password.finish(message);
    const size_t count = std::min(out.size(), digest.size());
    std::copy_n(digest.begin(), count, out.begin());
    out = out.subspan(count);
    wipe(&message, sizeof message);
    wipe(digest.data(), digest.size());
  }
  wipe(&salted, sizeof salted);
}

// Zeroed, aligned memory of its own mapping. It is not wiped but unmapped: the kernel clears every
// page before anyone sees it again, and it is kept out of core dumps meanwhile.
class Arena {
 public:
  explicit Arena(size_t size) : mapped_(size + kHugePage) {
    void* base = mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED) {
      throw Error::from_errno(errno, "cannot get memory to derive the key from the password");
    }
    base_ = static_cast<std::byte*>(base);
    (void)madvise(base_, mapped_, MADV_DONTDUMP);
    if (size >= kHugePage) {
      (void)madvise(base_, mapped_, MADV_HUGEPAGE);  // advice: 512 times fewer page faults
    }
  }
  ~Arena() {
    if (base_ != nullptr) {
      munmap(base_, mapped_);
    }
  }
  Arena(Arena&& other) noexcept
      : base_(std::exchange(other.base_, nullptr)), mapped_(other.mapped_) {}
  Arena& operator=(Arena&&) = delete;

  [[nodiscard]] std::byte* data() const {
    return base_ + (kHugePage - reinterpret_cast<uintptr_t>(base_) % kHugePage) % kHugePage;
  }

 private:
  static constexpr size_t kHugePage = 2 * kMib;
  std::byte* base_ = nullptr;
  size_t mapped_;
};

// One thread's share: lanes [first, end) of the blocks, `together` at a time.
struct Share {
  ScryptShape shape;
  std::byte* blocks;
  size_t first;
  size_t end;
  size_t together;
  Arena arena;
};

size_t table_bytes(const ScryptShape& shape) {
  return size_t{128} * shape.r * ((shape.n + shape.stride - 1) / shape.stride);
}

size_t scratch_bytes(const ScryptShape& shape) {
  return size_t{384} * shape.r;
}

uint32_t stride(const ScryptParameters& parameters) {
  if (uint64_t{128} * parameters.r * parameters.n <= kSmallTable) {
    return 1;
  }
  return parameters.p > 1 && scrypt_kernels().back().lanes == kScryptMaxLanes ? 4 : 2;
}

void mix_share(const Share& share) noexcept {
  const ScryptShape& shape = share.shape;
  const ScryptKernel& kernel = scrypt_kernel_for(share.together);
  const size_t table = table_bytes(shape);
  std::byte* scratch = share.arena.data() + table * share.together;
  for (size_t next = share.first; next < share.end; next += share.together) {
    std::array<ScryptLane, kScryptMaxLanes> lanes;
    const size_t count = std::min(share.together, share.end - next);
    for (size_t i = 0; i < lanes.size(); ++i) {
      const size_t lane = i < count ? i : 0;  // surplus lanes repeat the first
      lanes[i] = {share.blocks + size_t{128} * shape.r * (next + lane),
                  share.arena.data() + table * lane};
    }
    kernel.mix(lanes.data(), shape, scratch);
  }
  wipe(scratch, scratch_bytes(shape) * kernel.lanes);
}

std::vector<Share> plan(std::byte* blocks, const ScryptShape& shape, size_t p, unsigned threads) {
  const size_t table = table_bytes(shape);
  const size_t at_once = std::clamp<size_t>(kSharedMemory / (table + scratch_bytes(shape)), 1, p);
  const size_t workers = std::clamp<size_t>(threads, 1, at_once);
  // Rounded up where all lanes fit into the memory anyway.
  const size_t each = at_once == p ? (p + workers - 1) / workers : at_once / workers;
  const size_t widest = std::min(each, scrypt_kernels().back().lanes);
  std::vector<Share> shares;
  for (size_t i = 0; i < workers; ++i) {
    const size_t first = p * i / workers;
    const size_t end = p * (i + 1) / workers;
    // As few turns as the width allows, all of the same width.
    const size_t turns = (end - first + widest - 1) / widest;
    const size_t together = (end - first + turns - 1) / turns;
    // Three lanes beside a share of two would end last: they get more memory.
    const bool last_to_end = shape.stride == 4 && together == 3 && p / workers < 3;
    const ScryptShape own{shape.n, shape.r, last_to_end ? 3 : shape.stride};
    const size_t scratch = scratch_bytes(own) * scrypt_kernel_for(together).lanes;
    shares.push_back(
        {own, blocks, first, end, together, Arena(table_bytes(own) * together + scratch)});
  }
  return shares;
}

void mix_all(std::byte* blocks, const ScryptShape& shape, size_t p, unsigned threads) {
  const std::vector<Share> shares = plan(blocks, shape, p, threads);
  std::vector<std::jthread> helpers;
  for (size_t i = 1; i < shares.size(); ++i) {
    try {
      helpers.emplace_back([&shares, i] { mix_share(shares[i]); });
    } catch (const std::system_error&) {
      mix_share(shares[i]);  // no thread to be had: slower, not wrong
    }
  }
  mix_share(shares[0]);
}

// Of this thread only: keys must not be weaker because the machine is busy while they are made.
double thread_cpu_ms() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) * 1e3 + static_cast<double>(time.tv_nsec) / 1e6;
}

}  // namespace

bool acceptable(const ScryptParameters& parameters) {
  const uint64_t n = parameters.n;
  const uint64_t r = parameters.r;
  const uint64_t p = parameters.p;
  if (n < 2 || !std::has_single_bit(n) || r == 0 || p == 0) {
    return false;
  }
  const uint64_t block = 128 * r;  // n, r, p < 2^32: nothing here overflows
  return block <= kMaxLaneTable / n && block <= kMaxBlocks / p && block * n <= kMaxWork / p;
}

void scrypt(ByteView password, ByteView salt, const ScryptParameters& parameters, MutableBytes out,
            unsigned threads) {
  if (!acceptable(parameters)) {
    throw Error(ErrorCode::kDamaged, "impossible scrypt parameters",
                "The key file is damaged or was made to exhaust this machine.");
  }
  const Hmac hmac(password);
  const SecretBytes blocks(size_t{128} * parameters.r * parameters.p);
  pbkdf2_once(hmac, salt, blocks.bytes());
  mix_all(blocks.bytes().data(), {parameters.n, parameters.r, stride(parameters)}, parameters.p,
          threads);
  pbkdf2_once(hmac, blocks.bytes(), out);
}

ScryptParameters calibrated_scrypt_parameters(unsigned target_ms) {
  constexpr ScryptShape kSample{4096, 8, 1};
  const ScryptKernel& kernel = scrypt_kernels().front();  // the portable one
  const Arena arena(table_bytes(kSample) + scratch_bytes(kSample));
  std::array<std::byte, 128 * kSample.r> block{};
  const ScryptLane lane{block.data(), arena.data()};
  double best_ms = HUGE_VAL;
  for (int i = 0; i < 3; ++i) {  // the first also takes the page faults
    const double start = thread_cpu_ms();
    kernel.mix(&lane, kSample, arena.data() + table_bytes(kSample));
    best_ms = std::min(best_ms, thread_cpu_ms() - start);
  }
  ScryptParameters parameters;
  // restic's pure Go code takes about 100 ms for one lane of the default cost where the portable
  // kernel takes 40 (Zen 4).
  constexpr double kResticIsSlower = 2.5;
  const double lane_ms = best_ms * (parameters.n / kSample.n) * kResticIsSlower;
  parameters.p = static_cast<uint32_t>(std::clamp(target_ms / lane_ms + 0.5, 4.0, 16.0));
  return parameters;
}

}  // namespace salvor
