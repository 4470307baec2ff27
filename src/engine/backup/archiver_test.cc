#include "engine/backup/archiver.h"

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <map>

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "connector/files/files_source.h"
#include "crypto/sha256.h"
#include "storage/memory_storage.h"
#include "support/errors.h"
#include "support/temp_directory.h"
#include "support/test_context.h"

namespace salvor {
namespace {

namespace fs = std::filesystem;

constexpr ScryptParameters kCheapKey{16, 1, 1};

// A directory to back up, a repository in memory, and the last snapshot.
class ArchiverTest : public ::testing::Test {
 protected:
  ArchiverTest() {
    CreateOptions options;
    options.kdf = kCheapKey;
    repository_ = Repository::create(*test_, make_memory_storage(), Secret("x"), options);
    // A relative target: /tmp, which other tests change all the time, stays out of the snapshots.
    fs::current_path(directory_.path());
    fs::create_directories(source());
  }
  ~ArchiverTest() override { fs::current_path("/"); }

  [[nodiscard]] static fs::path source() { return "source"; }

  static void write(const std::string& name, const std::string& content) {
    fs::create_directories((source() / name).parent_path());
    std::ofstream(source() / name, std::ios::binary) << content;
  }

  [[nodiscard]] std::string random_text(size_t size) {
    std::string text(size, '\0');
    random_.fill({reinterpret_cast<std::byte*>(text.data()), size});
    return text;
  }

  BackupResult back_up(BackupOptions options = {}) {
    FilesOptions files;
    files.targets = {source().string()};
    FilesSource from(files);
    repository_->load_index(*test_);
    options.time = LocalZone().stamp(std::chrono::system_clock::now());
    options.hostname = "host";
    options.parent = choose_parent(repository_->load_snapshots(*test_), options, from.paths(), {});
    return Archiver(*repository_).run(*test_, from, options);
  }

  // The node at a path below the source.
  Node node_at(const BackupResult& result, const fs::path& path) {
    BlobReader reader(*repository_);
    BlobId tree = result.tree;
    std::vector<std::string> parts;
    for (const fs::path& part : source() / path) {
      parts.push_back(part.string());
    }
    for (size_t i = 0;; ++i) {
      const Tree nodes = reader.load_tree(*test_, tree);
      const Node* node = nodes.find(parts[i]);
      if (node == nullptr) {
        throw std::runtime_error("no node " + parts[i]);
      }
      if (i + 1 == parts.size()) {
        return *node;
      }
      tree = *node->subtree;
    }
  }

  std::string content_of(const Node& node) {
    BlobReader reader(*repository_);
    std::string content;
    for (const BlobId& id : node.content) {
      content += as_text(reader.load(*test_, {BlobType::kData, id}).view());
    }
    return content;
  }

