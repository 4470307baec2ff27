// What the contract cannot say: connections, files on the server, trouble.
#include "storage/sftp/sftp_storage.h"

#include <algorithm>
#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "support/ssh_server.h"
#include "support/storage_helpers.h"
#include "support/temp_directory.h"
#include "support/test_context.h"

namespace salvor::test {
namespace {

constexpr const char* kServer = "/usr/lib/openssh/sftp-server";

class SftpStorageTest : public testing::Test {
 protected:
  [[nodiscard]] Context context() { return *context_; }
  [[nodiscard]] std::string path(const std::string& name = {}) const {
    return (directory_ / "repository").string() + (name.empty() ? "" : "/" + name);
  }
  // Through a shell, which may count or break things.
  [[nodiscard]] std::unique_ptr<Storage> open_by(const std::string& script,
                                                 unsigned connections = 3) const {
    const std::vector<std::string> arguments = {"sh", "-c", script};
    return open_sftp_storage({.arguments = arguments,
                              .more_arguments = arguments,
                              .place = "test",
                              .path = path(),
                              .connections = connections});
  }
  [[nodiscard]] std::unique_ptr<Storage> open() const {
    return open_by(std::string("exec ") + kServer);
  }
  [[nodiscard]] std::vector<std::string> files() const {
    std::vector<std::string> found;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(path())) {
      if (entry.is_regular_file()) {
        found.push_back(std::filesystem::relative(entry.path(), path()).string());
      }
    }
    return found;
  }
  static mode_t mode_of(const std::string& file) {
    struct stat status{};
    return ::stat(file.c_str(), &status) == 0 ? status.st_mode & 0777U : 0;
  }

  TempDirectory directory_{TempPlace::kMemory};
  TestContext context_;
};

TEST_F(SftpStorageTest, LayoutAndModesAreThoseOfALocalRepository) {
  const auto storage = open();
  storage->create(context());
  const ObjectName pack = named_by_hash(ObjectKind::kPack, as_bytes("pack"));
  storage->put(context(), pack, as_bytes("pack"));
  storage->put(context(), {ObjectKind::kConfig, {}}, as_bytes("config"));
  EXPECT_THAT(files(), testing::UnorderedElementsAre(
                           "config", "data/" + pack.name.substr(0, 2) + "/" + pack.name));
  EXPECT_EQ(mode_of(path("config")), 0400U);
  EXPECT_EQ(mode_of(path("data/00")), 0700U);
  // Readable by the group when the config is.
  std::filesystem::permissions(path("config"), std::filesystem::perms(0440));
  const auto second = open();
  const ObjectName index = named_by_hash(ObjectKind::kIndex, as_bytes("index"));
  second->put(context(), index, as_bytes("index"));
  EXPECT_EQ(mode_of(path("index/" + index.name)), 0440U);
}

TEST_F(SftpStorageTest, AMissingDirectoryIsNotMade) {
  const auto storage = open();
  const ObjectName pack = named_by_hash(ObjectKind::kPack, as_bytes("pack"));
  EXPECT_EQ(code_of([&] { storage->put(context(), pack, as_bytes("pack")); }),
            ErrorCode::kNotFound);
  EXPECT_FALSE(std::filesystem::exists(path()));
  // But one below it is.
  storage->create(context());
  std::filesystem::remove_all(path("data"));
  storage->put(context(), pack, as_bytes("pack"));
  EXPECT_EQ(as_text(storage->get(context(), pack).view()), "pack");
}

TEST_F(SftpStorageTest, AnInterruptedPutLeavesNothing) {
  const auto storage = open();
  storage->create(context());
  const Buffer content = pattern(64 << 20U, 1);
  const ObjectName pack = named_by_hash(ObjectKind::kPack, content.view());
  TestContext stopped;
  const std::jthread stopper([&] {
    while (files().empty()) {
      std::this_thread::yield();
    }
    stopped.stop.request_stop();
  });
  EXPECT_EQ(code_of([&] { storage->put(*stopped, pack, content.view()); }), ErrorCode::kCancelled);
  EXPECT_THAT(files(), testing::IsEmpty());
  EXPECT_FALSE(storage->stat(context(), pack).has_value());
}

TEST_F(SftpStorageTest, LeftOversOfOthersGoOnlyWhenTheyAreAskedFor) {
  const auto storage = open();
  storage->create(context());
  const ObjectName lock = named_by_hash(ObjectKind::kLock, as_bytes("lock"));
  storage->put(context(), lock, as_bytes("lock"));
  const std::string name(64, 'a');
  const std::string old_file = path("data/aa/" + name + "-tmp-123");
  const std::string fresh = path("data/aa/" + name + "-tmp-456");
  const std::string foreign = path("data/aa/old-tmp-7");
  for (const std::string& file : {old_file, fresh, foreign}) {
    std::ofstream(file) << "left over";
  }
  // From the server's own time.
  const auto now = std::filesystem::last_write_time(path("locks/" + lock.name));
  std::filesystem::last_write_time(fresh, now - std::chrono::hours(23));
  std::filesystem::last_write_time(old_file, now - std::chrono::hours(25));
  std::filesystem::last_write_time(foreign, now - std::chrono::hours(72));
  storage->list(context(), ObjectKind::kPack, [](const ObjectInfo&) {});
  storage->remove(context(), {ObjectKind::kPack, name});
  EXPECT_TRUE(std::filesystem::exists(old_file)) << "a backup removes nothing but its lock";
  const auto found = storage->leftovers(context(), std::chrono::hours(24));
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].path, "data/aa/" + name + "-tmp-123");
  EXPECT_EQ(found[0].size_bytes, 9U);
  storage->remove_leftovers(context(), found);
  EXPECT_FALSE(std::filesystem::exists(old_file));
  EXPECT_TRUE(std::filesystem::exists(fresh));
  EXPECT_TRUE(std::filesystem::exists(foreign));
}

