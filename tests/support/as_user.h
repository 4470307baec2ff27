// What only an ordinary user sees: root may read and write everything.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <unistd.h>

namespace salvor::test {

// Expects that `look` is true for an ordinary user. Where we are root, a child process without
// root's rights looks, and `paths`, from the outermost directory on, become its own.
inline void expect_as_user(const std::vector<std::string>& paths,
                           const std::function<bool()>& look) {
  if (geteuid() != 0) {
    EXPECT_TRUE(look());
    return;
  }
  constexpr uid_t kNobody = 65534;
  for (const std::string& path : paths) {
    ASSERT_EQ(lchown(path.c_str(), kNobody, kNobody), 0) << path;
  }
  EXPECT_EXIT(
      {
        const bool dropped =
            setresgid(kNobody, kNobody, kNobody) == 0 && setresuid(kNobody, kNobody, kNobody) == 0;
        _exit(dropped && look() ? 0 : 1);
      },
      ::testing::ExitedWithCode(0), "");
}

}  // namespace salvor::test
