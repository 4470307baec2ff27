#include "model/duration_text.h"

#include <limits>

#include <gtest/gtest.h>

namespace salvor {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

TEST(DurationText, GivenSpansAreCut) {
  EXPECT_EQ(span_text(seconds(0)), "0 s");
  EXPECT_EQ(span_text(seconds(18)), "18 s");
  EXPECT_EQ(span_text(seconds(372)), "6 min 12 s");
  EXPECT_EQ(span_text(seconds(900)), "15 min");
  EXPECT_EQ(span_text(hours(2) + minutes(5) + seconds(59)), "2 h 5 min");
  EXPECT_EQ(span_text(hours(24)), "24 h") << "as objectives are written";
  EXPECT_EQ(span_text(hours(47) + minutes(59)), "47 h 59 min");
  EXPECT_EQ(span_text(hours(48)), "2 days");
  EXPECT_EQ(span_text(hours(51)), "2 days 3 h");
  EXPECT_EQ(span_text(hours(24 * 30 + 5)), "30 days");
  EXPECT_EQ(span_text(seconds(-5)), "0 s");
}

TEST(DurationText, MeasuredOnesAreRounded) {
  EXPECT_EQ(duration_text(0), "0.0 s");
  EXPECT_EQ(duration_text(0.44), "0.4 s");
  EXPECT_EQ(duration_text(9.94), "9.9 s");
  EXPECT_EQ(duration_text(9.96), "10 s");
  EXPECT_EQ(duration_text(372.4), "6 min 12 s");
  EXPECT_EQ(duration_text(372.9), "6 min 13 s");
  EXPECT_EQ(duration_text(14401), "4 h");
  EXPECT_EQ(duration_text(90061), "25 h 1 min");
  EXPECT_EQ(duration_text(176400), "2 days 1 h");
  EXPECT_EQ(duration_text(-5), "-5.0 s");
  EXPECT_EQ(duration_text(2e9), "more than 30 years");
  EXPECT_EQ(duration_text(std::numeric_limits<double>::infinity()), "?");
}

}  // namespace
}  // namespace salvor
