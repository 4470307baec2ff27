#include "storage/local/local_storage.h"

#include <fstream>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "storage/local/descriptor_cache.h"
#include "support/file_calls.h"
#include "support/storage_helpers.h"
#include "support/temp_directory.h"
#include "support/test_context.h"

namespace salvor::test {
namespace {

namespace fs = std::filesystem;

mode_t mode_of(const fs::path& path) {
  struct stat status{};
  EXPECT_EQ(::stat(path.c_str(), &status), 0) << path;
  return status.st_mode & 07777U;
}

size_t temporary_files(const fs::path& root) {
  size_t count = 0;
  for (const auto& entry : fs::recursive_directory_iterator(root)) {
    count += entry.path().filename().string().find("-tmp-") != std::string::npos ? 1 : 0;
  }
  return count;
}

class LocalStorage : public testing::Test {
 protected:
  void SetUp() override {
    storage_ = open_local_storage(root_.string(), calls_);
    storage_->create(*context_);
  }
  // Fails the first call of the kind (below the repository), once.
  void fail_next(FileCall::Kind kind, int error_number) {
    calls_.before = [this, kind, error_number](const FileCall& call) -> std::optional<int> {
      if (call.kind != kind) {
        return std::nullopt;
      }
      calls_.before = nullptr;
      return error_number;
    };
  }
  ObjectName put(ObjectKind kind, std::string_view content) {
    const ObjectName object = named_by_hash(kind, as_bytes(content));
    storage_->put(*context_, object, as_bytes(content));
    return object;
  }

