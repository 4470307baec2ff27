#include "connector/files/files_source.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <mutex>
#include <set>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/random.h"
#include "support/as_user.h"

namespace salvor {
namespace {

using test::expect_as_user;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

namespace fs = std::filesystem;

// Remembers everything pushed, and that the rules of TreeSink were kept.
class RecordingSink final : public TreeSink {
 public:
  struct Entry {
    Node node;
    std::string content;  // of regular files
  };
  struct Recorded {
    std::string path;
    std::set<std::string> names;
    bool closed = false;
  };

  Directory* root() override { return reinterpret_cast<Directory*>(&root_); }
  Directory* open_directory(Directory* parent, Node node) override {
    const std::scoped_lock lock(mutex_);
    Recorded& above = note(parent, node);
    auto& made = directories_.emplace_back(std::make_unique<Recorded>());
    made->path = above.path + "/" + node.name;
    entries[made->path].node = std::move(node);
    return reinterpret_cast<Directory*>(made.get());
  }
  void close_directory(Directory* directory) override {
    const std::scoped_lock lock(mutex_);
    EXPECT_FALSE(of(directory).closed);
    of(directory).closed = true;
  }
  void add_file(Directory* directory, Node node, std::shared_ptr<FileOpener> opener) override {
    Entry entry;
    if (read_files) {
      std::unique_ptr<ByteReader> reader = opener->open(node);
      reader->refresh(node);
      std::array<std::byte, 4096> buffer;
      while (const size_t got = reader->read(buffer)) {
        entry.content += as_text(ByteView(buffer).first(got));
      }
    }
    const std::scoped_lock lock(mutex_);
    if (keep_openers) {
      openers.emplace_back(node, opener);
    }
    const std::string path = note(directory, node).path + "/" + node.name;
    entry.node = std::move(node);
    entries[path] = std::move(entry);
    if (on_file) {
      on_file(path);
    }
  }
  void add_stored(Directory*, Node) override { ADD_FAILURE() << "nothing is stored"; }
  void add_other(Directory* directory, Node node) override {
    const std::scoped_lock lock(mutex_);
    const std::string path = note(directory, node).path + "/" + node.name;
    entries[path].node = std::move(node);
  }
  void report_unreadable(const std::string& path, const Error& error) override {
    const std::scoped_lock lock(mutex_);
    unreadable.push_back(path + ": " + error.message());
  }

  [[nodiscard]] std::vector<std::string> paths() const {
    std::vector<std::string> all;
    for (const auto& [path, entry] : entries) {
      all.push_back(path);
    }
    return all;
  }
  [[nodiscard]] bool all_closed() const {
    return root_.closed && std::all_of(directories_.begin(), directories_.end(),
                                       [](const auto& one) { return one->closed; });
  }

  std::map<std::string, Entry> entries;
  std::vector<std::string> unreadable;
  std::vector<std::pair<Node, std::shared_ptr<FileOpener>>> openers;
  std::function<void(const std::string& path)> on_file;
  bool read_files = true;
  bool keep_openers = false;

 private:
  static Recorded& of(Directory* directory) { return *reinterpret_cast<Recorded*>(directory); }
  Recorded& note(Directory* directory, const Node& node) {
    Recorded& recorded = of(directory);
    EXPECT_FALSE(recorded.closed) << "entry " << node.name << " after close of " << recorded.path;
    EXPECT_TRUE(recorded.names.insert(node.name).second) << node.name << " comes twice";
    return recorded;
  }

  std::mutex mutex_;
  Recorded root_;
  std::vector<std::unique_ptr<Recorded>> directories_;
};

class WarningCollector final : public EventSink {
 public:
  void on(const Event& event) override {
    if (const auto* warning = std::get_if<Warning>(&event)) {
      warnings.push_back(warning->message);
    }
  }
  std::vector<std::string> warnings;
};

class FilesSourceTest : public ::testing::Test {
 protected:
  FilesSourceTest() {
    std::string pattern = (fs::temp_directory_path() / "salvor-files-XXXXXX").string();
    root_ = mkdtemp(pattern.data());
    previous_ = fs::current_path();
    fs::current_path(root_);
  }
  ~FilesSourceTest() override {
    fs::current_path(previous_);
    // A shell command, because std::filesystem cannot remove paths longer than PATH_MAX.
    [[maybe_unused]] const int ignored = std::system(("rm -rf '" + root_ + "'").c_str());
  }

