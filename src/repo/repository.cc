#include "repo/repository.h"

#include <algorithm>
#include <future>
#include <map>
#include <mutex>

#include "base/task.h"
#include "codec/index_codec.h"
#include "crypto/sha256.h"
#include "repo/key_store.h"

namespace salvor {
namespace {

constexpr uint64_t kDocumentLimit = uint64_t{1} << 30;  // sealed
// Twenty times the largest index that any program writes; a snapshot of a million named paths.
constexpr uint64_t kPlainDocumentLimit = uint64_t{256} << 20;
constexpr std::byte kCompressedDocument{
    2};  // version byte of a zstd document; on disk, do not change
constexpr int kDocumentLevel = 3;

const ObjectName kConfigObject{ObjectKind::kConfig, {}};

[[noreturn]] void throw_damaged(const ObjectName& object, const std::string& what) {
  throw Error(
      ErrorCode::kDamaged, object.display() + " " + what,
      "The stored bytes are not what was written. `salvor check` lists what is affected and "
      "how to repair it.");
}

// Strips the encoding of an unsealed version 2 document (restic format, section 3).
Buffer decode_document(const ObjectName& object, unsigned version, Buffer plain) {
  const bool is_json =
      !plain.empty() && (plain.data()[0] == std::byte{'{'} || plain.data()[0] == std::byte{'['});
  if (version == 1 || is_json || plain.empty()) {
    return plain;
  }
  if (plain.data()[0] != kCompressedDocument) {
    throw_damaged(object, "has an unknown encoding");
  }
  Decompressor decompressor;
  std::optional<Buffer> json;
  try {
    json = decompressor.decompress_unknown(plain.view().subspan(1), kPlainDocumentLimit);
  } catch (const std::bad_alloc&) {
    throw Error(ErrorCode::kFailed, "not enough memory for " + object.display());
  }
  if (!json) {
    throw_damaged(object, "does not decompress, or to more than 256 MiB");
  }
  return std::move(*json);
}

RepositoryConfig read_config(const Buffer& sealed, Sealer& sealer) {
  const std::optional<Buffer> json = sealer.unseal(sealed.view());
  if (!json) {
    throw_damaged(kConfigObject, "does not decrypt");
  }
  RepositoryConfig config = decode_config(json->view());
  const Polynomial polynomial(config.chunker_polynomial);
  if (polynomial.degree() != 53 || !polynomial.irreducible()) {
    throw_damaged(kConfigObject, "holds an invalid chunker polynomial");
  }
  return config;
}

Buffer load_config(const Context& context, Storage& storage, const std::string& location) {
  Buffer sealed;
  std::string hint;
  try {
    sealed = storage.get(context, kConfigObject, kDocumentLimit);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kNotFound) {
      throw;
    }
    // The storage may know more: that there is no such bucket, that nothing is mounted.
    hint = error.hint().empty() ? "" : error.hint() + " ";
  }
  if (sealed.empty()) {
    throw Error(
        ErrorCode::kNoRepository,
        "there is no repository at " + (location.empty() ? storage.traits().description : location),
        hint +
            "Check the location (-r, SALVOR_REPOSITORY). To make a new repository there: "
            "salvor init.");
  }
  return sealed;
}

}  // namespace

Repository::Repository(std::unique_ptr<Storage> storage, Random& random)
    : storage_(std::move(storage)), random_(random), index_(std::make_unique<Index>()) {}

Repository::~Repository() = default;

std::unique_ptr<Repository> Repository::create(const Context& context,
                                               std::unique_ptr<Storage> storage,
                                               const Secret& password,
                                               const CreateOptions& options) {
  std::unique_ptr<Repository> repository(new Repository(std::move(storage), context.random));
  Storage& place = *repository->storage_;
  if (place.stat(context, kConfigObject)) {
    throw Error(ErrorCode::kFailed,
                "there is already a repository at " + place.traits().description,
                "Use it as it is, or choose another location.");
  }
  if (!place.list_all(context, ObjectKind::kKey).empty() ||
      !place.list_all(context, ObjectKind::kSnapshot).empty()) {
    throw Error(
        ErrorCode::kFailed,
        "there are keys or snapshots but no config at " + place.traits().description,
        "This is what is left of a repository whose config was lost. Restore the config from "
        "a copy; making a new repository here would make the old data unreadable.");
  }
  place.create(context);

  repository->master_key_ = MasterKey::random(context.random);
  repository->config_.version = options.version;
  Digest id;
  context.random.fill(id);
  repository->config_.id = to_hex(id);
  repository->config_.chunker_polynomial =
      (options.polynomial ? *options.polynomial : Polynomial::random(context.random)).bits();
  repository->key_id_ = add_key(context, place, repository->master_key_, password,
                                {options.username, options.hostname, options.kdf});
  Sealer sealer = repository->make_sealer();
  const Buffer sealed = sealer.seal(as_bytes(encode_config(repository->config_)));
  place.put(context, kConfigObject, sealed.view());
  return repository;
}

