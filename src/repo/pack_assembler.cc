#include "repo/pack_assembler.h"

#include <utility>

#include "base/error.h"
#include "codec/pack_header.h"

namespace salvor {
namespace {

constexpr size_t kSpareBuffers = 2;
// The largest blob that the chunker makes, sealed: an open pack never grows beyond target + this,
// except for giant trees.
constexpr size_t kBlobSlack = size_t{9} << 20;

}  // namespace

bool PackAssembler::full(const OpenPack& pack) const {
  // One more entry (41 bytes at most) must still fit the header.
  return pack.bytes.size() >= target_ || pack.header_size + 41 + kSealOverhead > kPackHeaderLimit;
}

void PackAssembler::place(OpenPack& pack, const SealedBlob& blob,
                          std::unique_lock<std::mutex>& lock) {
  if (pack.bytes.capacity() == 0) {
    if (spare_.empty()) {
      pack.bytes.reserve(target_ + kBlobSlack);
    } else {
      pack.bytes = std::move(spare_.back());
      spare_.pop_back();
      pack.bytes.clear();
    }
  }
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

std::vector<OpenPack> PackAssembler::append(std::span<const SealedBlob> blobs) {
  std::vector<OpenPack> finished;
  if (blobs.empty()) {
    return finished;
  }
  uint64_t choices = 0;
  unsigned choices_left = 0;
  std::unique_lock lock(mutex_);
  for (const SealedBlob& blob : blobs) {
    if (blob.sealed.size() >= target_) {
      OpenPack alone;
      place(alone, blob, lock);
      finished.push_back(std::move(alone));
      continue;
    }
    if (choices_left == 0) {
      choices = random_.next_u64();
      choices_left = 64;
    }
    const size_t choice = choices & 1;
    choices >>= 1;
    --choices_left;
    place(open_[choice], blob, lock);
    if (full(open_[choice])) {
      hashing_done_.wait(lock, [&] { return !open_[choice].hashing; });
      // Somebody else may have taken it during the wait.
      if (full(open_[choice])) {
        finished.push_back(std::exchange(open_[choice], OpenPack()));
      }
    }
  }
  return finished;
}

std::vector<OpenPack> PackAssembler::take_rest() {
  std::unique_lock lock(mutex_);
  std::vector<OpenPack> rest;
  for (OpenPack& pack : open_) {
    if (!pack.blobs.empty()) {
      rest.push_back(std::exchange(pack, OpenPack()));
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
  const std::scoped_lock lock(mutex_);
  for (OpenPack& pack : open_) {
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
  const std::scoped_lock lock(mutex_);
  if (spare_.size() < kSpareBuffers && buffer.capacity() <= target_ + 2 * kBlobSlack) {
    spare_.push_back(std::move(buffer));
  }
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
