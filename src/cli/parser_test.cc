#include "cli/parser.h"

#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace salvor::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A small program: `tool [-r x] [-v] [--json] (copy | key add)`.
class Parser : public ::testing::Test {
 protected:
  std::optional<std::string> repo;
  std::optional<std::string> repo_file;
  Counter verbose;
  bool json = false;
  std::vector<std::string> excludes;
  std::vector<std::string> paths;
  bool dry_run = false;
  bool all = false;
  std::string mode = "auto";
  uint64_t number = 7;
  std::optional<Size> size;
  Duration duration{0};
  std::string key;
  std::optional<std::string> second;
  std::string user = "nobody";

  CommandSpec root() {
    CommandSpec copy{.name = "copy",
                     .summary = "copy",
                     .positionals = {{.name = "path", .target = &paths, .maximum = kUnlimited}},
                     .options = {{.long_name = "exclude", .short_name = 'e', .target = &excludes},
                                 {.long_name = "dry-run", .short_name = 'n', .target = &dry_run},
                                 {.long_name = "all", .short_name = 'a', .target = &all},
                                 {.long_name = "mode", .target = &mode, .choices = {"auto", "off"}},
                                 {.long_name = "number", .target = &number},
                                 {.long_name = "size", .target = &size},
                                 {.long_name = "wait", .short_name = 'w', .target = &duration}},
                     .run = [](Session&) { return 0; }};
    CommandSpec add{.name = "add",
                    .summary = "add",
                    .positionals = {{.name = "ID", .target = &key, .minimum = 1},
                                    {.name = "SECOND", .target = &second}},
                    .options = {{.long_name = "user", .target = &user}},
                    .run = [](Session&) { return 0; }};
    CommandSpec group{.name = "key", .summary = "keys"};
    group.commands = {add};
    CommandSpec tool{.name = "tool",
                     .summary = "tool",
                     .options = {{.long_name = "repo",
                                  .short_name = 'r',
                                  .target = &repo,
                                  .environment = "REPOSITORY",
                                  .exclusive_group = "repo"},
                                 {.long_name = "repository-file",
                                  .target = &repo_file,
                                  .environment = "REPOSITORY_FILE",
                                  .exclusive_group = "repo"},
                                 {.long_name = "verbose", .short_name = 'v', .target = &verbose},
                                 {.long_name = "json", .target = &json}}};
    tool.commands = {copy, group};
    return tool;
  }

  std::string parse(std::vector<std::string> arguments,
                    std::map<std::string, std::string, std::less<>> variables = {}) {
    table = root();
    last = parse_command_line(table, arguments, Environment(std::move(variables)));
    return command_path_text(last.path);
  }

  std::string message_of(std::vector<std::string> arguments,
                         std::map<std::string, std::string, std::less<>> variables = {}) {
    try {
      parse(std::move(arguments), std::move(variables));
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kUsage);
      return error.message() + "|" + error.hint();
    }
    return "accepted";
  }

  CommandSpec table;
  ParsedCommand last;
};

TEST_F(Parser, TakesValuesInEveryFormThatResticTakes) {
  for (const auto& form : std::vector<std::vector<std::string>>{{"copy", "--repo=/a"},
                                                                {"copy", "--repo", "/a"},
                                                                {"copy", "-r", "/a"},
                                                                {"copy", "-r/a"},
                                                                {"copy", "-r=/a"},
                                                                {"-r", "/a", "copy"},
                                                                {"--repo=/a", "copy"},
                                                                {"copy", "-vr/a"},
                                                                {"copy", "-vr", "/a"}}) {
    repo.reset();
    EXPECT_EQ(parse(form), "tool copy") << form[1];
    EXPECT_EQ(repo, "/a") << form[1];
    EXPECT_TRUE(paths.empty());
  }
}

TEST_F(Parser, ValueMayLookLikeAnythingAndIsNotInterpreted) {
  parse({"copy", "-e", "-x", "--exclude", "--", "--exclude", "[ab]", "--exclude=", "-e", "copy"});
  EXPECT_THAT(excludes, ElementsAre("-x", "--", "[ab]", "", "copy"));
}

