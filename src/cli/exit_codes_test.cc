// The table in docs/exit-codes.md, the one of `salvor help exit-codes` and the code say the same.
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include <gtest/gtest.h>

#include "base/error.h"
#include "cli/commands.h"
#include "cli/help.h"
#include "support/test_data.h"

namespace salvor::cli {
namespace {

constexpr int kOutputClosed = 141;
constexpr int kCannotTell = 255;

std::map<int, std::string> codes() {
  // 30 to 32: answers of `status`, no errors.
  std::map<int, std::string> all{{0, ""},         {30, "unproven"},    {31, "breached"},
                                 {32, "unknown"}, {kOutputClosed, ""}, {kCannotTell, ""}};
  for (const ErrorCode code :
       {ErrorCode::kFailed, ErrorCode::kIncomplete, ErrorCode::kNoRepository, ErrorCode::kLocked,
        ErrorCode::kWrongPassword, ErrorCode::kDamaged, ErrorCode::kStorageFull,
        ErrorCode::kPermission, ErrorCode::kUnreachable, ErrorCode::kNotFound, ErrorCode::kUsage,
        ErrorCode::kCancelled}) {
    all[exit_status(code)] = error_code_name(code);
  }
  return all;
}

TEST(ExitCodes, DocumentedTableIsTheCodesTable) {
  std::ifstream file(test::test_data("../../docs/exit-codes.md"));
  ASSERT_TRUE(file);
  std::map<int, std::string> documented;
  for (std::string line; std::getline(file, line);) {
    // "| 12 | wrong-password | ...": std::regex would do, were it not for GCC 12's false warnings.
    std::istringstream row(line);
    std::string bar, name;
    int code = -1;
    if (row >> bar >> code && bar == "|" && row >> bar >> name) {
      documented[code] = name == "|" ? "" : name;
    }
  }
  EXPECT_EQ(documented, codes());
}

TEST(ExitCodes, HelpTopicListsTheSame) {
  const std::string help = render_exit_codes(1000);
  std::set<int> listed;
  std::istringstream lines(help);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream row(line);
    if (int code = -1; line.starts_with("  ") && row >> code) {
      listed.insert(code);
    }
  }
  for (const auto& [code, name] : codes()) {
    EXPECT_EQ(listed.erase(code), 1U) << code;
  }
  EXPECT_TRUE(listed.empty());
}

// Names double within a command's own and inherited options would make one of them unreachable. A
// hidden one may be: commands about the application show --config and its kin as their own.
void check_command(const CommandSpec& command, std::set<std::string> inherited) {
  SCOPED_TRACE(command.name);
  EXPECT_FALSE(command.summary.empty());
  EXPECT_NE(command.summary.back(), '.');
  EXPECT_TRUE(command.run != nullptr || !command.commands.empty());
  for (const OptionSpec& option : command.options) {
    SCOPED_TRACE(option.long_name);
    EXPECT_FALSE(inherited.contains("--" + option.long_name)) << "twice";
    if (!option.hidden) {
      inherited.insert("--" + option.long_name);
    }
    EXPECT_NE(option.long_name, "help");
    EXPECT_NE(option.short_name, 'h');
    EXPECT_FALSE(option.help.empty());
    EXPECT_NE(option.help.back(), '.');
    EXPECT_TRUE(!takes_value(option) || !option.value_name.empty());
    if (option.short_name != '\0') {
      EXPECT_TRUE(inherited.insert(std::string("-") + option.short_name).second) << "short, twice";
    }
  }
  const std::set<int> known = [] {
    std::set<int> all;
    for (const auto& [code, name] : codes()) {
      all.insert(code);
    }
    return all;
  }();
  for (const ExitCodeNote& note : command.exit_codes) {
    EXPECT_TRUE(known.contains(note.code)) << note.code;
  }
  for (const CommandSpec& sub : command.commands) {
    check_command(sub, inherited);
  }
}

TEST(CommandTable, EveryCommandIsWellFormed) {
  GlobalOptions global;
  check_command(command_table(global), {});
}

}  // namespace
}  // namespace salvor::cli
