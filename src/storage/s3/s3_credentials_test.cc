#include "storage/s3/s3_credentials.h"

#include <fstream>

#include <gtest/gtest.h>

#include "support/http_server.h"
#include "support/storage_helpers.h"
#include "support/temp_directory.h"
#include "support/test_context.h"

namespace salvor::test {
namespace {

class Credentials : public testing::Test {
 protected:
  void write(const std::string& name, const std::string& text) {
    std::ofstream(directory_ / name) << text;
  }
  [[nodiscard]] std::string path(const std::string& name) const {
    return (directory_ / name).string();
  }
  AwsCredentialSource source(std::map<std::string, std::string> variables) {
    variables.try_emplace("AWS_EC2_METADATA_DISABLED", "true");
    StorageOptions options;
    options.http.proxy = "";
    options.environment = [variables](const std::string& name) {
      const auto found = variables.find(name);
      return found == variables.end() ? std::nullopt : std::optional(found->second);
    };
    return {options, "eu-west-1"};
  }
  AwsCredentials get(std::map<std::string, std::string> variables) {
    AwsCredentialSource from = source(std::move(variables));
    return from.get(*context_);
  }

  TempDirectory directory_{TempPlace::kMemory};
  TestContext context_;
};

constexpr const char* kJson =
    R"({"Code":"Success","AccessKeyId":"J","SecretAccessKey":"S","Token":"T",)"
    R"("Expiration":"2200-01-01T00:00:00Z"})";

TEST_F(Credentials, TheEnvironmentGoesFirst) {
  write("credentials", "[default]\naws_access_key_id=P\naws_secret_access_key=Q\n");
  const AwsCredentials found = get({{"AWS_ACCESS_KEY_ID", "A"},
                                    {"AWS_SECRET_ACCESS_KEY", "B"},
                                    {"AWS_SESSION_TOKEN", "C"},
                                    {"AWS_SHARED_CREDENTIALS_FILE", path("credentials")}});
  EXPECT_EQ(found.access_key_id, "A");
  EXPECT_EQ(found.secret_access_key.reveal(), "B");
  EXPECT_EQ(found.session_token.reveal(), "C");
  EXPECT_EQ(code_of([&] { (void)get({{"AWS_ACCESS_KEY_ID", "A"}}); }), ErrorCode::kPermission);
}

TEST_F(Credentials, ProfilesOfBothFiles) {
  write("credentials",
        "# comment\n[default]\naws_access_key_id = D\naws_secret_access_key=d=d\n\n"
        "[other]\r\naws_access_key_id=O\r\naws_secret_access_key=o\r\n");
  write("config",
        "[profile process]\ncredential_process = echo '{\"AccessKeyId\":\"X\","
        "\"SecretAccessKey\":\"x\",\"Version\":1}'\n[profile sso]\nsso_session=s\n");
  const auto profile = [&](const std::string& name) {
    return get({{"AWS_SHARED_CREDENTIALS_FILE", path("credentials")},
                {"AWS_CONFIG_FILE", path("config")},
                {"AWS_PROFILE", name}});
  };
  EXPECT_EQ(profile("default").secret_access_key.reveal(), "d=d");
  EXPECT_EQ(profile("other").access_key_id, "O");
  EXPECT_EQ(profile("process").access_key_id, "X");
  EXPECT_EQ(code_of([&] { (void)profile("sso"); }), ErrorCode::kPermission);
  EXPECT_EQ(code_of([&] { (void)profile("absent"); }), ErrorCode::kPermission);
  EXPECT_EQ(code_of([&] { (void)get({}); }), ErrorCode::kPermission);
}

TEST_F(Credentials, ContainersAndInstances) {
  HttpServer server([](const ServedRequest& request) {
    if (request.target == "/creds") {
      return request.headers.contains("authorization") ? ServedReply{.body = kJson}
                                                       : ServedReply{.status = 401};
    }
    if (request.target == "/latest/api/token" && request.method == "PUT") {
      return ServedReply{.body = "session"};
    }
    const auto token = request.headers.find("x-aws-ec2-metadata-token");
    if (token == request.headers.end() || token->second != "session") {
      return ServedReply{.status = 401};
    }
    return request.target == "/latest/meta-data/iam/security-credentials/"
               ? ServedReply{.body = "my-role"}
               : ServedReply{.body = kJson};
  });
  EXPECT_EQ(get({{"AWS_CONTAINER_CREDENTIALS_FULL_URI", server.url("/creds")},
                 {"AWS_CONTAINER_AUTHORIZATION_TOKEN", "t"}})
                .session_token.reveal(),
            "T");
  EXPECT_EQ(get({{"AWS_EC2_METADATA_DISABLED", "false"},
                 {"AWS_EC2_METADATA_SERVICE_ENDPOINT", server.url("")}})
                .access_key_id,
            "J");
  EXPECT_EQ(server.requests().back().target, "/latest/meta-data/iam/security-credentials/my-role");
}

TEST_F(Credentials, RolesByWebIdentityAndByAnotherKey) {
  std::string expiry = "2200-01-01T00:00:00Z";
  HttpServer server([&](const ServedRequest& request) {
    const bool web = request.body.find("Action=AssumeRoleWithWebIdentity") != std::string::npos;
    if (web ? request.body.find("WebIdentityToken=tok%2Fen") == std::string::npos
            : !request.headers.contains("authorization")) {
      return ServedReply{.status = 403,
                         .body =
                             "<ErrorResponse><Error><Code>AccessDenied</Code>"
                             "<Message>no</Message></Error></ErrorResponse>"};
    }
    const std::string action = web ? "AssumeRoleWithWebIdentity" : "AssumeRole";
    return ServedReply{.body = "<" + action + "Response><" + action +
                               "Result><Credentials><AccessKeyId>R</AccessKeyId>"
                               "<SecretAccessKey>r</SecretAccessKey><SessionToken>t</SessionToken>"
                               "<Expiration>" +
                               expiry + "</Expiration></Credentials></" + action + "Result></" +
                               action + "Response>"};
  });
  write("token", "tok/en\n");
  EXPECT_EQ(get({{"AWS_WEB_IDENTITY_TOKEN_FILE", path("token")},
                 {"AWS_ROLE_ARN", "arn:aws:iam::1:role/x"},
                 {"AWS_ENDPOINT_URL_STS", server.url("")}})
                .access_key_id,
            "R");
  const std::map<std::string, std::string> by_key{
      {"AWS_ACCESS_KEY_ID", "A"},
      {"AWS_SECRET_ACCESS_KEY", "B"},
      {"RESTIC_AWS_ASSUME_ROLE_ARN", "arn:aws:iam::1:role/x"},
      {"AWS_ENDPOINT_URL_STS", server.url("")}};
  // What lasts is kept; what is about to expire is fetched anew.
  AwsCredentialSource lasting = source(by_key);
  const size_t before = server.requests().size();
  EXPECT_EQ(lasting.get(*context_).session_token.reveal(), "t");
  (void)lasting.get(*context_);
  EXPECT_EQ(server.requests().size(), before + 1);
  EXPECT_TRUE(lasting.renew("R"));  // the server said that they have expired
  (void)lasting.get(*context_);
  EXPECT_EQ(server.requests().size(), before + 2);
  expiry = "2001-01-01T00:00:00Z";
  AwsCredentialSource brief = source(by_key);
  (void)brief.get(*context_);
  (void)brief.get(*context_);
  EXPECT_EQ(server.requests().size(), before + 4);
}

TEST_F(Credentials, StaticOnesCannotBeRenewed) {
  AwsCredentialSource from = source({{"AWS_ACCESS_KEY_ID", "A"}, {"AWS_SECRET_ACCESS_KEY", "B"}});
  (void)from.get(*context_);
  EXPECT_FALSE(from.renew("A"));
}

}  // namespace
}  // namespace salvor::test