std::unique_ptr<Repository> Repository::open(const Context& context,
                                             std::unique_ptr<Storage> storage,
                                             const Secret& password, const OpenOptions& options) {
  std::unique_ptr<Repository> repository(new Repository(std::move(storage), context.random));
  Storage& place = *repository->storage_;
  // Where a round trip costs, the config is on its way while keys are listed and tried.
  std::future<Buffer> config =
      std::async(place.traits().remote ? std::launch::async : std::launch::deferred,
                 [&] { return load_config(context, place, options.location); });
  std::optional<Buffer> sealed;
  if (!place.traits().remote) {
    sealed = config.get();
  }
  OpenedKey key;
  try {
    key = open_key(context, place, password, options.key_hint, options.threads);
  } catch (const Error&) {
    if (!sealed) {
      (void)config.get();  // without a config that is what is wrong
    }
    throw;
  }
  repository->key_id_ = key.id;
  repository->master_key_ = key.master_key;
  repository->threads_ = options.threads;
  Sealer sealer = repository->make_sealer();
  const Buffer bytes = sealed ? std::move(*sealed) : config.get();
  try {
    repository->config_ = read_config(bytes, sealer);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kDamaged) {
      throw;
    }
    // It has no name to check it by: a read error on the way is more likely than damage.
    repository->config_ = read_config(load_config(context, place, options.location), sealer);
  }
  return repository;
}

Buffer Repository::load_document(const Context& context, ObjectKind kind,
                                 const std::string& name) const {
  const ObjectName object{kind, name};
  Buffer sealed = storage_->get(context, object, kDocumentLimit);
  if (kind != ObjectKind::kConfig && to_hex(sha256(sealed.view())) != name) {
    // A read error on the way is more likely than damage: look twice, as restic does.
    sealed = storage_->get(context, object, kDocumentLimit);
    if (to_hex(sha256(sealed.view())) != name) {
      throw_damaged(object, "does not match its name");
    }
  }
  Sealer sealer = make_sealer();
  std::optional<Buffer> plain = sealer.unseal(sealed.view());
  if (!plain) {
    throw_damaged(object, "does not decrypt");
  }
  return decode_document(object, kind == ObjectKind::kConfig ? 1 : config_.version,
                         std::move(*plain));
}

std::string Repository::save_document(const Context& context, ObjectKind kind,
                                      ByteView json) const {
  Buffer plain;
  if (config_.version == 1) {
    plain.append(json);
  } else {
    Buffer frame;
    Compressor compressor;
    compressor.compress(json, kDocumentLevel, frame);
    plain.append(ByteView(&kCompressedDocument, 1));
    plain.append(frame.view());
  }
  Sealer sealer = make_sealer();
  const Buffer sealed = sealer.seal(plain.view());
  const std::string name = to_hex(sha256(sealed.view()));
  const ObjectName object{kind, name};

  std::optional<Buffer> again = sealer.unseal(sealed.view());
  const bool same =
      again &&
      as_text(decode_document(object, config_.version, std::move(*again)).view()) == as_text(json);
  if (!same) {
    throw Error(
        ErrorCode::kFailed, object.display() + " does not decode to what was encoded",
        "This points to faulty memory or a bug. Nothing was stored; test the memory of this "
        "machine before the next backup.");
  }
  storage_->put(context, object, sealed.view());
  return name;
}

void Repository::save_config(const Context& context, const RepositoryConfig& config) {
  Sealer sealer = make_sealer();
  const Buffer sealed = sealer.seal(as_bytes(encode_config(config)));
  storage_->replace_config(context, sealed.view());
  config_ = config;
}

