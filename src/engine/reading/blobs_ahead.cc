#include "engine/reading/blobs_ahead.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "crypto/sha256.h"

namespace salvor {
namespace {

// Of content, in two windows: one is given out while the next is fetched.
constexpr uint64_t kWindowBytes = uint64_t{4} << 20;
constexpr size_t kWindowBlobs = 256;
constexpr uint64_t kRequestBytes = uint64_t{1} << 20;
// Reading what lies between two blobs costs less than asking again.
constexpr uint64_t kLargestGapFar = uint64_t{256} << 10;
constexpr uint64_t kLargestGapHere = uint64_t{16} << 10;

uint64_t end_of(const PackedBlob& blob) {
  return uint64_t{blob.offset} + blob.length;
}

// What is true of one blob only is told when that is read.
bool concerns_all(const Error& error) {
  return error.code() == ErrorCode::kCancelled || error.code() == ErrorCode::kUnreachable;
}

}  // namespace

unsigned reading_threads(const Repository& repository) {
  const StorageTraits traits = repository.storage().traits();
  const unsigned processors = std::max(2U, std::thread::hardware_concurrency());
  return traits.remote ? std::max(processors, traits.connections) : processors;
}

BlobsAhead::BlobsAhead(const Context& context, BlobReaders& readers, ThreadPool& pool,
                       std::vector<BlobId> order)
    : context_(context),
      readers_(readers),
      order_(std::move(order)),
      largest_gap_(readers.repository().storage().traits().remote ? kLargestGapFar
                                                                  : kLargestGapHere),
      group_(pool, context.stop) {}

Buffer BlobsAhead::read(const BlobId& blob) {
  if (taken_ < order_.size() && order_[taken_] == blob) {
    return *next();
  }
  return readers_.borrow()->load(context_, {BlobType::kData, blob});
}

std::optional<Buffer> BlobsAhead::next() {
  if (taken_ == order_.size()) {
    return std::nullopt;
  }
  context_.check_stopped();
  begin_windows();
  Slot slot = take();
  ++taken_;
  ahead_bytes_ -= slot.size;
  if (slot.error) {
    std::rethrow_exception(slot.error);
  }
  return std::move(slot.bytes);
}

void BlobsAhead::begin_windows() {
  while (begun_ < order_.size() && (begun_ == taken_ || ahead_bytes_ <= kWindowBytes)) {
    begin_window();
  }
}

void BlobsAhead::begin_window() {
  std::vector<Wanted> wanted;
  uint64_t bytes = 0;
  for (size_t count = 0; begun_ < order_.size() && bytes < kWindowBytes && count < kWindowBlobs;
       ++begun_, ++count) {
    const BlobHandle handle{BlobType::kData, order_[begun_]};
    const std::optional<BlobLocation> place = readers_.repository().index().find(handle);
    Wanted next;
    {
      const std::scoped_lock lock(mutex_);
      next.slot = &slots_.emplace_back(Slot{.id = handle.id});
    }
    if (!place) {
      begin_request({&next, 1});
      continue;
    }
    next.place = *place;
    next.slot->size = place->blob.content_length();
    bytes += next.slot->size;
    wanted.push_back(next);
  }
  ahead_bytes_ += bytes;
  std::ranges::sort(wanted, [](const Wanted& left, const Wanted& right) {
    return std::pair(left.place.pack, left.place.blob.offset) <
           std::pair(right.place.pack, right.place.blob.offset);
  });
  for (std::span<const Wanted> rest = wanted; !rest.empty();) {
    const size_t count = in_one_request(rest);
    begin_request(rest.first(count));
    rest = rest.subspan(count);
  }
}

void BlobsAhead::begin_request(std::span<const Wanted> blobs) {
  group_.run([this, own = std::vector<Wanted>(blobs.begin(), blobs.end())] { fetch(own); });
}

// How many of these, the first ones.
size_t BlobsAhead::in_one_request(std::span<const Wanted> wanted) const {
  const BlobLocation& first = wanted.front().place;
  uint64_t end = end_of(first.blob);
  size_t count = 1;
  for (; count < wanted.size() && !is_large(first.blob); ++count) {
    const BlobLocation& next = wanted[count].place;
    if (next.pack != first.pack || is_large(next.blob) || next.blob.offset > end + largest_gap_ ||
        end_of(next.blob) - first.blob.offset > kRequestBytes) {
      break;
    }
    end = std::max(end, end_of(next.blob));
  }
  return count;
}

void BlobsAhead::fetch(const std::vector<Wanted>& blobs) {
  std::vector<Buffer> contents(blobs.size());
  std::vector<std::exception_ptr> errors(blobs.size());
  try {
    const BlobReaders::Loan reader = readers_.borrow();
    if (blobs.size() > 1) {
      fetch_together(*reader, blobs, contents);
    }
    for (size_t i = 0; i < blobs.size(); ++i) {
      if (contents[i].empty()) {  // alone, or not good: by every way there is
        load(*reader, blobs[i].slot->id, contents[i], errors[i]);
      }
    }
  } catch (...) {
    std::ranges::fill(errors, std::current_exception());
  }
  {
    const std::scoped_lock lock(mutex_);
    for (size_t i = 0; i < blobs.size(); ++i) {
      blobs[i].slot->bytes = std::move(contents[i]);
      blobs[i].slot->error = std::move(errors[i]);  // whoever hears it is the last to hold it
      blobs[i].slot->done = true;
    }
  }
  changed_.notify_all();
}

// Blobs of one pack, by their offsets. Leaves empty what does not verify, or cannot be read so.
void BlobsAhead::fetch_together(BlobReader& reader, const std::vector<Wanted>& blobs,
                                std::vector<Buffer>& contents) const {
  const BlobLocation& first = blobs.front().place;
  const uint64_t begin = first.blob.offset;
  uint64_t end = begin;
  for (const Wanted& wanted : blobs) {
    end = std::max(end, end_of(wanted.place.blob));
  }
  Buffer sealed(end - begin);
  try {
    readers_.repository().storage().get_range(context_, pack_object(first.pack), begin,
                                              sealed.bytes());
  } catch (const Error& error) {
    if (concerns_all(error)) {
      throw;
    }
    return;
  }
  std::vector<ByteView> messages(blobs.size());
  for (size_t i = 0; i < blobs.size(); ++i) {
    const PackedBlob& blob = blobs[i].place.blob;
    contents[i].resize(blob.content_length());
    if (!reader.decode(blob, sealed.view(blob.offset - begin, blob.length), contents[i].bytes())) {
      contents[i] = Buffer();
    }
    messages[i] = contents[i].view();
  }
  std::vector<Digest> digests(blobs.size());
  sha256_many(messages, digests);
  for (size_t i = 0; i < blobs.size(); ++i) {
    if (digests[i] != blobs[i].slot->id.digest()) {
      contents[i] = Buffer();
    }
  }
}

void BlobsAhead::load(BlobReader& reader, const BlobId& id, Buffer& content,
                      std::exception_ptr& error) const {
  try {
    content = reader.load(context_, {BlobType::kData, id});
  } catch (const Error& failed) {
    if (concerns_all(failed)) {
      throw;
    }
    error = std::current_exception();
  }
}

// The oldest, once it is there.
BlobsAhead::Slot BlobsAhead::take() {
  std::unique_lock lock(mutex_);
  if (!changed_.wait(lock, group_.stop_token(), [&] { return slots_.front().done; })) {
    group_.check();
    throw cancelled();
  }
  Slot slot = std::move(slots_.front());
  slots_.pop_front();
  return slot;
}

}  // namespace salvor