  TempDirectory directory_{TempPlace::kMemory};
  const fs::path root_ = directory_ / "repository";
  TestContext context_;
  HookedFileCalls calls_;
  std::unique_ptr<Storage> storage_;
};

TEST_F(LocalStorage, LayoutAndModesAreRestics) {
  size_t packs = 0;
  for (const auto& entry : fs::directory_iterator(root_ / "data")) {
    packs += entry.is_directory() ? 1 : 0;
    EXPECT_EQ(mode_of(entry.path()), 0700U);
  }
  EXPECT_EQ(packs, 256U);
  for (const char* name : {"index", "keys", "locks", "snapshots", "data/00", "data/ff"}) {
    EXPECT_EQ(mode_of(root_ / name), 0700U) << name;
  }
  const ObjectName pack = put(ObjectKind::kPack, "pack");
  const ObjectName key = put(ObjectKind::kKey, "key");
  storage_->put(*context_, {ObjectKind::kConfig, ""}, as_bytes("config"));
  EXPECT_EQ(mode_of(root_ / "data" / pack.name.substr(0, 2) / pack.name), 0400U);
  EXPECT_EQ(mode_of(root_ / "keys" / key.name), 0400U);
  EXPECT_EQ(mode_of(root_ / "config"), 0400U);
  storage_->replace_config(*context_, as_bytes("new"));
  EXPECT_EQ(mode_of(root_ / "config"), 0400U);
  EXPECT_FALSE(fs::exists(root_ / "salvor")) << "made only when it is needed";
}

TEST_F(LocalStorage, GroupReadableConfigOpensTheRepositoryToTheGroup) {
  storage_->put(*context_, {ObjectKind::kConfig, ""}, as_bytes("config"));
  ASSERT_EQ(::chmod((root_ / "config").c_str(), 0440), 0);
  fs::remove(root_ / "data" / "ab");
  const mode_t old_mask = ::umask(077);
  const auto shared = open_local_storage(root_.string());
  const ObjectName pack{ObjectKind::kPack, "ab" + std::string(62, '0')};
  shared->put(*context_, pack, as_bytes("content"));
  shared->put(*context_, {ObjectKind::kSalvor, "a/b"}, as_bytes("content"));
  ::umask(old_mask);
  EXPECT_EQ(mode_of(root_ / "data" / "ab"), 0770U);
  EXPECT_EQ(mode_of(root_ / "data" / "ab" / pack.name), 0440U);
  EXPECT_EQ(mode_of(root_ / "salvor" / "a"), 0770U);
}

TEST_F(LocalStorage, MissingDirectoriesAreMadeOnDemandAndReadAsEmpty) {
  fs::remove_all(root_ / "data");
  fs::remove_all(root_ / "locks");
  EXPECT_TRUE(storage_->list_all(*context_, ObjectKind::kPack).empty());
  EXPECT_TRUE(storage_->list_all(*context_, ObjectKind::kLock).empty());
  const ObjectName pack = put(ObjectKind::kPack, "pack");
  put(ObjectKind::kLock, "lock");
  EXPECT_EQ(storage_->list_all(*context_, ObjectKind::kPack).size(), 1U);
  storage_->remove(*context_, pack);
  fs::remove_all(root_ / "data");
  EXPECT_NO_THROW(storage_->remove(*context_, pack));
}

// By the file system's time, not by this machine's: the clock of the context stands still.
TEST_F(LocalStorage, LeftoversCountTheirAgeFromTheNewestLock) {
  const ObjectName lock = put(ObjectKind::kLock, "lock");
  const auto now = fs::last_write_time(root_ / "locks" / lock.name);
  const std::string hex(64, 'a');
  const auto leave = [&](const std::string& name, std::chrono::seconds age) {
    std::ofstream(root_ / name) << "half";
    fs::last_write_time(root_ / name, now - age);
  };
  constexpr std::chrono::seconds kDay(86'400);
  leave("data/aa/" + hex + "-tmp-1", kDay + std::chrono::seconds(1));
  leave("data/aa/" + hex + "-tmp-2", kDay - std::chrono::seconds(1));
  leave("data/aa/" + hex + "-tmp-3", -kDay);  // a clock that was set back
  fs::create_symlink(root_ / "locks" / lock.name, root_ / "index" / (hex + "-tmp-4"));
  fs::create_directory(root_ / "keys" / (hex + "-tmp-5"));
  const auto old = storage_->leftovers(*context_, kDay);
  ASSERT_EQ(old.size(), 1U);
  EXPECT_EQ(old[0].path, "data/aa/" + hex + "-tmp-1");
  EXPECT_EQ(old[0].size_bytes, 4U);
  EXPECT_EQ(storage_->leftovers(*context_, -10 * kDay).size(), 3U) << "files only";

  // The newest lock is what counts: one that an ended run left behind would make all look younger.
  const ObjectName older = put(ObjectKind::kLock, "older");
  fs::last_write_time(root_ / "locks" / older.name, now - 10 * kDay);
  EXPECT_EQ(storage_->leftovers(*context_, kDay).size(), 1U);
  storage_->remove(*context_, lock);
  EXPECT_TRUE(storage_->leftovers(*context_, kDay).empty());
}

TEST_F(LocalStorage, RemovedLeftoversStayRemoved) {
  put(ObjectKind::kLock, "lock");
  std::ofstream(root_ / "config-tmp-1") << "half";
  std::set<std::string> synced;
  calls_.after = [&](const FileCall& call) {
    if (call.kind == FileCall::Kind::kSync) {
      synced.insert(call.path);
    }
  };
  const auto all = storage_->leftovers(*context_, std::chrono::seconds(-10));
  ASSERT_EQ(all.size(), 1U);
  fail_next(FileCall::Kind::kUnlink, EACCES);
  EXPECT_EQ(code_of([&] { storage_->remove_leftovers(*context_, all); }), ErrorCode::kPermission);
  EXPECT_TRUE(fs::exists(root_ / "config-tmp-1"));
  storage_->remove_leftovers(*context_, all);
  EXPECT_FALSE(fs::exists(root_ / "config-tmp-1"));
  EXPECT_TRUE(synced.contains(root_.string()) || synced.contains((root_ / ".").string()));
}

TEST_F(LocalStorage, AnUnmountedRepositoryIsNotMadeAnew) {
  const auto elsewhere = open_local_storage((directory_ / "not-mounted").string());
  EXPECT_FALSE(elsewhere->stat(*context_, {ObjectKind::kConfig, ""}).has_value());
  const ObjectName object = named_by_hash(ObjectKind::kPack, as_bytes("x"));
  EXPECT_EQ(code_of([&] { elsewhere->put(*context_, object, as_bytes("x")); }),
            ErrorCode::kNotFound);
  EXPECT_EQ(code_of([&] { (void)elsewhere->get(*context_, object); }), ErrorCode::kNotFound);
  EXPECT_EQ(code_of([&] { elsewhere->replace_config(*context_, as_bytes("x")); }),
            ErrorCode::kNotFound);
  EXPECT_NO_THROW(elsewhere->remove(*context_, object)) << "it is not there";
  EXPECT_FALSE(fs::exists(directory_ / "not-mounted"));
}

// An empty listing would let prune conclude that nothing is needed.
TEST_F(LocalStorage, ARemovedRepositoryDoesNotLookEmpty) {
  put(ObjectKind::kSnapshot, "snapshot");
  fs::remove_all(root_);
  EXPECT_EQ(code_of([&] { (void)storage_->list_all(*context_, ObjectKind::kSnapshot); }),
            ErrorCode::kNotFound);
  EXPECT_EQ(code_of([&] { (void)storage_->list_all(*context_, ObjectKind::kPack); }),
            ErrorCode::kNotFound);
  try {
    put(ObjectKind::kPack, "pack");
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.message(), testing::HasSubstr("repository directory"));
    EXPECT_THAT(error.hint(), testing::HasSubstr("mounted"));
  }
}

TEST_F(LocalStorage, RelativeDirectoriesSurviveAChangeOfDirectory) {
  const fs::path old = fs::current_path();
  fs::current_path(directory_.path());
  const auto relative = open_local_storage("./sub/../repository/");
  fs::current_path("/");
  const ObjectName pack = put(ObjectKind::kPack, "pack");
  EXPECT_TRUE(relative->stat(*context_, pack).has_value());
  EXPECT_EQ(relative->traits().description, "local directory " + root_.string());
  fs::current_path(old);
}

TEST_F(LocalStorage, CreateMakesTheDirectoriesAbove) {
  const auto deep = open_local_storage((directory_ / "a/b/c").string());
  deep->create(*context_);
  EXPECT_TRUE(fs::is_directory(directory_ / "a/b/c/data/7f"));
  EXPECT_EQ(mode_of(directory_ / "a/b/c"), 0700U);
}

TEST_F(LocalStorage, EveryFailingCallFailsThePutAndLeavesNoTemporaryFile) {
  const struct {
    FileCall::Kind kind;
    int error_number;
    ErrorCode code;
  } cases[] = {{FileCall::Kind::kCreate, EACCES, ErrorCode::kPermission},
               {FileCall::Kind::kCreate, EROFS, ErrorCode::kPermission},
               {FileCall::Kind::kCreate, ENOSPC, ErrorCode::kStorageFull},
               {FileCall::Kind::kWrite, ENOSPC, ErrorCode::kStorageFull},
               {FileCall::Kind::kWrite, EDQUOT, ErrorCode::kStorageFull},
               {FileCall::Kind::kWrite, EIO, ErrorCode::kFailed},
               {FileCall::Kind::kWrite, ESTALE, ErrorCode::kUnreachable},
               {FileCall::Kind::kMode, EIO, ErrorCode::kFailed},
               {FileCall::Kind::kSync, ENOSPC, ErrorCode::kStorageFull},
               {FileCall::Kind::kSync, EIO, ErrorCode::kFailed},
               {FileCall::Kind::kClose, EDQUOT, ErrorCode::kStorageFull},
               {FileCall::Kind::kRenameNew, ENOSPC, ErrorCode::kStorageFull},
               {FileCall::Kind::kRenameNew, EIO, ErrorCode::kFailed}};
  const ObjectName object = named_by_hash(ObjectKind::kPack, as_bytes("content"));
  for (const auto& [kind, error_number, code] : cases) {
    fail_next(kind, error_number);
    try {
      storage_->put(*context_, object, as_bytes("content"));
      ADD_FAILURE() << "no error for " << static_cast<int>(kind) << " " << error_number;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), code) << error.message();
      EXPECT_EQ(error.error_number(), error_number);
      EXPECT_THAT(error.message(), testing::HasSubstr("pack " + object.name.substr(0, 8)));
      EXPECT_THAT(error.message(), testing::HasSubstr(root_.string()));
      EXPECT_FALSE(error.hint().empty());
    }
    EXPECT_EQ(temporary_files(root_), 0U);
    EXPECT_FALSE(storage_->stat(*context_, object).has_value());
  }
  storage_->put(*context_, object, as_bytes("content"));
}

