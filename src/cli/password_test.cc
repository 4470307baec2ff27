#include "cli/password.h"

#include <fstream>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "cli/environment.h"
#include "support/temp_directory.h"

namespace salvor::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

std::string decoded(std::string_view content) {
  return std::string(decode_password_text(content).reveal());
}

TEST(Password, FileContentIsTrimmedAndDecoded) {
  EXPECT_EQ(decoded(" a b \r\n\n"), "a b");
  EXPECT_EQ(decoded("\xef\xbb\xbfpä\n"), "pä");
  EXPECT_EQ(decoded(std::string_view("\xff\xfe"
                                     "a\0\xe4\0\n\0",
                                     8)),
            "aä");
  EXPECT_EQ(decoded(std::string_view("\xfe\xff"
                                     "\0a\xd8\x3d\xde\x00",
                                     8)),
            "a😀");
  EXPECT_EQ(decoded("\n \t"), "");
  EXPECT_EQ(decoded("\xff"), "\xff");  // not UTF-8: bytes as they are
}

TEST(Password, MalformedUtf16IsAnErrorNotAWrongPassword) {
  EXPECT_THROW(decoded(std::string_view("\xff\xfe"
                                        "abc",
                                        5)),
               Error);
  EXPECT_THROW(decoded(std::string_view("\xff\xfe\x3d\xd8", 4)), Error);
  EXPECT_THROW(decoded(std::string_view("\xff\xfe\x00\xdc", 4)), Error);
}

class PasswordSourcesTest : public ::testing::Test {
 protected:
  Secret find(const PasswordSources& sources) {
    return find_password(sources, environment, terminal, {}).password;
  }
  std::string message_of(const PasswordSources& sources) {
    try {
      (void)find(sources);
    } catch (const Error& error) {
      return error.message();
    }
    return "accepted";
  }
  std::string file(const std::string& content) {
    const std::string path = (directory.path() / "password").string();
    std::ofstream(path) << content;
    return path;
  }

  test::TempDirectory directory;
  Environment environment;
  Terminal terminal{TerminalSettings{}};
};

TEST_F(PasswordSourcesTest, CommandAndFileAndVariable) {
  environment = Environment(Environment::Variables{{"RESTIC_PASSWORD", " verbatim "}});
  EXPECT_EQ(find({.command = "printf ' from command\n'", .variable = "PASSWORD"}).reveal(),
            "from command");
  EXPECT_EQ(find({.file = file("from file\n"), .variable = "PASSWORD"}).reveal(), "from file");
  EXPECT_EQ(find({.variable = "PASSWORD"}).reveal(), " verbatim ");
}

TEST_F(PasswordSourcesTest, OurVariableComesFirstAndPlainGetHidesBoth) {
  environment = Environment(
      Environment::Variables{{"RESTIC_PASSWORD", "theirs"}, {"SALVOR_PASSWORD", "ours"}});
  EXPECT_EQ(find({.variable = "PASSWORD"}).reveal(), "ours");
  EXPECT_FALSE(environment.get("SALVOR_PASSWORD"));
  EXPECT_FALSE(environment.get_either("PASSWORD"));
}

TEST_F(PasswordSourcesTest, EmptyOnesAreRefusedUnlessAskedFor) {
  EXPECT_THAT(message_of({.file = file(" \n")}), HasSubstr("empty password"));
  EXPECT_THAT(message_of({.command = "true"}), HasSubstr("empty password"));
  EXPECT_TRUE(find({.none = true}).empty());
  EXPECT_THAT(message_of({.file = file("x"), .none = true}), HasSubstr("excludes"));
}

TEST_F(PasswordSourcesTest, AFailingCommandShowsItsErrorsNotItsOutput) {
  const std::string message = message_of({.command = "sh -c 'echo hunter2; echo why >&2; exit 4'"});
  EXPECT_THAT(message, HasSubstr("ended with status 4: why"));
  EXPECT_THAT(message, Not(HasSubstr("hunter2")));
  EXPECT_THAT(message_of({.command = "sh -c 'kill -9 $$'"}), HasSubstr("signal 9"));
  EXPECT_THAT(message_of({.command = "/nonexistent/x"}), HasSubstr("cannot run"));
}

TEST_F(PasswordSourcesTest, EndlessOutputIsCutOff) {
  EXPECT_THAT(message_of({.command = "yes"}), HasSubstr("more than 64 KiB"));
  EXPECT_EQ(message_of({.command = "sh -c 'yes | head -c 1000000 >&2; echo ok'"}), "accepted");
}

TEST_F(PasswordSourcesTest, ALargeFileIsRefused) {
  EXPECT_NE(message_of({.file = file(std::string(70000, 'x'))}), "accepted");
}

TEST_F(PasswordSourcesTest, ASlowCommandIsInterruptible) {
  std::stop_source stop;
  const std::jthread later([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    stop.request_stop();
  });
  const auto begin = std::chrono::steady_clock::now();
  try {
    (void)find_password({.command = "sleep 30"}, environment, terminal, stop.get_token());
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kCancelled);
  }
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10));
}

}  // namespace
}  // namespace salvor::cli