  static void write(const std::string& path, const std::string& content = "x") {
    if (fs::path(path).has_parent_path()) {
      fs::create_directories(fs::path(path).parent_path());
    }
    std::ofstream(path, std::ios::binary) << content;
  }
  void run(FilesOptions options) {
    FilesSource source(std::move(options));
    paths = source.paths();
    source.stream_into(
        {.stop = stop.get_token(), .events = events, .clock = clock, .random = random}, sink);
    EXPECT_TRUE(sink.all_closed());
  }
  // Paths of what was pushed, without the test directory's own parents.
  [[nodiscard]] std::vector<std::string> below_root() const {
    std::vector<std::string> all;
    for (const std::string& path : sink.paths()) {
      if (path.starts_with(root_ + "/")) {
        all.push_back(path.substr(root_.size() + 1));
      }
    }
    return all;
  }

  std::string root_;
  fs::path previous_;
  RecordingSink sink;
  WarningCollector events;
  SystemClock clock;
  SystemRandom random;
  std::stop_source stop;
  std::vector<std::string> paths;
};

TEST_F(FilesSourceTest, AbsoluteTargetStandsBelowItsParents) {
  write("a/b/file", "content");
  run({.targets = {root_ + "/a//b/../b/"}});
  EXPECT_THAT(paths, ElementsAre(root_ + "/a/b"));
  EXPECT_THAT(below_root(), ElementsAre("a", "a/b", "a/b/file"));
  EXPECT_EQ(sink.entries.at(root_ + "/a/b/file").content, "content");
  EXPECT_EQ(sink.entries.at("/tmp").node.mode, go_mode::kDir | go_mode::kSticky | 0777);
  EXPECT_THAT(sink.unreadable, IsEmpty());
}

TEST_F(FilesSourceTest, RelativeTargetsLoseTheirDotDot) {
  write("x/y/f");
  write("other/g");
  fs::create_directory("deep");
  fs::current_path(root_ + "/deep");
  run({.targets = {"../x/y", "../other"}});
  EXPECT_THAT(paths, ElementsAre(root_ + "/x/y", root_ + "/other"));
  EXPECT_THAT(sink.paths(), ElementsAre("/other", "/other/g", "/x", "/x/y", "/x/y/f"));
}

TEST_F(FilesSourceTest, DotIsReplacedByItsEntries) {
  write("one");
  write("two/three");
  run({.targets = {"."}});
  EXPECT_THAT(paths, ElementsAre(root_));
  EXPECT_THAT(sink.paths(), ElementsAre("/one", "/two", "/two/three"));
}

TEST_F(FilesSourceTest, SameNameFromTwoPlacesIsNumbered) {
  write("src/f");
  write("sub/src/g");
  fs::current_path(root_ + "/sub");
  run({.targets = {"src", "../src"}});
  EXPECT_THAT(sink.paths(), ElementsAre("/src", "/src-1", "/src-1/f", "/src/g"));
  EXPECT_EQ(sink.entries.at("/src-1").node.name, "src-1");
  EXPECT_EQ(sink.entries.at("/src-1/f").content, "x");
}

TEST_F(FilesSourceTest, RenamedFileTargetIsStillRead) {
  write("f", "outer");
  write("sub/f", "inner");
  fs::current_path(root_ + "/sub");
  run({.targets = {"f", "../f"}});
  EXPECT_EQ(sink.entries.at("/f").content, "inner");
  EXPECT_EQ(sink.entries.at("/f-1").content, "outer");
}

TEST_F(FilesSourceTest, NestedTargetsMerge) {
  write("a/b/c/f");
  write("a/b/g");
  write("a/h");
  write("i");
  run({.targets = {root_ + "/a/b/c", root_ + "/a", root_ + "/a"}});
  EXPECT_THAT(paths, ElementsAre(root_ + "/a/b/c", root_ + "/a", root_ + "/a"));
  EXPECT_THAT(below_root(), ElementsAre("a", "a/b", "a/b/c", "a/b/c/f", "a/b/g", "a/h"));
}

TEST_F(FilesSourceTest, ExclusionsSpareNamedTargetsOnly) {
  write("keep/x.o");
  write("keep/y.c");
  write("keep/Cache/z");
  write("drop.o/inner.c");
  run({.targets = {"keep", "drop.o", "keep/x.o"},
       .excludes = {"*.o"},
       .insensitive_excludes = {"cache"}});
  // keep was taken apart because a target lies in it; inner.c lies below a directory that matches.
  EXPECT_THAT(sink.paths(), ElementsAre("/drop.o", "/keep", "/keep/x.o", "/keep/y.c"));
}

TEST_F(FilesSourceTest, TagFilesKeepOnlyThemselves) {
  write("cache/CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55\nand more");
  write("cache/data");
  write("cache/sub/more");
  write("fake/CACHEDIR.TAG", "something else, long enough to compare with the signature");
  write("fake/data");
  write("tagged/.nobackup");
  write("tagged/data");
  run({.targets = {"."}, .exclude_if_present = {".nobackup"}, .exclude_caches = true});
  EXPECT_THAT(sink.paths(),
              ElementsAre("/cache", "/cache/CACHEDIR.TAG", "/fake", "/fake/CACHEDIR.TAG",
                          "/fake/data", "/tagged", "/tagged/.nobackup"));
  EXPECT_THAT(events.warnings, Contains(HasSubstr("fake/CACHEDIR.TAG")));
}

TEST_F(FilesSourceTest, LargeFilesAndOwnCacheAreLeftOut) {
  write("large", std::string(101, 'l'));
  write("small", std::string(100, 's'));
  write("own/cache/index");
  run({.targets = {"."},
       .exclude_larger_than = 100,
       .exclude_directories = {root_ + "/own/cache"}});
  EXPECT_THAT(sink.paths(), ElementsAre("/own", "/small"));
}

TEST_F(FilesSourceTest, MetadataIsWhatTheFileSystemSays) {
  write("dir/file", "12345");
  fs::create_hard_link("dir/file", "dir/hard");
  fs::create_symlink("tar\xff get", "dir/link");
  ASSERT_EQ(mkfifo("dir/pipe", 0640), 0);
  ASSERT_EQ(chmod("dir/file", 04751), 0);
  const timespec times[2] = {{1'700'000'000, 123'456'789}, {-5, 999'999'999}};
  ASSERT_EQ(utimensat(AT_FDCWD, "dir/file", times, 0), 0);
  const bool has_attributes = setxattr("dir/file", "user.zeta", "v\0w", 3, 0) == 0;
  if (has_attributes) {
    ASSERT_EQ(setxattr("dir/file", "user.alpha", "", 0, 0), 0);
  }
  const int server = socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = "dir/socket"};
  ASSERT_EQ(bind(server, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  run({.targets = {"dir"}, .with_atime = true});
  close(server);

  const Node& file = sink.entries.at("/dir/file").node;
  struct stat stat{};
  ASSERT_EQ(lstat("dir/file", &stat), 0);
  EXPECT_EQ(file.type, NodeType::kFile);
  EXPECT_EQ(file.mode, go_mode::kSetuid | 0751U);
  EXPECT_EQ(file.mtime.seconds, -5);
  EXPECT_EQ(file.mtime.nanoseconds, 999'999'999U);
  EXPECT_EQ(file.atime.seconds, 1'700'000'000);
  EXPECT_EQ(file.inode, stat.st_ino);
  EXPECT_EQ(file.device_id, stat.st_dev);
  EXPECT_EQ(file.links, 2U);
  EXPECT_EQ(file.size, 5U);
  EXPECT_EQ(file.uid, getuid());
  if (getuid() == 0) {
    EXPECT_EQ(file.user, "root");
  }
  if (has_attributes) {
    EXPECT_THAT(file.extended_attributes,
                UnorderedElementsAre(ExtendedAttribute{"user.zeta", std::string("v\0w", 3)},
                                     ExtendedAttribute{"user.alpha", ""}));
  }
  EXPECT_EQ(sink.entries.at("/dir/link").node.link_target, "tar\xff get");
  EXPECT_EQ(sink.entries.at("/dir/link").node.links, 1U);
  EXPECT_EQ(sink.entries.at("/dir/pipe").node.type, NodeType::kFifo);
  EXPECT_EQ(sink.entries.at("/dir/pipe").node.links, 0U);
  EXPECT_EQ(sink.entries.at("/dir").node.links, 0U);
  EXPECT_FALSE(sink.entries.contains("/dir/socket"));
}

TEST_F(FilesSourceTest, AccessTimeIsModificationTimeUnlessWanted) {
  write("file");
  const timespec times[2] = {{1'700'000'000, 0}, {1'600'000'000, 7}};
  ASSERT_EQ(utimensat(AT_FDCWD, "file", times, 0), 0);
  run({.targets = {"file"}});
  EXPECT_EQ(sink.entries.at("/file").node.atime, sink.entries.at("/file").node.mtime);
  struct stat stat{};
  ASSERT_EQ(lstat("file", &stat), 0);
  EXPECT_EQ(stat.st_atim.tv_sec, 1'700'000'000) << "reading must not change the access time";
}

TEST_F(FilesSourceTest, MissingTargetsAreReportedAndAllMissingIsAnError) {
  write("here");
  run({.targets = {"gone", "here"}});
  EXPECT_THAT(paths, ElementsAre(root_ + "/here"));
  EXPECT_THAT(sink.unreadable, ElementsAre(HasSubstr(root_ + "/gone")));
  EXPECT_THROW(FilesSource({.targets = {"gone", "lost"}}), Error);
  EXPECT_THROW(FilesSource({.targets = {}}), Error);
}

TEST_F(FilesSourceTest, NothingToStoreIsAnError) {
  write("dir/f");
  FilesSource source({.targets = {"."}, .excludes = {"*"}});
  const Context context{
      .stop = stop.get_token(), .events = events, .clock = clock, .random = random};
  EXPECT_THROW(source.stream_into(context, sink), Error);
}

TEST_F(FilesSourceTest, PathsLongerThanTheKernelTakesAreWalked) {
  // 100 directories of 200 bytes: 20,100 bytes, five times PATH_MAX.
  const std::string name(200, 'd');
  UniqueFd at(open(".", O_RDONLY | O_DIRECTORY));
  std::string path;
  for (int i = 0; i < 100; ++i) {
    ASSERT_EQ(mkdirat(at.get(), name.c_str(), 0755), 0);
    at = UniqueFd(openat(at.get(), name.c_str(), O_RDONLY | O_DIRECTORY));
    path += "/" + name;
    const UniqueFd file(openat(at.get(), "file", O_CREAT | O_WRONLY, 0644));
    ASSERT_EQ(::write(file.get(), "deep", 4), 4);
    const UniqueFd later(openat(at.get(), "zlast", O_CREAT | O_WRONLY, 0644));
  }
  sink.keep_openers = true;
  run({.targets = {"."}});
  EXPECT_EQ(sink.entries.at(path + "/file").content, "deep");
  EXPECT_TRUE(sink.entries.contains("/" + name + "/zlast"));
  EXPECT_THAT(sink.unreadable, IsEmpty());
  // Long after the walk, by way of openat2 chains.
  for (auto& [node, opener] : sink.openers) {
    EXPECT_NO_THROW(static_cast<void>(opener->open(node)));
  }
}

TEST_F(FilesSourceTest, DescriptorsStayBounded) {
  for (int i = 0; i < 300; ++i) {
    write("d" + std::to_string(i) + "/f");
  }
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit tight{.rlim_cur = 150, .rlim_max = before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &tight), 0);
  sink.keep_openers = true;
  run({.targets = {"."}});
  for (auto& [node, opener] : sink.openers) {
    EXPECT_NO_THROW(static_cast<void>(opener->open(node)));
  }
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_EQ(sink.openers.size(), 300U);
  EXPECT_THAT(sink.unreadable, IsEmpty());
}

TEST_F(FilesSourceTest, LinkPutInTheWayIsNotFollowed) {
  write("secret/f", "secret");
  for (int i = 0; i < 200; ++i) {
    write("t/d" + std::to_string(i) + "/f", "public");
  }
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit tight{.rlim_cur = 100, .rlim_max = before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &tight), 0);
  sink.keep_openers = true;
  sink.read_files = false;
  run({.targets = {"t"}});
  // Whoever owns the tree now swaps each directory for a link to a place they may not read.
  for (int i = 0; i < 200; ++i) {
    fs::rename("t/d" + std::to_string(i), "moved" + std::to_string(i));
    fs::create_directory_symlink(root_ + "/secret", "t/d" + std::to_string(i));
  }
  int refused = 0;
  for (auto& [node, opener] : sink.openers) {
    try {
      std::unique_ptr<ByteReader> reader = opener->open(node);
      std::array<std::byte, 16> buffer;
      EXPECT_EQ(as_text(ByteView(buffer).first(reader->read(buffer))), "public");
    } catch (const Error&) {
      ++refused;
    }
  }
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_GT(refused, 100) << "most descriptors cannot have been kept";
}

TEST_F(FilesSourceTest, FilesReplacedMeanwhileAreNotRead) {
  write("was-file");
  sink.keep_openers = true;
  sink.read_files = false;
  run({.targets = {"was-file"}});
  fs::remove("was-file");
  const auto& [node, opener] = sink.openers.front();
  EXPECT_THROW(static_cast<void>(opener->open(node)), Error);
  ASSERT_EQ(mkfifo("was-file", 0600), 0);
  EXPECT_THROW(static_cast<void>(opener->open(node)), Error);
  fs::remove("was-file");
  fs::create_symlink("/etc/passwd", "was-file");
  EXPECT_THROW(static_cast<void>(opener->open(node)), Error);
}

TEST_F(FilesSourceTest, OnlyWhatTouchesTheContentCountsAsAChangeWhileReading) {
  write("log");
  sink.keep_openers = true;
  sink.read_files = false;
  run({.targets = {"log"}});
  auto& [node, opener] = sink.openers.front();
  const auto changed_by = [&, &node = node, &opener = opener](const auto& action) {
    write("log", "content");
    const timespec times[2] = {{1'600'000'000, 0}, {1'600'000'000, 0}};
    EXPECT_EQ(utimensat(AT_FDCWD, "log", times, 0), 0);
    const std::unique_ptr<ByteReader> reader = opener->open(node);
    reader->refresh(node);
    action();
    std::array<std::byte, 64> buffer;
    while (reader->read(buffer) > 0) {
    }
    return reader->changed_since_refresh();
  };
  EXPECT_FALSE(changed_by([] {}));
  EXPECT_FALSE(changed_by([] { fs::rename("log", "log.1"); }));
  EXPECT_FALSE(changed_by([] { EXPECT_EQ(chmod("log", 0600), 0); }));
  EXPECT_FALSE(changed_by([] { fs::create_hard_link("log", "log.2"); }));
  EXPECT_TRUE(changed_by([] { std::ofstream("log", std::ios::app) << "more"; }));
  EXPECT_TRUE(changed_by([] { write("log", "CONTENT"); }));
}

TEST_F(FilesSourceTest, NamesThatAreNotTextAndManyEntriesKeepByteOrder) {
  const std::vector<std::string> names{"a\xff", "a",    "A",  "\xc3\xa9", "a.b",
                                       "a b",   "\x01", "zz", "\xfe"};
  for (const std::string& name : names) {
    write("d/" + name);
  }
  for (int i = 0; i < 5000; ++i) {
    write("d/common-prefix-" + std::to_string(i));
  }
  run({.targets = {"d"}});  // the sink checks the order
  EXPECT_EQ(sink.entries.size(), 1 + names.size() + 5000);
}

TEST_F(FilesSourceTest, ManyThreadsSeeTheSameTree) {
  for (int i = 0; i < 40; ++i) {
    for (int j = 0; j < 10; ++j) {
      write("t/" + std::to_string(i) + "/" + std::to_string(j) + "/f" + std::to_string(i * j), "c");
    }
  }
  run({.targets = {"t"}, .threads = 8});
  EXPECT_EQ(sink.entries.size(), 1U + 40 + 400 + 400);
}

TEST_F(FilesSourceTest, StopEndsTheWalk) {
  write("t/f");
  stop.request_stop();
  FilesSource source({.targets = {"t"}});
  const Context context{
      .stop = stop.get_token(), .events = events, .clock = clock, .random = random};
  try {
    source.stream_into(context, sink);
    FAIL() << "a cancelled walk must not look complete";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kCancelled);
  }
}

TEST_F(FilesSourceTest, UnreadableDirectoriesAreReported) {
  write("t/closed/f");
  write("t/open/f");
  ASSERT_EQ(chmod("t/closed", 0), 0);
  expect_as_user({".", "t", "t/closed", "t/open", "t/open/f"}, [&] {
    run({.targets = {"t"}});
    return sink.unreadable.size() == 1 &&
           sink.unreadable[0].find("/t/closed") != std::string::npos &&
           !sink.entries.contains("/t/closed") && sink.entries.contains("/t/open/f");
  });
  ASSERT_EQ(chmod("t/closed", 0700), 0);
}

TEST_F(FilesSourceTest, TargetsInADirectoryThatMayOnlyBeEnteredAreWalked) {
  write("home/me/deep/f", "inner");
  write("home/single", "alone");
  const bool attributes = setxattr("home/me", "user.a", "1", 1, 0) == 0 &&
                          setxattr("home/single", "user.b", "2", 1, 0) == 0;
  ASSERT_EQ(chmod("home", 0311), 0);
  expect_as_user({".", "home", "home/me", "home/me/deep", "home/me/deep/f", "home/single"}, [&] {
    run({.targets = {root_ + "/home/me/deep", root_ + "/home/single"}});
    const auto node = [&](const std::string& path) { return sink.entries.at(root_ + path).node; };
    return sink.unreadable.empty() && sink.entries.size() > 5 &&
           sink.entries.at(root_ + "/home/me/deep/f").content == "inner" &&
           sink.entries.at(root_ + "/home/single").content == "alone" &&
           node("/home").mode == (go_mode::kDir | 0311U) &&
           (!attributes || (node("/home/me").extended_attributes.size() == 1 &&
                            node("/home/single").extended_attributes.size() == 1));
  });
  ASSERT_EQ(chmod("home", 0755), 0);
}

TEST_F(FilesSourceTest, ADirectoryFarAboveThatIsRenamedMeanwhileKeepsWhatWasFoundInIt) {
  constexpr int kLevels = 40;  // of which the outer eight are closed while the innermost is read
  std::vector<std::string> levels{"d"};
  for (int i = 1; i < kLevels; ++i) {
    levels.push_back(levels.back() + "/d");
  }
  for (const std::string& level : levels) {
    write(level + "/z");
  }
  sink.on_file = [&](const std::string& path) {
    if (path == "/" + levels.back() + "/z") {
      fs::rename(levels[2], "moved");
    }
  };
  run({.targets = {"d"}, .threads = 1});
  for (size_t i = 0; i < levels.size(); ++i) {
    const bool lost = 2 <= i && i < 8;
    EXPECT_TRUE(sink.entries.contains("/" + levels[i]));
    EXPECT_EQ(sink.entries.contains("/" + levels[i] + "/z"), !lost) << i;
    EXPECT_EQ(std::ranges::count_if(sink.unreadable,
                                    [&](const std::string& line) {
                                      return line.starts_with(root_ + "/" + levels[i] + ": ");
                                    }),
              lost ? 1 : 0)
        << i;
  }
}

TEST_F(FilesSourceTest, AFileWhoseAttributesCannotBeReadSaysSo) {
  write("f");
  write("g");
  if (setxattr("f", "user.a", "1", 1, 0) != 0) {
    GTEST_SKIP() << "no extended attributes here";
  }
  ASSERT_EQ(chmod("f", 0200), 0);  // attributes of this kind are read only by who may read it
  sink.read_files = false;
  expect_as_user({".", "f", "g"}, [&] {
    run({.targets = {"f", "g"}});
    const Node& node = sink.entries.at("/f").node;
    return sink.unreadable.size() == 1 && node.error.find("user.a") != std::string::npos &&
           node.extended_attributes.empty() && sink.entries.at("/g").node.error.empty();
  });
}

TEST_F(FilesSourceTest, DeferredAttributesComeWithRefreshAndComplete) {
  write("f");
  if (setxattr("f", "user.a", "1", 1, 0) != 0) {
    GTEST_SKIP() << "no extended attributes here";
  }
  sink.keep_openers = true;
  sink.read_files = false;
  run({.targets = {"f"}, .defer_extended_attributes = true});
  auto& [node, opener] = sink.openers.front();
  EXPECT_THAT(node.extended_attributes, IsEmpty());
  Node completed = node;
  opener->complete(completed);
  EXPECT_THAT(completed.extended_attributes, ElementsAre(ExtendedAttribute{"user.a", "1"}));
  Node refreshed = node;
  opener->open(node)->refresh(refreshed);
  EXPECT_THAT(refreshed.extended_attributes, ElementsAre(ExtendedAttribute{"user.a", "1"}));
}

}  // namespace
}  // namespace salvor
