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

std::string sts_reply(const std::string& action) {
  return "<" + action + "Response><" + action +
         "Result><Credentials><AccessKeyId>R</AccessKeyId><SecretAccessKey>r</SecretAccessKey>"
         "<SessionToken>t</SessionToken><Expiration>2200-01-01T00:00:00Z</Expiration>"
         "</Credentials></" +
         action + "Result></" + action + "Response>";
}

// Which key signed a request to STS, or "" where a token speaks for itself.
std::string signer(const ServedRequest& request) {
  const auto found = request.headers.find("authorization");
  if (found == request.headers.end()) {
    return "";
  }
  const size_t at = found->second.find("Credential=") + 11;
  return found->second.substr(at, found->second.find('/', at) - at);
}

TEST_F(Credentials, ProfilesWithRoles) {
  HttpServer server([&](const ServedRequest& request) {
    if (request.target == "/creds") {
      return ServedReply{.body = kJson};
    }
    const bool web = request.body.find("WithWebIdentity") != std::string::npos;
    return ServedReply{.body = sts_reply(web ? "AssumeRoleWithWebIdentity" : "AssumeRole")};
  });
  write("token", "tok\n");
  write("config",
        "[profile base]\naws_access_key_id=B\naws_secret_access_key=b\n"
        "[profile chain]\nrole_arn=arn:1\nsource_profile=middle\nexternal_id=a&b\n"
        "[profile middle]\nrole_arn=arn:2\nsource_profile=base\n"
        "role_session_name=mine\n"
        "[profile self]\nrole_arn=arn:3\nsource_profile=self\naws_access_key_id=S\n"
        "aws_secret_access_key=s\n"
        "[profile variables]\nrole_arn=arn:4\ncredential_source=Environment\n"
        "[profile container]\nrole_arn=arn:5\ncredential_source=EcsContainer\n"
        "[profile web]\nrole_arn=arn:6\nweb_identity_token_file=" +
            path("token") +
            "\n[profile loop]\nrole_arn=arn:7\nsource_profile=loop\n"
            "[profile none]\nrole_arn=arn:8\n"
            "[profile half]\naws_access_key_id=H\n");
  const auto with = [&](const std::string& name) {
    const size_t before = server.requests().size();
    EXPECT_EQ(get({{"AWS_CONFIG_FILE", path("config")},
                   {"AWS_PROFILE", name},
                   {"AWS_CONTAINER_CREDENTIALS_FULL_URI", server.url("/creds")},
                   {"AWS_ENDPOINT_URL_STS", server.url("/")}})
                  .access_key_id,
              "R")
        << name;
    std::vector<ServedRequest> all = server.requests();
    all.erase(all.begin(), all.begin() + static_cast<ptrdiff_t>(before));
    return all;
  };
  const std::vector<ServedRequest> chain = with("chain");
  ASSERT_EQ(chain.size(), 2U);
  EXPECT_EQ(signer(chain[0]), "B");
  EXPECT_NE(chain[0].body.find("RoleArn=arn%3A2&RoleSessionName=mine"), std::string::npos);
  EXPECT_EQ(signer(chain[1]), "R");  // by what the first gave
  EXPECT_NE(chain[1].body.find("RoleArn=arn%3A1&RoleSessionName=salvor&ExternalId=a%26b"),
            std::string::npos);
  EXPECT_EQ(signer(with("self").back()), "S");
  EXPECT_EQ(signer(with("container").back()), "J");
  EXPECT_EQ(signer(with("web").back()), "");
  for (const char* name : {"loop", "none", "half", "variables"}) {
    EXPECT_EQ(
        code_of([&] { (void)get({{"AWS_CONFIG_FILE", path("config")}, {"AWS_PROFILE", name}}); }),
        ErrorCode::kPermission)
        << name;
  }
}

