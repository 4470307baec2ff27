#include "storage/gcs/gcs_storage.h"

#include <gtest/gtest.h>

#include "storage/gcs/gcs_errors.h"
#include "storage/gcs/gcs_settings.h"
#include "support/http_server.h"
#include "support/storage_helpers.h"
#include "support/test_context.h"

namespace salvor::test {
namespace {

StorageOptions with(std::map<std::string, std::string> variables,
                    std::map<std::string, std::string> extended = {}) {
  StorageOptions options;
  options.http.proxy = "";
  options.extended = std::move(extended);
  options.environment = [variables](const std::string& name) {
    const auto found = variables.find(name);
    return found == variables.end() ? std::nullopt : std::optional(found->second);
  };
  return options;
}

TEST(GcsSettings, AreReadAsResticReadsThem) {
  const GcsSettings settings = gcs_settings("my-bucket:/a//b/./c/", with({}));
  EXPECT_EQ(settings.bucket, "my-bucket");
  EXPECT_EQ(settings.prefix, "a/b/c");
  EXPECT_EQ(settings.endpoint, "https://storage.googleapis.com");
  EXPECT_FALSE(settings.anonymous);
  EXPECT_EQ(gcs_settings("my-bucket:/", with({})).prefix, "");
  EXPECT_EQ(gcs_settings("my-bucket:db", with({})).prefix, "db");
  for (const char* wrong : {"my-bucket", "//my-bucket/x", "", ":/x", "My Bucket:/x", "b:/a/../c"}) {
    EXPECT_EQ(code_of([&] { (void)gcs_settings(wrong, with({})); }), ErrorCode::kUsage) << wrong;
  }
}

TEST(GcsSettings, TheBucketMayComeFromTheEnvironment) {
  const StorageOptions options = with({{"GCS_BUCKET", "from-variable"}});
  EXPECT_EQ(gcs_settings("", options).bucket, "from-variable");
  EXPECT_EQ(gcs_settings(":/a/b", options).bucket, "from-variable");
  EXPECT_EQ(gcs_settings(":/a/b", options).prefix, "a/b");
  EXPECT_EQ(gcs_settings("other:/a", options).bucket, "other");
  EXPECT_EQ(gcs_settings("", with({{"BACKUP_BUCKET", "common"}})).bucket, "common");
}

TEST(GcsSettings, AnEmulatorGetsNoCredentials) {
  const GcsSettings settings =
      gcs_settings("bucket:/", with({{"STORAGE_EMULATOR_HOST", "127.0.0.1:4443"}}));
  EXPECT_EQ(settings.endpoint, "http://127.0.0.1:4443");
  EXPECT_TRUE(settings.anonymous);
  const GcsSettings own =
      gcs_settings("bucket:/", with({{"STORAGE_EMULATOR_HOST", "127.0.0.1:4443"}},
                                    {{"gs.endpoint", "https://private.example.com/"}}));
  EXPECT_EQ(own.endpoint, "https://private.example.com");
  EXPECT_FALSE(own.anonymous);
  for (const char* wrong : {"private.example.com", "https://", "https://user@host", "http://a b"}) {
    EXPECT_EQ(code_of([&] { (void)gcs_settings("bucket:/", with({}, {{"gs.endpoint", wrong}})); }),
              ErrorCode::kUsage)
        << wrong;
  }
}

TEST(GcsSettings, LocksNeedBothOptions) {
  EXPECT_EQ(
      code_of([] { (void)gcs_settings("bucket:/", with({}, {{"gs.object-lock", "locked"}})); }),
      ErrorCode::kUsage);
  const GcsSettings settings = gcs_settings(
      "bucket:/", with({}, {{"gs.object-lock", "locked"}, {"gs.object-lock-days", "7"}}));
  EXPECT_EQ(settings.lock_mode, "Locked");
  EXPECT_EQ(settings.lock_days, std::chrono::days(7));
}

// A server that answers all with one reply.
class GcsReplies : public testing::Test {
 protected:
  std::unique_ptr<Storage> open(HttpServer& server) {
    return open_gcs_storage("bucket:/p", with({{"GOOGLE_ACCESS_TOKEN", "the-token"}},
                                              {{"gs.endpoint", server.url("")}}));
  }
  Error put_error(int status, const std::string& body) {
    HttpServer server([&](const ServedRequest&) {
      return ServedReply{.status = status, .headers = {{"Retry-After", "7"}}, .body = body};
    });
    const auto storage = open(server);
    try {
      storage->put(*context_, pack_, as_bytes("content"));
    } catch (const Error& error) {
      EXPECT_EQ((error.message() + error.hint()).find("the-token"), std::string::npos);
      return error;
    }
    return {ErrorCode::kFailed, "nothing was thrown"};
  }
  static std::string json(int code, const std::string& reason, const std::string& message) {
    return R"({"error":{"code":)" + std::to_string(code) + R"(,"message":")" + message +
           R"(","errors":[{"message":"x","domain":"global","reason":")" + reason + R"("}]}})";
  }

  TestContext context_;
  ObjectName pack_ = named_by_hash(ObjectKind::kPack, as_bytes("content"));
};

