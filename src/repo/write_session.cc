#include "repo/write_session.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "codec/index_codec.h"
#include "codec/pack_header.h"
#include "codec/zstd.h"
#include "crypto/sha256.h"
#include "repo/pack_assembler.h"
#include "repo/repository.h"

namespace salvor {
namespace {

constexpr size_t kIndexFullBlobs = 50000;
constexpr std::chrono::minutes kIndexFullAge{10};
// Plaintext in a writer. From the first limit on, the next call of hash() verifies it along with
// its own messages (a piece of a large file, 2 to 3 MiB, is one call); at the second, nobody having
// called, it is verified alone. 3 and 4 MiB there cost memory and were no faster.
constexpr size_t kBatchBytes = size_t{1} << 20;
constexpr size_t kBatchLimit = size_t{2} << 20;
constexpr size_t kKept = size_t{3} << 20;  // of each buffer between batches: few blobs are larger
constexpr size_t kHashStretch = size_t{256} << 10;  // of an open pack that is worth a hash stretch

// `auto` aims at a repository no larger than restic's at a multiple of its speed. Found by trying
// on 1.4 GB of programs and text: below some tens of KiB level 1 finds as much as anything this
// fast; above, the shorter matches and larger table pay; and where much is to be saved, two tables
// find more than they cost. The sample tells that apart.
CompressionMethod automatic_method(Compressor& compressor, ByteView plaintext) {
  constexpr size_t kSmallBlob = size_t{32} << 10;
  constexpr size_t kLargeBlob = size_t{128} << 10;
  constexpr double kMuchToSave = 0.45;
  if (plaintext.size() < kSmallBlob) {
    return {.level = 1};
  }
  if (plaintext.size() >= kLargeBlob && compressor.sample_ratio(plaintext) < kMuchToSave) {
    return {.level = 1,
            .window_log = 22,
            .hash_log = 15,
            .chain_log = 14,
            .min_match = 5,
            .two_tables = true};
  }
  // A table that fits the processor's cache finds as much in a blob of this size, a fifth faster.
  return {.level = 1,
          .window_log = 22,
          .hash_log = plaintext.size() < kLargeBlob ? 15 : 16,
          .min_match = 5};
}

CompressionMethod compression_method(Compression compression, BlobType type, Compressor& compressor,
                                     ByteView plaintext) {
  switch (compression) {
    case Compression::kFastest:
      return {.level = 1};
    case Compression::kBetter:
      return {.level = 7};
    case Compression::kMax:
      return {.level = 15};
    case Compression::kOff:
    case Compression::kAuto:
      break;
  }
  return type == BlobType::kTree ? CompressionMethod{.level = 3}
                                 : automatic_method(compressor, plaintext);
}

}  // namespace

struct WriteSession::State {
  State(const Context& outer, Repository& repo, const WriteOptions& write_options)
      : context(outer),
        repository(repo),
        options(write_options),
        remote(repo.storage().traits().remote),
        assemblers{
            PackAssembler(options.pack_size_bytes, parallel_uploads(repo, options), context.random),
            PackAssembler(options.pack_size_bytes, parallel_uploads(repo, options),
                          context.random)},
        index_started(context.clock.monotonic()),
        pool("salvor-upload", parallel_uploads(repo, options)),
        uploads(pool, context.stop, pool.size()) {}

  static unsigned parallel_uploads(const Repository& repo, const WriteOptions& options) {
    if (options.uploads > 0) {
      return options.uploads;
    }
    const StorageTraits traits = repo.storage().traits();
    return traits.remote ? std::max(1U, traits.connections) : 1;
  }

  // Full packs, by type, whose last stretch waits for the next call of hash().
  using ClosingPacks = std::array<std::optional<OpenPack>, 2>;

