// A repository in memory (or on a storage of the test's choice) that is filled file by file,
// without the archiver: for tests of what is done to repositories.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/random.h"
#include "codec/tree_codec.h"
#include "crypto/sha256.h"
#include "repo/lock.h"
#include "repo/repository.h"
#include "repo/write_session.h"
#include "storage/memory_storage.h"
#include "support/test_context.h"

namespace salvor::test {

// Path below the root ("a/b") -> content. Content is cut into blobs of kBlobSize.
using Files = std::map<std::string, std::string>;

inline constexpr size_t kBlobSize = 1000;
inline constexpr const char* kTestPassword = "test";

class SmallRepository {
 public:
  explicit SmallRepository(unsigned version = 2,
                           std::unique_ptr<Storage> storage = make_memory_storage())
      : storage_(std::move(storage)) {
    CreateOptions options;
    options.version = version;
    options.kdf = ScryptParameters{16, 1, 1};
    repository_ =
        Repository::create(*context_, borrow_storage(*storage_), Secret(kTestPassword), options);
  }

  [[nodiscard]] Context context() { return *context_; }
  [[nodiscard]] TestContext& test_context() { return context_; }
  [[nodiscard]] Repository& repository() { return *repository_; }
  [[nodiscard]] Storage& storage() { return *storage_; }

  // Another view of the same storage, as a process that starts now has it.
  [[nodiscard]] std::unique_ptr<Repository> reopen() {
    return Repository::open(*context_, borrow_storage(*storage_), Secret(kTestPassword));
  }

  // Stores the files and a snapshot of them, as one run: its own packs and index file.
  SnapshotId backup(const Files& files, int64_t seconds = 1700000000, WriteOptions options = {}) {
    repository_->load_index(*context_);
    WriteSession session(*context_, *repository_, options);
    Snapshot snapshot;
    {
      const std::unique_ptr<BlobWriter> writer = session.make_writer();
      snapshot.tree = store_directory(*writer, files, "");
      writer->flush();
    }
    snapshot.time = {seconds, 0, 0};
    snapshot.hostname = "host";
    snapshot.paths = {"/data"};
    return *session.commit(*context_, snapshot);
  }

  // Stores blobs as they are given, data first: for trees that no backup makes.
  BlobId store(BlobType type, std::string_view content) {
    repository_->load_index(*context_);
    WriteSession session(*context_, *repository_, {});
    const BlobId id(sha256(as_bytes(content)));
    {
      const std::unique_ptr<BlobWriter> writer = session.make_writer();
      writer->add(type, id, as_bytes(content));
      writer->flush();
    }
    session.finish(*context_);
    return id;
  }
  BlobId store_tree(const std::vector<Node>& nodes) {
    return store(BlobType::kTree, encode_tree(Tree{nodes}));
  }
  StoredSnapshot save(Snapshot snapshot) {
    const SnapshotId id = repository_->save_snapshot(*context_, snapshot);
    return {id, std::move(snapshot)};
  }

  // What a snapshot holds, read blob by blob with every check there is. Throws when anything is
  // missing or damaged.
  [[nodiscard]] Files read(const SnapshotId& id) { return read(*reopen(), id); }
  // The same of another repository, whose index is loaded for it.
  [[nodiscard]] Files read(Repository& repository, const SnapshotId& id) {
    repository.load_index(*context_);
    BlobReader reader(repository);
    Files files;
    read_directory(reader, repository.load_snapshot(*context_, id).tree, "", files);
    return files;
  }

  // Replaces an object's bytes, as a failing disk would.
  void damage(const ObjectName& object, const std::function<void(Buffer&)>& change) {
    Buffer bytes = storage_->get(*context_, object);
    change(bytes);
    storage_->remove(*context_, object);
    if (object.kind == ObjectKind::kConfig) {
      storage_->replace_config(*context_, bytes.view());
    } else {
      storage_->put(*context_, object, bytes.view());
    }
  }
  void flip_byte(const ObjectName& object, size_t at) {
    damage(object, [at](Buffer& bytes) { bytes.data()[at] ^= std::byte{0x20}; });
  }

  [[nodiscard]] std::vector<ObjectInfo> list(ObjectKind kind) {
    return storage_->list_all(*context_, kind);
  }
  [[nodiscard]] uint64_t stored_bytes(ObjectKind kind) {
    uint64_t total = 0;
    for (const ObjectInfo& info : list(kind)) {
      total += info.size_bytes;
    }
    return total;
  }

 private:
  BlobId store_directory(BlobWriter& writer, const Files& files, const std::string& prefix) {
    TreeEncoder encoder;
    for (auto file = files.lower_bound(prefix);
         file != files.end() && file->first.starts_with(prefix);) {
      const std::string rest = file->first.substr(prefix.size());
      Node node;
      if (const size_t slash = rest.find('/'); slash != std::string::npos) {
        node.name = rest.substr(0, slash);
        node.type = NodeType::kDir;
        node.mode = go_mode::kDir | 0755;
        const std::string below = prefix + node.name + "/";
        node.subtree = store_directory(writer, files, below);
        while (file != files.end() && file->first.starts_with(below)) {
          ++file;
        }
      } else {
        node.name = rest;
        node.mode = 0644;
        node.size = file->second.size();
        for (size_t at = 0; at < file->second.size(); at += kBlobSize) {
          const ByteView blob = as_bytes(std::string_view(file->second).substr(at, kBlobSize));
          node.content.emplace_back(sha256(blob));
          writer.add(BlobType::kData, node.content.back(), blob);
        }
        ++file;
      }
      encoder.add(node);
    }
    const std::string json = encoder.finish();
    const BlobId id(sha256(as_bytes(json)));
    writer.add(BlobType::kTree, id, as_bytes(json));
    return id;
  }

  void read_directory(BlobReader& reader, const BlobId& tree, const std::string& prefix,
                      Files& files) {
    for (const Node& node : reader.load_tree(*context_, tree).nodes) {
      if (node.type == NodeType::kDir) {
        read_directory(reader, *node.subtree, prefix + node.name + "/", files);
        continue;
      }
      std::string& content = files[prefix + node.name];
      for (const BlobId& id : node.content) {
        content += as_text(reader.load(*context_, {BlobType::kData, id}).view());
      }
    }
  }

  TestContext context_;
  std::unique_ptr<Storage> storage_;
  std::unique_ptr<Repository> repository_;
};

// Text of about `size` bytes that differs for each seed and compresses somewhat.
[[nodiscard]] inline std::string some_content(uint64_t seed, size_t size) {
  SeededRandom random(seed);
  std::string text;
  while (text.size() < size) {
    text += std::to_string(random.next_u64()) + " ";
  }
  text.resize(size);
  return text;
}

}  // namespace salvor::test