TEST_F(Parser, CountersCountOrTakeALevel) {
  parse({"copy", "-v", "-vv", "--verbose"});
  EXPECT_EQ(verbose.value, 4);
  parse({"copy", "--verbose=2"});
  EXPECT_EQ(verbose.value, 2);
  parse({"copy", "-v=1"});
  EXPECT_EQ(verbose.value, 1);
}

TEST_F(Parser, FlagsRunTogetherAndTakeTruthValues) {
  parse({"copy", "-nav", "x"});
  EXPECT_TRUE(dry_run && all);
  EXPECT_EQ(verbose.value, 1);
  parse({"copy", "--all=false", "--json=true"});
  EXPECT_FALSE(all);
  EXPECT_TRUE(json);
  EXPECT_THAT(message_of({"copy", "--all=maybe"}), HasSubstr("expected true or false"));
}

TEST_F(Parser, CommandOptionsMayStandBeforeTheCommand) {
  EXPECT_EQ(parse({"--dry-run", "copy", "a"}), "tool copy");
  EXPECT_TRUE(dry_run);
  EXPECT_THAT(paths, ElementsAre("a"));
  paths.clear();
  EXPECT_EQ(parse({"--exclude", "key", "-e", "copy", "copy", "b"}), "tool copy");
  EXPECT_THAT(excludes, ElementsAre("key", "copy"));
  EXPECT_THAT(paths, ElementsAre("b"));
}

TEST_F(Parser, DoubleDashEndsOptionsAndSingleDashIsAnArgument) {
  parse({"copy", "a", "-", "--", "-n", "--", "--json"});
  EXPECT_THAT(paths, ElementsAre("a", "-", "-n", "--", "--json"));
  EXPECT_FALSE(dry_run || json);
}

TEST_F(Parser, FindsSubCommandsBehindOptions) {
  EXPECT_EQ(parse({"key", "-r", "add", "--user", "u", "add", "12"}), "tool key add");
  EXPECT_EQ(repo, "add");
  EXPECT_EQ(user, "u");
  EXPECT_EQ(key, "12");
  EXPECT_FALSE(second);
}

TEST_F(Parser, ConvertsAndChecksValues) {
  parse({"copy", "--number=12", "--size", "1.5k", "--wait=1h30m", "--mode", "off"});
  EXPECT_EQ(number, 12U);
  EXPECT_EQ(size->bytes, 1536U);
  EXPECT_EQ(duration, std::chrono::minutes(90));
  EXPECT_EQ(mode, "off");
  EXPECT_THAT(message_of({"copy", "--number=-1"}), HasSubstr("expected a whole number"));
  EXPECT_THAT(message_of({"copy", "--number=1x"}), HasSubstr("expected a whole number"));
  EXPECT_THAT(message_of({"copy", "--number="}), HasSubstr("expected a whole number"));
  EXPECT_THAT(message_of({"copy", "--number=99999999999999999999"}), HasSubstr("whole number"));
  EXPECT_THAT(message_of({"copy", "--size=big"}), HasSubstr("expected a size"));
  EXPECT_THAT(message_of({"copy", "--wait=5"}), HasSubstr("expected a duration"));
  EXPECT_THAT(message_of({"copy", "--mode=on"}), HasSubstr("expected one of auto, off"));
}

TEST_F(Parser, DefaultsStayWhenNothingIsGiven) {
  parse({"copy"});
  EXPECT_EQ(number, 7U);
  EXPECT_EQ(mode, "auto");
  EXPECT_FALSE(size || repo);
}

