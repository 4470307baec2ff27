#include "storage/s3/s3_client.h"

#include <atomic>
#include <ctime>
#include <thread>

#include <gtest/gtest.h>

#include "storage/azure/azure_sign.h"
#include "support/http_server.h"
#include "support/s3_keys.h"
#include "support/test_context.h"

namespace salvor::test {
namespace {

using namespace std::chrono_literals;

// A server that refuses two requests at once, and grants what comes after.
class RefusesTwo {
 public:
  explicit RefusesTwo(ServedReply refusal)
      : server_([this, refusal = std::move(refusal)](const ServedRequest&) {
          if (arrived_.fetch_add(1) >= 2) {
            return ServedReply{.body = "content"};
          }
          while (arrived_ < 2) {
            std::this_thread::sleep_for(1ms);
          }
          return refusal;
        }) {}

  void expect_both_mended() {
    const StorageOptions options = with_some_keys();
    S3Client client(s3_settings(server_.url("/bucket"), options), options);
    std::atomic<int> good = 0;
    {
      std::vector<std::jthread> threads;
      for (int i = 0; i < 2; ++i) {
        threads.emplace_back([&] {
          good += client.attempt(*context_, {.method = "GET", .key = "x", .what = "cannot read"})
                      .success();
        });
      }
    }
    EXPECT_EQ(good, 2);
    EXPECT_EQ(server_.requests().size(), 4U);
  }

 private:
  TestContext context_;
  std::atomic<int> arrived_ = 0;
  HttpServer server_;
};

std::string refusal_text(const std::string& code, const std::string& more = "") {
  return "<Error><Code>" + code + "</Code>" + more + "</Error>";
}

// The config and the keys are asked for together: one finds the cause, the other must profit.
TEST(S3Client, ASkewedClockIsMendedForAllThatWasUnderWay) {
  TestContext context;
  RefusesTwo({.status = 403,
              .headers = {{"Date", http_date((*context).clock.now() + 2h)}},
              .body = refusal_text("RequestTimeTooSkewed")})
      .expect_both_mended();
}

// Ahead by what it is told.
class WrongClock final : public Clock {
 public:
  [[nodiscard]] WallTime now() const override { return SystemClock().now() + ahead_.load(); }
  [[nodiscard]] MonotonicTime monotonic() const override { return SystemClock().monotonic(); }
  std::atomic<std::chrono::nanoseconds> ahead_{};
};

WallTime time_of(const ServedRequest& request) {
  std::tm parts{};
  ::strptime(request.headers.at("x-amz-date").c_str(), "%Y%m%dT%H%M%SZ", &parts);
  return std::chrono::system_clock::from_time_t(::timegm(&parts));
}

// Time is set while a program runs: at its start, and back again by whoever reads the warning.
TEST(S3Client, AClockThatIsSetIsFollowedInBothDirections) {
  HttpServer server([](const ServedRequest& request) {
    const WallTime now = SystemClock().now();
    const bool skewed = std::chrono::abs(time_of(request) - now) > 15min;
    return ServedReply{.status = skewed ? 403 : 200,
                       .headers = {{"Date", http_date(now)}},
                       .body = skewed ? refusal_text("RequestTimeTooSkewed") : "content"};
  });
  const StorageOptions options = with_some_keys();
  S3Client client(s3_settings(server.url("/bucket"), options), options);
  TestContext outer;
  WrongClock clock;
  const Context context{outer.stop.get_token(), outer.events, clock, (*outer).random};
  for (const auto ahead : {0h, 5h, 0h, -5h, 5000h, 0h}) {
    clock.ahead_ = ahead;
    for (const char* method : {"GET", "HEAD"}) {
      EXPECT_TRUE(
          client.attempt(context, {.method = method, .key = "x", .what = "cannot read"}).success())
          << ahead.count();
    }
    EXPECT_LT(std::chrono::abs(client.server_time(context) - SystemClock().now()), 10min);
  }
  EXPECT_EQ(outer.events.events().size(), 3U) << "one warning for each time that it was wrong";
}

TEST(S3Client, AWrongRegionIsMendedForAllThatWasUnderWay) {
  RefusesTwo({.status = 400,
              .headers = {},
              .body = refusal_text("AuthorizationHeaderMalformed", "<Region>eu-west-9</Region>")})
      .expect_both_mended();
}

}  // namespace
}  // namespace salvor::test
