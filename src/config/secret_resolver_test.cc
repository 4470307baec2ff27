#include "config/secret_resolver.h"

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/error.h"
#include "support/temp_directory.h"

namespace salvor::config {
namespace {

using testing::HasSubstr;

class Resolver : public testing::Test {
 protected:
  [[nodiscard]] std::string resolve(const std::string& reference) {
    const SecretResolver resolver(
        {.variable =
             [](const std::string& name) {
               return name == "SET" ? std::optional(Secret("value")) : std::nullopt;
             },
         .credentials_directory = credentials_,
         .warn = [this](const std::string& message,
                        const std::string& hint) { warning_ = message + "; " + hint; }});
    return std::string(
        resolver.resolve(SecretReference::parse(reference).value(), stop_.get_token()).reveal());
  }
  [[nodiscard]] Error failure(const std::string& reference) {
    try {
      (void)resolve(reference);
    } catch (const Error& error) {
      return error;
    }
    ADD_FAILURE() << reference << " was resolved";
    return {ErrorCode::kFailed, ""};
  }
  std::string file(const std::string& name, const std::string& content, mode_t mode) {
    const std::string path = folder_.path().string() + "/" + name;
    std::ofstream(path) << content;
    ::chmod(path.c_str(), mode);
    return path;
  }

  test::TempDirectory folder_;
  std::string credentials_;
  std::string warning_;
  std::stop_source stop_;
};

TEST_F(Resolver, TakesAVariable) {
  EXPECT_EQ(resolve("env:SET"), "value");
  const Error unset = failure("env:UNSET");
  EXPECT_EQ(unset.code(), ErrorCode::kUsage);
  EXPECT_THAT(unset.message(), HasSubstr("env:UNSET"));
  EXPECT_THAT(unset.hint(), HasSubstr("Set UNSET"));
}

TEST_F(Resolver, TakesAFileWithoutItsLineEnd) {
  EXPECT_EQ(resolve("file:" + file("a", " two words \r\n", 0600)), " two words ");
  EXPECT_EQ(warning_, "");
  EXPECT_EQ(failure("file:" + folder_.path().string() + "/none").code(), ErrorCode::kNotFound);
  EXPECT_THAT(failure("file:" + file("empty", "\n", 0600)).message(), HasSubstr("is empty"));
  EXPECT_THAT(failure("file:" + folder_.path().string()).message(), HasSubstr("is a directory"));
}

TEST_F(Resolver, WarnsOfAFileThatOthersMayRead) {
  const std::string open = file("open", "x", 0644);
  EXPECT_EQ(resolve("file:" + open), "x");
  EXPECT_THAT(warning_, HasSubstr("(mode 0644); Run: chmod 600 " + open));
}

TEST_F(Resolver, TakesWhatACommandPrints) {
  EXPECT_EQ(resolve("cmd:printf 'a b\\n'"), "a b");
  const Error failed = failure("cmd:sh -c 'echo hunter2; exit 3'");
  EXPECT_EQ(failed.code(), ErrorCode::kFailed);
  EXPECT_THAT(failed.message(), HasSubstr("exit status 3"));
  EXPECT_THAT(failure("cmd:head -c 70000 /dev/zero").message(), HasSubstr("longer than 64 KiB"));
}

TEST_F(Resolver, StopsACommandThatIsNotWantedAnyMore) {
  stop_.request_stop();
  EXPECT_EQ(failure("cmd:sleep 30").code(), ErrorCode::kCancelled);
}

TEST_F(Resolver, TakesACredentialOfSystemd) {
  EXPECT_THAT(failure("credential:key").hint(), HasSubstr("LoadCredential=key:"));
  (void)file("key", "of systemd", 0444);
  credentials_ = folder_.path();
  EXPECT_EQ(resolve("credential:key"), "of systemd");
  EXPECT_EQ(warning_, "");
  EXPECT_THAT(failure("credential:../key").message(), HasSubstr("no name of a credential"));
}

}  // namespace
}  // namespace salvor::config
