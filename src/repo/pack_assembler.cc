#include "repo/pack_assembler.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "codec/pack_header.h"

namespace salvor {
namespace {

// The largest blob that the chunker makes, sealed: an open pack never grows beyond target + this,
// except for giant trees.
constexpr size_t kBlobSlack = size_t{9} << 20;
constexpr size_t kLargestEntry = 41;  // of a pack header
// Two fill up. Four uploads keep a line of 1 Gbit/s and 40 ms full where one connection carries
// half of it (SSH's window of 2 MiB), one in four waits for its answer, and packs come in fits.
constexpr unsigned kMostBuffers = 6;

}  // namespace

PackAssembler::PackAssembler(uint64_t target_bytes, unsigned uploads, Random& random)
    : target_(target_bytes), most_buffers_(std::min(kMostBuffers, 2 + uploads)), random_(random) {
  open_[0].target = target_;
  open_[1].target = target_ / 2;
}

bool PackAssembler::full(const OpenSlot& slot) {
  return slot.pack.bytes.size() >= slot.target ||
         slot.pack.header_size + kLargestEntry + kSealOverhead > kPackHeaderLimit;
}

void PackAssembler::provide_buffer(OpenPack& pack, std::unique_lock<std::mutex>& lock,
                                   const std::stop_token& stop) {
  const bool available = recycled_.wait(lock, stop, [&] {
    return pack.bytes.capacity() > 0 || !spare_.empty() || buffers_ < most_buffers_;
  });
  if (!available) {
    throw cancelled();
  }
  if (pack.bytes.capacity() > 0) {
    return;  // another thread has provided it
  }
  if (spare_.empty()) {
    pack.bytes.reserve(target_ + kBlobSlack);
    ++buffers_;
    return;
  }
  pack.bytes = std::move(spare_.back());
  spare_.pop_back();
  pack.bytes.reserve(target_ + kBlobSlack);
}

void PackAssembler::place(OpenPack& pack, const SealedBlob& blob,
                          std::unique_lock<std::mutex>& lock) {
  if (pack.bytes.size() + blob.sealed.size() > pack.bytes.capacity()) {
    // Growing moves the bytes: whoever hashes them must have finished.
    hashing_done_.wait(lock, [&] { return !pack.hashing; });
  }
  PackedBlob placed = blob.blob;
  placed.offset = static_cast<uint32_t>(pack.bytes.size());
  placed.length = static_cast<uint32_t>(blob.sealed.size());
  pack.bytes.append(blob.sealed);
  pack.header_size += pack_entry_size(placed);
  pack.blobs.push_back(placed);
}

PackAssembler::Appended PackAssembler::append(std::span<const SealedBlob> blobs,
                                              const std::stop_token& stop) {
  Appended result;
  std::unique_lock lock(mutex_);
  for (const SealedBlob& blob : blobs) {
    if (blob.sealed.size() >= target_) {
      OpenPack alone;
      ++buffers_;  // rare and returned soon: not worth waiting for
      place(alone, blob, lock);
      ++result.count;
      result.finished = std::move(alone);
      return result;
    }
    if (random_left_ == 0) {
      random_bits_ = random_.next_u64();
      random_left_ = 64;
    }
    OpenSlot& slot = open_[random_bits_ & 1];
    random_bits_ >>= 1;
    --random_left_;
    provide_buffer(slot.pack, lock, stop);
    place(slot.pack, blob, lock);
    ++result.count;
    if (full(slot)) {
      hashing_done_.wait(lock, [&] { return !slot.pack.hashing; });
      // Somebody else may have taken it during the wait.
      if (full(slot)) {
        slot.target = target_;
        result.finished = std::exchange(slot.pack, OpenPack());
        return result;
      }
    }
  }
  return result;
}

std::vector<OpenPack> PackAssembler::take_rest() {
  std::unique_lock lock(mutex_);
  std::vector<OpenPack> rest;
  for (OpenSlot& slot : open_) {
    if (!slot.pack.blobs.empty()) {
      rest.push_back(std::exchange(slot.pack, OpenPack()));
    }
  }
  if (rest.size() == 2 && rest[0].bytes.size() + rest[1].bytes.size() <= target_ &&
      rest[0].header_size + rest[1].header_size + kSealOverhead <= kPackHeaderLimit) {
    for (const PackedBlob& blob : rest[1].blobs) {
      place(rest[0], {blob, rest[1].bytes.view(blob.offset, blob.length)}, lock);
    }
    rest.pop_back();
  }
  return rest;
}

std::vector<PackAssembler::HashStretch> PackAssembler::begin_hashing(size_t at_least_bytes) {
  std::vector<HashStretch> stretches;
  stretches.reserve(open_.size());
  const std::scoped_lock lock(mutex_);
  for (OpenSlot& slot : open_) {
    OpenPack& pack = slot.pack;
    if (!pack.hashing && pack.bytes.size() - pack.hashed >= at_least_bytes) {
      pack.hashing = true;
      stretches.push_back({&pack, pack.bytes.view(pack.hashed, pack.bytes.size() - pack.hashed)});
    }
  }
  return stretches;
}

void PackAssembler::hashed(const HashStretch& stretch) {
  {
    const std::scoped_lock lock(mutex_);
    stretch.pack->hashed += stretch.bytes.size();
    stretch.pack->hashing = false;
  }
  hashing_done_.notify_all();
}

void PackAssembler::recycle(Buffer buffer) {
  const bool usual = buffer.capacity() <= target_ + 2 * kBlobSlack;
  if (usual) {
    buffer.clear_keeping(target_);  // a large last blob's pages are seldom needed again
  }
  {
    const std::scoped_lock lock(mutex_);
    if (usual && spare_.empty() && buffers_ <= most_buffers_) {
      spare_.push_back(std::move(buffer));
    } else {
      --buffers_;
    }
  }
  recycled_.notify_all();
}

FinishedPack finish_pack(OpenPack pack, Sealer& sealer) {
  Buffer header;
  append_pack_header(header, pack.blobs);
  const Buffer sealed = sealer.seal(header.view());
  const std::optional<Buffer> again = sealer.unseal(sealed.view());
  if (!again || as_text(again->view()) != as_text(header.view()) ||
      decode_pack_header(again->view()) != pack.blobs) {
    throw Error(ErrorCode::kFailed, "a pack header does not decode to what was encoded",
                "This points to faulty memory or a bug. The pack was not stored.");
  }
  pack.bytes.append(sealed.view());
  store_u32le(pack.bytes.extend(kPackTrailer).data(), static_cast<uint32_t>(sealed.size()));
  pack.hash.update(pack.bytes.view().subspan(pack.hashed));
  return {PackId(pack.hash.finish()), std::move(pack.bytes), std::move(pack.blobs)};
}

}  // namespace salvor
