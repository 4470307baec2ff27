#include "protect/time_text.h"

#include <cstdlib>

#include <gtest/gtest.h>

namespace salvor {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

TEST(TimeText, MeasuredSecondsAreRounded) {
  EXPECT_EQ(seconds_text(0.44), "0.4 s");
  EXPECT_EQ(seconds_text(9.94), "9.9 s");
  EXPECT_EQ(seconds_text(9.96), "10 s");
  EXPECT_EQ(seconds_text(372.4), "6 min 12 s");
  EXPECT_EQ(seconds_text(372.9), "6 min 13 s");
}

TEST(TimeText, SpansAreCutAtTwoUnits) {
  EXPECT_EQ(span_text(seconds(0)), "0 s");
  EXPECT_EQ(span_text(seconds(18)), "18 s");
  EXPECT_EQ(span_text(seconds(372)), "6 min 12 s");
  EXPECT_EQ(span_text(seconds(900)), "15 min");
  EXPECT_EQ(span_text(hours(2) + minutes(5) + seconds(59)), "2 h 5 min");
  EXPECT_EQ(span_text(hours(47) + minutes(59)), "47 h 59 min");
  EXPECT_EQ(span_text(hours(48)), "2 days");
  EXPECT_EQ(span_text(hours(51)), "2 days 3 h");
  EXPECT_EQ(span_text(hours(24 * 30 + 5)), "30 days");
  EXPECT_EQ(span_text(seconds(-5)), "0 s");
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
