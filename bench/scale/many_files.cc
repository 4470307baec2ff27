// Backs up a made-up tree of millions of files and says how much memory that took.
//
//   many_files [files]      (default 10,000,000)
//
// Every file has content of its own, so that the index grows by one blob a file: the worst case.
// Packs go nowhere; what matters here is what the engine holds. The target is < 1 GiB for 10
// million files.
#include <cstdio>
#include <cstdlib>
#include <string>

#include <sys/resource.h>

#include "engine/backup/archiver.h"
#include "storage/memory_storage.h"

namespace salvor {
namespace {

constexpr uint64_t kFilesPerDirectory = 1000;
constexpr uint64_t kDirectoriesPerLevel = 100;

// Keeps documents, drops packs.
class DroppingStorage final : public Storage {
 public:
  void create(const Context& context) override { kept_->create(context); }
  void put(const Context& context, const ObjectName& object,
           std::span<const ByteView> parts) override {
    if (object.kind != ObjectKind::kPack && object.kind != ObjectKind::kIndex) {
      kept_->put(context, object, parts);
    }
  }
  void replace_config(const Context& context, ByteView bytes) override {
    kept_->replace_config(context, bytes);
  }
  Buffer get(const Context& context, const ObjectName& object, uint64_t limit_bytes) override {
    return kept_->get(context, object, limit_bytes);
  }
  void get_range(const Context& context, const ObjectName& object, uint64_t offset,
                 MutableBytes out) override {
    kept_->get_range(context, object, offset, out);
  }
  std::optional<ObjectInfo> stat(const Context& context, const ObjectName& object) override {
    return kept_->stat(context, object);
  }
  void list(const Context& context, ObjectKind kind,
            const std::function<void(const ObjectInfo&)>& on_object) override {
    kept_->list(context, kind, on_object);
  }
  void remove(const Context& context, const ObjectName& object) override {
    kept_->remove(context, object);
  }
  StorageTraits traits() const override { return kept_->traits(); }

 private:
  std::unique_ptr<Storage> kept_ = make_memory_storage();
};

class NameReader final : public ByteReader {
 public:
  explicit NameReader(std::string content) : content_(std::move(content)) {}
  size_t read(MutableBytes out) override {
    const size_t count = std::min(out.size(), content_.size() - position_);
    std::memcpy(out.data(), content_.data() + position_, count);
    position_ += count;
    return count;
  }
  void refresh(Node& node) override { node.size = content_.size(); }
  bool changed_since_refresh() override { return false; }

 private:
  std::string content_;
  size_t position_ = 0;
};

class NameOpener final : public FileOpener {
 public:
  explicit NameOpener(std::string prefix) : prefix_(std::move(prefix)) {}
  std::unique_ptr<ByteReader> open(const Node& node) override {
    return std::make_unique<NameReader>(prefix_ + node.name);
  }
  std::string path_of(const Node& node) const override { return prefix_ + node.name; }

 private:
  const std::string prefix_;
};

std::string padded(uint64_t number) {
  std::string text = std::to_string(number);
  return std::string(8 - text.size(), '0') + text;
}

class ManyFiles final : public Source {
 public:
  explicit ManyFiles(uint64_t files) : files_(files) {}
  std::vector<std::string> paths() const override { return {"/many"}; }
  void stream_into(const Context&, TreeSink& sink) override {
    uint64_t file = 0;
    for (uint64_t top = 0; file < files_; ++top) {
      TreeSink::Directory* upper = sink.open_directory(sink.root(), directory_node(top));
      for (uint64_t sub = 0; sub < kDirectoriesPerLevel && file < files_; ++sub) {
        TreeSink::Directory* lower = sink.open_directory(upper, directory_node(sub));
        auto opener = std::make_shared<NameOpener>(padded(top) + "/" + padded(sub) + "/");
        for (uint64_t i = 0; i < kFilesPerDirectory && file < files_; ++i, ++file) {
          Node node;
          node.name = "file-" + padded(i);
          node.mode = 0644;
          node.user = node.group = "someone";
          node.inode = file + 1;
          node.size = 26 + node.name.size();
          node.links = 1;
          node.mtime = node.atime = node.ctime = {1700000000, 123456789, 0};
          sink.add_file(lower, std::move(node), opener);
        }
        sink.close_directory(lower);
      }
      sink.close_directory(upper);
    }
    sink.close_directory(sink.root());
  }

 private:
  static Node directory_node(uint64_t number) {
    Node node;
    node.name = padded(number);
    node.type = NodeType::kDir;
    node.mode = go_mode::kDir | 0755;
    return node;
  }

  const uint64_t files_;
};

int run(uint64_t files) {
  NullEventSink events;
  const SystemClock clock;
  SystemRandom random;
  const Context context{{}, events, clock, random};
  CreateOptions create;
  create.kdf = ScryptParameters{16, 1, 1};
  const auto repository =
      Repository::create(context, std::make_unique<DroppingStorage>(), Secret("x"), create);
  ManyFiles source(files);
  BackupOptions options;
  options.write.dry_run = true;  // nothing is read back: the packs are gone
  const MonotonicTime start = clock.monotonic();
  const BackupResult result = Archiver(*repository).run(context, source, options);
  const std::chrono::duration<double> elapsed = clock.monotonic() - start;
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const Index& index = repository->index();
  std::printf("files %llu, blobs %zu, %.1f s, %.0f files/s\n",
              static_cast<unsigned long long>(result.summary.files_new), index.blob_count(),
              elapsed.count(), static_cast<double>(files) / elapsed.count());
  std::printf("index %.1f bytes a blob, peak memory %.0f MiB\n",
              static_cast<double>(index.memory_bytes()) / static_cast<double>(index.blob_count()),
              static_cast<double>(usage.ru_maxrss) / 1024);
  return result.summary.files_new == files ? 0 : 1;
}

}  // namespace
}  // namespace salvor

int main(int argc, char** argv) {
  const uint64_t files = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 10000000;
  return salvor::run(files);
}