TEST_F(Parser, CommandLineBeatsOurVariableBeatsRestics) {
  parse({"copy", "-r", "line"}, {{"SALVOR_REPOSITORY", "own"}, {"RESTIC_REPOSITORY", "restic"}});
  EXPECT_EQ(repo, "line");
  repo.reset();
  parse({"copy"}, {{"SALVOR_REPOSITORY", "own"}, {"RESTIC_REPOSITORY", "restic"}});
  EXPECT_EQ(repo, "own");
  repo.reset();
  parse({"copy"}, {{"SALVOR_REPOSITORY", ""}, {"RESTIC_REPOSITORY", "restic"}});
  EXPECT_EQ(repo, "restic");
}

TEST_F(Parser, ExclusiveOptionsAreToldAndSilenceTheEnvironment) {
  EXPECT_THAT(message_of({"copy", "-r", "a", "--repository-file", "b"}), HasSubstr("exclude"));
  EXPECT_THAT(message_of({"copy"}, {{"SALVOR_REPOSITORY", "a"}, {"RESTIC_REPOSITORY_FILE", "b"}}),
              HasSubstr("SALVOR_REPOSITORY and RESTIC_REPOSITORY_FILE exclude"));
  repo.reset();
  parse({"copy", "--repository-file", "b"}, {{"SALVOR_REPOSITORY", "a"}});
  EXPECT_FALSE(repo);
  EXPECT_EQ(repo_file, "b");
}

TEST_F(Parser, MistypedNamesGetASuggestion) {
  EXPECT_THAT(message_of({"cpoy"}), HasSubstr("Did you mean \"copy\"?"));
  EXPECT_THAT(message_of({"key", "ad"}), HasSubstr("Did you mean \"add\"?"));
  EXPECT_THAT(message_of({"copy", "--exlude=a"}), HasSubstr("Did you mean --exclude?"));
  EXPECT_THAT(message_of({"copy", "--jso"}), HasSubstr("Did you mean --json?"));
  EXPECT_THAT(message_of({"copy", "--zzzz"}), testing::Not(HasSubstr("Did you mean")));
  EXPECT_THAT(message_of({"copy", "-z"}), HasSubstr("unknown option -z for \"tool copy\""));
}

TEST_F(Parser, OptionsOfOtherCommandsAreRefused) {
  EXPECT_THAT(message_of({"copy", "--user", "u"}), HasSubstr("unknown option --user"));
}

TEST_F(Parser, MissingAndSuperfluousArgumentsAreTold) {
  EXPECT_THAT(message_of({"key", "add"}), HasSubstr("argument ID is missing"));
  EXPECT_THAT(message_of({"key", "add", "1", "2", "3"}), HasSubstr("unexpected argument \"3\""));
  EXPECT_THAT(message_of({"copy", "-e"}), HasSubstr("option -e needs a value"));
  parse({"key", "add", "1", "2"});
  EXPECT_EQ(second, "2");
}

TEST_F(Parser, HelpIsSeenAnywhereButNotAsAValue) {
  parse({"copy", "a", "--help"});
  EXPECT_TRUE(last.help);
  parse({"-h"});
  EXPECT_TRUE(last.help);
  parse({"key", "add", "-h"});  // although the ID is missing
  EXPECT_TRUE(last.help);
  parse({"copy", "-e", "--help", "--", "-h"});
  EXPECT_FALSE(last.help);
  parse({"key"});
  EXPECT_TRUE(last.help);
  parse({"--version"});
  EXPECT_TRUE(last.version);
}

TEST(Duration, ReadsGosForm) {
  using namespace std::chrono_literals;
  EXPECT_EQ(parse_duration("5m"), 5min);
  EXPECT_EQ(parse_duration("1h30m"), 90min);
  EXPECT_EQ(parse_duration("1.5s"), 1500ms);
  EXPECT_EQ(parse_duration("250ms"), 250ms);
  EXPECT_EQ(parse_duration("0"), 0s);
  for (const char* bad : {"", "5", "m", "-5m", "5 m", "1d", "5mx", "1e3s", "99999999h", "nans"}) {
    EXPECT_FALSE(parse_duration(bad)) << bad;
  }
}

}  // namespace
}  // namespace salvor::cli
