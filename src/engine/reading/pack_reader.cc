#include "engine/reading/pack_reader.h"

#include <algorithm>
#include <optional>

#include "codec/pack_header.h"
#include "crypto/seal.h"
#include "crypto/sha256.h"
#include "repo/repository.h"

namespace salvor {
namespace {

// A batch ends once it holds this much; one blob may exceed it.
constexpr uint64_t kBatchSealed = 4 << 20;
constexpr uint64_t kBatchPlain = 8 << 20;
constexpr uint64_t kHeaderGuess = 32 << 10;  // about 800 blobs: most headers in one read
constexpr size_t kProblemsListed = 20;

// Trouble with this object, as opposed to trouble with the storage or an interrupt.
bool is_about_object(const Error& error) {
  return error.code() == ErrorCode::kDamaged || error.code() == ErrorCode::kNotFound ||
         error.code() == ErrorCode::kFailed;
}

uint64_t end_of(const PackedBlob& blob) {
  return uint64_t{blob.offset} + blob.length;
}

// What a blob's content takes in a batch.
uint64_t batched_length(const PackedBlob& blob) {
  return blob.length < kSealOverhead || is_large(blob) ? 0 : blob.content_length();
}

// The sealed header from the last bytes of a pack; `tail` may begin anywhere before it.
std::vector<PackedBlob> decode_tail(Sealer sealer, ByteView tail) {
  const auto damaged = [](const char* what) {
    return Error(ErrorCode::kDamaged, std::string("the pack header ") + what);
  };
  if (tail.size() < kPackTrailer) {
    throw damaged("is missing");
  }
  const uint64_t length = load_u32le(tail.data() + tail.size() - kPackTrailer);
  if (length < kSealOverhead || length > kPackHeaderLimit || length > tail.size() - kPackTrailer) {
    throw damaged("has an impossible length");
  }
  const std::optional<Buffer> header =
      sealer.unseal(tail.subspan(tail.size() - kPackTrailer - length, length));
  if (!header) {
    throw damaged("does not decrypt");
  }
  return decode_pack_header(header->view());
}

}  // namespace

uint64_t pack_size_of(std::span<const PackedBlob> blobs) {
  uint64_t size = kSealOverhead + kPackTrailer;
  for (const PackedBlob& blob : blobs) {
    size += blob.length + pack_entry_size(blob);
  }
  return size;
}

std::vector<PackedBlob> read_pack_header(const Context& context, const Repository& repository,
                                         const PackId& pack, uint64_t size_bytes) {
  if (size_bytes < kSealOverhead + kPackTrailer) {
    throw Error(ErrorCode::kDamaged, "pack " + pack.short_hex() + " is too short for a header");
  }
  Buffer tail(std::min(size_bytes, kHeaderGuess));
  Storage& storage = repository.storage();
  storage.get_range(context, pack_object(pack), size_bytes - tail.size(), tail.bytes());
  const uint64_t wanted =
      uint64_t{load_u32le(tail.data() + tail.size() - kPackTrailer)} + kPackTrailer;
  if (wanted > tail.size() && wanted <= std::min(size_bytes, kPackHeaderLimit + kPackTrailer)) {
    tail.resize(wanted);
    storage.get_range(context, pack_object(pack), size_bytes - wanted, tail.bytes());
  }
  std::vector<PackedBlob> blobs;
  try {
    blobs = decode_tail(repository.make_sealer(), tail.view());
  } catch (Error& error) {
    error.within("pack " + pack.short_hex());
    throw;
  }
  if (pack_size_of(blobs) != size_bytes) {
    throw Error(ErrorCode::kDamaged, "pack " + pack.short_hex() + ": its header accounts for " +
                                         std::to_string(pack_size_of(blobs)) +
                                         " bytes, but it has " + std::to_string(size_bytes));
  }
  return blobs;
}

struct PackReader::State {
  explicit State(const Repository& repo) : repository(repo), blob_reader(repo) {}