TEST_F(SftpStorageTest, ALostConnectionIsMadeAgain) {
  open()->create(context());
  // Each connection ends after 6,000 bytes of requests.
  const auto storage = open_by(std::string("dd bs=1 count=6000 2>/dev/null | ") + kServer, 1);
  const Buffer content = pattern(20'000, 1);
  const ObjectName pack = named_by_hash(ObjectKind::kPack, content.view());
  EXPECT_EQ(code_of([&] { storage->put(context(), pack, content.view()); }),
            ErrorCode::kUnreachable);
  const ObjectName small = named_by_hash(ObjectKind::kPack, as_bytes("small"));
  storage->put(context(), small, as_bytes("small"));
  EXPECT_EQ(as_text(storage->get(context(), small).view()), "small");
}

TEST_F(SftpStorageTest, FewerConnectionsAreUsedWhenTheServerRefusesMore) {
  open()->create(context());
  // The first to make the directory is served.
  const auto storage =
      open_by("mkdir " + (directory_ / "taken").string() +
                  " 2>/dev/null || { echo no more >&2; exit 255; }; exec " + kServer,
              4);
  std::atomic<int> wrong = 0;
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&, t] {
        TestContext mine(static_cast<uint64_t>(t) + 1);
        for (int i = 0; i < 10; ++i) {
          const std::string text = std::to_string(t * 100 + i);
          wrong += code_of([&] {
                     storage->put(*mine, named_by_hash(ObjectKind::kPack, as_bytes(text)),
                                  as_bytes(text));
                   }).has_value();
        }
      });
    }
  }
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(storage->list_all(context(), ObjectKind::kPack).size(), 40U);
}

// While a log-in takes its time, calls take turns on the connection that there is; and nobody waits
// for it in the end.
TEST_F(SftpStorageTest, NobodyWaitsForAnotherConnection) {
  open()->create(context());
  const auto start = std::chrono::steady_clock::now();
  {
    const auto storage = open_by("mkdir " + (directory_.path() / "taken").string() +
                                 " 2>/dev/null || exec sleep 50; exec " + kServer);
    std::vector<std::jthread> threads;
    for (int t = 0; t < 3; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < 20; ++i) {
          EXPECT_FALSE(storage->stat(context(), {ObjectKind::kConfig, {}}).has_value());
        }
      });
    }
    threads.clear();
  }
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
}

TEST_F(SftpStorageTest, WhoListsTheIndexFindsConnectionsReady) {
  open()->create(context());
  const std::string log = (directory_.path() / "connections").string();
  const auto connections = [&] {
    std::ifstream file(log);
    return std::count(std::istreambuf_iterator<char>(file), {}, '\n');
  };
  for (const auto& [most, expected] : {std::pair(3U, 3), std::pair(8U, 4)}) {
    std::filesystem::remove(log);
    {
      const auto storage = open_by("echo >> " + log + "; exec " + kServer, most);
      EXPECT_FALSE(storage->stat(context(), {ObjectKind::kConfig, {}}).has_value());
      EXPECT_EQ(connections(), 1);
      EXPECT_TRUE(storage->list_all(context(), ObjectKind::kIndex).empty());
    }
    // Log-ins that have begun are not broken off.
    EXPECT_EQ(connections(), expected);
  }
}

TEST_F(SftpStorageTest, AForbiddenDirectoryIsAPermissionError) {
  if (::geteuid() != 0) {
    GTEST_SKIP() << "needs root, to be somebody else";
  }
  open()->create(context());
  std::filesystem::permissions(directory_.path(), std::filesystem::perms(0755));
  std::filesystem::permissions(path(), std::filesystem::perms(0755));
  const auto storage = open_by(std::string("exec setpriv --reuid=65534 --clear-groups ") + kServer);
  try {
    storage->put(context(), {ObjectKind::kConfig, {}}, as_bytes("x"));
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kPermission);
    EXPECT_NE(error.message().find("cannot write config"), std::string::npos) << error.message();
  }
}

