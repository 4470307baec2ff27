#include "model/go_time_layout.h"

#include <gtest/gtest.h>

namespace salvor {
namespace {

// 2026-03-07 08:09:05.060700000 +05:30, a Saturday.
constexpr Timestamp kTime{1772851145, 60'700'000, 19800};

TEST(GoTimeLayout, WritesEveryElementAsGo) {
  // Each pair was printed by Go 1.26's time.Format.
  const std::pair<const char*, const char*> cases[] = {
      {"2006-01-02T15:04:05Z07:00", "2026-03-07T08:09:05+05:30"},
      {"2006-01-02_15-04-05", "2026-03-07_08-09-05"},
      {"Mon Jan 2 15:04:05 -0700 2006", "Sat Mar 7 08:09:05 +0530 2026"},
      {"Monday, 02-January-06 03:04PM", "Saturday, 07-March-26 08:09AM"},
      {"Janet Monde", "Janet Monde"},
      {"3:4:5 pm 1/2 _2 __2 002", "8:9:5 am 3/7  7  66 066"},
      {"05.000 05.999 05,000000000 05.9999", "05.060 05.06 05,060700000 05.0607"},
      {"-07 -07:00:00 -070000 Z0700 Z07", "+05 +05:30:00 +053000 +0530 +05"},
      {"_2006", "_2026"},
      {"MST", "+0530"},
      {"20060102.000x05.0001", "20260307.060x05.0003"},
  };
  for (const auto& [layout, expected] : cases) {
    EXPECT_EQ(format_go_layout(kTime, layout), expected) << layout;
  }
}

TEST(GoTimeLayout, WritesZForUtcAndNoonAsTwelve) {
  const Timestamp noon{1772884800, 0, 0};
  EXPECT_EQ(format_go_layout(noon, kRfc3339Layout), "2026-03-07T12:00:00Z");
  EXPECT_EQ(format_go_layout(noon, "3PM .999 -07:00"), "12PM  +00:00");
}

TEST(GoTimeLayout, ReachesFarFromTheEpoch) {
  EXPECT_EQ(format_go_layout({-62135596800, 0, 0}, kRfc3339Layout), "0001-01-01T00:00:00Z");
  EXPECT_EQ(format_go_layout({253402300799, 0, -3600}, kRfc3339Layout),
            "9999-12-31T22:59:59-01:00");
}

}  // namespace
}  // namespace salvor