TEST_F(LocalStorage, InterruptedCallsAreRepeated) {
  fail_next(FileCall::Kind::kWrite, EINTR);
  put(ObjectKind::kPack, "one");
  fail_next(FileCall::Kind::kClose, EINTR);
  put(ObjectKind::kPack, "two");
  EXPECT_EQ(storage_->list_all(*context_, ObjectKind::kPack).size(), 2U);
}

TEST_F(LocalStorage, FileSystemsWithoutModesOrDirectorySyncWork) {
  calls_.before = [](const FileCall& call) -> std::optional<int> {
    const bool temporary = call.path.find("-tmp-") != std::string::npos;
    if (call.kind == FileCall::Kind::kMode) {
      return EPERM;
    }
    return call.kind == FileCall::Kind::kSync && !temporary ? std::optional(EINVAL) : std::nullopt;
  };
  const ObjectName object = put(ObjectKind::kPack, "content");
  EXPECT_EQ(as_text(storage_->get(*context_, object).view()), "content");
  storage_->remove(*context_, object);
}

TEST_F(LocalStorage, WithoutRenameNoReplaceNothingIsReplacedEither) {
  for (const bool links : {true, false}) {
    calls_.before = [links](const FileCall& call) -> std::optional<int> {
      if (call.kind == FileCall::Kind::kRenameNew) {
        return ENOSYS;
      }
      return call.kind == FileCall::Kind::kLink && !links ? std::optional(EOPNOTSUPP)
                                                          : std::nullopt;
    };
    const std::string text = links ? "with links" : "without links";
    const ObjectName object = put(ObjectKind::kPack, text);
    EXPECT_EQ(as_text(storage_->get(*context_, object).view()), text);
    EXPECT_EQ(temporary_files(root_), 0U);
    // A name that is taken between the first look and the rename.
    const ObjectName raced{ObjectKind::kSalvor, links ? "raced-1" : "raced-2"};
    auto plain = calls_.before;
    calls_.before = [&](const FileCall& call) -> std::optional<int> {
      if (call.kind == FileCall::Kind::kRenameNew) {
        std::ofstream(root_ / local_path(raced)) << "theirs";
      }
      return plain(call);
    };
    EXPECT_EQ(code_of([&] { storage_->put(*context_, raced, as_bytes("ours")); }),
              ErrorCode::kFailed);
    EXPECT_EQ(as_text(storage_->get(*context_, raced).view()), "theirs");
    EXPECT_EQ(temporary_files(root_), 0U);
  }
}

