#include "storage/location.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/storage_helpers.h"

namespace salvor::test {
namespace {

TEST(Location, PathsAndLocalAreLocal) {
  for (const char* path : {"/srv/repo", "local:/srv/repo", "/srv/a/../repo/"}) {
    EXPECT_EQ(open_storage(path)->traits().description, "local directory /srv/repo") << path;
  }
  for (const char* path : {"repo", "./s3:x", "dir/s3:x", "local:s3:x", "../a:b"}) {
    EXPECT_NO_THROW((void)open_storage(path)) << path;
  }
}

TEST(Location, UnknownSchemesAreNotTakenForPaths) {
  for (const char* location : {"s3:host", "s3:http:///bucket", "sftp:user@host", "sftp://user@host",
                               "x:y", "rest:ftp://host/", "rest:http:///path", "rest:host",
                               "file:///srv", "", "local:", "rclone:", "rclone:--config=/tmp/x"}) {
    EXPECT_EQ(code_of([&] { (void)open_storage(location); }), ErrorCode::kUsage) << location;
  }
}

TEST(Location, RemoteOnesAreOpenedWithoutTouchingThem) {
  EXPECT_EQ(open_storage("sftp:user@host:/srv")->traits().description,
            "SFTP server user@host, directory /srv");
  EXPECT_EQ(open_storage("rest:https://user:secret@host:8000/a")->traits().description,
            "REST server https://host:8000/a/");
  EXPECT_EQ(open_storage("rest:http+unix:///run/rest.sock:/a/")->traits().description,
            "REST server /run/rest.sock");
}

TEST(Location, SecretsAreNeverShown) {
  const std::pair<const char*, const char*> cases[] = {
      {"/srv/user:pw@x", "/srv/user:pw@x"},
      {"rest:https://user:secret@host:8000/repo", "rest:https://user:***@host:8000/repo"},
      {"rest:https://user:se@cr/et@host/repo", "rest:https://user:***@host/repo"},
      {"rest:https://token@host/repo", "rest:https://***@host/repo"},
      {"azure:https://host/container?sig=secret", "azure:https://host/container?***"},
      {"sftp://user@host/path", "sftp://user@host/path"},
      {"sftp://user:secret@host/path", "sftp://user:***@host/path"},
      {"sftp:user@host:/path", "sftp:user@host:/path"},
      {"s3:host/bucket\x1b[2J", "s3:host/bucket\\x1b[2J"}};
  for (const auto& [location, shown] : cases) {
    EXPECT_EQ(display_location(location), shown);
  }
  try {
    (void)open_storage("xrest:https://user:secret@host/");
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.message() + error.hint(), testing::Not(testing::HasSubstr("secret")));
  }
}

}  // namespace
}  // namespace salvor::test