  PackAssembler& assembler(BlobType type) { return assemblers[static_cast<size_t>(type)]; }
  void append(std::span<const SealedBlob> blobs, Sealer& sealer, BlobType type);
  void close(OpenPack pack, Sealer& sealer, BlobType type);
  [[nodiscard]] ClosingPacks take_closing();
  void upload(OpenPack open, Sealer& sealer, BlobType type);
  void upload(ClosingPacks packs, Sealer& sealer);
  void store_pack(const FinishedPack& pack);
  void confirm_pack(const PackId& pack, uint64_t size_bytes) const;
  void list_pack(FinishedPack& pack);
  struct ListedPack {
    PackId id;
    std::vector<PackedBlob> blobs;
  };

  void write_index(const Context& under);
  void store_index(const Context& under, const std::vector<ListedPack>& packs) const;
  [[nodiscard]] std::vector<ListedPack> take_unindexed();
  void give_back(std::vector<ListedPack> packs);
  void confirm_lock(const Context& under) const {
    if (options.confirm_lock) {
      options.confirm_lock(under);
    }
  }

  const Context context;
  Repository& repository;
  const WriteOptions options;
  const bool remote;
  WriteCounters counters;
  std::array<PackAssembler, 2> assemblers;
  std::mutex closing_mutex;
  ClosingPacks closing;
  std::mutex index_mutex;
  std::vector<ListedPack> unindexed;  // durable, not yet in a stored index file
  size_t unindexed_blobs = 0;
  MonotonicTime index_started;
  std::atomic<bool> discarded = false;  // a writer died with blobs in it
  std::atomic<bool> stored_any = false;
  bool finished = false;
  ThreadPool pool;
  TaskGroup uploads;
};

void WriteSession::State::upload(OpenPack open, Sealer& sealer, BlobType type) {
  FinishedPack pack = finish_pack(std::move(open), sealer);
  stored_any = true;
  const StageTimer timer(context.profile, Stage::kWaitStore);
  uploads.run([this, type, pack = std::move(pack)]() mutable {
    const uint64_t size_bytes = pack.bytes.size();
    store_pack(pack);
    // The next pack may fill the buffer while this one is looked for.
    assembler(type).recycle(std::move(pack.bytes));
    confirm_pack(pack.id, size_bytes);
    list_pack(pack);
  });
}

void WriteSession::State::upload(ClosingPacks packs, Sealer& sealer) {
  for (const BlobType type : {BlobType::kData, BlobType::kTree}) {
    if (std::optional<OpenPack>& pack = packs[static_cast<size_t>(type)]) {
      upload(std::move(*pack), sealer, type);
    }
  }
}

void WriteSession::State::append(std::span<const SealedBlob> blobs, Sealer& sealer, BlobType type) {
  while (!blobs.empty()) {
    PackAssembler::Appended appended;
    try {
      appended = assembler(type).append(blobs, uploads.stop_token());
    } catch (const Error&) {
      uploads.check();  // a failed upload is the cause, the interruption its consequence
      throw;
    }
    blobs = blobs.subspan(appended.count);
    if (appended.finished) {
      close(std::move(*appended.finished), sealer, type);
    }
  }
}

// A quarter of a full pack has not been hashed yet: alone that takes more than twice the time that
// it takes beside other messages. One pack a type may wait for those, no more: it holds a buffer.
// Where the network is what everybody waits for, none does.
void WriteSession::State::close(OpenPack pack, Sealer& sealer, BlobType type) {
  if (remote) {
    upload(std::move(pack), sealer, type);
    return;
  }
  std::optional<OpenPack> earlier = std::move(pack);
  {
    const std::scoped_lock lock(closing_mutex);
    earlier.swap(closing[static_cast<size_t>(type)]);
  }
  if (earlier) {
    upload(std::move(*earlier), sealer, type);
  }
}

WriteSession::State::ClosingPacks WriteSession::State::take_closing() {
  const std::scoped_lock lock(closing_mutex);
  return std::exchange(closing, {});
}

void WriteSession::State::store_pack(const FinishedPack& pack) {
  if (!options.dry_run) {
    const StageTimer timer(context.profile, Stage::kStore, pack.bytes.size());
    repository.storage().put(context, pack_object(pack.id), pack.bytes.view());
  }
  ++counters.packs;
}

void WriteSession::State::confirm_pack(const PackId& pack, uint64_t size_bytes) const {
  if (options.dry_run || !options.confirm_packs) {
    return;
  }
  const ObjectName object = pack_object(pack);
  const std::optional<ObjectInfo> info = repository.storage().stat(context, object);
  if (!info || info->size_bytes != size_bytes) {
    throw Error(ErrorCode::kDamaged,
                object.display() + (info ? " was stored with the wrong length"
                                         : " is gone right after it was stored"),
                "The storage lost what it had confirmed. Check it (disk, mount, free space) and "
                "run `salvor check`.");
  }
}

void WriteSession::State::list_pack(FinishedPack& pack) {
  repository.index().add_pack(pack.id, pack.blobs);
  bool full = false;
  {
    const std::scoped_lock lock(index_mutex);
    unindexed_blobs += pack.blobs.size();
    unindexed.push_back({pack.id, std::move(pack.blobs)});
    full = unindexed_blobs >= kIndexFullBlobs ||
           context.clock.monotonic() - index_started > kIndexFullAge;
  }
  if (full) {
    write_index(context);
  }
}

std::vector<WriteSession::State::ListedPack> WriteSession::State::take_unindexed() {
  const std::scoped_lock lock(index_mutex);
  unindexed_blobs = 0;
  index_started = context.clock.monotonic();
  return std::exchange(unindexed, {});
}

void WriteSession::State::give_back(std::vector<ListedPack> packs) {
  const std::scoped_lock lock(index_mutex);
  for (ListedPack& pack : packs) {
    unindexed_blobs += pack.blobs.size();
    unindexed.push_back(std::move(pack));
  }
}

void WriteSession::State::write_index(const Context& under) {
  std::vector<ListedPack> packs = take_unindexed();
  if (packs.empty() || options.dry_run) {
    return;
  }
  try {
    store_index(under, packs);
  } catch (...) {
    give_back(std::move(packs));  // the end of an interrupted run may still index them
    throw;
  }
}

// The lock is looked at for each index: since the last one it may have been lost, and with it the
// packs, which nothing lists, to a prune.
void WriteSession::State::store_index(const Context& under,
                                      const std::vector<ListedPack>& packs) const {
  IndexEncoder encoder;
  for (const ListedPack& pack : packs) {
    encoder.add_pack(pack.id, pack.blobs);
  }
  const std::string json = encoder.finish();
  confirm_lock(under);
  repository.save_document(under, ObjectKind::kIndex, as_bytes(json));
}

WriteSession::WriteSession(const Context& context, Repository& repository,
                           const WriteOptions& options)
    : state_(std::make_unique<State>(context, repository, options)) {}

WriteSession::~WriteSession() {
  if (state_->finished) {
    return;
  }
  try {
    Sealer sealer = state_->repository.make_sealer();
    state_->upload(state_->take_closing(), sealer);
  } catch (...) {
    // Interrupted: they are abandoned like those that are still open.
  }
  try {
    state_->uploads.wait();
  } catch (...) {
    // The error that ended the run has been reported already.
  }
  try {
    // Also after an interrupt: what is uploaded is worth keeping for the next run.
    NullEventSink quiet;
    const Context& context = state_->context;
    const Context rescue{{}, quiet, context.clock, context.random};
    state_->write_index(rescue);
  } catch (...) {
    // Packs without an index entry are harmless; the next prune removes them.
  }
}

std::unique_ptr<BlobWriter> WriteSession::make_writer() {
  return std::make_unique<BlobWriter>(*state_);
}

void WriteSession::finish(const Context& context) {
  context.check_stopped();
  if (state_->discarded) {
    throw Error(ErrorCode::kFailed, "a writer ended before its blobs were stored");
  }
  Sealer sealer = state_->repository.make_sealer();
  state_->upload(state_->take_closing(), sealer);
  for (const BlobType type : {BlobType::kData, BlobType::kTree}) {
    for (OpenPack& pack : state_->assembler(type).take_rest()) {
      state_->upload(std::move(pack), sealer, type);
    }
  }
  if (state_->stored_any && !state_->options.dry_run) {
    // A round trip, while the last packs are on their way: where they are there within a second,
    // the lock was seen lately enough for the index.
    state_->confirm_lock(context);
  }
  state_->uploads.wait();
  state_->write_index(context);
  state_->finished = true;
}

std::optional<SnapshotId> WriteSession::commit(const Context& context, const Snapshot& snapshot) {
  if (!state_->finished) {
    finish(context);
  }
  if (state_->options.dry_run) {
    return std::nullopt;
  }
  state_->confirm_lock(context);
  return state_->repository.save_snapshot(context, snapshot);
}

void WriteSession::confirm_stored(const Context& context, const SnapshotId& snapshot) const {
  const Repository& repository = state_->repository;
  BlobReader reader(repository);
  (void)reader.load_tree(context, repository.load_snapshot(context, snapshot).tree);
}

const WriteCounters& WriteSession::counters() const {
  return state_->counters;
}

struct BlobWriter::State {
  struct Prepared {
    PackedBlob blob;
    size_t begin = 0;  // of the sealed bytes in `sealed`
    uint32_t plain_size = 0;
  };