std::vector<StoredSnapshot> Repository::load_snapshots(
    const Context& context, std::vector<UnreadableObject>* unreadable) const {
  std::vector<StoredSnapshot> snapshots;
  std::mutex mutex;
  {
    const StorageTraits traits = storage_->traits();
    ThreadPool pool("salvor-snapshots",
                    traits.remote ? std::max(threads_, traits.connections) : threads_);
    TaskGroup group(pool, context.stop);
    for (const ObjectInfo& info : storage_->list_all(context, ObjectKind::kSnapshot)) {
      // `inner` by value: what is declared after the group dies before the group's last task.
      group.run([&, name = info.name, inner = context.with_stop(group.stop_token())] {
        try {
          const SnapshotId id = *SnapshotId::parse(name);
          Snapshot snapshot = load_snapshot(inner, id);
          const std::scoped_lock lock(mutex);
          snapshots.push_back({id, std::move(snapshot)});
        } catch (const Error& error) {
          if (unreadable == nullptr || error.code() != ErrorCode::kDamaged) {
            throw;
          }
          const std::scoped_lock lock(mutex);
          unreadable->push_back({{ObjectKind::kSnapshot, name}, error.message()});
        }
      });
    }
    group.wait();
  }
  std::sort(snapshots.begin(), snapshots.end(),
            [](const StoredSnapshot& left, const StoredSnapshot& right) {
              const bool same = left.snapshot.time.same_instant(right.snapshot.time);
              return same ? left.id < right.id : left.snapshot.time.before(right.snapshot.time);
            });
  return snapshots;
}

Snapshot Repository::load_snapshot(const Context& context, const SnapshotId& id) const {
  const Buffer json = load_document(context, ObjectKind::kSnapshot, id.hex());
  try {
    return decode_snapshot(json.view());
  } catch (Error& error) {
    error.within("snapshot " + id.short_hex());
    throw;
  }
}

SnapshotId Repository::save_snapshot(const Context& context, const Snapshot& snapshot) const {
  const std::string json = encode_snapshot(snapshot);
  // Named by its hash.
  return *SnapshotId::parse(save_document(context, ObjectKind::kSnapshot, as_bytes(json)));
}

void Repository::load_index(const Context& context, std::vector<UnreadableObject>* unreadable,
                            const PackVisitor& on_pack) {
  auto index = std::make_unique<Index>();
  std::vector<IndexId> files;
  std::map<PackId, MarkedPack> marked;
  std::mutex mutex;
  {
    const StorageTraits traits = storage_->traits();
    ThreadPool pool("salvor-index",
                    traits.remote ? std::max(threads_, traits.connections) : threads_);
    TaskGroup group(pool, context.stop);
    for (const ObjectInfo& info : storage_->list_all(context, ObjectKind::kIndex)) {
      // Listed, so a hash.
      files.push_back(*IndexId::parse(info.name));
      // `inner` by value: what is declared after the group dies before the group's last task.
      group.run([&, name = info.name, inner = context.with_stop(group.stop_token())] {
        try {
          const Buffer json = load_document(inner, ObjectKind::kIndex, name);
          decode_index(
              json.view(),
              [&](const PackId& pack, std::span<const PackedBlob> blobs) {
                index->add_pack(pack, blobs);
                if (on_pack) {
                  on_pack(pack, blobs);
                }
              },
              [&](MarkedPack pack) {
                const std::scoped_lock lock(mutex);
                const PackId id = pack.id;
                marked.emplace(id, std::move(pack));
              });
        } catch (const Error& error) {
          const bool lost =
              error.code() == ErrorCode::kDamaged || error.code() == ErrorCode::kNotFound;
          if (unreadable == nullptr || !lost) {
            throw;
          }
          const std::scoped_lock lock(mutex);
          unreadable->push_back({{ObjectKind::kIndex, name}, error.message()});
        }
      });
    }
    group.wait();
  }
  std::sort(files.begin(), files.end());
  index_ = std::move(index);
  index_files_ = std::move(files);
  for (const PackId& listed : marked.empty() ? std::vector<PackId>() : index_->packs()) {
    marked.erase(listed);
  }
  marked_packs_.clear();
  for (auto& [id, pack] : marked) {
    marked_packs_.push_back(std::move(pack));
  }
}

std::optional<PackId> Repository::find_marked(const BlobHandle& handle) const {
  for (const MarkedPack& pack : marked_packs_) {
    for (const PackedBlob& blob : pack.blobs) {
      if (blob.handle == handle) {
        return pack.id;
      }
    }
  }
  return std::nullopt;
}

