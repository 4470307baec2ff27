#include "net/split_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace salvor {
namespace {

using testing::ElementsAre;

TEST(SplitCommand, SplitsAsAShellDoes) {
  EXPECT_THAT(split_command("pass show 'my repo' a\\ b \"c 'd'\" e''f"),
              ElementsAre("pass", "show", "my repo", "a b", "c 'd'", "ef"));
  EXPECT_THAT(split_command("  a  '' \"\\\"\" '\\'"), ElementsAre("a", "", "\"", "\\"));
  EXPECT_THROW((void)split_command("a 'b"), Error);
  EXPECT_THROW((void)split_command("  "), Error);
  EXPECT_THAT(split_command("echo $HOME *"), ElementsAre("echo", "$HOME", "*"));
}

}  // namespace
}  // namespace salvor
