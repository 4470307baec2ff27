#include "base/fd.h"

#include <string>
#include <thread>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/error.h"
#include "support/errors.h"
#include "support/temp_directory.h"

namespace salvor {
namespace {

TEST(UniqueFd, ClosesOnceAndMoves) {
  int raw = -1;
  {
    UniqueFd fd(::open("/", O_RDONLY | O_CLOEXEC));
    raw = fd.get();
    UniqueFd other = std::move(fd);
    EXPECT_FALSE(fd);  // NOLINT(bugprone-use-after-move): what is promised
    EXPECT_EQ(other.get(), raw);
    other = UniqueFd(::open("/", O_RDONLY | O_CLOEXEC));
    EXPECT_EQ(::fcntl(raw, F_GETFD), -1) << "the old one was not closed";
    raw = other.get();
  }
  EXPECT_EQ(::fcntl(raw, F_GETFD), -1);
}

TEST(UniqueFd, ARefusedCloseIsSaidAndTheDescriptorIsGone) {
  UniqueFd good(::open("/", O_RDONLY | O_CLOEXEC));
  good.close("good");
  EXPECT_FALSE(good);
  good.close("closed already");
  // Closed behind its back: the only refusal that needs no special file system.
  UniqueFd bad(::open("/", O_RDONLY | O_CLOEXEC));
  ASSERT_EQ(::close(bad.get()), 0);
  const Error error = test::error_of([&] { bad.close("the file"); });
  EXPECT_NE(error.message().find("the file"), std::string::npos);
  EXPECT_FALSE(bad);
}

TEST(Fd, WholeTransfersOverAPipeInPieces) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const UniqueFd in(ends[0]);
  UniqueFd out(ends[1]);
  const std::string sent(300'000, 'x');  // more than a pipe holds
  std::jthread writer([&] {
    write_full(out.get(), as_bytes(sent), "pipe");
    out.reset();
  });
  Buffer got(sent.size() + 10);
  EXPECT_EQ(read_full(in.get(), got.bytes(), "pipe"), sent.size());
  EXPECT_EQ(as_text(got.view(0, sent.size())), sent);
  EXPECT_EQ(read_some(in.get(), got.bytes(), "pipe"), 0U);
}

TEST(Fd, PositionedTransfers) {
  const test::TempDirectory directory;
  const std::string path = (directory / "file").string();
  const UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  ASSERT_TRUE(fd);
  pwrite_full(fd.get(), as_bytes("world"), 6, path);
  pwrite_full(fd.get(), as_bytes("hello "), 0, path);
  Buffer out(8);
  EXPECT_EQ(pread_full(fd.get(), out.bytes(), 3, path), 8U);
  EXPECT_EQ(as_text(out.view()), "lo world");
  EXPECT_EQ(pread_full(fd.get(), out.bytes(), 6, path), 5U);
  EXPECT_EQ(as_text(read_file(path, 11).view()), "hello world");
  EXPECT_THROW((void)read_file(path, 10), Error);
}

TEST(Fd, FailuresNameTheFile) {
  try {
    (void)read_file("/no/such/file", 10);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kNotFound);
    EXPECT_NE(error.message().find("/no/such/file"), std::string::npos);
  }
  const UniqueFd full(::open("/dev/full", O_WRONLY | O_CLOEXEC));
  try {
    write_full(full.get(), as_bytes("x"), "/dev/full");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kStorageFull);
  }
  const UniqueFd directory(::open("/", O_RDONLY | O_CLOEXEC));
  Buffer out(1);
  EXPECT_THROW((void)read_some(directory.get(), out.bytes(), "/"), Error);
}

}  // namespace
}  // namespace salvor
