#include "crypto/sha256.h"

#include <algorithm>
#include <optional>

#include "base/error.h"
#include "crypto/sha256_kernels.h"

namespace salvor {
namespace {

// The last one or two blocks of a message: what is left of it, a one bit, zeros, its length in
// bits.
struct Tail {
  std::array<std::byte, 2 * kSha256Block> bytes;
  size_t blocks;
};

void make_tail(Tail& tail, ByteView rest, uint64_t length) {
  tail.bytes.fill(std::byte{0});
  std::copy(rest.begin(), rest.end(), tail.bytes.begin());
  tail.bytes[rest.size()] = std::byte{0x80};
  tail.blocks = rest.size() + 9 <= kSha256Block ? 1 : 2;
  const uint64_t bits = __builtin_bswap64(length * 8);
  std::memcpy(tail.bytes.data() + tail.blocks * kSha256Block - 8, &bits, 8);
}

Digest to_digest(const uint32_t* state) {
  Digest digest;
  for (size_t i = 0; i < 8; ++i) {
    const uint32_t word = __builtin_bswap32(state[i]);
    std::memcpy(digest.data() + 4 * i, &word, 4);
  }
  return digest;
}

void compress_one(const Sha256Kernel& kernel, uint32_t* state, const std::byte* data,
                  size_t blocks) {
  if (blocks > 0) {
    Sha256Lane lane{state, data};
    kernel.compress[0](&lane, blocks);
  }
}

// A message on its way through a lane: two runs of blocks, one after the other.
struct Run {
  const std::byte* data;
  size_t blocks;
};
struct Slot {
  uint32_t* state;
  Run runs[2];
  size_t item;
  std::array<uint32_t, 8> own_state;  // of a whole message
  Tail tail;                          // of a whole message
  ByteView rest;                      // of an update: what fills no block
};

// Keeps the kernel's lanes filled: all advance by the shortest run; a slot whose runs are over is
// closed and takes the next item. `Work` has `bool open(Slot&)`, false when nothing is left, and
// `close(Slot&)`.
template <class Work>
void run_lanes(const Sha256Kernel& kernel, Work& work) {
  std::array<Slot, kSha256MaxLanes> slots;
  std::array<Slot*, kSha256MaxLanes> active;
  size_t count = 0;
  while (count < kernel.lanes && work.open(slots[count])) {
    active[count] = &slots[count];
    ++count;
  }
  while (count > 0) {
    size_t blocks = SIZE_MAX;
    std::array<Sha256Lane, kSha256MaxLanes> lanes;
    for (size_t i = 0; i < count; ++i) {
      Slot& slot = *active[i];
      if (slot.runs[0].blocks == 0) {
        slot.runs[0] = slot.runs[1];
        slot.runs[1].blocks = 0;
      }
      lanes[i] = {slot.state, slot.runs[0].data};
      blocks = std::min(blocks, slot.runs[0].blocks);
    }
    if (blocks > 0) {  // 0: an update that completes no block
      kernel.compress[count - 1](lanes.data(), blocks);
    }
    for (size_t i = count; i-- > 0;) {
      Slot& slot = *active[i];
      slot.runs[0].data += blocks * kSha256Block;
      slot.runs[0].blocks -= blocks;
      if (slot.runs[0].blocks + slot.runs[1].blocks == 0) {
        work.close(slot);
        if (!work.open(slot)) {
          active[i] = active[--count];
        }
      }
    }
  }
}

// Hands out the items above the average length first: a long one begun last would run alone.
class LongFirst {
 public:
  LongFirst(size_t count, uint64_t total)
      : count_(count), average_(count > 0 ? total / count : 0) {}

  // `size_of(i)` in bytes; nullopt when all are out.
  template <class SizeOf>
  std::optional<size_t> next(SizeOf size_of) {
    for (; next_ < 2 * count_; ++next_) {
      const size_t item = next_ % count_;
      const bool is_long = size_of(item) > average_;
      if (is_long == (next_ < count_)) {
        ++next_;
        return item;
      }
    }
    return std::nullopt;
  }

 private:
  size_t count_;
  uint64_t average_;
  size_t next_ = 0;
};

class WholeMessages {
 public:
  WholeMessages(std::span<const ByteView> messages, std::span<Digest> out)
      : messages_(messages), out_(out), order_(messages.size(), total(messages)) {}