Error Repository::not_indexed(const BlobHandle& handle) const {
  const std::string blob =
      (handle.type == BlobType::kTree ? "tree " : "data blob ") + handle.id.short_hex();
  if (const std::optional<PackId> marked = find_marked(handle)) {
    return {ErrorCode::kNotFound,
            blob + " is in pack " + marked->short_hex() + ", which is marked for deletion",
            "Run `salvor prune`: it takes back what is needed after all."};
  }
  return {ErrorCode::kNotFound, blob + " is not in the index",
          "Run `salvor check`, then `salvor repair index`."};
}

BlobReader::BlobReader(const Repository& repository)
    : repository_(repository), sealer_(repository.make_sealer()) {}

bool BlobReader::decode(const PackedBlob& blob, ByteView sealed, MutableBytes plaintext) {
  if (!blob.compressed()) {
    return sealer_.unseal(sealed, plaintext);
  }
  unsealed_.resize(blob.length - kSealOverhead);
  return sealer_.unseal(sealed, unsealed_.bytes()) &&
         decompressor_.decompress(unsealed_.view(), plaintext);
}

bool BlobReader::verify(const PackedBlob& blob, ByteView sealed) {
  if (blob.handle.type == BlobType::kData && blob.content_length() > kLargestDataBlob) {
    return false;
  }
  unsealed_.resize(blob.length - kSealOverhead);
  if (!sealer_.unseal(sealed, unsealed_.bytes())) {
    return false;
  }
  if (!blob.compressed()) {
    return sha256(unsealed_.view()) == blob.handle.id.digest();
  }
  Sha256 hash;
  return decompressor_.decompress_pieces(unsealed_.view(), blob.plain_length, [&](ByteView piece) {
    hash.update(piece);
  }) && hash.finish() == blob.handle.id.digest();
}

// Nothing when the copy is not good.
std::optional<Buffer> BlobReader::load_copy(const Context& context, const BlobLocation& copy) {
  const ObjectName pack = pack_object(copy.pack);
  if (is_large(copy.blob)) {
    const std::optional<ObjectInfo> info = repository_.storage().stat(context, pack);
    if (!info || uint64_t{copy.blob.offset} + copy.blob.length > info->size_bytes) {
      throw Error(ErrorCode::kDamaged, info ? "it ends before that blob" : "it does not exist");
    }
  }
  sealed_.resize(copy.blob.length);
  repository_.storage().get_range(context, pack, copy.blob.offset, sealed_.bytes());
  if (is_large(copy.blob) && !verify(copy.blob, sealed_.view())) {
    return std::nullopt;
  }
  Buffer plain(copy.blob.content_length());
  const bool good = decode(copy.blob, sealed_.view(), plain.bytes()) &&
                    sha256(plain.view()) == copy.blob.handle.id.digest();
  return good ? std::optional(std::move(plain)) : std::nullopt;
}

Buffer BlobReader::load(const Context& context, const BlobHandle& handle) {
  const std::vector<BlobLocation> copies = repository_.index().find_all(handle);
  const std::string blob = std::string(handle.type == BlobType::kTree ? "tree" : "data") +
                           " blob " + handle.id.short_hex();
  if (copies.empty()) {
    throw repository_.not_indexed(handle);
  }
  std::string tried;
  for (const BlobLocation& copy : copies) {
    tried += " " + copy.pack.short_hex();
    try {
      // A read error on the way is more likely than damage: look twice.
      for (int look = 0; look < 2; ++look) {
        if (std::optional<Buffer> plain = load_copy(context, copy)) {
          return std::move(*plain);
        }
      }
    } catch (const std::bad_alloc&) {
      throw Error(ErrorCode::kFailed, "not enough memory for the " +
                                          std::to_string(copy.blob.content_length()) +
                                          " bytes of " + blob);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kDamaged && error.code() != ErrorCode::kNotFound) {
        throw;
      }
      tried += " (" + error.message() + ")";
    }
  }
  throw Error(ErrorCode::kDamaged, blob + " is damaged in every pack that holds it:" + tried,
              "Run `salvor check --read-data` to see which snapshots and files are affected.");
}

Tree BlobReader::load_tree(const Context& context, const BlobId& id) {
  const Buffer blob = load(context, {BlobType::kTree, id});
  try {
    return tree_decoder_.decode(blob.view());
  } catch (Error& error) {
    error.within("tree " + id.short_hex());
    throw;
  }
}

}  // namespace salvor