TEST_F(Credentials, WhatTheServicesRefuseIsSaid) {
  ServedReply reply;
  HttpServer server([&](const ServedRequest&) { return reply; });
  write("token", "tok\n");
  const auto sts = [&](ServedReply with) {
    reply = std::move(with);
    return error_of([&] {
      (void)get({{"AWS_WEB_IDENTITY_TOKEN_FILE", path("token")},
                 {"AWS_ROLE_ARN", "arn:1"},
                 {"AWS_ENDPOINT_URL_STS", server.url("")}});
    });
  };
  const auto says = [](const Error& error, const std::string& text) {
    EXPECT_NE(error.message().find(text), std::string::npos) << error.message();
  };
  Error error = sts({.status = 403,
                     .body = "<ErrorResponse><Error><Code>ExpiredToken</Code>"
                             "<Message>too old</Message></Error></ErrorResponse>"});
  EXPECT_EQ(error.code(), ErrorCode::kPermission);
  says(error, "ExpiredToken: too old");
  error = sts({.status = 503, .body = "busy"});
  EXPECT_EQ(error.code(), ErrorCode::kUnreachable);
  says(error, "status 503 without a reason");
  says(sts({.body = "<AssumeRoleWithWebIdentityResponse/>"}), "the reply holds none");
  says(error_of([&] { (void)get({{"AWS_WEB_IDENTITY_TOKEN_FILE", path("token")}}); }),
       "AWS_ROLE_ARN");
  says(error_of([&] {
         (void)get({{"AWS_WEB_IDENTITY_TOKEN_FILE", path("absent")}, {"AWS_ROLE_ARN", "arn:1"}});
       }),
       "AWS web identity token");

  const auto container = [&](ServedReply with) {
    reply = std::move(with);
    return error_of([&] {
      (void)get({{"AWS_CONTAINER_CREDENTIALS_FULL_URI", server.url("/creds")},
                 {"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", path("token")}});
    });
  };
  EXPECT_EQ(container({.status = 404}).code(), ErrorCode::kPermission);
  EXPECT_EQ(server.requests().back().headers.at("authorization"), "tok");
  EXPECT_EQ(container({.status = 500}).code(), ErrorCode::kUnreachable);
  says(container({.body = R"({"Code":"Failed","Message":"no role"})"}), "no role");
  says(container({.body = R"({"AccessKeyId":"J","SecretAccessKey":"S","Expiration":"soon"})"}),
       "time of expiry");
}

TEST_F(Credentials, AnInstanceWithoutARoleHasNone) {
  int begins = 200;
  int lists = 200;
  std::string roles;
  HttpServer server([&](const ServedRequest& request) {
    if (request.method == "PUT") {
      return ServedReply{.status = begins, .body = "session"};
    }
    return request.target.ends_with("/") ? ServedReply{.status = lists, .body = roles}
                                         : ServedReply{.status = 500};
  });
  const auto message = [&] {
    return error_of([&] {
             (void)get({{"AWS_EC2_METADATA_DISABLED", "false"},
                        {"AWS_EC2_METADATA_SERVICE_ENDPOINT", server.url("")}});
           })
        .message();
  };
  EXPECT_EQ(message(), "no AWS credentials were found");
  roles = "my-role\n";
  EXPECT_EQ(message(), "the instance's metadata service answered with status 500");
  lists = 404;
  EXPECT_EQ(message(), "no AWS credentials were found");
  begins = 403;
  EXPECT_EQ(message(), "no AWS credentials were found");
}

// A short outage of the metadata service, or a file that is being written, must not end a backup or
// make it another user's.
TEST_F(Credentials, StayThoseOfTheSourceTheyCameFrom) {
  int status = 200;
  std::string roles = "my-role\n";
  HttpServer server([&](const ServedRequest& request) {
    if (request.method == "PUT") {
      return ServedReply{.status = status, .body = "session"};
    }
    if (request.target.ends_with("/")) {
      return ServedReply{.body = roles};
    }
    return ServedReply{.body = kJson};
  });
  const std::map<std::string, std::string> variables{
      {"AWS_EC2_METADATA_DISABLED", "false"},
      {"AWS_EC2_METADATA_SERVICE_ENDPOINT", server.url("")},
      {"AWS_SHARED_CREDENTIALS_FILE", path("credentials")}};
  AwsCredentialSource instance = source(variables);
  EXPECT_EQ(instance.get(*context_).access_key_id, "J");
  EXPECT_TRUE(instance.renew("J"));
  for (const int trouble : {403, 404, 500, 503}) {
    status = trouble;
    EXPECT_EQ(code_of([&] { (void)instance.get(*context_); }), ErrorCode::kUnreachable) << trouble;
  }
  status = 200;
  roles.clear();
  EXPECT_EQ(code_of([&] { (void)instance.get(*context_); }), ErrorCode::kUnreachable);
  // A profile that appears meanwhile is another identity.
  write("credentials", "[default]\naws_access_key_id=P\naws_secret_access_key=Q\n");
  EXPECT_EQ(code_of([&] { (void)instance.get(*context_); }), ErrorCode::kUnreachable);
  roles = "my-role\n";
  EXPECT_EQ(instance.get(*context_).access_key_id, "J");

  // And the other way round: a profile whose credentials run out is not replaced by the instance's.
  write("credentials",
        "[default]\ncredential_process = echo '{\"AccessKeyId\":\"X\",\"SecretAccessKey\":\"x\","
        "\"Expiration\":\"2001-01-01T00:00:00Z\"}'\n");
  AwsCredentialSource profile = source(variables);
  EXPECT_EQ(profile.get(*context_).access_key_id, "X");
  std::filesystem::remove(directory_ / "credentials");
  EXPECT_EQ(code_of([&] { (void)profile.get(*context_); }), ErrorCode::kUnreachable);
  write("credentials", "[default]\naws_access_key_id=P\naws_secret_access_key=Q\n");
  EXPECT_EQ(profile.get(*context_).access_key_id, "P");
}