TEST_F(SftpStorageTest, AFullDiskIsNamed) {
  if (::geteuid() != 0) {
    GTEST_SKIP() << "needs root, to mount a small file system";
  }
  std::filesystem::create_directories(path());
  // Mounted in the server's own world: nothing to undo.
  const auto storage =
      open_by("exec unshare --mount sh -c 'mount -t tmpfs -o size=3m,mode=700 none " + path() +
                  " && exec " + kServer + "'",
              1);
  storage->create(context());
  const Buffer content = pattern(4 << 20U, 1);
  EXPECT_EQ(code_of([&] {
              storage->put(context(), named_by_hash(ObjectKind::kPack, content.view()),
                           content.view());
            }),
            ErrorCode::kStorageFull);
  // And the place it took is free again.
  const Buffer smaller = pattern(2 << 20U, 2);
  storage->put(context(), named_by_hash(ObjectKind::kPack, smaller.view()), smaller.view());
}

TEST_F(SftpStorageTest, OverSshWithAConfigurationFile) {
  const SshServer server;
  StorageOptions options;
  options.extended = {{"sftp.args", "-F " + server.client_config()}};
  const auto storage =
      open_sftp_storage(parse_sftp_settings("sftp:server:" + path(), options, false));
  storage->create(context());
  const Buffer content = pattern(3 << 20U, 1);
  const ObjectName pack = named_by_hash(ObjectKind::kPack, content.view());
  storage->put(context(), pack, content.view());
  EXPECT_TRUE(std::ranges::equal(storage->get(context(), pack).view(), content.view()));
}

TEST_F(SftpStorageTest, RefusedLogInsSayWhatToDo) {
  SshServer server;
  const auto attempt = [&](const std::string& arguments) {
    StorageOptions options;
    options.extended = {{"sftp.args", "-F " + server.client_config() + " " + arguments}};
    const auto storage =
        open_sftp_storage(parse_sftp_settings("sftp:server:" + path(), options, false));
    try {
      (void)storage->stat(context(), {ObjectKind::kConfig, {}});
    } catch (const Error& error) {
      return error;
    }
    return Error(ErrorCode::kFailed, "no error");
  };
  EXPECT_EQ(attempt("").message(), "no error");
  const Error host = attempt("-oUserKnownHostsFile=/dev/null");
  EXPECT_EQ(host.code(), ErrorCode::kPermission);
  EXPECT_NE(host.message().find("Host key verification failed"), std::string::npos)
      << host.message();
  std::filesystem::resize_file(server.path("authorized_keys"), 0);
  const Error denied = attempt("");
  EXPECT_EQ(denied.code(), ErrorCode::kPermission);
  EXPECT_NE(denied.message().find("Permission denied (publickey)"), std::string::npos)
      << denied.message();
  server.stop();
  EXPECT_EQ(attempt("").code(), ErrorCode::kUnreachable);
}

TEST_F(SftpStorageTest, TheServersFreeSpaceIsTold) {
  open()->create(context());
  const auto space = open()->space(context());
  struct statvfs expected{};
  ASSERT_EQ(::statvfs(path().c_str(), &expected), 0);
  ASSERT_TRUE(space.has_value());
  EXPECT_EQ(space->total_bytes, uint64_t{expected.f_blocks} * expected.f_frsize);
  EXPECT_LE(space->free_bytes, space->total_bytes);
  EXPECT_FALSE(open_by(std::string("exec ") + kServer + " -P statvfs")->space(context()));
}

TEST_F(SftpStorageTest, AConfigIsReplacedWithoutTheExtensionToo) {
  const auto storage = open_by(std::string("exec ") + kServer + " -P posix-rename");
  storage->create(context());
  storage->put(context(), {ObjectKind::kConfig, {}}, as_bytes("old"));
  for (const char* content : {"new", "newer"}) {
    storage->replace_config(context(), as_bytes(content));
    EXPECT_EQ(as_text(storage->get(context(), {ObjectKind::kConfig, {}}).view()), content);
    EXPECT_THAT(files(), testing::ElementsAre("config"));
  }
}

TEST_F(SftpStorageTest, ADirectoryIsNoObject) {
  const auto storage = open();
  storage->create(context());
  const ObjectName pack = named_by_hash(ObjectKind::kPack, as_bytes("pack"));
  const std::string place = path("data/" + pack.name.substr(0, 2) + "/" + pack.name);
  std::filesystem::create_directories(place);
  EXPECT_FALSE(storage->stat(context(), pack).has_value());
  EXPECT_EQ(code_of([&] { (void)storage->get(context(), pack); }), ErrorCode::kDamaged);
}

TEST_F(SftpStorageTest, AfterARefusedLogInTheNextCallTriesAgain) {
  open()->create(context());
  const auto storage =
      open_by("mkdir " + (directory_ / "refused").string() +
                  " 2>/dev/null && { echo not now >&2; exit 255; }; exec " + kServer,
              1);
  const auto look = [&] { (void)storage->stat(context(), {ObjectKind::kConfig, {}}); };
  const Error refused = error_of(look);
  EXPECT_EQ(refused.code(), ErrorCode::kUnreachable) << refused.message();
  EXPECT_THAT(refused.message(), testing::HasSubstr("not now"));
  EXPECT_NO_THROW(look());
}

}  // namespace
}  // namespace salvor::test