TEST_F(GcsReplies, NameCauseAndNextStep) {
  Error error = put_error(
      403, json(403, "forbidden",
                "b@p.iam.gserviceaccount.com does not have storage.objects.create access."));
  EXPECT_EQ(error.code(), ErrorCode::kPermission);
  EXPECT_NE(error.message().find("does not have storage.objects.create access"), std::string::npos);
  EXPECT_NE(error.hint().find("storage.objects.create on bucket bucket"), std::string::npos);

  error = put_error(401, json(401, "authError", "Invalid Credentials"));
  EXPECT_EQ(error.code(), ErrorCode::kPermission);
  EXPECT_NE(error.hint().find("lasts an hour"), std::string::npos) << error.hint();

  error = put_error(404, json(404, "notFound", "The specified bucket does not exist."));
  EXPECT_EQ(error.code(), ErrorCode::kNotFound);
  EXPECT_NE(error.hint().find("There is no bucket bucket"), std::string::npos) << error.hint();

  error = put_error(403, json(403, "retentionPolicyNotMet",
                              "Object is under active Retention Policy until 2030."));
  EXPECT_NE(error.hint().find("retention policy"), std::string::npos) << error.hint();
  error = put_error(400, json(400, "required",
                              "Bucket is a requester pays bucket but no user "
                              "project provided."));
  EXPECT_EQ(error.code(), ErrorCode::kPermission);
  EXPECT_NE(error.hint().find("gs.user-project"), std::string::npos) << error.hint();

  error = put_error(429, json(429, "rateLimitExceeded", "too fast"));
  EXPECT_TRUE(error.retryable());
  EXPECT_TRUE(error.advice().slow_down);
  EXPECT_EQ(error.advice().after, std::chrono::seconds(7));
  error = put_error(503, "<html>try later</html>");
  EXPECT_TRUE(error.retryable());
  error = put_error(400, json(400, "invalid", "Provided CRC32C does not match calculated CRC32C."));
  EXPECT_TRUE(error.retryable()) << "the body was changed on the way";
}

TEST_F(GcsReplies, ThatSomethingElseWasStoredIsNotBelieved) {
  for (const char* reply : {R"({"size":"6","crc32c":"Lx7A+Q=="})", R"({"size":"7"})",
                            R"({"size":"7","crc32c":"AAAAAA=="})", R"([])", ""}) {
    EXPECT_NE(put_error(200, reply).message(), "nothing was thrown") << reply;
  }
}

TEST_F(GcsReplies, ARetentionThatTheServerIgnoresIsNotBelieved) {
  HttpServer server([&](const ServedRequest&) {
    return ServedReply{.body = R"({"size":"9","crc32c":"4waSgw=="})"};
  });
  const auto storage = open_gcs_storage(
      "bucket:/p", with({{"GOOGLE_ACCESS_TOKEN", "the-token"}}, {{"gs.endpoint", server.url("")},
                                                                 {"gs.object-lock", "locked"},
                                                                 {"gs.object-lock-days", "30"}}));
  const ObjectName pack = named_by_hash(ObjectKind::kPack, as_bytes("123456789"));
  EXPECT_EQ(code_of([&] { storage->put(*context_, pack, as_bytes("123456789")); }),
            ErrorCode::kFailed);
  const ObjectName lock = named_by_hash(ObjectKind::kLock, as_bytes("123456789"));
  EXPECT_NO_THROW(storage->put(*context_, lock, as_bytes("123456789")));
}

TEST_F(GcsReplies, AnUploadIsOneRequestWithItsChecksum) {
  HttpServer server([&](const ServedRequest&) { return ServedReply{.status = 500}; });
  const auto storage = open(server);
  (void)code_of([&] { storage->put(*context_, {ObjectKind::kConfig, ""}, as_bytes("123456789")); });
  ASSERT_EQ(server.requests().size(), 1U);
  const ServedRequest request = server.requests().front();
  EXPECT_EQ(request.target,
            "/upload/storage/v1/b/bucket/o?uploadType=multipart&fields=size,crc32c,retention"
            "&ifGenerationMatch=0");
  EXPECT_EQ(request.headers.at("authorization"), "Bearer the-token");
  EXPECT_NE(request.body.find(R"("crc32c":"4waSgw==")"), std::string::npos) << request.body;
  EXPECT_NE(request.body.find(R"("name":"p/config")"), std::string::npos) << request.body;
  EXPECT_NE(request.body.find("\r\n\r\n123456789\r\n--"), std::string::npos) << request.body;
}

}  // namespace
}  // namespace salvor::test
