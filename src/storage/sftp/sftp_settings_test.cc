#include "storage/sftp/sftp_settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/storage_helpers.h"

namespace salvor::test {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::Not;

SftpSettings parse(const std::string& location, const StorageOptions& options = {},
                   bool terminal = false) {
  return parse_sftp_settings(location, options, terminal);
}

// The arguments that name the server: what follows the options.
std::vector<std::string> target(const SftpSettings& settings) {
  std::vector<std::string> words;
  for (const std::string& word : settings.arguments) {
    if (!word.starts_with("-o")) {
      words.push_back(word);
    }
  }
  return words;
}

TEST(SftpSettings, OneOptionSaysHowLongAnyStorageMayStall) {
  StorageOptions options;
  options.http.stall_timeout = std::chrono::milliseconds(700);
  EXPECT_EQ(parse("sftp:host:path", options).stall_timeout, std::chrono::milliseconds(700));
}

TEST(SftpSettings, LocationsAsResticWritesThem) {
  const struct {
    const char* location;
    const char* path;
    std::vector<std::string> target;
  } cases[] = {
      {"sftp:user@host:/srv/repo", "/srv/repo", {"ssh", "-l", "user", "-s", "host", "sftp"}},
      {"sftp:host:backup/repo/", "backup/repo", {"ssh", "-s", "host", "sftp"}},
      {"sftp:user@domain@host:/srv//x/../repo",
       "/srv/repo",
       {"ssh", "-l", "user@domain", "-s", "host", "sftp"}},
      {"sftp:user@[::1]:/srv:a", "/srv:a", {"ssh", "-l", "user", "-s", "::1", "sftp"}},
      {"sftp:[fe80::1%eth0]:repo", "repo", {"ssh", "-s", "fe80::1%eth0", "sftp"}},
      {"sftp://user@host:2222//srv/repo",
       "/srv/repo",
       {"ssh", "-p", "2222", "-l", "user", "-s", "host", "sftp"}},
      {"sftp://host/repo", "repo", {"ssh", "-s", "host", "sftp"}},
      {"sftp://user@[::1]:22//srv/a%20b",
       "/srv/a b",
       {"ssh", "-p", "22", "-l", "user", "-s", "::1", "sftp"}},
      {"sftp://[::1]/repo", "repo", {"ssh", "-s", "::1", "sftp"}},
  };
  for (const auto& [location, path, words] : cases) {
    const SftpSettings settings = parse(location);
    EXPECT_EQ(settings.path, path) << location;
    EXPECT_EQ(target(settings), words) << location;
  }
  EXPECT_EQ(parse("sftp://user@host:2222//srv").place, "user@host:2222");
}

TEST(SftpSettings, WhatIsNoLocationIsRefused) {
  for (const char* location :
       {"sftp:", "sftp:host", "sftp:host:", "sftp::/srv", "sftp:user@:/srv", "sftp://host",
        "sftp://host/", "sftp:///srv", "sftp:-oProxyCommand=evil:/srv", "sftp:-l@host:/srv",
        "sftp://-oProxyCommand=evil/srv", "sftp:host:~/repo", "sftp://host/~/repo",
        "sftp://host:ssh/repo", "sftp://user:password@host/repo", "sftp://host/a%2"}) {
    EXPECT_EQ(code_of([&] { (void)parse(location); }), ErrorCode::kUsage) << location;
  }
}

TEST(SftpSettings, OptionsAsResticNamesThem) {
  StorageOptions options;
  options.extended = {{"sftp.args", "-i '/my key' -oPort=77"}, {"sftp.connections", "9"}};
  const SftpSettings settings = parse("sftp:host:repo", options);
  EXPECT_EQ(settings.connections, 9U);
  // Before ours: ssh takes the first value that it gets.
  EXPECT_EQ(settings.arguments[1], "-i");
  EXPECT_EQ(settings.arguments[2], "/my key");
  EXPECT_EQ(settings.arguments[3], "-oPort=77");

  options.extended = {{"sftp.command", "ssh -W x 'my host' -s sftp"}};
  EXPECT_THAT(parse("sftp:host:repo", options).arguments,
              ElementsAre("ssh", "-W", "x", "my host", "-s", "sftp"));
  options.extended["sftp.args"] = "-v";
  EXPECT_EQ(code_of([&] { (void)parse("sftp:host:repo", options); }), ErrorCode::kUsage);
  options.extended = {{"sftp.conections", "9"}};
  EXPECT_EQ(code_of([&] { (void)parse("sftp:host:repo", options); }), ErrorCode::kUsage);
  options.extended = {{"sftp.connections", "0"}};
  EXPECT_EQ(code_of([&] { (void)parse("sftp:host:repo", options); }), ErrorCode::kUsage);
}

TEST(SftpSettings, OnlyTheFirstConnectionAsksAndOnlyAtATerminal) {
  EXPECT_THAT(parse("sftp:host:repo", {}, false).arguments, Contains("-oBatchMode=yes"));
  const SftpSettings at_terminal = parse("sftp:host:repo", {}, true);
  EXPECT_THAT(at_terminal.arguments, Not(Contains("-oBatchMode=yes")));
  EXPECT_THAT(at_terminal.more_arguments, Contains("-oBatchMode=yes"));
}

TEST(SftpSettings, TheUsualVariables) {
  std::map<std::string, std::string> variables = {{"SSH_HOST", "example.org"},
                                                  {"SSH_USER", "backup"},
                                                  {"SSH_PATH", "/srv/repo"},
                                                  {"SSH_KEY", "/etc/key"}};
  StorageOptions options;
  options.environment = [&](const std::string& name) -> std::optional<std::string> {
    const auto found = variables.find(name);
    return found == variables.end() ? std::nullopt : std::optional(found->second);
  };
  const SftpSettings settings = parse("sftp:", options);
  EXPECT_EQ(settings.path, "/srv/repo");
  EXPECT_THAT(target(settings),
              ElementsAre("ssh", "-i", "/etc/key", "-l", "backup", "-s", "example.org", "sftp"));
  variables["SSH_KEY"] = "-----BEGIN OPENSSH PRIVATE KEY-----";
  EXPECT_EQ(code_of([&] { (void)parse("sftp:", options); }), ErrorCode::kUsage);
  variables.erase("SSH_HOST");
  EXPECT_EQ(code_of([&] { (void)parse("sftp:", options); }), ErrorCode::kUsage);
}

}  // namespace
}  // namespace salvor::test
