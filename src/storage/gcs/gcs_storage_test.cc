#include "storage/gcs/gcs_storage.h"

#include <atomic>

#include <gtest/gtest.h>

#include "codec/go_json.h"
#include "storage/azure/azure_sign.h"
#include "storage/gcs/gcs_errors.h"
#include "storage/gcs/gcs_settings.h"
#include "support/http_server.h"
#include "support/storage_calls.h"
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
  for (const char* wrong :
       {"my-bucket", "//my-bucket/x", "", ":/x", "My Bucket:/x", "b:/x", "my-bucket:/a/../c"}) {
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

// What a load balancer answers while the servers behind it restart.
TEST_F(GcsReplies, A404ThatTheStorageDidNotGiveIsNotBelieved) {
  std::string body = "404 page not found";
  HttpServer server([&](const ServedRequest& request) {
    if (request.target.find("p%2Findex") != std::string::npos &&
        request.target.find("pageToken=") == std::string::npos) {
      return ServedReply{.body = R"({"nextPageToken":"t"})"};
    }
    // Downloads of what is absent are answered in plain text by Google, too.
    return ServedReply{.status = 404,
                       .body = request.target.find("alt=media") == std::string::npos
                                   ? body
                                   : "No such object: bucket/p/data"};
  });
  const auto storage = open(server);
  std::vector<std::function<void()>> calls = calls_of(*storage, context_, pack_);
  calls.emplace_back([&] { storage->create(*context_); });
  for (const auto& call : calls) {
    const Error error = error_of(call);
    EXPECT_EQ(error.code(), ErrorCode::kUnreachable) << error.message();
    EXPECT_NE(error.hint().find("load balancer"), std::string::npos) << error.hint();
  }
  body = json(404, "notFound", "The specified bucket does not exist.");
  EXPECT_FALSE(storage->stat(*context_, pack_).has_value()) << "before it was made, it is empty";
  EXPECT_TRUE(storage->list_all(*context_, ObjectKind::kPack).empty());
  // A listing that breaks off, and a bucket that was there.
  EXPECT_EQ(code_of([&] { (void)storage->list_all(*context_, ObjectKind::kIndex); }),
            ErrorCode::kUnreachable);
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(error_of(calls[i]).code(), ErrorCode::kUnreachable) << i;
  }
  body = json(404, "notFound", "No such object: bucket/p/data");
  EXPECT_FALSE(storage->stat(*context_, pack_).has_value());
  EXPECT_EQ(code_of(calls[0]), ErrorCode::kNotFound);
}

TEST_F(GcsReplies, WhatIsWrittenWhileItIsAskedForIsRead) {
  std::atomic<int> downloads = 0;
  HttpServer server([&](const ServedRequest& request) {
    if (request.target.find("alt=media") == std::string::npos) {
      return ServedReply{.body = R"({"size":"7"})"};
    }
    return ++downloads == 1 ? ServedReply{.status = 404, .body = "No such object: bucket/p/data"}
                            : ServedReply{.body = "content"};
  });
  EXPECT_EQ(as_text(open(server)->get(*context_, pack_, 7).view()), "content");
  EXPECT_EQ(downloads, 2);
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

TEST_F(GcsReplies, RetentionLastsByTheServersClock) {
  const WallTime server_time = (*context_).clock.now() - std::chrono::hours(5);
  HttpServer server([&](const ServedRequest&) {
    return ServedReply{.headers = {{"Date", http_date(server_time)}},
                       .body = R"({"size":"9","crc32c":"4waSgw==","retention":{}})"};
  });
  const auto storage = open_gcs_storage(
      "bucket:/p", with({{"GOOGLE_ACCESS_TOKEN", "the-token"}}, {{"gs.endpoint", server.url("")},
                                                                 {"gs.object-lock", "locked"},
                                                                 {"gs.object-lock-days", "1"}}));
  const ObjectName pack = named_by_hash(ObjectKind::kPack, as_bytes("123456789"));
  storage->put(*context_, pack, as_bytes("123456789"));
  const std::string body = server.requests().back().body;
  const std::string key = R"("retainUntilTime":")";
  const size_t at = body.find(key) + key.size();
  const auto until = parse_go_time(body.substr(at, body.find('"', at) - at));
  ASSERT_TRUE(until.has_value()) << body;
  EXPECT_LT(std::chrono::abs(until->wall() - server_time - std::chrono::hours(24)),
            std::chrono::minutes(1));
  EXPECT_LT(std::chrono::abs(storage->server_time(*context_) - server_time),
            std::chrono::minutes(1));
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

// Tokens may end before their time: whoever had one just now gets another.
TEST_F(GcsReplies, ATokenThatIsRefusedIsRenewedOnce) {
  std::atomic<int> tokens = 0;
  int good = 2;  // which token is taken
  HttpServer server([&](const ServedRequest& request) {
    if (request.target == "/token") {
      return ServedReply{.body = R"({"access_token":"t)" + std::to_string(++tokens) +
                                 R"(","expires_in":3599})"};
    }
    return request.headers.at("authorization") == "Bearer t" + std::to_string(good)
               ? ServedReply{.body = R"({"size":"7"})"}
               : ServedReply{.status = 401, .body = json(401, "authError", "Invalid Credentials")};
  });
  const std::string user = R"({"type":"authorized_user","client_id":"i","client_secret":"s",)"
                           R"("refresh_token":"r","token_uri":")" +
                           server.url("/token") + R"("})";
  const auto storage = open_gcs_storage(
      "bucket:/p", with({{"GCS_CREDENTIALS", user}}, {{"gs.endpoint", server.url("")}}));
  EXPECT_EQ(storage->stat(*context_, pack_)->size_bytes, 7U);
  EXPECT_EQ(tokens, 2);
  good = 9;
  EXPECT_EQ(code_of([&] { (void)storage->stat(*context_, pack_); }), ErrorCode::kPermission);
  EXPECT_EQ(tokens, 3);
}

// Who may not look at the bucket's settings asks each object, and the list of versions.
TEST_F(GcsReplies, ABucketThatDoesNotSayWhatItKeepsIsAskedForMore) {
  ServedReply object{.body = R"({"retention":{"mode":"Locked",)"
                             R"("retainUntilTime":"2099-01-01T00:00:00Z"}})"};
  HttpServer server([&](const ServedRequest& request) {
    return request.target.starts_with("/storage/v1/b/bucket?")
               ? ServedReply{.status = 403, .body = json(403, "forbidden", "no access")}
           : request.target.starts_with("/storage/v1/b/bucket/o?") ? ServedReply{.body = "{}"}
                                                                   : object;
  });
  const auto storage = open(server);
  const auto found = storage->retention(*context_, pack_);
  ASSERT_TRUE(found && found->until);
  EXPECT_TRUE(found->compliance);
  object = {.status = 404, .body = json(404, "notFound", "No such object: bucket/p/data")};
  EXPECT_FALSE(storage->retention(*context_, pack_).has_value());
  const auto past = open_gcs_storage(
      "bucket:/p", with({{"GOOGLE_ACCESS_TOKEN", "the-token"}},
                        {{"gs.endpoint", server.url("")}, {"gs.as-of", "2026-11-20T10:00:00Z"}}));
  EXPECT_FALSE(past->stat(*context_, {ObjectKind::kConfig, ""}).has_value());
}

}  // namespace
}  // namespace salvor::test