  bool open(Slot& slot) {
    const auto item = order_.next([&](size_t i) { return messages_[i].size(); });
    if (!item) {
      return false;
    }
    const ByteView message = messages_[*item];
    const size_t whole = message.size() / kSha256Block;
    slot.item = *item;
    slot.own_state = kSha256Initial;
    slot.state = slot.own_state.data();
    make_tail(slot.tail, message.subspan(whole * kSha256Block), message.size());
    slot.runs[0] = {message.data(), whole};
    slot.runs[1] = {slot.tail.bytes.data(), slot.tail.blocks};
    return true;
  }
  void close(Slot& slot) { out_[slot.item] = to_digest(slot.state); }

 private:
  static uint64_t total(std::span<const ByteView> messages) {
    uint64_t sum = 0;
    for (const ByteView& message : messages) {
      sum += message.size();
    }
    return sum;
  }
  std::span<const ByteView> messages_;
  std::span<Digest> out_;
  LongFirst order_;
};

}  // namespace

Digest sha256(ByteView message) {
  const Sha256Kernel& kernel = sha256_kernel();
  std::array<uint32_t, 8> state = kSha256Initial;
  const size_t whole = message.size() / kSha256Block;
  compress_one(kernel, state.data(), message.data(), whole);
  Tail tail;
  make_tail(tail, message.subspan(whole * kSha256Block), message.size());
  compress_one(kernel, state.data(), tail.bytes.data(), tail.blocks);
  return to_digest(state.data());
}

Sha256::Sha256() : state_(kSha256Initial) {}

void Sha256::update(ByteView bytes) {
  Sha256Update update{this, bytes};
  sha256_update_many({&update, 1});
}

Digest Sha256::finish() {
  Tail tail;
  make_tail(tail, ByteView(pending_).first(length_ % kSha256Block), length_);
  compress_one(sha256_kernel(), state_.data(), tail.bytes.data(), tail.blocks);
  return to_digest(state_.data());
}

// Updates of incremental hashes as work for the lanes. A friend of Sha256.
class Sha256Updates {
 public:
  explicit Sha256Updates(std::span<const Sha256Update> updates)
      : updates_(updates), order_(updates.size(), total(updates)) {}

  bool open(Slot& slot) {
    const auto item = order_.next([&](size_t i) { return updates_[i].bytes.size(); });
    if (!item) {
      return false;
    }
    Sha256& hash = *updates_[*item].hash;
    ByteView bytes = updates_[*item].bytes;
    const size_t held = hash.length_ % kSha256Block;
    hash.length_ += bytes.size();
    slot.item = *item;
    slot.state = hash.state_.data();
    slot.runs[0] = {hash.pending_.data(), 0};
    if (held > 0) {
      const size_t taken = std::min(bytes.size(), kSha256Block - held);
      std::copy_n(bytes.begin(), taken, hash.pending_.begin() + held);
      slot.runs[0].blocks = (held + taken) / kSha256Block;
      bytes = bytes.subspan(taken);
    }
    slot.runs[1] = {bytes.data(), bytes.size() / kSha256Block};
    slot.rest = bytes.last(bytes.size() % kSha256Block);
    return true;
  }
  // Only now: until here the pending block was being absorbed.
  void close(Slot& slot) {
    std::copy(slot.rest.begin(), slot.rest.end(), updates_[slot.item].hash->pending_.begin());
  }

 private:
  static uint64_t total(std::span<const Sha256Update> updates) {
    uint64_t sum = 0;
    for (const Sha256Update& update : updates) {
      sum += update.bytes.size();
    }
    return sum;
  }
  std::span<const Sha256Update> updates_;
  LongFirst order_;
};

void sha256_update_many(std::span<const Sha256Update> updates) {
  Sha256Updates work(updates);
  run_lanes(sha256_kernel(), work);
}

void sha256_many(std::span<const ByteView> messages, std::span<Digest> out) {
  sha256_many(sha256_kernel(), messages, out);
}

void sha256_many(const Sha256Kernel& kernel, std::span<const ByteView> messages,
                 std::span<Digest> out) {
  if (messages.size() != out.size()) {
    throw Error(ErrorCode::kFailed, "sha256_many: as many digests as messages are needed");
  }
  WholeMessages work(messages, out);
  run_lanes(kernel, work);
}

}  // namespace salvor
