// Against OpenSSH's own server, and against programs that are none.
#include "net/sftp_session.h"

#include <chrono>
#include <thread>

#include <gtest/gtest.h>

#include "support/temp_directory.h"
#include "support/test_context.h"

namespace salvor {
namespace {

constexpr const char* kServer = "/usr/lib/openssh/sftp-server";

SftpSessionOptions shell(const std::string& script) {
  return {.arguments = {"sh", "-c", script},
          .place = "me@host",
          .connect_timeout = std::chrono::seconds(10)};
}

Error connect_error(const SftpSessionOptions& options) {
  test::TestContext context;
  try {
    const SftpSession session(*context, options);
  } catch (const Error& error) {
    return error;
  }
  return {ErrorCode::kFailed, "it connected"};
}

TEST(SftpSession, AsksAndIsAnswered) {
  test::TestContext context;
  SftpSession session(*context, {.arguments = {kServer}, .place = "host"});
  EXPECT_TRUE(session.has_extension("fsync@openssh.com", "1"));
  EXPECT_GE(session.write_bytes(), 32U << 10U);
  int answers = 0;
  for (int i = 0; i < 1000; ++i) {  // many more than may be under way
    session.send(
        SftpRequest(SftpType::kStat, session.next_id()).text("/"),
        [&](const SftpReply& reply) { answers += reply.attributes.is_directory() ? 1 : 0; });
  }
  session.wait(*context);
  EXPECT_EQ(answers, 1000);
  EXPECT_TRUE(session.alive());
}

TEST(SftpSession, AStopLeavesTheSessionUsable) {
  const test::TempDirectory directory;
  test::TestContext context;
  SftpSession session(*context, {.arguments = {kServer}, .place = "host"});
  std::string handle;
  session.send(SftpRequest(SftpType::kOpen, session.next_id())
                   .text((directory / "file").string())
                   .number(kSftpWrite | kSftpCreate)
                   .no_attributes(),
               [&](const SftpReply& reply) { handle = reply.handle; });
  session.wait(*context);
  ASSERT_FALSE(handle.empty());
  int after_stop = 0;
  {
    test::TestContext stopped;
    const Buffer payload(64 << 20U);
    constexpr size_t kPiece = 128 << 10U;
    for (size_t at = 0; at < payload.size(); at += kPiece) {
      session.send(
          SftpRequest(SftpType::kWrite, session.next_id())
              .text(handle)
              .number64(at)
              .payload(kPiece),
          [&](const SftpReply&) {
            if (stopped.stop.stop_requested()) {
              ++after_stop;
            }
            stopped.stop.request_stop();
          },
          payload.view(at, kPiece));
    }
    EXPECT_THROW(session.wait(*stopped), Error);
  }  // the payload is gone: nothing may read it any more
  ASSERT_FALSE(session.broken());
  EXPECT_LT(after_stop, 130);
  bool answered = false;
  session.send(SftpRequest(SftpType::kStat, session.next_id()).text("/"),
               [&](const SftpReply&) { answered = true; });
  session.wait(*context);
  EXPECT_TRUE(answered);
}

TEST(SftpSession, SaysWhatSshSaid) {
  const Error denied =
      connect_error(shell("echo 'me@host: Permission denied (publickey,password).' >&2; exit 255"));
  EXPECT_EQ(denied.code(), ErrorCode::kPermission);
  EXPECT_EQ(denied.message(),
            "cannot connect to me@host: me@host: Permission denied (publickey,password).");
  EXPECT_NE(denied.hint().find("authorized_keys"), std::string::npos);

  const Error unknown = connect_error(shell(
      "echo 'No ED25519 host key is known for host and you have requested strict checking.' >&2;"
      "echo 'Host key verification failed.' >&2; exit 255"));
  EXPECT_EQ(unknown.code(), ErrorCode::kPermission);
  EXPECT_NE(unknown.hint().find("known_hosts"), std::string::npos);

  const Error refused = connect_error(
      shell("echo 'ssh: connect to host host port 22: Connection refused' >&2; exit 255"));
  EXPECT_EQ(refused.code(), ErrorCode::kUnreachable);

  const Error silent = connect_error(shell("exit 3"));
  EXPECT_EQ(silent.code(), ErrorCode::kUnreachable);
  EXPECT_NE(silent.message().find("exit status 3"), std::string::npos);

  const Error missing = connect_error({.arguments = {"/nonexistent/ssh"}, .place = "host"});
  EXPECT_EQ(missing.code(), ErrorCode::kFailed);
  EXPECT_NE(missing.hint().find("openssh-client"), std::string::npos);
}

TEST(SftpSession, AShellThatTalksIsNamed) {
  const Error error = connect_error(shell("echo 'Welcome to this host!'; cat"));
  EXPECT_EQ(error.code(), ErrorCode::kFailed);
  EXPECT_NE(error.message().find("\"Welcome to this host!\""), std::string::npos)
      << error.message();
  EXPECT_NE(error.hint().find(".bashrc"), std::string::npos);
}

TEST(SftpSession, SilenceEnds) {
  SftpSessionOptions options = shell("sleep 60");
  options.connect_timeout = std::chrono::milliseconds(300);
  EXPECT_EQ(connect_error(options).code(), ErrorCode::kUnreachable);

  // A server that hangs later.
  test::TestContext context;
  options = shell(std::string("(dd bs=9 count=1; sleep 60) 2>/dev/null | ") + kServer);
  options.stall_timeout = std::chrono::milliseconds(300);
  options.connect_timeout = std::chrono::seconds(10);
  EXPECT_EQ(connect_error(options).code(), ErrorCode::kUnreachable);
}

TEST(SftpSession, AStopEndsConnecting) {
  test::TestContext context;
  const std::jthread stopper([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    context.stop.request_stop();
  });
  const auto begin = std::chrono::steady_clock::now();
  try {
    const SftpSession session(*context, shell("exec sleep 60"));
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kCancelled);
  }
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
}

TEST(SftpSession, ALostConnectionIsUnreachable) {
  test::TestContext context;
  // Enough for the greetings, then the end.
  SftpSession session(*context, shell(std::string("dd bs=1 count=1000 2>/dev/null | ") + kServer));
  for (int i = 0; i < 100; ++i) {
    session.send(SftpRequest(SftpType::kStat, session.next_id()).text("/tmp"),
                 [](const SftpReply&) {});
  }
  try {
    session.wait(*context);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUnreachable);
    EXPECT_NE(error.message().find("connection to me@host was lost"), std::string::npos);
  }
  EXPECT_TRUE(session.broken());
  EXPECT_FALSE(session.alive());
}

TEST(SftpSession, AnswersNobodyAskedForEndIt) {
  test::TestContext context;
  // The greeting, and then a status with the wrong number for whatever is asked.
  SftpSession session(*context,
                      shell("printf '\\0\\0\\0\\5\\2\\0\\0\\0\\3'; sleep 0.3;"
                            "printf '\\0\\0\\0\\11\\145\\0\\0\\1\\1\\0\\0\\0\\0'; sleep 10"));
  session.send(SftpRequest(SftpType::kStat, session.next_id()).text("/"), [](const SftpReply&) {});
  EXPECT_THROW(session.wait(*context), Error);
  EXPECT_TRUE(session.broken());
}

}  // namespace
}  // namespace salvor
