#include "storage/s3/s3_client.h"

#include <atomic>
#include <thread>

#include <gtest/gtest.h>

#include "storage/azure/azure_sign.h"
#include "support/http_server.h"
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
    StorageOptions options;
    options.http.proxy = "";
    options.environment = [](const std::string& name) -> std::optional<std::string> {
      return name.starts_with("AWS_ACCESS") || name.starts_with("AWS_SECRET")
                 ? std::optional<std::string>("something")
                 : std::nullopt;
    };
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

TEST(S3Client, AWrongRegionIsMendedForAllThatWasUnderWay) {
  RefusesTwo({.status = 400,
              .headers = {},
              .body = refusal_text("AuthorizationHeaderMalformed", "<Region>eu-west-9</Region>")})
      .expect_both_mended();
}

}  // namespace
}  // namespace salvor::test
