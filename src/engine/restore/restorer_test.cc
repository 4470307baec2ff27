#include "engine/restore/restorer.h"

#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>
#include <thread>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "codec/index_codec.h"
#include "engine/restore/file_writer.h"
#include "engine/restore/restore_plan.h"
#include "storage/decorators/forwarding_storage.h"
#include "support/as_user.h"
#include "support/small_repository.h"
#include "support/temp_directory.h"

namespace salvor {
namespace {

namespace fs = std::filesystem;
using test::some_content;
using test::TempDirectory;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string slurp(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream content;
  content << in.rdbuf();
  return content.str();
}

void spit(const fs::path& path, const std::string& content) {
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << content;
}

struct stat lstat_of(const fs::path& path) {
  struct stat stat{};
  EXPECT_EQ(lstat(path.c_str(), &stat), 0) << path;
  return stat;
}

// Builds trees node by node, well-formed or not.
class TreeMaker {
 public:
  explicit TreeMaker(test::SmallRepository& small)
      : small_(small), context_(small.context()), session_(context_, small.repository(), {}) {}

  Node file(const std::string& name, const std::string& content, size_t blob_size = 1000) {
    Node node;
    node.name = name;
    node.mode = 0644;
    node.mtime = node.atime = {1'600'000'000, 123'456'789, 0};
    node.uid = getuid();
    node.gid = getgid();
    node.size = content.size();
    for (size_t at = 0; at < content.size(); at += blob_size) {
      const ByteView blob = as_bytes(std::string_view(content).substr(at, blob_size));
      node.content.emplace_back(sha256(blob));
      add(BlobType::kData, node.content.back(), blob);
    }
    return node;
  }
  static Node special(const std::string& name, NodeType type, uint32_t mode) {
    Node node;
    node.name = name;
    node.type = type;
    node.mode = mode;
    node.mtime = node.atime = {1'600'000'000, 5, 0};
    node.uid = getuid();
    node.gid = getgid();
    return node;
  }
  static Node link(const std::string& name, const std::string& target) {
    Node node = special(name, NodeType::kSymlink, go_mode::kSymlink | 0777U);
    node.link_target = target;
    return node;
  }
  Node directory(const std::string& name, const std::vector<Node>& nodes) {
    Node node = special(name, NodeType::kDir, go_mode::kDir | 0755U);
    node.subtree = tree(nodes);
    return node;
  }
  // In the order given, even when that is wrong or names repeat.
  BlobId tree(const std::vector<Node>& nodes) {
    std::string json = "{\"nodes\":[";
    for (size_t i = 0; i < nodes.size(); ++i) {
      TreeEncoder encoder;
      encoder.add(nodes[i]);
      const std::string one = encoder.finish();
      const std::string_view inner = std::string_view(one).substr(10, one.size() - 13);
      json += (i > 0 ? "," : "") + std::string(inner);
    }
    json += "]}\n";
    const BlobId id(sha256(as_bytes(json)));
    add(BlobType::kTree, id, as_bytes(json));
    return id;
  }
  // Everything made so far becomes readable.
  void store() {
    writer_->flush();
    writer_.reset();
    session_.finish(context_);
  }

 private:
  void add(BlobType type, const BlobId& id, ByteView bytes) {
    if (!writer_) {
      writer_ = session_.make_writer();
    }
    writer_->add(type, id, bytes);
  }

  test::SmallRepository& small_;
  Context context_;
  WriteSession session_;
  std::unique_ptr<BlobWriter> writer_;
};

class RestorerTest : public ::testing::Test {
 protected:
  RestorerTest() { small_.repository().load_index(small_.context()); }

  RestoreResult restore(const BlobId& tree, RestoreOptions options = {}) {
    if (options.target.empty()) {
      options.target = target();
    }
    options.threads = options.threads == 0 ? 3 : options.threads;
    restorer_ = std::make_unique<Restorer>(small_.repository());
    return restorer_->run(small_.context(), tree, options);
  }
  [[nodiscard]] const RestoreProgress& progress() const { return restorer_->progress(); }
  [[nodiscard]] std::string target() const { return (directory_ / "target").string(); }
  [[nodiscard]] fs::path at(const std::string& path) const {
    return directory_.path() / "target" / path;
  }
  // "path: message" of failed items.
  [[nodiscard]] std::vector<std::string> failures() {
    std::vector<std::string> all;
    for (const Event& event : small_.test_context().events.events()) {
      if (const auto* failed = std::get_if<ItemFailed>(&event)) {
        all.push_back(failed->item + ": " + failed->message);
      }
    }
    return all;
  }
  [[nodiscard]] std::vector<std::string> handled(const std::string& action) {
    std::vector<std::string> all;
    for (const Event& event : small_.test_context().events.events()) {
      const auto* item = std::get_if<ItemHandled>(&event);
      if (item != nullptr && item->action == action) {
        all.push_back(item->item);
      }
    }
    return all;
  }

  test::SmallRepository small_;
  TempDirectory directory_;
  std::unique_ptr<Restorer> restorer_;
};

TEST_F(RestorerTest, ContentAndMetadataComeBack) {
  TreeMaker make(small_);
  const std::string large = some_content(1, 50'000);
  Node private_file = make.file("private", "secret");
  private_file.mode = 0600 | go_mode::kSetuid;
  Node none = make.file("no-permissions", "x");
  none.mode = 0;
  Node directory = make.directory("dir", {make.file("empty", ""), make.file("large", large),
                                          make.file("weird\xff\n\"name", "w")});
  directory.mode = go_mode::kDir | go_mode::kSetgid | 0710U;
  directory.mtime = directory.atime = {-100, 999, 0};
  const BlobId tree =
      make.tree({directory, TreeMaker::link("link", "dir/large"), none, private_file});
  make.store();

  const RestoreResult result = restore(tree, {.verify = true});
  EXPECT_EQ(result.errors, 0U);
  EXPECT_THAT(failures(), IsEmpty());
  EXPECT_EQ(slurp(at("dir/large")), large);
  EXPECT_EQ(slurp(at("dir/weird\xff\n\"name")), "w");
  EXPECT_EQ(fs::file_size(at("dir/empty")), 0U);
  EXPECT_EQ(fs::read_symlink(at("link")), "dir/large");
  EXPECT_EQ(lstat_of(at("private")).st_mode & 07777U, 04600U);
  EXPECT_EQ(lstat_of(at("no-permissions")).st_mode & 07777U, 0U);
  EXPECT_EQ(lstat_of(at("private")).st_mtim.tv_sec, 1'600'000'000);
  EXPECT_EQ(lstat_of(at("private")).st_mtim.tv_nsec, 123'456'789);
  EXPECT_EQ(lstat_of(at("dir")).st_mode & 07777U, 02710U);
  EXPECT_EQ(lstat_of(at("dir")).st_mtim.tv_sec, -100);
  EXPECT_EQ(lstat_of(at("link")).st_mtim.tv_sec, 1'600'000'000);
  EXPECT_EQ(progress().files_total, 7U);
  EXPECT_EQ(progress().files_restored, 7U);
  EXPECT_EQ(progress().bytes_total, large.size() + 8);
  EXPECT_EQ(progress().bytes_restored, large.size() + 8);
  EXPECT_EQ(progress().bytes_written, large.size() + 8);
  EXPECT_EQ(progress().files_verified, 5U);
  EXPECT_EQ(restore(tree, {.verify = true}).errors, 0U);
  EXPECT_EQ(progress().bytes_written, 0U);
  EXPECT_EQ(lstat_of(at("no-permissions")).st_mode & 07777U, 0U) << "also for those it keeps out";
}

TEST_F(RestorerTest, OwnersDevicesAndAttributes) {
  if (geteuid() != 0) {
    GTEST_SKIP() << "needs root";
  }
  TreeMaker make(small_);
  Node file = make.file("file", "content");
  file.uid = 12'345;
  file.gid = 54'321;
  file.mode = 0755 | go_mode::kSetuid | go_mode::kSetgid;
  file.extended_attributes = {
      {"user.b", std::string("v\0w", 3)}, {"user.a", ""}, {"trusted.t", "1"}};
  Node device = TreeMaker::special("null", NodeType::kCharDevice,
                                   go_mode::kDevice | go_mode::kCharDevice | 0640U);
  device.device = makedev(1, 3);
  Node block = TreeMaker::special("loop", NodeType::kDevice, go_mode::kDevice | 0600U);
  block.device = makedev(7, 300);
  Node fifo = TreeMaker::special("pipe", NodeType::kFifo, go_mode::kFifo | 0666U);
  fifo.uid = 7;
  Node link = TreeMaker::link("link", "nowhere");
  link.uid = 8;
  link.extended_attributes = {{"trusted.on-link", "x"}};
  const BlobId tree = make.tree({file, link, block, device, fifo});
  make.store();

  EXPECT_EQ(restore(tree).errors, 0U);
  EXPECT_THAT(failures(), IsEmpty());
  EXPECT_EQ(lstat_of(at("file")).st_uid, 12'345U);
  EXPECT_EQ(lstat_of(at("file")).st_gid, 54'321U);
  EXPECT_EQ(lstat_of(at("file")).st_mode & 07777U, 06755U) << "mode must come after the owner";
  char value[10];
  EXPECT_EQ(getxattr(at("file").c_str(), "user.b", value, sizeof value), 3);
  EXPECT_EQ(getxattr(at("file").c_str(), "user.a", value, sizeof value), 0);
  EXPECT_EQ(getxattr(at("file").c_str(), "trusted.t", value, sizeof value), 1);
  EXPECT_EQ(lgetxattr(at("link").c_str(), "trusted.on-link", value, sizeof value), 1);
  EXPECT_EQ(lstat_of(at("null")).st_rdev, makedev(1, 3));
  EXPECT_TRUE(S_ISCHR(lstat_of(at("null")).st_mode));
  EXPECT_EQ(lstat_of(at("null")).st_mode & 07777U, 0640U);
  EXPECT_EQ(lstat_of(at("loop")).st_rdev, makedev(7, 300));
  EXPECT_TRUE(S_ISFIFO(lstat_of(at("pipe")).st_mode));
  EXPECT_EQ(lstat_of(at("pipe")).st_mode & 07777U, 0666U);
  EXPECT_EQ(lstat_of(at("pipe")).st_uid, 7U);
  EXPECT_EQ(lstat_of(at("pipe")).st_mtim.tv_nsec, 5);
  EXPECT_EQ(lstat_of(at("link")).st_uid, 8U);

  // Again over changed items: attributes that the snapshot has not got go, owners come back.
  ASSERT_EQ(setxattr(at("file").c_str(), "user.foreign", "f", 1, 0), 0);
  ASSERT_EQ(chown(at("pipe").c_str(), 1, 1), 0);
  ASSERT_EQ(chmod(at("file").c_str(), 0), 0);
  EXPECT_EQ(restore(tree).errors, 0U);
  EXPECT_LT(getxattr(at("file").c_str(), "user.foreign", value, sizeof value), 0);
  EXPECT_EQ(lstat_of(at("pipe")).st_uid, 7U);
  EXPECT_EQ(lstat_of(at("file")).st_mode & 07777U, 06755U);
}

TEST_F(RestorerTest, OwnershipByNameFallsBackToTheNumber) {
  if (geteuid() != 0) {
    GTEST_SKIP() << "needs root";
  }
  TreeMaker make(small_);
  Node known = make.file("known", "1");
  known.uid = 4'000;
  known.user = "daemon";
  known.gid = 4'000;
  known.group = "daemon";
  Node unknown = make.file("unknown", "2");
  unknown.uid = 4'001;
  unknown.user = "no-such-user-here";
  const BlobId tree = make.tree({known, unknown});
  make.store();
  EXPECT_EQ(restore(tree, {.ownership_by_name = true}).errors, 0U);
  EXPECT_EQ(lstat_of(at("known")).st_uid, 1U);
  EXPECT_EQ(lstat_of(at("known")).st_gid, 1U);
  EXPECT_EQ(lstat_of(at("unknown")).st_uid, 4'001U) << "never root's by accident";
}

TEST_F(RestorerTest, HardLinksAreLinkedAndForgedOnesAreNot) {
  TreeMaker make(small_);
  const auto linked = [&](const std::string& name, const std::string& content, uint64_t inode) {
    Node node = make.file(name, content);
    node.links = 2;
    node.inode = inode;
    node.device_id = 9;
    return node;
  };
  const BlobId tree = make.tree(
      {linked("a", "shared", 5), make.directory("d", {linked("b", "shared", 5)}),
       linked("forged", "other content", 5), linked("zero1", "z1", 0), linked("zero2", "z2", 0)});
  make.store();
  for (int round = 0; round < 2; ++round) {  // the second time over existing links
    EXPECT_EQ(restore(tree).errors, 0U);
    EXPECT_EQ(lstat_of(at("a")).st_ino, lstat_of(at("d/b")).st_ino);
    EXPECT_EQ(lstat_of(at("a")).st_nlink, 2U);
    EXPECT_EQ(slurp(at("forged")), "other content");
    EXPECT_EQ(slurp(at("zero1")), "z1");
    EXPECT_EQ(slurp(at("zero2")), "z2");
  }
  EXPECT_EQ(progress().bytes_written, 0U) << "links that are right stay as they are";
}

TEST_F(RestorerTest, ExistingNameOutsideTheSnapshotKeepsItsContent) {
  TreeMaker make(small_);
  const BlobId tree = make.tree({make.file("f", "new content")});
  make.store();
  spit(at("f"), "old content");
  fs::create_hard_link(at("f"), directory_ / "elsewhere");
  EXPECT_EQ(restore(tree).errors, 0U);
  EXPECT_EQ(slurp(at("f")), "new content");
  EXPECT_EQ(slurp(directory_ / "elsewhere"), "old content");
}

TEST_F(RestorerTest, OnlyDifferingPartsAreWritten) {
  TreeMaker make(small_);
  const std::string content = some_content(2, 100'000);
  const BlobId tree =
      make.tree({make.file("f", content), make.file("same", some_content(3, 5'000))});
  make.store();
  EXPECT_EQ(restore(tree).errors, 0U);
  const ino_t inode = lstat_of(at("f")).st_ino;
  std::string damaged = content;
  damaged[42'500] ^= 1;  // one blob of 1,000 bytes
  damaged += "and more at the end";
  spit(at("f"), damaged);
  EXPECT_EQ(restore(tree).errors, 0U);
  EXPECT_EQ(slurp(at("f")), content);
  EXPECT_EQ(progress().bytes_written, 1'000U);
  EXPECT_EQ(progress().bytes_restored, 105'000U);
  EXPECT_EQ(lstat_of(at("f")).st_ino, inode);
  EXPECT_EQ(lstat_of(at("f")).st_mtim.tv_nsec, 123'456'789);
  EXPECT_THAT(handled("updated"), ElementsAre("/f"));
  EXPECT_THAT(handled("unchanged"), ElementsAre("/same"));
}

TEST_F(RestorerTest, UntouchedFilesKeepTheirChangeTime) {
  TreeMaker make(small_);
  const BlobId tree = make.tree({make.file("f", "abc"), TreeMaker::link("l", "f")});
  make.store();
  EXPECT_EQ(restore(tree).errors, 0U);
  const struct stat before = lstat_of(at("f"));
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_EQ(restore(tree).errors, 0U);
  EXPECT_EQ(lstat_of(at("f")).st_ctim.tv_nsec, before.st_ctim.tv_nsec);
  EXPECT_EQ(lstat_of(at("f")).st_ctim.tv_sec, before.st_ctim.tv_sec);
}

TEST_F(RestorerTest, ShorterAndLongerFilesGetTheirSize) {
  TreeMaker make(small_);
  const std::string content = some_content(4, 3'500);
  const BlobId tree =
      make.tree({make.file("empty", ""), make.file("long", content), make.file("short", content)});
  make.store();
  spit(at("empty"), "not empty");
  spit(at("long"), content + std::string(1'000, 'x'));
  spit(at("short"), content.substr(0, 1'234));
  EXPECT_EQ(restore(tree, {.verify = true}).errors, 0U);
  EXPECT_EQ(slurp(at("empty")), "");
  EXPECT_EQ(slurp(at("long")), content);
  EXPECT_EQ(slurp(at("short")), content);
}

TEST_F(RestorerTest, OverwriteRules) {
  TreeMaker make(small_);
  const BlobId tree = make.tree({make.file("f", "new")});
  make.store();
  const auto set_time = [&](time_t seconds, long nanoseconds) {
    const timespec times[2] = {{0, UTIME_OMIT}, {seconds, nanoseconds}};
    ASSERT_EQ(utimensat(AT_FDCWD, at("f").c_str(), times, 0), 0);
  };
  spit(at("f"), "old");
  EXPECT_EQ(restore(tree, {.overwrite = Overwrite::kNever}).errors, 0U);
  EXPECT_EQ(slurp(at("f")), "old");
  EXPECT_EQ(progress().files_skipped, 1U);

  set_time(1'600'000'000, 123'456'789);
  EXPECT_EQ(restore(tree, {.overwrite = Overwrite::kIfNewer}).errors, 0U);
  EXPECT_EQ(slurp(at("f")), "old") << "equally old is not newer";
  EXPECT_EQ(restore(tree, {.overwrite = Overwrite::kIfChanged}).errors, 0U);
  EXPECT_EQ(slurp(at("f")), "old") << "same size and time are trusted";
  set_time(1'600'000'000, 123'456'788);
  EXPECT_EQ(restore(tree, {.overwrite = Overwrite::kIfChanged}).errors, 0U);
  EXPECT_EQ(slurp(at("f")), "new");

  spit(at("f"), "old");
  set_time(1'600'000'000, 123'456'788);
  EXPECT_EQ(restore(tree, {.overwrite = Overwrite::kIfNewer}).errors, 0U);
  EXPECT_EQ(slurp(at("f")), "new");
  spit(at("f"), "old");
  set_time(1'600'000'000, 123'456'789);
  EXPECT_EQ(restore(tree, {.overwrite = Overwrite::kAlways}).errors, 0U);
  EXPECT_EQ(slurp(at("f")), "new");
}

TEST_F(RestorerTest, OverwriteRulesHoldForLinksToo) {
  TreeMaker make(small_);
  const BlobId tree = make.tree({TreeMaker::link("l", "new")});
  make.store();
  fs::create_directories(at(""));
  fs::create_symlink("old", at("l"));
  for (const Overwrite rule : {Overwrite::kNever, Overwrite::kIfNewer}) {  // that of today is newer
    EXPECT_EQ(restore(tree, {.overwrite = rule}).errors, 0U);
    EXPECT_EQ(fs::read_symlink(at("l")), "old");
    EXPECT_EQ(progress().files_skipped, 1U);
    EXPECT_EQ(progress().files_restored, 0U);
  }
  EXPECT_EQ(restore(tree).errors, 0U);
  EXPECT_EQ(fs::read_symlink(at("l")), "new");
}

TEST_F(RestorerTest, ThingsInTheWayAreReplaced) {
  TreeMaker make(small_);
  const BlobId tree = make.tree({make.directory("dir", {make.file("f", "1")}),
                                 make.file("file", "2"), make.file("file-over-link", "3"),
                                 TreeMaker::link("link", "to"), make.file("stays", "4")});
  make.store();
  spit(directory_ / "outside/victim", "untouched");
  fs::create_directories(at(""));
  fs::create_directory_symlink(directory_ / "outside", at("dir"));
  fs::create_directory(at("file"));
  fs::create_symlink(directory_ / "outside/victim", at("file-over-link"));
  spit(at("link"), "a file");
  spit(at("stays/inner"), "a full directory");
  const RestoreResult result = restore(tree);
  EXPECT_EQ(result.errors, 1U);
  EXPECT_THAT(failures(),
              ElementsAre(HasSubstr("/stays: a directory that is not empty is in the way")));
  EXPECT_EQ(slurp(at("dir/f")), "1");
  EXPECT_FALSE(fs::is_symlink(at("dir")));
  EXPECT_EQ(slurp(at("file")), "2");
  EXPECT_EQ(slurp(at("file-over-link")), "3");
  EXPECT_EQ(fs::read_symlink(at("link")), "to");
  EXPECT_EQ(slurp(directory_ / "outside/victim"), "untouched");
  EXPECT_FALSE(fs::exists(directory_ / "outside/f"));
}

TEST_F(RestorerTest, DeleteRemovesWhatTheSnapshotHasNot) {
  TreeMaker make(small_);
  const BlobId tree = make.tree({make.directory("dir", {make.file("f", "1")}), make.file("g", "2"),
                                 make.file("over-full-directory", "3")});
  make.store();
  spit(at("dir/extra"), "x");
  spit(at("dir/deep/er/extra"), "x");
  spit(at("foreign/file"), "x");
  spit(at("over-full-directory/inner"), "x");
  spit(directory_ / "outside/keep", "kept");
  fs::create_directory_symlink(directory_ / "outside", at("link-out"));

  EXPECT_EQ(restore(tree, {.delete_unexpected = true, .dry_run = true}).errors, 0U);
  EXPECT_TRUE(fs::exists(at("dir/extra")));
  EXPECT_THAT(handled("deleted"), Contains("/foreign"));

  EXPECT_EQ(restore(tree, {.delete_unexpected = true}).errors, 0U);
  EXPECT_FALSE(fs::exists(at("dir/extra")));
  EXPECT_FALSE(fs::exists(at("dir/deep")));
  EXPECT_FALSE(fs::exists(at("foreign")));
  EXPECT_FALSE(fs::is_symlink(at("link-out")));
  EXPECT_EQ(slurp(directory_ / "outside/keep"), "kept");
  EXPECT_EQ(slurp(at("over-full-directory")), "3");
  EXPECT_EQ(slurp(at("dir/f")), "1");
  EXPECT_EQ(progress().files_deleted, 7U);
  EXPECT_EQ(lstat_of(at("dir")).st_mtim.tv_sec, 1'600'000'000) << "metadata comes after deleting";
}

TEST_F(RestorerTest, DeleteHonoursTheSelection) {
  TreeMaker make(small_);
  const BlobId tree =
      make.tree({make.directory("dir", {make.file("f", "1")}), make.directory("other", {})});
  make.store();
  spit(at("dir/extra"), "x");
  spit(at("other/extra"), "x");
  spit(at("third"), "x");
  RestoreOptions options{.delete_unexpected = true};
  options.selection.includes = PathPatterns(std::vector<std::string>{"/dir"});
  EXPECT_EQ(restore(tree, options).errors, 0U);
  EXPECT_FALSE(fs::exists(at("dir/extra")));
  EXPECT_TRUE(fs::exists(at("other/extra")));
  EXPECT_TRUE(fs::exists(at("third")));
}

TEST_F(RestorerTest, IncludesAndExcludes) {
  TreeMaker make(small_);
  const BlobId tree =
      make.tree({make.directory(
                     "a", {make.directory("deep", {make.file("x.c", "1"), make.file("x.o", "2")})}),
                 make.directory("b", {make.file("y.o", "3")}), make.file("top.c", "4")});
  make.store();
  RestoreOptions only;
  only.selection.includes = PathPatterns(std::vector<std::string>{"*.c"});
  EXPECT_EQ(restore(tree, only).errors, 0U);
  EXPECT_TRUE(fs::exists(at("a/deep/x.c")));
  EXPECT_FALSE(fs::exists(at("a/deep/x.o")));
  EXPECT_FALSE(fs::exists(at("b"))) << "nothing in it was wanted";
  EXPECT_EQ(lstat_of(at("a")).st_mtim.tv_sec, 1'600'000'000) << "parents get their metadata too";
  EXPECT_EQ(progress().files_total, 4U);

  RestoreOptions without{.target = (directory_ / "second").string()};
  without.selection.insensitive_excludes =
      PathPatterns(std::vector<std::string>{"*.C", "/B"}, PathPatterns::Case::kInsensitive);
  EXPECT_EQ(restore(tree, without).errors, 0U);
  EXPECT_TRUE(fs::exists(directory_ / "second/a/deep/x.o"));
  EXPECT_FALSE(fs::exists(directory_ / "second/a/deep/x.c"));
  EXPECT_FALSE(fs::exists(directory_ / "second/b"));
  EXPECT_FALSE(fs::exists(directory_ / "second/top.c"));
}

TEST_F(RestorerTest, DryRunWritesNothing) {
  TreeMaker make(small_);
  const BlobId tree =
      make.tree({make.directory("d", {make.file("f", "1")}), make.file("same", "2")});
  make.store();
  EXPECT_EQ(restore(tree, {.dry_run = true}).errors, 0U);
  EXPECT_FALSE(fs::exists(target()));
  EXPECT_EQ(progress().files_restored, 3U);
  spit(at("same"), "2");
  EXPECT_EQ(restore(tree, {.dry_run = true}).errors, 0U);
  EXPECT_FALSE(fs::exists(at("d")));
  EXPECT_THAT(handled("unchanged"), ElementsAre("/same"));
}

TEST_F(RestorerTest, DryRunChangesNoModeToLookInside) {
  BlobId tree;
  {
    TreeMaker make(small_);  // its threads end before the child process begins
    tree = make.tree({make.file("closed", "2")});
    make.store();
  }
  spit(at("closed"), "2");
  ASSERT_EQ(chmod(at("closed").c_str(), 0), 0);
  test::expect_as_user({directory_.path(), target(), at("closed")}, [&] {
    return restore(tree, {.dry_run = true}).errors == 0 &&
           (lstat_of(at("closed")).st_mode & 07777U) == 0 && handled("restored").size() == 1;
  });
}

TEST_F(RestorerTest, SparseFilesHaveHoles) {
  TreeMaker make(small_);
  std::string content(8 << 20, '\0');
  content.replace(5 << 20, 4, "data");
  const BlobId tree = make.tree({make.file("holes", content, 1 << 20),
                                 make.file("zero", std::string(1 << 20, '\0'), 1 << 20)});
  make.store();
  EXPECT_EQ(restore(tree, {.sparse = true, .verify = true}).errors, 0U);
  EXPECT_EQ(slurp(at("holes")), content);
  EXPECT_EQ(fs::file_size(at("zero")), size_t{1} << 20);
  EXPECT_LE(lstat_of(at("holes")).st_blocks * 512, 64 << 10);
  EXPECT_EQ(lstat_of(at("zero")).st_blocks, 0);
  // Over old content nothing may be skipped.
  spit(at("holes"), std::string(8 << 20, 'x'));
  EXPECT_EQ(restore(tree, {.sparse = true}).errors, 0U);
  EXPECT_EQ(slurp(at("holes")), content);
}

TEST_F(RestorerTest, ABlobUsedInManyPlacesIsFetchedOnce) {
  TreeMaker make(small_);
  const std::string same = some_content(9, 1'000);
  std::vector<Node> nodes;
  for (int i = 0; i < 50; ++i) {
    nodes.push_back(make.file("f" + std::to_string(100 + i), same + same + same));
  }
  const BlobId tree = make.tree(nodes);
  make.store();
  EXPECT_EQ(restore(tree).errors, 0U);
  for (const Node& node : nodes) {
    EXPECT_EQ(slurp(at(node.name)), same + same + same);
  }
  RestorePlan plan(small_.repository().index());
  RestoreFile file;
  file.node = nodes[0];
  plan.add(file, 0);
  plan.finish({.gap_bytes = 0, .request_bytes = 1 << 20});
  ASSERT_EQ(plan.ranges().size(), 1U);
  EXPECT_EQ(plan.blobs(plan.ranges()[0]).size(), 1U);
  EXPECT_EQ(plan.uses(plan.blobs(plan.ranges()[0])[0]).size(), 3U);
}

// ---- hostile snapshots
// ---------------------------------------------------------------------------

TEST_F(RestorerTest, InvalidNamesStayOutside) {
  TreeMaker make(small_);
  std::vector<Node> nodes;
  for (const char* name : {"..", ".", "/etc/evil", "../../evil", "a/b", "sub/../../evil"}) {
    nodes.push_back(make.file(name, "evil"));
  }
  nodes.push_back(make.directory("..", {make.file("evil", "evil")}));
  nodes.push_back(make.file(std::string("nul\0l", 5), "evil"));
  nodes.push_back(make.file("good", "good"));
  Node nested = make.directory("d", {make.directory("../../up", {make.file("evil", "evil")})});
  nodes.push_back(nested);
  const BlobId tree = make.tree(nodes);
  make.store();
  spit(at("extra"), "must survive: a forged snapshot must not delete");
  const RestoreResult result = restore(tree, {.delete_unexpected = true});
  EXPECT_EQ(result.errors, 9U);
  EXPECT_EQ(slurp(at("good")), "good");
  std::vector<std::string> outside;
  for (const auto& entry : fs::directory_iterator(directory_.path())) {
    outside.push_back(entry.path().filename().string());
  }
  EXPECT_THAT(outside, ElementsAre("target"));
  std::vector<std::string> inside;
  for (const auto& entry : fs::recursive_directory_iterator(target())) {
    inside.push_back(fs::relative(entry.path(), target()).string());
  }
  EXPECT_THAT(inside, ::testing::UnorderedElementsAre("good", "d", "extra"));
}

TEST_F(RestorerTest, LinkThenDirectoryOfTheSameNameDoesNotEscape) {
  TreeMaker make(small_);
  fs::create_directories(directory_ / "outside");
  const std::string outside = (directory_ / "outside").string();
  const BlobId tree =
      make.tree({TreeMaker::link("x", outside), make.directory("x", {make.file("evil", "evil")}),
                 TreeMaker::link("y", outside + "/created"), make.file("y", "through a link")});
  make.store();
  EXPECT_EQ(restore(tree).errors, 0U);
  EXPECT_TRUE(fs::is_empty(directory_ / "outside"));
  EXPECT_EQ(slurp(at("x/evil")), "evil");
  EXPECT_EQ(slurp(at("y")), "through a link");
}

TEST_F(RestorerTest, SwappingDirectoriesForLinksMeanwhileDoesNotEscape) {
  TreeMaker make(small_);
  std::vector<Node> directories;
  for (int i = 0; i < 20; ++i) {
    std::vector<Node> files;
    for (int k = 0; k < 20; ++k) {
      files.push_back(
          make.file("f" + std::to_string(10 + k), some_content(1000 + i * 20 + k, 2'500)));
    }
    directories.push_back(make.directory("d" + std::to_string(10 + i), files));
  }
  const BlobId tree = make.tree(directories);
  make.store();
  fs::create_directories(directory_ / "outside");
  // Somebody who owns the target swaps its directories for links all the time.
  std::jthread attacker([&](const std::stop_token& stop) {
    for (unsigned round = 0; !stop.stop_requested(); ++round) {
      std::error_code ignored;
      const fs::path victim = at("d" + std::to_string(10 + round % 20));
      fs::rename(victim, directory_ / ("stolen" + std::to_string(round)), ignored);
      fs::create_directory_symlink(directory_ / "outside", victim, ignored);
    }
  });
  for (int round = 0; round < 20; ++round) {
    static_cast<void>(restore(tree, {.overwrite = Overwrite::kAlways}));
  }
  attacker.request_stop();
  attacker.join();
  EXPECT_TRUE(fs::is_empty(directory_ / "outside"));
}

TEST_F(RestorerTest, LyingSizesAndLostTreesDoNotStopTheRest) {
  TreeMaker make(small_);
  Node liar = make.file("liar", "four");
  liar.size = uint64_t{1} << 60;
  Node lost = make.directory("lost", {});
  lost.subtree = BlobId(sha256(as_bytes("never stored")));
  Node missing = make.file("missing", "x");
  missing.content = {BlobId(sha256(as_bytes("never stored either")))};
  Node null = make.file("null", "");
  null.content_is_null = true;
  Node unknown = make.directory("unknown", {});
  unknown.subtree.reset();
  const BlobId tree = make.tree({make.file("good", "good"), liar, lost, missing, null, unknown});
  make.store();
  const RestoreResult result = restore(tree);
  EXPECT_EQ(result.errors, 4U);
  EXPECT_EQ(slurp(at("good")), "good");
  EXPECT_EQ(slurp(at("liar")), "four");
  EXPECT_TRUE(fs::is_directory(at("lost")));
  EXPECT_FALSE(fs::exists(at("missing")));
  EXPECT_THAT(failures(), Contains(HasSubstr("/lost: ")));
  EXPECT_THAT(failures(), Contains(HasSubstr("/missing: data blob")));
  EXPECT_FALSE(fs::exists(at("null")));
  EXPECT_THAT(failures(), Contains(HasSubstr("/null: the snapshot does not say what this file")));
  EXPECT_TRUE(fs::is_directory(at("unknown")));
  EXPECT_THAT(failures(), Contains(HasSubstr("/unknown: the snapshot does not say what is in")));
}

TEST_F(RestorerTest, NamesThatTheTargetCannotHoldAreReported) {
  TreeMaker make(small_);
  const std::string empty(300, 'x');
  const std::string full(300, 'y');
  const BlobId tree =
      make.tree({make.file("good", "good"), make.file(empty, ""), make.file(full, "content")});
  make.store();
  EXPECT_EQ(restore(tree).errors, 2U);
  EXPECT_EQ(slurp(at("good")), "good");
  EXPECT_THAT(failures(), Contains(HasSubstr("/" + empty + ": ")));
  EXPECT_THAT(failures(), Contains(HasSubstr("/" + full + ": ")));
}

// ---- damage, interruption, full disks
// ------------------------------------------------------------

TEST_F(RestorerTest, DamagedBlobsCostOnlyTheirFiles) {
  TreeMaker make(small_);
  std::vector<Node> nodes;
  for (int i = 0; i < 30; ++i) {
    nodes.push_back(make.file("f" + std::to_string(10 + i), some_content(50 + i, 4'000)));
  }
  const BlobId tree = make.tree(nodes);
  make.store();
  small_.repository().load_index(small_.context());
  const BlobLocation hit =
      *small_.repository().index().find({BlobType::kData, nodes[7].content[2]});
  small_.flip_byte(pack_object(hit.pack), hit.blob.offset + hit.blob.length / 2);

  const RestoreResult result = restore(tree);
  EXPECT_EQ(result.errors, 1U);
  EXPECT_THAT(failures(), ElementsAre(HasSubstr("/f17: data blob " +
                                                nodes[7].content[2].short_hex() + " is damaged")));
  for (int i = 0; i < 30; ++i) {
    const std::string expected = some_content(50 + i, 4'000);
    const std::string restored = slurp(at(nodes[i].name));
    if (i == 7) {
      EXPECT_EQ(restored.size(), 4'000U);
      EXPECT_EQ(restored.substr(0, 2'000), expected.substr(0, 2'000)) << "what is good is kept";
      EXPECT_EQ(restored.substr(3'000), expected.substr(3'000));
      EXPECT_NE(lstat_of(at(nodes[i].name)).st_mtim.tv_sec, 1'600'000'000)
          << "no rule about times may take it for restored";
    } else {
      EXPECT_EQ(restored, expected);
    }
  }
  // Once the repository has been repaired the same command brings the file back, and only what is
  // missing.
  small_.flip_byte(pack_object(hit.pack), hit.blob.offset + hit.blob.length / 2);
  EXPECT_EQ(restore(tree, {.overwrite = Overwrite::kIfChanged}).errors, 0U);
  EXPECT_EQ(slurp(at("f17")), some_content(57, 4'000));
  EXPECT_EQ(progress().bytes_written, 1'000U);
}

TEST_F(RestorerTest, MissingPackIsReportedPerFile) {
  TreeMaker make(small_);
  const BlobId tree = make.tree({make.file("a", some_content(1, 3'000)), make.file("b", "b")});
  make.store();
  const BlobLocation hit =
      *small_.repository().index().find({BlobType::kData, make.file("b", "b").content[0]});
  small_.storage().remove(small_.context(), pack_object(hit.pack));
  const RestoreResult result = restore(tree);
  EXPECT_GE(result.errors, 1U);
  EXPECT_THAT(failures(), Contains(HasSubstr("/b: ")));
}

TEST_F(RestorerTest, ACopyInAnotherPackIsTakenWhereTheFirstIsDamaged) {
  const std::string content = some_content(1, 3'000);
  TreeMaker make(small_);
  const Node file = make.file("f", content);
  const BlobId tree = make.tree({file});
  make.store();
  const BlobLocation first =
      small_.repository().index().find({BlobType::kData, file.content[1]}).value();
  small_.flip_byte(pack_object(first.pack), first.blob.offset + first.blob.length / 2);
  {
    WriteSession session(small_.context(), small_.repository(), {});
    {
      const std::unique_ptr<BlobWriter> writer = session.make_writer();
      writer->add_copy(BlobType::kData, file.content[1],
                       as_bytes(std::string_view(content).substr(1'000, 1'000)));
      writer->flush();
    }
    session.finish(small_.context());
  }
  ASSERT_EQ(small_.repository().index().find_all({BlobType::kData, file.content[1]}).size(), 2U);
  EXPECT_EQ(restore(tree).errors, 0U);
  EXPECT_EQ(slurp(at("f")), content);
}

// Stops the run after a number of reads.
class InterruptingStorage final : public ForwardingStorage {
 public:
  InterruptingStorage(Storage& inner, std::stop_source& stop)
      : ForwardingStorage(inner), stop_(stop) {}
  void get_range(const Context& c, const ObjectName& o, uint64_t offset,
                 MutableBytes out) override {
    if (armed && --reads_left < 0) {
      stop_.request_stop();
    }
    ForwardingStorage::get_range(c, o, offset, out);
  }

  bool armed = false;
  std::atomic<int> reads_left = 0;

 private:
  std::stop_source& stop_;
};

TEST_F(RestorerTest, InterruptedRestoreIsResumedAndNeverLooksComplete) {
  TreeMaker make(small_);
  std::vector<Node> nodes;
  std::vector<std::string> contents;
  for (int i = 0; i < 40; ++i) {
    contents.push_back(some_content(500 + i, 600'000));
    nodes.push_back(make.file("f" + std::to_string(10 + i), contents.back(), 100'000));
  }
  const BlobId tree = make.tree(nodes);
  make.store();
  const uint64_t total = 40 * 600'000;
  for (const int reads : {0, 1}) {
    std::stop_source stop;
    InterruptingStorage storage(small_.storage(), stop);
    const Context plain = small_.context();
    const Context context = plain.with_stop(stop.get_token());
    const std::unique_ptr<Repository> repository =
        Repository::open(context, borrow_storage(storage), Secret(test::kTestPassword));
    repository->load_index(context);
    const std::string place = (directory_ / ("resume" + std::to_string(reads))).string();
    const RestoreOptions options{.target = place, .threads = 2};
    storage.armed = true;
    storage.reads_left = reads + 1;  // one for the tree
    Restorer first(*repository);
    EXPECT_THROW(static_cast<void>(first.run(context, tree, options)), Error);
    EXPECT_LT(first.progress().bytes_written, total);

    RestoreOptions again{.target = place};
    EXPECT_EQ(restore(tree, again).errors, 0U);
    EXPECT_LE(progress().bytes_written, total - first.progress().bytes_written)
        << "nothing that was in place is written again";
    for (int i = 0; i < 40; ++i) {
      EXPECT_EQ(slurp(fs::path(place) / nodes[i].name), contents[i]);
      EXPECT_EQ(lstat_of(fs::path(place) / nodes[i].name).st_mtim.tv_sec, 1'600'000'000);
    }
  }
}

TEST_F(RestorerTest, FullDiskStopsTheRunAndSaysSo) {
  if (geteuid() != 0) {
    GTEST_SKIP() << "needs root";
  }
  TreeMaker make(small_);
  std::vector<Node> nodes;
  for (int i = 0; i < 20; ++i) {
    nodes.push_back(make.file("f" + std::to_string(10 + i), some_content(70 + i, 400'000), 50'000));
  }
  const BlobId tree = make.tree(nodes);
  make.store();
  fs::create_directory(directory_ / "small");
  if (mount("salvor-test", (directory_ / "small").c_str(), "tmpfs", 0, "size=2m") != 0) {
    GTEST_SKIP() << "cannot mount";
  }
  const std::string place = (directory_ / "small/t").string();
  try {
    static_cast<void>(restore(tree, {.target = place}));
    ADD_FAILURE() << "a full disk must not look like success";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kStorageFull) << error.message();
  }
  // With room it is continued.
  EXPECT_EQ(mount("salvor-test", (directory_ / "small").c_str(), "tmpfs", MS_REMOUNT, "size=64m"),
            0);
  EXPECT_EQ(restore(tree, {.target = place}).errors, 0U);
  EXPECT_LT(progress().bytes_written, 20U * 400'000U);
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(slurp(fs::path(place) / nodes[i].name), some_content(70 + i, 400'000));
  }
  umount2((directory_ / "small").c_str(), MNT_DETACH);
}

TEST_F(RestorerTest, DeepTreesBeyondPathMax) {
  TreeMaker make(small_);
  const std::string name(200, 'n');
  Node inner = make.directory(name, {make.file("bottom", "reached")});
  for (int i = 0; i < 60; ++i) {
    inner = make.directory(name, {make.file("f", "level"), inner});
  }
  const BlobId tree = make.tree({inner});
  make.store();
  EXPECT_EQ(restore(tree, {.verify = true}).errors, 0U);
  EXPECT_THAT(failures(), IsEmpty());
  UniqueFd fd(open(target().c_str(), O_RDONLY | O_DIRECTORY));
  for (int i = 0; i < 61; ++i) {
    fd = UniqueFd(openat(fd.get(), name.c_str(), O_RDONLY | O_DIRECTORY));
    ASSERT_TRUE(fd) << i;
  }
  struct stat stat{};
  EXPECT_EQ(fstatat(fd.get(), "bottom", &stat, 0), 0);
  EXPECT_EQ(stat.st_size, 7);
  [[maybe_unused]] const int ignored = std::system(("rm -rf '" + target() + "'").c_str());
}

TEST_F(RestorerTest, VerifyFindsWhatTheDiskDidNotKeep) {
  TreeMaker make(small_);
  const BlobId tree = make.tree({make.file("f", "abc")});
  make.store();
  spit(at("f"), "xyz");
  const timespec times[2] = {{0, UTIME_OMIT}, {1'600'000'000, 123'456'789}};
  ASSERT_EQ(utimensat(AT_FDCWD, at("f").c_str(), times, 0), 0);
  // Trusted by its time and size, found out by reading.
  EXPECT_EQ(restore(tree, {.overwrite = Overwrite::kIfChanged, .verify = true}).errors, 1U);
  EXPECT_THAT(failures(),
              ElementsAre(HasSubstr("/f: the restored file does not have the content")));
}

TEST(FileWriter, NonzeroPiecesCoverEverythingButBlocksOfZeros) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  for (int round = 0; round < 200; ++round) {
    const uint64_t offset = random() % 10'000;
    std::string bytes(random() % 40'000, '\0');
    for (unsigned i = random() % 6; i-- > 0 && !bytes.empty();) {
      const size_t at = random() % bytes.size();
      bytes.replace(at, std::min<size_t>(bytes.size() - at, random() % 5'000), "x");
    }
    std::string rebuilt(bytes.size(), '\0');
    size_t last_end = 0;
    for_each_nonzero(offset, as_bytes(bytes), [&](size_t begin, size_t length) {
      ASSERT_GE(begin, last_end);
      last_end = begin + length;
      rebuilt.replace(begin, length, bytes, begin, length);
    });
    ASSERT_EQ(rebuilt, bytes);
  }
}

}  // namespace
}  // namespace salvor
