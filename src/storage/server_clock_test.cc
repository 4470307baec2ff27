#include "storage/server_clock.h"

#include <gtest/gtest.h>

#include "storage/azure/azure_sign.h"
#include "support/test_context.h"

namespace salvor::test {
namespace {

using namespace std::chrono_literals;

// Shows what it is told.
class SetClock final : public Clock {
 public:
  [[nodiscard]] WallTime now() const override { return now_; }
  [[nodiscard]] MonotonicTime monotonic() const override { return {}; }
  WallTime now_{20'000 * 24h};
};

class ServerClocks : public testing::Test {
 protected:
  [[nodiscard]] Context context() {
    return {context_.stop.get_token(), context_.events, clock_, (*context_).random};
  }
  HttpResponse reply(std::chrono::nanoseconds ahead, int status = 200) {
    return {.status = status, .headers = {{"date", http_date(clock_.now_ + ahead)}}};
  }
  [[nodiscard]] size_t warnings() const { return context_.events.events().size(); }

  TestContext context_;
  SetClock clock_;
  ServerClock server_{"s3.example.com"};
};

TEST_F(ServerClocks, AreOursUntilTheyDifferByMoreThanMinutes) {
  EXPECT_FALSE(server_.known());
  server_.learn(context(), reply(9min), 1s);
  EXPECT_TRUE(server_.known());
  EXPECT_EQ(server_.now(context()), clock_.now_);
  server_.learn(context(), reply(-5h), 1s);
  EXPECT_EQ(server_.now(context()), clock_.now_ - 5h);
  EXPECT_TRUE(server_.differs_from(0s));
  EXPECT_FALSE(server_.differs_from(-5h));
  EXPECT_EQ(warnings(), 1U);
  server_.learn(context(), reply(-5h + 1min), 1s);
  EXPECT_EQ(warnings(), 1U) << "once";
}

TEST_F(ServerClocks, AreOursAgainWhenOursWasSet) {
  server_.learn(context(), reply(5h), 1s);
  clock_.now_ += 5h;
  server_.learn(context(), reply(0s), 1s);
  EXPECT_EQ(server_.now(context()), clock_.now_);
  EXPECT_TRUE(server_.differs_from(5h)) << "a request under way was signed with the old one";
  EXPECT_EQ(warnings(), 1U) << "that they agree needs no warning";
}

TEST_F(ServerClocks, AreNotLearntFromOthersNorFromWhatIsOld) {
  for (const int status : {404, 407, 429, 502, 503}) {
    server_.learn(context(), reply(5h, status), 1s);
  }
  HttpResponse cached = reply(-5h);
  cached.headers.push_back({"age", "18000"});
  server_.learn(context(), cached, 1s);
  server_.learn(context(), reply(-20min), 20min);  // the body took so long
  EXPECT_FALSE(server_.known());
  HttpResponse without;
  without.status = 200;
  server_.learn(context(), without, 1s);
  EXPECT_TRUE(server_.known()) << "asking again would not help";
  EXPECT_EQ(server_.now(context()), clock_.now_);
  server_.learn(context(), reply(5h, 403), 1s);  // how a wrong clock is refused
  EXPECT_EQ(server_.now(context()), clock_.now_ + 5h);
}

}  // namespace
}  // namespace salvor::test