TEST_F(LocalStorage, TemporaryNamesAreResticsAndBesideTheObject) {
  std::string seen;
  calls_.after = [&](const FileCall& call) {
    if (call.kind == FileCall::Kind::kCreate) {
      seen = call.path;
    }
  };
  const ObjectName object = put(ObjectKind::kPack, "content");
  EXPECT_THAT(seen, testing::MatchesRegex((root_ / local_path(object)).string() + "-tmp-[0-9]+"));
}

TEST_F(LocalStorage, ATakenTemporaryNameIsNoObstacle) {
  // Another process with the same random numbers was killed: its temporary files are still here.
  std::vector<std::string> left_over;
  calls_.after = [&](const FileCall& call) {
    if (call.kind == FileCall::Kind::kCreate) {
      left_over.push_back(call.path);
    }
  };
  TestContext first(77);
  storage_->put(*first, {ObjectKind::kSalvor, "name"}, as_bytes("content"));
  storage_->remove(*first, {ObjectKind::kSalvor, "name"});
  ASSERT_EQ(left_over.size(), 1U);
  std::ofstream(left_over[0]) << "left over";
  TestContext second(77);
  storage_->put(*second, {ObjectKind::kSalvor, "name"}, as_bytes("content"));
  EXPECT_TRUE(fs::exists(left_over[0]));
}

