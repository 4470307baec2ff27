#include "protect/time_text.h"

#include <cstdlib>

#include <gtest/gtest.h>

namespace salvor {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

TEST(TimeText, SaysHowLongAgo) {
  EXPECT_EQ(ago_text(seconds(18)), "18 s ago");
  EXPECT_EQ(ago_text(seconds(-3)), "just now");
}

TEST(TimeText, InstantsHaveTheirZone) {
  const char* const before = std::getenv("TZ");
  const std::string saved = before == nullptr ? "" : before;
  ::setenv("TZ", "Europe/Berlin", 1);
  ::tzset();
  const WallTime now = std::chrono::sys_days(std::chrono::year(2026) / 3 / 29) + hours(4);
  EXPECT_EQ(instant_text(now - hours(1), now), "05:00:00 CEST");
  EXPECT_EQ(instant_text(now - hours(4), now), "01:00:00 CET") << "the same day, before the change";
  EXPECT_EQ(instant_text(now - hours(6), now), "2026-03-28 23:00:00 CET");
  EXPECT_EQ(due_text(now + hours(1), now), "today 07:00");
  EXPECT_EQ(due_text(now + hours(24), now), "tomorrow 06:00");
  EXPECT_EQ(due_text(now + hours(48), now), "Tue 2026-03-31 06:00");
  before == nullptr ? ::unsetenv("TZ") : ::setenv("TZ", saved.c_str(), 1);
  ::tzset();
}

}  // namespace
}  // namespace salvor