  explicit State(WriteSession::State& owner)
      : session(owner), sealer(owner.repository.make_sealer()) {}

  void prepare(BlobType type, const BlobId& id, ByteView plaintext);
  [[nodiscard]] bool compress(BlobType type, ByteView plaintext);
  void decode_batch();
  [[nodiscard]] std::vector<Digest> hash(std::span<const ByteView> of);
  [[nodiscard]] std::vector<Digest> hash_with_batch(std::span<const ByteView> of);
  void check_batch(std::span<const Digest> digests) const;
  void append_batch();
  void count(const Prepared& prepared);

  WriteSession::State& session;
  Sealer sealer;
  Compressor compressor;
  Decompressor decompressor;
  std::vector<Prepared> batch;
  size_t batch_plain = 0;
  Buffer frame;     // compressed bytes of one blob
  Buffer sealed;    // the batch, sealed, end to end
  Buffer unsealed;  // verification: compressed bytes of one blob
  Buffer decoded;   // verification: the batch's plaintext, end to end
  std::vector<ByteView> messages;
  std::vector<Sha256> hashes;
  std::vector<Sha256Update> updates;
  std::vector<SealedBlob> outgoing;
};

BlobWriter::BlobWriter(WriteSession::State& session) : state_(std::make_unique<State>(session)) {}

BlobWriter::~BlobWriter() {
  if (!state_->batch.empty()) {
    state_->session.discarded = true;
  }
}

// Leaves the frame in `frame`; false when the blob is better stored raw.
bool BlobWriter::State::compress(BlobType type, ByteView plaintext) {
  const StageTimer timer(session.context.profile, Stage::kCompress, plaintext.size());
  if (session.repository.config().version == 1 || plaintext.empty()) {
    return false;
  }
  const Compression mode = session.options.compression;
  if (type == BlobType::kData) {
    if (mode == Compression::kOff) {
      return false;
    }
    if (mode != Compression::kMax && compressor.looks_incompressible(plaintext)) {
      return false;
    }
  }
  compressor.compress(plaintext, compression_method(mode, type, compressor, plaintext), frame);
  // restic's prune rewrites raw trees in version 2, so trees stay compressed whatever it costs.
  return type == BlobType::kTree || frame.size() < plaintext.size() - plaintext.size() / 64;
}

void BlobWriter::State::prepare(BlobType type, const BlobId& id, ByteView plaintext) {
  const bool compressed = compress(type, plaintext);
  const ByteView content = compressed ? frame.view() : plaintext;
  Prepared prepared;
  prepared.begin = sealed.size();
  prepared.plain_size = static_cast<uint32_t>(plaintext.size());
  prepared.blob.handle = {type, id};
  prepared.blob.length = static_cast<uint32_t>(content.size() + kSealOverhead);
  prepared.blob.plain_length = compressed ? prepared.plain_size : 0;
  const StageTimer timer(session.context.profile, Stage::kSeal, content.size());
  sealer.seal(content, sealed.extend(content.size() + kSealOverhead));
  batch.push_back(prepared);
  batch_plain += plaintext.size();
}

AddResult BlobWriter::add(BlobType type, const BlobId& id, ByteView plaintext) {
  if (plaintext.size() > UINT32_MAX - 2 * kSealOverhead) {
    throw Error(ErrorCode::kFailed, "a blob of more than 4 GiB cannot be stored",
                "A directory with this many entries exceeds the repository format's limits.");
  }
  if (state_->session.repository.index().claim({type, id}) != Index::Claim::kMine) {
    return {};
  }
  state_->prepare(type, id, plaintext);
  if (state_->batch_plain >= kBatchLimit) {
    flush();
  }
  return {true};
}

void BlobWriter::add_copy(BlobType type, const BlobId& id, ByteView plaintext) {
  state_->prepare(type, id, plaintext);
  if (state_->batch_plain >= kBatchLimit) {
    flush();
  }
}

void BlobWriter::add_sealed(const PackedBlob& blob, ByteView sealed) {
  State::Prepared prepared;
  prepared.begin = state_->sealed.size();
  prepared.plain_size = blob.content_length();
  prepared.blob = blob;
  state_->sealed.append(sealed);
  state_->batch.push_back(prepared);
  state_->batch_plain += prepared.plain_size;
  if (state_->batch_plain >= kBatchLimit) {
    flush();
  }
}

// Undoes the sealing and the compression of every blob of the batch, into `decoded`.
void BlobWriter::State::decode_batch() {
  const StageTimer timer(session.context.profile, Stage::kVerify, batch_plain);
  decoded.resize(batch_plain);
  size_t begin = 0;
  for (const Prepared& prepared : batch) {
    const ByteView bytes = sealed.view(prepared.begin, prepared.blob.length);
    const MutableBytes plain = decoded.bytes().subspan(begin, prepared.plain_size);
    begin += prepared.plain_size;
    bool good = false;
    if (prepared.blob.compressed()) {
      unsealed.resize(prepared.blob.length - kSealOverhead);
      good =
          sealer.unseal(bytes, unsealed.bytes()) && decompressor.decompress(unsealed.view(), plain);
    } else {
      good = sealer.unseal(bytes, plain);
    }
    if (!good) {
      throw Error(ErrorCode::kDamaged,
                  "blob " + prepared.blob.handle.id.short_hex() + " does not decode after sealing",
                  "This points to faulty memory. The blob was not stored.");
    }
  }
}

// Hashes the messages and moves the hashes of packs on in the same pass: of those that are full,
// which are uploaded then, and of those that are still open.
std::vector<Digest> BlobWriter::State::hash(std::span<const ByteView> of) {
  std::array<std::vector<PackAssembler::HashStretch>, 2> stretches;
  for (size_t type = 0; type < stretches.size(); ++type) {
    stretches[type] = session.assemblers[type].begin_hashing(kHashStretch);
  }
  WriteSession::State::ClosingPacks closing = session.take_closing();
  hashes.assign(of.size(), Sha256());
  updates.clear();
  for (std::optional<OpenPack>& pack : closing) {
    if (pack) {
      updates.push_back({&pack->hash, pack->bytes.view().subspan(pack->hashed)});
      pack->hashed = pack->bytes.size();
    }
  }
  for (size_t i = 0; i < of.size(); ++i) {
    updates.push_back({&hashes[i], of[i]});
  }
  for (const auto& of_type : stretches) {
    for (const auto& stretch : of_type) {
      updates.push_back({&stretch.pack->hash, stretch.bytes});
    }
  }
  uint64_t bytes = 0;
  for (const Sha256Update& update : updates) {
    bytes += update.bytes.size();
  }
  // Longest first: so that no lane is left alone with a long one at the end.
  std::sort(updates.begin(), updates.end(),
            [](const Sha256Update& left, const Sha256Update& right) {
              return left.bytes.size() > right.bytes.size();
            });
  {
    const StageTimer timer(session.context.profile, Stage::kHash, bytes);
    sha256_update_many(updates);
  }
  for (size_t type = 0; type < stretches.size(); ++type) {
    for (const auto& stretch : stretches[type]) {
      session.assemblers[type].hashed(stretch);
    }
  }
  session.upload(std::move(closing), sealer);
  std::vector<Digest> digests;
  digests.reserve(of.size());
  for (Sha256& message : hashes) {
    digests.push_back(message.finish());
  }
  return digests;
}

void BlobWriter::State::check_batch(std::span<const Digest> digests) const {
  for (size_t i = 0; i < batch.size(); ++i) {
    if (digests[i] != batch[i].blob.handle.id.digest()) {
      throw Error(ErrorCode::kDamaged,
                  "blob " + batch[i].blob.handle.id.short_hex() +
                      " does not have its hash after sealing and unsealing",
                  "This points to faulty memory. The blob was not stored.");
    }
  }
}

// Verifies the batch, hands it on to the packs, and hashes `of` in the same pass: the more messages
// there are, the fuller the lanes.
std::vector<Digest> BlobWriter::State::hash_with_batch(std::span<const ByteView> of) {
  session.context.check_stopped();
  decode_batch();
  messages.assign(of.begin(), of.end());
  size_t begin = 0;
  for (const Prepared& prepared : batch) {
    messages.push_back(decoded.view(begin, prepared.plain_size));
    begin += prepared.plain_size;
  }
  std::vector<Digest> digests = hash(messages);
  check_batch(std::span(digests).subspan(of.size()));
  append_batch();
  batch.clear();
  batch_plain = 0;
  for (Buffer* buffer : {&frame, &sealed, &unsealed, &decoded}) {
    buffer->clear_keeping(kKept);
  }
  digests.resize(of.size());
  return digests;
}

void BlobWriter::State::count(const Prepared& prepared) {
  WriteCounters& counters = session.counters;
  ++(prepared.blob.handle.type == BlobType::kTree ? counters.tree_blobs : counters.data_blobs);
  counters.plain_bytes += prepared.plain_size;
  counters.stored_bytes += prepared.blob.length + pack_entry_size(prepared.blob);
  counters.raw_blobs += prepared.blob.compressed() ? 0 : 1;
}

void BlobWriter::State::append_batch() {
  for (const BlobType type : {BlobType::kData, BlobType::kTree}) {
    outgoing.clear();
    for (const Prepared& prepared : batch) {
      if (prepared.blob.handle.type == type) {
        outgoing.push_back({prepared.blob, sealed.view(prepared.begin, prepared.blob.length)});
        count(prepared);
      }
    }
    session.append(outgoing, sealer, type);
  }
}

std::vector<Digest> BlobWriter::hash(std::span<const ByteView> messages) {
  return state_->batch_plain >= kBatchBytes ? state_->hash_with_batch(messages)
                                            : state_->hash(messages);
}

std::vector<PackedBlob> BlobWriter::take_unverified() {
  std::vector<PackedBlob> blobs;
  blobs.reserve(state_->batch.size());
  for (const State::Prepared& prepared : state_->batch) {
    blobs.push_back(prepared.blob);
  }
  state_->batch.clear();
  state_->batch_plain = 0;
  state_->sealed.clear();
  return blobs;
}

void BlobWriter::flush() {
  if (!state_->batch.empty()) {
    (void)state_->hash_with_batch({});
  }
}

}  // namespace salvor