TEST_F(LocalStorage, WhatIsNotARegularFileIsNoObject) {
  const ObjectName fifo = named_by_hash(ObjectKind::kIndex, as_bytes("fifo"));
  const ObjectName folder = named_by_hash(ObjectKind::kIndex, as_bytes("folder"));
  const ObjectName dangling = named_by_hash(ObjectKind::kIndex, as_bytes("dangling"));
  ASSERT_EQ(::mkfifo((root_ / local_path(fifo)).c_str(), 0600), 0);
  fs::create_directory(root_ / local_path(folder));
  fs::create_symlink("nowhere", root_ / local_path(dangling));
  EXPECT_TRUE(storage_->list_all(*context_, ObjectKind::kIndex).empty());
  for (const ObjectName& object : {fifo, folder, dangling}) {
    EXPECT_FALSE(storage_->stat(*context_, object).has_value());
    EXPECT_ANY_THROW((void)storage_->get(*context_, object));  // and does not block
    EXPECT_EQ(code_of([&] { storage_->put(*context_, object, as_bytes("x")); }),
              ErrorCode::kFailed);
  }
}

TEST_F(LocalStorage, SymbolicLinksToPackFilesAreFollowed) {
  const ObjectName pack = put(ObjectKind::kPack, "pack");
  const fs::path path = root_ / local_path(pack);
  fs::rename(path, directory_ / "moved");
  fs::create_symlink(directory_ / "moved", path);
  EXPECT_EQ(storage_->list_all(*context_, ObjectKind::kPack).size(), 1U);
  EXPECT_EQ(as_text(storage_->get(*context_, pack).view()), "pack");
}

TEST_F(LocalStorage, AMendedPackIsSeenByAReaderThatHasItOpen) {
  const ObjectName pack = put(ObjectKind::kPack, "broken!");
  Buffer out(7);
  storage_->get_range(*context_, pack, 0, out.bytes());
  std::ofstream(directory_ / "mended") << "mended!";
  fs::rename(directory_ / "mended", root_ / local_path(pack));
  storage_->get_range(*context_, pack, 0, out.bytes());
  EXPECT_EQ(as_text(out.view()), "mended!");
}

TEST_F(LocalStorage, OpenDescriptorsAreBounded) {
  const auto open_files = [] {
    return std::distance(fs::directory_iterator("/proc/self/fd"), fs::directory_iterator());
  };
  std::vector<ObjectName> packs;
  for (int i = 0; i < 300; ++i) {
    packs.push_back(put(ObjectKind::kPack, std::to_string(i) + " pack"));
  }
  const auto before = open_files();
  for (const ObjectName& pack : packs) {
    std::byte byte{};
    storage_->get_range(*context_, pack, 0, {&byte, 1});
  }
  EXPECT_LE(open_files() - before, 64);
  EXPECT_GE(open_files() - before, 32) << "the cache is of no use";
  storage_.reset();
  EXPECT_LT(open_files(), before + 1);
}