  test::TestContext test_;
  SeededRandom random_{42};
  test::TempDirectory directory_;
  std::unique_ptr<Repository> repository_;
};

TEST_F(ArchiverTest, StoresFilesOfEverySizeToTheLastByte) {
  std::map<std::string, std::string> files;
  for (const size_t size : {size_t{0}, size_t{1}, size_t{4096}, size_t{524287}, size_t{524288},
                            size_t{524289}, size_t{3} << 20, (size_t{20} << 20) + 17}) {
    files["f" + std::to_string(size)] = random_text(size);
  }
  files["zeros"] = std::string(size_t{18} << 20, '\0');
  files["sub/deep/text"] = std::string(100, 't');
  for (const auto& [name, content] : files) {
    write(name, content);
  }
  const BackupResult result = back_up();
  EXPECT_EQ(result.summary.files_new, files.size());
  EXPECT_EQ(result.errors, 0U);
  ASSERT_TRUE(result.snapshot.has_value());
  for (const auto& [name, content] : files) {
    const Node node = node_at(result, name);
    EXPECT_EQ(node.size, content.size()) << name;
    EXPECT_TRUE(content_of(node) == content) << name;
  }
}

TEST_F(ArchiverTest, ADamagedSnapshotIsNoParentAndStopsNoBackup) {
  write("f", "content");
  const SnapshotId first = *back_up().snapshot;
  const SnapshotId second = *back_up().snapshot;
  Storage& storage = repository_->storage();
  Buffer bytes = storage.get(*test_, snapshot_object(second));
  bytes.data()[40] ^= std::byte{1};
  storage.remove(*test_, snapshot_object(second));
  storage.put(*test_, snapshot_object(second), bytes.view());

  BackupOptions options;
  options.time = LocalZone().stamp(std::chrono::system_clock::now());
  options.hostname = "host";
  const std::vector<std::string> paths = FilesSource({.targets = {source().string()}}).paths();
  const std::optional<StoredSnapshot> parent =
      find_parent(*test_, *repository_, options, paths, {});
  ASSERT_TRUE(parent.has_value());
  EXPECT_EQ(parent->id, first);
  const std::vector<Event> events = test_.events.events();
  EXPECT_TRUE(std::ranges::any_of(events, [&](const Event& event) {
    const auto* warning = std::get_if<Warning>(&event);
    return warning != nullptr && warning->message.find(second.short_hex()) != std::string::npos &&
           warning->hint.find("salvor forget " + second.hex()) != std::string::npos;
  }));
}

TEST_F(ArchiverTest, UnchangedFilesAreNotReadAndAddNothing) {
  for (int i = 0; i < 300; ++i) {
    write("d" + std::to_string(i % 7) + "/f" + std::to_string(i), random_text(500));
  }
  const BackupResult first = back_up();
  const BackupResult second = back_up();
  EXPECT_EQ(second.summary.files_unmodified, 300U);
  EXPECT_EQ(second.summary.data_blobs + second.summary.tree_blobs, 0U);
  EXPECT_EQ(second.tree, first.tree);
}

// Walking threads hand each other directories, which then come out of order.
TEST_F(ArchiverTest, DirectoriesInAnyOrderAreComparedWithTheirOwnPast) {
  for (int i = 0; i < 30; ++i) {
    for (int j = 0; j < 30; ++j) {
      const std::string number = std::to_string(j);
      write(std::to_string(i) + "/" + number + "/" + number, number);
      write(std::to_string(i) + "/f" + number, number);
    }
  }
  const BackupResult first = back_up();
  const BackupResult second = back_up();
  EXPECT_EQ(second.tree, first.tree);
  EXPECT_EQ(second.summary.files_unmodified, 1800U);
  EXPECT_EQ(second.summary.dirs_unmodified, 931U);
  EXPECT_EQ(second.summary.tree_blobs, 0U);
  fs::remove_all(source() / "7/20");
  write("7/200/new", "n");
  const BackupResult third = back_up();
  EXPECT_EQ(third.summary.files_unmodified, 1799U);
  EXPECT_EQ(third.summary.files_new, 1U);
  EXPECT_EQ(third.summary.dirs_new, 1U);
  EXPECT_EQ(third.summary.dirs_changed, 2U);
}

TEST_F(ArchiverTest, ChangedRemovedAndNewFilesAreSeen) {
  write("same", "same");
  write("changed", "before");
  write("removed", "gone soon");
  const BackupResult first = back_up();
  write("changed", "after!");
  fs::remove(source() / "removed");
  write("new", "new");
  const BackupResult second = back_up();
  EXPECT_EQ(second.summary.files_new, 1U);
  EXPECT_EQ(second.summary.files_changed, 1U);
  EXPECT_EQ(second.summary.files_unmodified, 1U);
  EXPECT_EQ(content_of(node_at(second, "changed")), "after!");
  EXPECT_EQ(content_of(node_at(first, "changed")), "before") << "the old snapshot is untouched";
  EXPECT_THROW(node_at(second, "removed"), std::runtime_error);
}

TEST_F(ArchiverTest, AChangedModeIsStoredWithoutNewData) {
  write("file", random_text(2000));
  (void)back_up();
  fs::permissions(source() / "file", fs::perms::owner_read);
  const BackupResult second = back_up();
  EXPECT_EQ(second.summary.data_blobs, 0U);
  EXPECT_EQ(node_at(second, "file").mode, 0400U);
}

TEST_F(ArchiverTest, SkipIfUnchangedMakesNoSnapshot) {
  write("file", "x");
  (void)back_up();
  BackupOptions options;
  options.skip_if_unchanged = true;
  const BackupResult second = back_up(options);
  EXPECT_TRUE(second.unchanged);
  EXPECT_FALSE(second.snapshot.has_value());
  EXPECT_EQ(repository_->load_snapshots(*test_).size(), 1U);
}

TEST_F(ArchiverTest, DryRunCountsButStoresNothing) {
  write("file", random_text(5000));
  BackupOptions options;
  options.write.dry_run = true;
  const BackupResult result = back_up(options);
  EXPECT_EQ(result.summary.data_blobs, 1U);
  EXPECT_FALSE(result.snapshot.has_value());
  EXPECT_TRUE(repository_->storage().list_all(*test_, ObjectKind::kPack).empty());
}

TEST_F(ArchiverTest, IdenticalContentIsStoredOnceEvenWhenReadAtTheSameTime) {
  const std::string content = random_text(3 << 20);
  for (int i = 0; i < 8; ++i) {
    write("copy" + std::to_string(i), content);
  }
  const BackupResult result = back_up();
  EXPECT_LT(result.summary.data_added, content.size() + (1U << 20));
}

// A parent whose data was lost must not be trusted: the files are read and stored again.
TEST_F(ArchiverTest, ContentMissingFromTheRepositoryIsStoredAgain) {
  const std::string content = random_text(5000);
  write("file", content);
  const BackupResult first = back_up();
  const auto location =
      repository_->index().find({BlobType::kData, node_at(first, "file").content[0]});
  repository_->storage().remove(*test_, pack_object(location->pack));
  for (const IndexId& index : repository_->index_files()) {
    repository_->storage().remove(*test_, index_object(index));
  }
  for (const ObjectInfo& info : repository_->storage().list_all(*test_, ObjectKind::kIndex)) {
    repository_->storage().remove(*test_, {ObjectKind::kIndex, info.name});
  }
  const BackupResult second = back_up();
  EXPECT_EQ(content_of(node_at(second, "file")), content);
}

// Files that do not keep still, in a source of its own: each says of itself what happens to it.
class MovingFiles final : public Source {
 public:
  struct File {
    std::string content;
    uint64_t listed_size = 0;  // as the directory said
    uint64_t opened_size = 0;  // as it was when it was opened
    bool changes = false;      // while it is read
    std::optional<ErrorCode> open_fails = {};
    std::optional<size_t> read_fails_at = {};
  };