TEST_F(Credentials, StaticOnesCannotBeRenewed) {
  AwsCredentialSource from = source({{"AWS_ACCESS_KEY_ID", "A"}, {"AWS_SECRET_ACCESS_KEY", "B"}});
  (void)from.get(*context_);
  EXPECT_FALSE(from.renew("A"));
}

TEST_F(Credentials, AFileThatIsNotThereIsNoneAndAnotherFailureIsOne) {
  write("config", "[default]\naws_access_key_id=P\naws_secret_access_key=Q\n");
  EXPECT_EQ(
      get({{"AWS_CONFIG_FILE", path("config")}, {"AWS_SHARED_CREDENTIALS_FILE", path("absent")}})
          .access_key_id,
      "P");
  EXPECT_EQ(code_of([&] {
              (void)get({{"AWS_CONFIG_FILE", path("config")},
                         {"AWS_SHARED_CREDENTIALS_FILE", directory_.path().string()}});
            }),
            ErrorCode::kFailed)
      << "a directory";
}

TEST_F(Credentials, AProcessThatFailsGivesNone) {
  const auto message = [&](const std::string& command) {
    write("config", "[default]\ncredential_process = " + command + "\n");
    const Error error = error_of([&] { (void)get({{"AWS_CONFIG_FILE", path("config")}}); });
    EXPECT_EQ(error.code(), ErrorCode::kPermission);
    return error.message();
  };
  EXPECT_EQ(message("echo '{\"AccessKeyId\":\"X\",\"SecretAccessKey\":\"x\"}'; exit 3"),
            "the credential_process of the profile default failed: exit status 3");
  EXPECT_EQ(message("yes"),
            "the credential_process of the profile default does not end its output");
}

TEST_F(Credentials, OfTheInstanceForAProfilesRole) {
  HttpServer server([&](const ServedRequest& request) {
    if (request.target == "/") {
      return ServedReply{.body = sts_reply("AssumeRole")};
    }
    return request.target.ends_with("/") ? ServedReply{.body = "my-role"}
                                         : ServedReply{.body = kJson};
  });
  write("config", "[default]\nrole_arn=arn:1\ncredential_source=Ec2InstanceMetadata\n");
  const auto with = [&](const std::string& instance) {
    return get({{"AWS_CONFIG_FILE", path("config")},
                {"AWS_EC2_METADATA_DISABLED", "false"},
                {"AWS_EC2_METADATA_SERVICE_ENDPOINT", instance},
                {"AWS_ENDPOINT_URL_STS", server.url("/")}});
  };
  EXPECT_EQ(with(server.url("")).access_key_id, "R");
  EXPECT_EQ(signer(server.requests().back()), "J");
  // Elsewhere nothing answers there.
  EXPECT_EQ(code_of([&] { (void)with("http://127.0.0.1:1"); }), ErrorCode::kPermission);
  // Whoever stops it is not told that there are none.
  context_.stop.request_stop();
  EXPECT_EQ(code_of([&] { (void)with(server.url("")); }), ErrorCode::kCancelled);
}

}  // namespace
}  // namespace salvor::test
