// A restic-format repository on one storage: documents, keys, snapshots, the index, and reading
// blobs. Writing blobs is WriteSession's business (repo/write_session.h).
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/context.h"
#include "base/secret.h"
#include "chunk/polynomial.h"
#include "codec/documents.h"
#include "codec/tree_codec.h"
#include "codec/zstd.h"
#include "crypto/seal.h"
#include "model/node.h"
#include "repo/index.h"
#include "storage/storage.h"

namespace salvor {

struct CreateOptions {
  unsigned version = 2;
  std::optional<Polynomial> polynomial;  // to deduplicate with another repository; else random
  std::optional<ScryptParameters> kdf;   // else calibrated as restic does
  std::string username;
  std::string hostname;
};

struct OpenOptions {
  std::string key_hint;  // id prefix of the key file to try first
  unsigned threads = 2;  // for scrypt and index decoding
  std::string location;  // as the user named it, for errors; empty: the storage's description
};

// Something stored that cannot be read, as a value: loading goes on without it and the caller
// decides.
struct UnreadableObject {
  ObjectName object;
  std::string reason;
};

// Thread-safe except where said. All reads are verified: document names are hashes of their bytes,
// blobs are hashes of their plaintext.
class Repository {
 public:
  // Makes a new repository; throws Error{kFailed} if there is one already.
  static std::unique_ptr<Repository> create(const Context& context,
                                            std::unique_ptr<Storage> storage,
                                            const Secret& password, const CreateOptions& options);
  // Throws Error{kNoRepository} when there is no config, Error{kWrongPassword} when no key opens
  // it.
  static std::unique_ptr<Repository> open(const Context& context, std::unique_ptr<Storage> storage,
                                          const Secret& password, const OpenOptions& options = {});
  ~Repository();

  [[nodiscard]] const RepositoryConfig& config() const { return config_; }
  [[nodiscard]] Storage& storage() const { return *storage_; }
  [[nodiscard]] const MasterKey& master_key() const { return master_key_; }
  // The key file that opened it.
  [[nodiscard]] const KeyId& key_id() const { return key_id_; }
  [[nodiscard]] Random& random() const { return random_; }
  // A new sealer, for one thread.
  [[nodiscard]] Sealer make_sealer() const { return {master_key_, random_}; }

  // --- documents: sealed, in version 2 compressed, named by their hash
  // The plaintext JSON. Throws Error{kDamaged} when hash, seal or encoding is wrong.
  [[nodiscard]] Buffer load_document(const Context& context, ObjectKind kind,
                                     const std::string& name) const;
  // Verified (unsealed, decoded, compared) before it is stored; durable on return. Returns the
  // name.
  std::string save_document(const Context& context, ObjectKind kind, ByteView json) const;
  void save_config(const Context& context, const RepositoryConfig& config);

  // --- snapshots
  // All of them, oldest first. Unreadable ones go to `unreadable`; without it the first throws.
  [[nodiscard]] std::vector<StoredSnapshot> load_snapshots(
      const Context& context, std::vector<UnreadableObject>* unreadable = nullptr) const;
  [[nodiscard]] Snapshot load_snapshot(const Context& context, const SnapshotId& id) const;
  SnapshotId save_snapshot(const Context& context, const Snapshot& snapshot) const;

  // --- index
  // Reads every index file (again). Must be called, under a lock, before blobs are read or written.
  // Unreadable ones, and those that vanish meanwhile, go to `unreadable`; without it the first
  // throws. `on_pack` is called for each pack of each file, from several threads at a time.
  using PackVisitor = std::function<void(const PackId&, std::span<const PackedBlob>)>;
  void load_index(const Context& context, std::vector<UnreadableObject>* unreadable = nullptr,
                  const PackVisitor& on_pack = {});
  [[nodiscard]] Index& index() { return *index_; }
  [[nodiscard]] const Index& index() const { return *index_; }
  // Index files that make up index().
  [[nodiscard]] const std::vector<IndexId>& index_files() const { return index_files_; }
  // The packs that those files mark for deletion and none of them lists: nothing may be read from
  // them or refer to them, but the next prune must know them.
  [[nodiscard]] const std::vector<MarkedPack>& marked_packs() const { return marked_packs_; }
  // The marked pack that holds a blob. Slow; for explaining why the index does not list it.
  [[nodiscard]] std::optional<PackId> find_marked(const BlobHandle& handle) const;
  // Says so of a blob that the index does not list: Error{kNotFound} with the next step.
  [[nodiscard]] Error not_indexed(const BlobHandle& handle) const;

 private:
  Repository(std::unique_ptr<Storage> storage, Random& random);

  std::unique_ptr<Storage> storage_;
  Random& random_;
  MasterKey master_key_;
  KeyId key_id_;
  RepositoryConfig config_;
  std::unique_ptr<Index> index_;
  std::vector<IndexId> index_files_;
  std::vector<MarkedPack> marked_packs_;
  unsigned threads_ = 2;
};

// Reads blobs. Holds one thread's contexts and scratch memory. Not thread-safe: one a thread.
class BlobReader {
 public:
  explicit BlobReader(const Repository& repository);

  // Any copy that verifies, in index order. Throws Error{kNotFound} when no index lists the blob,
  // Error{kDamaged} when no copy is good (the message names the packs tried), Error{kFailed} when
  // there is not enough memory for it. What claims to be large (blob.h) takes memory only once it
  // has been verified in pieces.
  [[nodiscard]] Buffer load(const Context& context, const BlobHandle& handle);
  [[nodiscard]] Tree load_tree(const Context& context, const BlobId& id);

  // Unseals and decompresses `sealed` (exactly blob.length bytes) into `plaintext` (exactly
  // blob.content_length() bytes). False when that fails. Does *not* compare the hash: callers hash
  // in batches. Not for large blobs.
  [[nodiscard]] bool decode(const PackedBlob& blob, ByteView sealed, MutableBytes plaintext);

  // Whether `sealed` is the blob, hash included. Takes no memory for its content.
  [[nodiscard]] bool verify(const PackedBlob& blob, ByteView sealed);

  [[nodiscard]] TreeDecoder& tree_decoder() { return tree_decoder_; }
  [[nodiscard]] const Repository& repository() const { return repository_; }

 private:
  [[nodiscard]] std::optional<Buffer> load_copy(const Context& context, const BlobLocation& copy);

  const Repository& repository_;
  Sealer sealer_;
  Decompressor decompressor_;
  TreeDecoder tree_decoder_;
  Buffer sealed_;
  Buffer unsealed_;
};

// Names of objects from ids.
[[nodiscard]] inline ObjectName pack_object(const PackId& id) {
  return {ObjectKind::kPack, id.hex()};
}
[[nodiscard]] inline ObjectName index_object(const IndexId& id) {
  return {ObjectKind::kIndex, id.hex()};
}
[[nodiscard]] inline ObjectName snapshot_object(const SnapshotId& id) {
  return {ObjectKind::kSnapshot, id.hex()};
}

}  // namespace salvor
