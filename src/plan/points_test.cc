#include "plan/points.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "plan/expectation.h"

namespace salvor::plan {
namespace {

WallTime at(int hour) {
  return WallTime(std::chrono::hours(24 * 365 * 50 + hour));
}

RecoveryRange range(const std::string& snapshot, int captured, int until, bool open = false) {
  return {.snapshot = snapshot,
          .captured = at(captured),
          .until = at(until),
          .durable = at(captured),
          .open_ended = open,
          .bytes = 1};
}

PinnedPoint choose(const std::string& asked, const std::vector<RecoveryRange>& ranges) {
  return choose_point("db", asked, ranges, at(100));
}

std::string text(WallTime time) {
  const std::time_t raw = std::chrono::system_clock::to_time_t(
      std::chrono::time_point_cast<std::chrono::system_clock::duration>(time));
  std::tm parts{};
  gmtime_r(&raw, &parts);
  char buffer[40];
  return {buffer, std::strftime(buffer, sizeof buffer, "%Y-%m-%dT%H:%M:%SZ", &parts)};
}

TEST(Points, WithoutALogTheLastSnapshotBeforeTheMoment) {
  const std::vector<RecoveryRange> ranges{range("cccc", 30, 30), range("bbbb", 20, 20),
                                          range("aaaa", 10, 10)};
  const PinnedPoint point = choose(text(at(25)), ranges);
  EXPECT_EQ(point.snapshot, "bbbb");
  EXPECT_EQ(point.moment.kind, Moment::kSnapshot);
  EXPECT_EQ(point.wanted, at(25));
  EXPECT_EQ(choose("latest", ranges).snapshot, "cccc");
  EXPECT_EQ(choose(text(at(20)), ranges).snapshot, "bbbb");
}

TEST(Points, WithALogExactlyTheMomentFromTheNewestThatReachesIt) {
  const std::vector<RecoveryRange> ranges{range("cccc", 30, 40), range("bbbb", 20, 28),
                                          range("aaaa", 10, 28)};
  const PinnedPoint point = choose(text(at(25)), ranges);
  EXPECT_EQ(point.snapshot, "bbbb");
  EXPECT_EQ(point.moment.kind, Moment::kAt);
  EXPECT_EQ(point.moment.time, at(25));
  // In the gap nobody can be.
  EXPECT_THROW(static_cast<void>(choose(text(at(29)), ranges)), Error);
  try {
    static_cast<void>(choose(text(at(50)), ranges));
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kNotFound);
    EXPECT_THAT(error.hint(), testing::HasSubstr("It can be brought to moments from"));
  }
  EXPECT_EQ(choose("latest", ranges).moment.kind, Moment::kLatest);
}

TEST(Points, TakesDamagedOnesOnlyByName) {
  std::vector<RecoveryRange> ranges{range("cccc", 30, 30), range("bbbb", 20, 20)};
  ranges[0].damaged = true;
  ranges[0].label = "good";
  EXPECT_EQ(choose("latest", ranges).snapshot, "bbbb");
  EXPECT_EQ(choose("snapshot:cc", ranges).snapshot, "cccc");
  EXPECT_EQ(choose("label:good", ranges).snapshot, "cccc");
  ranges[1].snapshot = "ccdd";
  EXPECT_THROW(static_cast<void>(choose("snapshot:cc", ranges)), Error);
  EXPECT_THROW(static_cast<void>(choose("label:bad", ranges)), Error);
}

TEST(Expectation, ComparesAsPeopleMean) {
  EXPECT_TRUE(meets("42\n", "42"));
  EXPECT_TRUE(meets("42.0", "42"));
  EXPECT_FALSE(meets("42", "43"));
  EXPECT_TRUE(meets("10", ">= 10"));
  EXPECT_FALSE(meets("9.99", ">= 10"));
  EXPECT_FALSE(meets("no row", "< 5")) << "what is no number is not small";
  EXPECT_TRUE(meets("5", "!= 0"));
  EXPECT_FALSE(meets("0.0", "!= 0"));
  EXPECT_TRUE(meets("status ok", "~ ok$"));
  EXPECT_FALSE(meets("status ok!", "~ ok$"));
  EXPECT_FALSE(meets("", "ok"));
  EXPECT_THROW(static_cast<void>(meets("1", "> many")), Error);
  EXPECT_THROW(static_cast<void>(meets("1", "~ [")), Error);
}

}  // namespace
}  // namespace salvor::plan