  explicit MovingFiles(std::map<std::string, File> files)
      : files_(std::make_shared<const std::map<std::string, File>>(std::move(files))) {}

  [[nodiscard]] std::vector<std::string> paths() const override { return {"/moving"}; }
  void stream_into(const Context& /*context*/, TreeSink& sink) override {
    TreeSink::Directory* const root = sink.root();
    const auto opener = std::make_shared<Opener>(files_);
    for (const auto& [name, file] : *files_) {
      Node node;
      node.name = name;
      node.type = NodeType::kFile;
      node.mode = 0644;
      node.size = file.listed_size;
      sink.add_file(root, node, opener);
    }
    sink.close_directory(root);
  }

 private:
  using Files = std::shared_ptr<const std::map<std::string, File>>;

  class Reader final : public ByteReader {
   public:
    explicit Reader(const File& file) : file_(file) {}
    size_t read(MutableBytes out) override {
      if (file_.read_fails_at && at_ >= *file_.read_fails_at) {
        throw Error::from_errno(EIO, "cannot read it");
      }
      const size_t limit = file_.read_fails_at.value_or(file_.content.size());
      const size_t got = std::min(out.size(), limit - at_);
      std::ranges::copy(as_bytes(file_.content).subspan(at_, got), out.begin());
      at_ += got;
      return got;
    }
    void refresh(Node& node) override { node.size = file_.opened_size; }
    bool changed_since_refresh() override { return file_.changes; }

   private:
    const File& file_;
    size_t at_ = 0;
  };

  class Opener final : public FileOpener {
   public:
    explicit Opener(Files files) : files_(std::move(files)) {}
    std::unique_ptr<ByteReader> open(const Node& node) override {
      const File& file = files_->at(node.name);
      if (file.open_fails) {
        throw Error(*file.open_fails, "cannot open it");
      }
      return std::make_unique<Reader>(file);
    }
    std::string path_of(const Node& node) const override { return "/moving/" + node.name; }

   private:
    const Files files_;
  };