  void attempt(const Context& context);
  void skip_to(const Context& context, uint64_t offset);
  size_t batch_end(size_t first) const;
  void read_batch(const Context& context, std::span<const PackedBlob> batch);
  void read_one_by_one(const Context& context, std::span<const PackedBlob> batch);
  bool fetch(const Context& context, uint64_t begin, uint64_t end);
  void decode(std::span<const PackedBlob> batch, uint64_t begin);
  void check_tail(const Context& context);
  void compare_header(std::span<const PackedBlob> header);
  void problem(std::string what);

  const Repository& repository;
  BlobReader blob_reader;
  // The pack at hand.
  PackId pack;
  uint64_t size = 0;
  std::span<const PackedBlob> blobs;
  PackVerdict verdict;
  Sha256 hash;
  uint64_t cursor = 0;  // bytes of the pack that `hash` has seen
  bool incomplete = false;
  // Scratch memory.
  Buffer sealed;
  Buffer plain;
  std::vector<Sha256> hashes;
  std::vector<std::optional<size_t>> hash_of;  // for each blob of the batch; nothing: undecodable
  std::vector<bool> verified;                  // large ones, which are not hashed in the batch
  std::vector<Sha256Update> updates;
};

PackReader::PackReader(const Repository& repository)
    : state_(std::make_unique<State>(repository)) {}

PackReader::~PackReader() = default;

PackVerdict PackReader::verify(const Context& context, const PackId& pack, uint64_t size_bytes,
                               std::span<const PackedBlob> blobs) {
  State& state = *state_;
  state.pack = pack;
  state.size = size_bytes;
  state.blobs = blobs;
  state.attempt(context);
  if (state.verdict.sound()) {
    return std::move(state.verdict);
  }
  // A read error on the way is more likely than damage: look twice, as restic does.
  const PackVerdict first = std::move(state.verdict);
  state.attempt(context);
  if (state.verdict.sound()) {
    state.problem("was read wrongly the first time (" + first.problems.front() +
                  ") and correctly the second");
  }
  return std::move(state.verdict);
}

void PackReader::State::attempt(const Context& context) {
  verdict = {};
  hash = Sha256();
  cursor = 0;
  incomplete = false;
  uint64_t expected = 0;
  bool contiguous = true;
  for (const PackedBlob& blob : blobs) {
    contiguous = contiguous && blob.offset == expected;
    expected = end_of(blob);
  }
  if (!contiguous) {
    problem("its blobs have gaps or overlap, according to the index");
  }
  for (size_t first = 0; first < blobs.size() && !verdict.unreadable;) {
    context.check_stopped();
    skip_to(context, std::min<uint64_t>(blobs[first].offset, size));
    const size_t end = batch_end(first);
    read_batch(context, blobs.subspan(first, end - first));
    first = end;
  }
  check_tail(context);
}

// Bytes that no blob claims still count for the pack's hash.
void PackReader::State::skip_to(const Context& context, uint64_t offset) {
  while (cursor < offset && !incomplete) {
    const uint64_t end = std::min(offset, cursor + kBatchSealed);
    if (!fetch(context, cursor, end)) {
      return;
    }
    hash.update(sealed.view());
    cursor = end;
  }
}

size_t PackReader::State::batch_end(size_t first) const {
  uint64_t sealed_bytes = 0;
  uint64_t plain_bytes = 0;
  size_t end = first;
  do {
    sealed_bytes += blobs[end].length;
    plain_bytes += batched_length(blobs[end]);
    ++end;
  } while (end < blobs.size() && blobs[end].offset == end_of(blobs[end - 1]) &&
           sealed_bytes + blobs[end].length <= kBatchSealed && plain_bytes < kBatchPlain);
  return end;
}

// Leaves the bytes in `sealed`. False (and a problem noted) when they cannot be had.
bool PackReader::State::fetch(const Context& context, uint64_t begin, uint64_t end) {
  sealed.resize(end - begin);
  try {
    repository.storage().get_range(context, pack_object(pack), begin, sealed.bytes());
  } catch (const Error& error) {
    if (!is_about_object(error)) {
      throw;
    }
    incomplete = true;
    if (error.code() == ErrorCode::kNotFound) {
      verdict.unreadable = true;
      verdict.damaged.assign(blobs.begin(), blobs.end());
    }
    problem(error.message());
    return false;
  }
  verdict.bytes_read += end - begin;
  return true;
}

void PackReader::State::read_batch(const Context& context, std::span<const PackedBlob> batch) {
  const uint64_t begin = batch.front().offset;
  const uint64_t end = end_of(batch.back());
  if (end > size || !fetch(context, begin, end)) {
    if (!verdict.unreadable) {
      read_one_by_one(context, batch);
    }
    return;
  }
  updates.clear();
  decode(batch, begin);
  if (cursor >= begin && cursor < end) {
    updates.push_back({&hash, sealed.view().subspan(cursor - begin)});
    cursor = end;
  }
  sha256_update_many(updates);
  for (size_t i = 0; i < batch.size(); ++i) {
    if (verified[i] ||
        (hash_of[i] && hashes[*hash_of[i]].finish() == batch[i].handle.id.digest())) {
      verdict.plain_bytes += batch[i].content_length();
      continue;
    }
    problem("blob " + batch[i].handle.id.hex() +
            (hash_of[i] ? " does not have its hash" : " does not decrypt or decompress"));
    verdict.damaged.push_back(batch[i]);
  }
}

void PackReader::State::decode(std::span<const PackedBlob> batch, uint64_t begin) {
  size_t plain_bytes = 0;
  for (const PackedBlob& blob : batch) {
    plain_bytes += batched_length(blob);
  }
  plain.resize(plain_bytes);
  hashes.assign(batch.size(), Sha256());
  hash_of.assign(batch.size(), std::nullopt);
  verified.assign(batch.size(), false);
  size_t plain_begin = 0;
  for (size_t i = 0; i < batch.size(); ++i) {
    const PackedBlob& blob = batch[i];
    if (blob.length < kSealOverhead) {
      continue;
    }
    if (is_large(blob)) {
      verified[i] = blob_reader.verify(blob, sealed.view(blob.offset - begin, blob.length));
      continue;
    }
    const MutableBytes content = plain.bytes().subspan(plain_begin, blob.content_length());
    plain_begin += content.size();
    if (blob_reader.decode(blob, sealed.view(blob.offset - begin, blob.length), content)) {
      updates.push_back({&hashes[i], content});
      hash_of[i] = i;
    }
  }
}

// What can still be had of a stretch that cannot be read as a whole.
void PackReader::State::read_one_by_one(const Context& context, std::span<const PackedBlob> batch) {
  for (const PackedBlob& blob : batch) {
    bool good = false;
    if (end_of(blob) > size) {
      problem("ends before blob " + blob.handle.id.hex());
      incomplete = true;
    } else if (blob.length >= kSealOverhead && fetch(context, blob.offset, end_of(blob))) {
      good = blob_reader.verify(blob, sealed.view());
      if (!good) {
        problem("blob " + blob.handle.id.hex() + " does not verify");
      }
    }
    if (verdict.unreadable) {
      return;
    }
    if (good) {
      verdict.plain_bytes += blob.content_length();
    } else {
      verdict.damaged.push_back(blob);
    }
  }
  // The pack's hash has a hole now.
  incomplete = true;
}

// The rest of the pack, which must be the header that the index was made from.
void PackReader::State::check_tail(const Context& context) {
  const uint64_t blobs_end = std::min(blobs.empty() ? 0 : end_of(blobs.back()), size);
  const uint64_t header_room = std::min(size, kPackHeaderLimit + kPackTrailer);
  skip_to(context, std::max(blobs_end, size - header_room));
  if (incomplete || !fetch(context, cursor, size)) {
    return;
  }
  hash.update(sealed.view());
  if (hash.finish() != pack.digest()) {
    problem("its bytes do not have the hash that is its name");
  }
  try {
    compare_header(decode_tail(repository.make_sealer(), sealed.view()));
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kDamaged) {
      throw;
    }
    problem(error.message());
  }
}

void PackReader::State::compare_header(std::span<const PackedBlob> header) {
  if (std::equal(header.begin(), header.end(), blobs.begin(), blobs.end())) {
    return;
  }
  problem("its header lists " + std::to_string(header.size()) + " blobs, the index " +
          std::to_string(blobs.size()) + ", and they are not the same");
}

void PackReader::State::problem(std::string what) {
  if (verdict.problems.size() < kProblemsListed) {
    verdict.problems.push_back(std::move(what));
  }
}

}  // namespace salvor
