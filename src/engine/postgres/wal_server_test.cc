#include "engine/postgres/wal_server.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <thread>

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/fd.h"
#include "support/errors.h"
#include "support/small_repository.h"
#include "support/temp_directory.h"
#include "support/wal_segments.h"

namespace salvor {
namespace {

namespace fs = std::filesystem;

constexpr postgres::SegmentSize kSize{test::kWalSegment};

class WalServerTest : public testing::Test {
 protected:
  WalServerTest() { fs::create_directories(folder_); }

  static std::string name(uint64_t segment) {
    return postgres::segment_name({1}, {segment}, kSize);
  }
  void push(uint64_t segment) {
    archive_.push(small_.context(), name(segment), as_bytes(test::SegmentMaker(segment).bytes()));
  }
  // Whether the file was brought; throws what the server would be stopped with.
  bool ask(uint64_t segment) {
    const std::string destination = (place_ / "RECOVERYXLOG").string();
    fs::remove(destination);
    const bool there = ask_wal_server(socket_, name(segment), destination);
    EXPECT_EQ(fs::exists(destination), there);
    return there;
  }

  test::TempDirectory place_;
  std::string folder_ = (place_ / "pg_wal/incoming").string();
  std::string socket_ = (place_ / "socket").string();
  test::SmallRepository small_;
  WalArchive archive_{small_.repository(), test::kWalSystem, kSize};
};

TEST_F(WalServerTest, WhatIsArchivedWhileItIsWaitedForIsFound) {
  push(5);
  WalServer server(small_.context(), archive_, {.socket = socket_, .folder = folder_});
  server.expect(name(5));
  EXPECT_TRUE(ask(5));
  // By now the next ones were looked for ahead, and were not there.
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  push(6);
  push(7);
  EXPECT_TRUE(ask(6));
  EXPECT_TRUE(ask(7));
  EXPECT_FALSE(ask(8));
  EXPECT_FALSE(server.failure());
}

TEST_F(WalServerTest, AHoleStopsRecoveryUnlessTheServerHasTheSegment) {
  push(5);
  push(7);
  WalServer server(small_.context(), archive_, {.socket = socket_, .folder = folder_});
  EXPECT_EQ(test::code_of([&] { ask(6); }), ErrorCode::kFailed);
  ASSERT_TRUE(server.failure());
  EXPECT_EQ(server.failure()->code(), ErrorCode::kDamaged);
  // As a backup brings along what makes it consistent.
  std::ofstream(place_ / "pg_wal" / name(6)) << "a segment";
  EXPECT_FALSE(ask(6));
}

TEST_F(WalServerTest, WhoeverAsksAndGoesAwayHoldsNobodyUp) {
  push(5);
  const WalServer server(small_.context(), archive_, {.socket = socket_, .folder = folder_});
  {
    sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
    std::ranges::copy(socket_, address.sun_path);
    const UniqueFd gone(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    ASSERT_EQ(::connect(gone.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address),
              0);
    write_full(gone.get(), as_bytes(std::string_view("half a na")), "the socket");
  }
  EXPECT_TRUE(ask(5));
}

TEST_F(WalServerTest, APathThatNoSocketCanHaveIsRefused) {
  const std::string path = (place_ / std::string(200, 's')).string();
  EXPECT_EQ(test::code_of([&] {
              const WalServer server(small_.context(), archive_,
                                     {.socket = path, .folder = folder_});
            }),
            ErrorCode::kUsage);
}

}  // namespace
}  // namespace salvor