// A real file system that is really full.
TEST_F(LocalStorage, AFullDiskIsToldAndLeavesNothing) {
  const fs::path mount = directory_ / "small";
  fs::create_directory(mount);
  if (::mount("tmpfs", mount.c_str(), "tmpfs", 0, "size=3m") != 0) {
    GTEST_SKIP() << "cannot mount a small tmpfs";
  }
  {
    const auto small = open_local_storage((mount / "repository").string());
    small->create(*context_);
    const Buffer content = pattern(4'000'000, 1);
    const ObjectName object = named_by_hash(ObjectKind::kPack, content.view());
    try {
      small->put(*context_, object, content.view());
      ADD_FAILURE() << "it fitted";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kStorageFull);
      EXPECT_THAT(error.hint(), testing::HasSubstr("prune"));
    }
    EXPECT_EQ(temporary_files(mount), 0U);
    small->put(*context_, object, content.view(0, 1'000'000));
  }
  ::umount(mount.c_str());
}

// Root may do everything, so that a child without privileges tries it.
TEST_F(LocalStorage, PermissionDeniedIsTold) {
  const ObjectName pack = put(ObjectKind::kPack, "secret");
  for (const fs::path& path : {directory_.path(), root_}) {
    fs::permissions(path, fs::perms::all);
  }
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    int failures = 0;
    try {
      if (::geteuid() == 0 && (::setgid(65534) != 0 || ::setuid(65534) != 0)) {
        ::_exit(0);
      }
      std::error_code ignored;  // fails as nobody, who is kept out as it is; works as a plain user
      fs::permissions(root_ / "data", fs::perms::none, ignored);
      TestContext context;
      const auto storage = open_local_storage(root_.string());
      const auto expect = [&](const std::function<void()>& action) {
        failures += code_of(action) == ErrorCode::kPermission ? 0 : 1;
      };
      expect([&] { (void)storage->get(*context, pack); });
      expect([&] { (void)storage->stat(*context, pack); });
      expect([&] { storage->put(*context, pack, as_bytes("secret")); });
      expect([&] { storage->remove(*context, pack); });
      expect([&] { (void)storage->list_all(*context, ObjectKind::kPack); });
    } catch (...) {  // the child must not go on with the other tests
      failures = 99;
    }
    ::_exit(failures);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
  fs::permissions(root_ / "data", fs::perms::owner_all);
}

// Of a file system that is not known to be this machine's alone a new lock may show late.
TEST_F(LocalStorage, OnlyOnKnownFileSystemsListingsAreAtOnce) {
  EXPECT_TRUE(fs::exists("/proc/locks"));  // stands for a directory "locks" on another one
  EXPECT_FALSE(open_local_storage("/proc")->traits().lists_at_once);
}

TEST(DescriptorCache, DropsTheLeastRecentlyUsed) {
  DescriptorCache cache(2);
  const auto any = [] { return UniqueFd(::open("/", O_RDONLY | O_CLOEXEC)); };
  cache.insert("a", any());
  cache.insert("b", any());
  EXPECT_NE(cache.find("a"), nullptr);
  cache.insert("c", any());
  EXPECT_EQ(cache.find("b"), nullptr);
  EXPECT_NE(cache.find("a"), nullptr);
  EXPECT_NE(cache.find("c"), nullptr);
  cache.erase("a");
  EXPECT_EQ(cache.find("a"), nullptr);
  EXPECT_EQ(cache.size(), 1U);
}

TEST(DescriptorCache, AHandleInUseOutlivesItsEviction) {
  DescriptorCache cache(1);
  const auto kept = cache.insert("a", UniqueFd(::open("/", O_RDONLY | O_CLOEXEC)));
  cache.insert("b", UniqueFd(::open("/", O_RDONLY | O_CLOEXEC)));
  struct stat status{};
  EXPECT_EQ(::fstat(kept->get(), &status), 0);
}

}  // namespace
}  // namespace salvor::test
