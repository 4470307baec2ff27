// Writing blobs: claim, compress, seal, verify, pack, upload, index, and at the end the snapshot.
//
// Order of durability: packs -> index -> snapshot. An index entry is never written before its
// pack's upload has returned and the storage, asked again, has the pack in its full length; the
// snapshot never before the last index.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/context.h"
#include "base/task.h"
#include "model/blob.h"
#include "model/snapshot.h"

namespace salvor {

class Repository;

enum class Compression : uint8_t { kAuto, kOff, kFastest, kBetter, kMax };

struct WriteOptions {
  Compression compression = Compression::kAuto;
  uint64_t pack_size_bytes = uint64_t{16}
                             << 20;  // 4 to 128 MiB; a pack is closed once it holds this much
  // Parallel uploads; 0: as the storage can use, one for a local disk, where more only cost memory.
  unsigned uploads = 0;
  bool dry_run = false;  // everything but the storing
  // Ask for each pack once it is stored. Not for storages that cannot be read yet.
  bool confirm_packs = true;
  // RepositoryLock::confirm belongs here. Called before each index is stored (also for what an
  // interrupted run uploaded) and before the snapshot: entries for packs that a prune may have
  // removed meanwhile would be damage. Packs need no leave: without an index entry they harm
  // nobody.
  std::function<void(const Context&)> confirm_lock;
};

// Totals of a session; read at any time from any thread.
struct WriteCounters {
  std::atomic<uint64_t> data_blobs = 0;
  std::atomic<uint64_t> tree_blobs = 0;
  std::atomic<uint64_t> plain_bytes = 0;   // of new blobs
  std::atomic<uint64_t> stored_bytes = 0;  // sealed, plus header entries
  std::atomic<uint64_t> packs = 0;
  std::atomic<uint64_t> raw_blobs = 0;  // stored without compression because it did not pay
};

// What became of a blob handed to BlobWriter::add.
struct AddResult {
  bool added = false;  // false: already stored or being stored by somebody else
};

class BlobWriter;

// Thread-safe. The repository's index must be loaded and a lock held. Destroyed without `finish` it
// abandons what is not yet uploaded; packs already uploaded are indexed if that still works, so
// that nothing uploaded is lost.
class WriteSession {
 public:
  WriteSession(const Context& context, Repository& repository, const WriteOptions& options);
  ~WriteSession();
  WriteSession(const WriteSession&) = delete;
  WriteSession& operator=(const WriteSession&) = delete;

  // A writer for one thread; must be flushed and gone before `finish`.
  [[nodiscard]] std::unique_ptr<BlobWriter> make_writer();
  // Closes the open packs, waits for the uploads, writes the index. Nothing may be added
  // afterwards.
  void finish(const Context& context);
  // finish + the snapshot; returns its name once it is durable (nothing on a dry run).
  std::optional<SnapshotId> commit(const Context& context, const Snapshot& snapshot);

  // Reads back from the storage that the snapshot and its root tree load and verify (V1); that
  // every pack is there with its full length was asked when it had been stored, before an index
  // listed it. Throws Error{kDamaged} that names what is not as it was written.
  void confirm_stored(const Context& context, const SnapshotId& snapshot) const;

  [[nodiscard]] const WriteCounters& counters() const;

 private:
  friend class BlobWriter;
  struct State;
  std::unique_ptr<State> state_;
};

// Prepares blobs in batches on one thread: the verification hashes of several blobs run
// interleaved. Not thread-safe.
class BlobWriter {
 public:
  explicit BlobWriter(WriteSession::State& session);
  // Discards what was not flushed; the session then fails to finish.
  ~BlobWriter();

  // `id` must be the SHA-256 of `plaintext`, which is not needed after the call. Data may stay in
  // this writer until `flush`.
  AddResult add(BlobType type, const BlobId& id, ByteView plaintext);
  // Stores another copy of a blob whose sealed bytes under this repository's key are at hand,
  // without asking the index (prune moves blobs so). Verified like everything else: what does not
  // verify throws Error{kDamaged}.
  void add_sealed(const PackedBlob& blob, ByteView sealed);
  // Stores another copy of a blob without asking the index, compressed anew (prune turns raw blobs
  // into compressed ones so). Verified like everything else.
  void add_copy(BlobType type, const BlobId& id, ByteView plaintext);
  // After Error{kDamaged}: the blobs that were not verified, hence not stored, are taken out again.
  // The writer is as if they had never been added.
  [[nodiscard]] std::vector<PackedBlob> take_unverified();
  // SHA-256 of each message. The blobs of this writer that wait for their verification and open
  // packs have hashing to be done as well; it fills the lanes that these messages leave idle.
  [[nodiscard]] std::vector<Digest> hash(std::span<const ByteView> messages);
  // Hands everything on to the packs.
  void flush();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace salvor
