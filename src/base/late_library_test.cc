#include "base/late_library.h"

#include <cmath>
#include <cstdlib>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "base/error.h"

namespace salvor {
namespace {

LateLibrary late_libm{"libm.so.6", "libc6"};
const LateFunction<double(double)> cos{late_libm, "cos"};
const LateFunction<double(double)> no_such{late_libm, "salvor_no_such_function"};
LateLibrary nowhere{"libsalvor-nowhere.so.1", "libsalvor-nowhere1"};
const LateFunction<void()> lost{nowhere, "lost"};
LateLibrary late_libc{"libc.so.6", "libc6"};
const LateFunction<int(char*, size_t, const char*, ...)> snprintf{late_libc, "snprintf"};

TEST(LateLibrary, CallsWhatTheLibraryHas) {
  EXPECT_EQ(cos(0.0), 1.0);
  double (*const pointer)(double) = cos;
  EXPECT_EQ(pointer(0.0), 1.0);
}

TEST(LateLibrary, PassesOnVariableArguments) {
  char text[40];
  EXPECT_EQ(snprintf(text, sizeof text, "%s %d %.1f", "late", 7, 0.5), 10);
  EXPECT_STREQ(text, "late 7 0.5");
}

TEST(LateLibrary, IsFoundByManyThreadsAtOnce) {
  LateLibrary library{"libm.so.6", "libc6"};
  const LateFunction<double(double)> sine{library, "sin"};
  std::vector<std::jthread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] { EXPECT_EQ(sine(0.0), 0.0); });
  }
}

TEST(LateLibrary, SaysWhatIsMissingAndWhereItComesFrom) {
  try {
    lost();
    FAIL() << "there is no such library";
  } catch (const Error& error) {
    EXPECT_NE(error.message().find("libsalvor-nowhere.so.1"), std::string::npos);
    EXPECT_NE(error.hint().find("libsalvor-nowhere1"), std::string::npos);
  }
  try {
    static_cast<void>(no_such(1.0));
    FAIL() << "there is no such function";
  } catch (const Error& error) {
    EXPECT_NE(error.message().find("salvor_no_such_function"), std::string::npos);
  }
}

}  // namespace
}  // namespace salvor