  const Files files_;
};

TEST_F(ArchiverTest, FilesThatDoNotKeepStillAreStoredAsReadAndReported) {
  const std::string small = random_text(3000);
  const std::string large = random_text(3 << 20);
  MovingFiles source({
      {"a still", {.content = small, .listed_size = 3000, .opened_size = 3000}},
      {"b changes", {.content = small, .listed_size = 3000, .opened_size = 3000, .changes = true}},
      {"c large changes",
       {.content = large, .listed_size = 3 << 20, .opened_size = 3 << 20, .changes = true}},
      {"d grew before", {.content = large, .listed_size = 10, .opened_size = 3 << 20}},
      {"e grew since", {.content = large, .listed_size = 10, .opened_size = 10}},
      {"f shrank", {.content = small, .listed_size = 3 << 20, .opened_size = 9000}},
      {"g vanished", {.listed_size = 10, .open_fails = ErrorCode::kNotFound}},
      {"h bad sector",
       {.content = small, .listed_size = 3000, .opened_size = 3000, .read_fails_at = 1000}},
      {"i large bad sector",
       {.content = large,
        .listed_size = 3 << 20,
        .opened_size = 3 << 20,
        .read_fails_at = 1 << 20}},
  });
  repository_->load_index(*test_);
  BackupOptions options;
  options.time = LocalZone().stamp(std::chrono::system_clock::now());
  options.hostname = "host";
  const BackupResult result = Archiver(*repository_).run(*test_, source, options);
  ASSERT_TRUE(result.snapshot.has_value()) << "what could be read is kept";
  EXPECT_EQ(result.errors, 5U);
  std::map<std::string, std::string> told;
  for (const Event& event : test_.events.events()) {
    if (const auto* failed = std::get_if<ItemFailed>(&event)) {
      told[failed->item] = failed->message;
    }
  }
  const std::string changed = "the file was changed while it was read; it is stored as it was read";
  ASSERT_EQ(told.size(), 5U);
  EXPECT_EQ(told["/moving/b changes"], changed);
  EXPECT_EQ(told["/moving/c large changes"], changed);
  EXPECT_EQ(told["/moving/g vanished"], "the file vanished before it could be read");
  EXPECT_NE(told["/moving/h bad sector"].find("cannot read it"), std::string::npos);
  EXPECT_NE(told["/moving/i large bad sector"].find("cannot read it"), std::string::npos);

  std::map<std::string, std::string> stored;
  for (const Node& node : BlobReader(*repository_).load_tree(*test_, result.tree).nodes) {
    stored[node.name] = content_of(node);
    EXPECT_EQ(node.size, stored[node.name].size()) << node.name;
  }
  EXPECT_EQ(stored, (std::map<std::string, std::string>{{"a still", small},
                                                        {"b changes", small},
                                                        {"c large changes", large},
                                                        {"d grew before", large},
                                                        {"e grew since", large},
                                                        {"f shrank", small}}));
}

// One file that never changes; whether its attributes can be read does.
class FileWithAttributes final : public Source {
 public:
  [[nodiscard]] std::vector<std::string> paths() const override { return {"/one"}; }
  void stream_into(const Context& /*context*/, TreeSink& sink) override {
    Node node;
    node.name = "file";
    node.mode = 0644;
    node.size = 7;
    node.inode = 5;
    node.mtime = node.ctime = {1'600'000'000, 0, 0};
    sink.add_file(sink.root(), node, std::make_shared<Opener>(*this, sink));
    sink.close_directory(sink.root());
  }

  bool readable = true;
  int looks = 0;

 private:
  void read_attributes(Node& node, TreeSink& sink) {
    ++looks;
    if (readable) {
      node.extended_attributes = {{"user.a", "1"}};
      return;
    }
    node.error = "incomplete metadata";
    sink.report_unreadable("/one/file", Error(ErrorCode::kPermission, "incomplete metadata"));
  }

  class Opener final : public FileOpener {
   public:
    Opener(FileWithAttributes& source, TreeSink& sink) : source_(source), sink_(sink) {}
    std::unique_ptr<ByteReader> open(const Node& /*node*/) override {
      return std::make_unique<Reader>(*this);
    }
    void complete(Node& node) override { source_.read_attributes(node, sink_); }
    std::string path_of(const Node& node) const override { return "/one/" + node.name; }

   private:
    class Reader final : public ByteReader {
     public:
      explicit Reader(Opener& opener) : opener_(opener) {}
      size_t read(MutableBytes out) override {
        const ByteView content = as_bytes(std::string_view("content")).subspan(at_);
        std::ranges::copy(content, out.begin());
        at_ += content.size();
        return content.size();
      }
      void refresh(Node& node) override { opener_.complete(node); }
      bool changed_since_refresh() override { return false; }

     private:
      Opener& opener_;
      size_t at_ = 0;
    };

    FileWithAttributes& source_;
    TreeSink& sink_;
  };
};

TEST_F(ArchiverTest, AttributesThatCouldNotBeReadAreReadAgainUntilTheyCan) {
  FileWithAttributes source;
  BackupOptions options;
  options.hostname = "host";
  options.program_version = "salvor 1.0";
  options.detection.attributes_deferred = true;
  const auto back_up = [&] {
    repository_->load_index(*test_);
    options.time = LocalZone().stamp(std::chrono::system_clock::now());
    options.parent = find_parent(*test_, *repository_, options, source.paths(), {});
    return Archiver(*repository_).run(*test_, source, options);
  };
  const auto attributes = [&](const BackupResult& result) {
    return BlobReader(*repository_)
        .load_tree(*test_, result.tree)
        .nodes.front()
        .extended_attributes.size();
  };
  source.readable = false;
  EXPECT_EQ(back_up().errors, 1U);
  const BackupResult again = back_up();
  EXPECT_EQ(again.errors, 1U) << "still missing, still told";
  EXPECT_EQ(attributes(again), 0U);
  EXPECT_EQ(again.summary.files_unmodified, 1U);
  source.readable = true;
  const BackupResult healed = back_up();
  EXPECT_EQ(healed.errors, 0U);
  EXPECT_EQ(attributes(healed), 1U);
  EXPECT_EQ(source.looks, 3);
  EXPECT_EQ(attributes(back_up()), 1U);
  EXPECT_EQ(source.looks, 3) << "taken over without looking";
  // Whoever else made the parent may have seen less.
  options.uid = 4711;
  EXPECT_EQ(attributes(back_up()), 1U);
  EXPECT_EQ(source.looks, 4);
  options.program_version = "restic 0.19";
  EXPECT_EQ(attributes(back_up()), 1U);
  EXPECT_EQ(source.looks, 5);
}

TEST_F(ArchiverTest, InterruptedRunMakesNoSnapshot) {
  write("file", random_text(1000));
  test_.stop.request_stop();
  EXPECT_THROW(back_up(), Error);
}

TEST_F(ArchiverTest, FromWhichNothingCouldBeReadThereIsNoSnapshot) {
  MovingFiles source({{"only", {.listed_size = 10, .open_fails = ErrorCode::kPermission}}});
  repository_->load_index(*test_);
  const Error error = test::error_of(
      [&] { (void)Archiver(*repository_).run(*test_, source, {.hostname = "host"}); });
  EXPECT_EQ(error.code(), ErrorCode::kFailed);
  EXPECT_NE(error.message().find("would be empty"), std::string::npos);
  EXPECT_TRUE(repository_->load_snapshots(*test_).empty());
}

// As with --ignore-ctime, where the change of mode alone does not make a file read again.
TEST_F(ArchiverTest, OnlyTheMetadataOfAnUnchangedFileIsStoredAnew) {
  const std::string content = random_text(2000);
  write("file", content);
  (void)back_up();
  fs::permissions(source() / "file", fs::perms::owner_read);
  BackupOptions options;
  options.detection.ignore_ctime = true;
  const BackupResult second = back_up(options);
  EXPECT_EQ(second.summary.files_changed, 1U);
  EXPECT_EQ(second.summary.data_blobs, 0U);
  EXPECT_EQ(second.summary.tree_blobs, 2U);
  EXPECT_EQ(node_at(second, "file").mode, 0400U);
  EXPECT_EQ(content_of(node_at(second, "file")), content);
}

TEST(ParentChoice, AsksForEqualTagsOnlyWhereItIsTold) {
  StoredSnapshot stored;
  stored.snapshot.hostname = "host";
  stored.snapshot.paths = {"/a", "/b"};
  stored.snapshot.tags = {"x", "y"};
  stored.snapshot.time = {1000, 0, 0};
  BackupOptions options;
  options.hostname = "host";
  options.time = {2000, 0, 0};
  const auto chosen = [&](std::vector<std::string> tags, bool same_tags) {
    options.tags = std::move(tags);
    return choose_parent(std::span(&stored, 1), options, {"/b"}, {.same_tags = same_tags})
        .has_value();
  };
  EXPECT_TRUE(chosen({}, false));
  EXPECT_TRUE(chosen({"y", "x"}, true));
  EXPECT_FALSE(chosen({}, true));
  EXPECT_FALSE(chosen({"x"}, true)) << "the snapshot has more";
  EXPECT_FALSE(chosen({"x", "y", "z"}, true)) << "the snapshot has fewer";
}

}  // namespace
}  // namespace salvor
