#include "storage/azure/azure_credentials.h"

#include <fstream>

#include <gtest/gtest.h>

#include "support/http_server.h"
#include "support/storage_helpers.h"
#include "support/temp_directory.h"
#include "support/test_context.h"

namespace salvor::test {
namespace {

class AzureTokens : public testing::Test {
 protected:
  AzureTokenSource source(std::map<std::string, std::string> variables) {
    variables.try_emplace("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:1");
    StorageOptions options;
    options.http.proxy = "";
    options.environment = [variables](const std::string& name) {
      const auto found = variables.find(name);
      return found == variables.end() ? std::nullopt : std::optional(found->second);
    };
    return AzureTokenSource(options);
  }
  std::string token(std::map<std::string, std::string> variables) {
    AzureTokenSource from = source(std::move(variables));
    return std::string(from.get(*context_).reveal());
  }
  Error error(std::map<std::string, std::string> variables) {
    try {
      (void)token(std::move(variables));
    } catch (const Error& error) {
      return error;
    }
    return {ErrorCode::kFailed, "nothing was thrown"};
  }

  TempDirectory directory_{TempPlace::kMemory};
  TestContext context_;
};

TEST_F(AzureTokens, OfApplicationsAndWorkloads) {
  HttpServer server([](const ServedRequest& request) {
    ServedReply reply;
    const std::string common =
        "grant_type=client_credentials&scope=https%3A%2F%2Fstorage.azure.com%2F.default"
        "&client_id=app&";
    if (request.target == "/my-tenant/oauth2/v2.0/token" &&
        request.body == common + "client_secret=s%26s") {
      reply.body = R"({"token_type":"Bearer","expires_in":3599,"access_token":"of-app"})";
    } else if (request.target == "/my-tenant/oauth2/v2.0/token" &&
               request.body == common +
                                   "client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-"
                                   "assertion-type%3Ajwt-bearer&client_assertion=ey.J.x") {
      reply.body = R"({"token_type":"Bearer","expires_in":3599,"access_token":"of-workload"})";
    } else {
      reply.status = 401;
      reply.body = R"({"error":"invalid_client","error_description":"AADSTS7000215: Invalid )"
                   R"(client secret provided.\r\nTrace ID: 1"})";
    }
    return reply;
  });
  const std::string host = server.url("/");
  EXPECT_EQ(token({{"AZURE_AUTHORITY_HOST", host},
                   {"AZURE_TENANT_ID", "my-tenant"},
                   {"AZURE_CLIENT_ID", "app"},
                   {"AZURE_CLIENT_SECRET", "s&s"}}),
            "of-app");
  std::ofstream(directory_ / "token") << "ey.J.x\n";
  EXPECT_EQ(token({{"AZURE_AUTHORITY_HOST", host},
                   {"AZURE_TENANT_ID", "my-tenant"},
                   {"AZURE_CLIENT_ID", "app"},
                   {"AZURE_FEDERATED_TOKEN_FILE", (directory_ / "token").string()}}),
            "of-workload");
  const Error refused = error({{"AZURE_AUTHORITY_HOST", host},
                               {"AZURE_TENANT_ID", "my-tenant"},
                               {"AZURE_CLIENT_ID", "app"},
                               {"AZURE_CLIENT_SECRET", "not-the-secret"}});
  EXPECT_EQ(refused.code(), ErrorCode::kPermission);
  EXPECT_NE(refused.message().find("(AADSTS7000215: Invalid client secret provided.)"),
            std::string::npos)
      << refused.message();
  EXPECT_EQ((refused.message() + refused.hint()).find("not-the-secret"), std::string::npos);
  EXPECT_EQ(error({{"AZURE_CLIENT_SECRET", "s"}, {"AZURE_CLIENT_ID", "app"}}).message(),
            "the Azure credentials of the environment are incomplete: AZURE_TENANT_ID is not set");
  // A secret is never sent in the clear over a network.
  EXPECT_NE(error({{"AZURE_AUTHORITY_HOST", "http://login.example.com"},
                   {"AZURE_TENANT_ID", "my-tenant"},
                   {"AZURE_CLIENT_ID", "app"},
                   {"AZURE_CLIENT_SECRET", "s"}})
                .message()
                .find("https"),
            std::string::npos);
}

TEST_F(AzureTokens, OfManagedIdentitiesAreRenewed) {
  int count = 0;
  HttpServer server([&](const ServedRequest& request) {
    ServedReply reply;
    const bool machine = request.target ==
                             "/metadata/identity/oauth2/token?api-version=2018-02-01&resource="
                             "https%3A%2F%2Fstorage.azure.com%2F" &&
                         request.headers.contains("metadata");
    const bool service = request.target ==
                             "/msi?api-version=2019-08-01&resource="
                             "https%3A%2F%2Fstorage.azure.com%2F&client_id=one" &&
                         request.headers.contains("x-identity-header");
    reply.status = machine || service ? 200 : 400;
    reply.body = R"({"access_token":"token-)" + std::to_string(++count) +
                 (machine ? R"(","expires_in":"86399"})" : R"(","expires_on":"7258118400"})");
    return reply;
  });
  std::string host = server.url("");
  AzureTokenSource machine = source({{"AZURE_POD_IDENTITY_AUTHORITY_HOST", host}});
  const Secret first = machine.get(*context_);
  EXPECT_EQ(first.reveal(), "token-1");
  EXPECT_EQ(machine.get(*context_).reveal(), "token-1");
  EXPECT_TRUE(machine.renew(first));
  EXPECT_EQ(machine.get(*context_).reveal(), "token-2");
  EXPECT_EQ(token({{"IDENTITY_ENDPOINT", server.url("/msi")},
                   {"IDENTITY_HEADER", "h"},
                   {"AZURE_CLIENT_ID", "one"}}),
            "token-3");
}

TEST_F(AzureTokens, OfTheCommandLineProgram) {
  const std::string folder = (directory_ / "bin").string();
  std::filesystem::create_directories(folder);
  std::ofstream(folder + "/az") << "#!/bin/sh\n"
                                   "test \"$*\" = 'account get-access-token --output json "
                                   "--resource https://storage.azure.com/' || exit 1\n"
                                   "echo '{\"accessToken\": \"of-az\", \"expires_on\": "
                                   "7258118400}'\n";
  std::filesystem::permissions(folder + "/az", std::filesystem::perms::owner_all);
  const std::string path = std::getenv("PATH");
  ASSERT_EQ(setenv("PATH", (folder + ":" + path).c_str(), 1), 0);
  EXPECT_EQ(token({{"AZURE_FORCE_CLI_CREDENTIAL", "true"}}), "of-az");
  EXPECT_EQ(token({}), "of-az");
  std::ofstream(folder + "/az") << "#!/bin/sh\nexit 1\n";  // nobody has logged in
  const Error none = error({});
  setenv("PATH", path.c_str(), 1);
  EXPECT_EQ(none.code(), ErrorCode::kPermission);
  EXPECT_NE(none.hint().find("AZURE_ACCOUNT_KEY"), std::string::npos);
}

// A short outage of the metadata service must not make the next backup another user's.
TEST_F(AzureTokens, StayTheIdentityThatTheyWere) {
  const std::string folder = (directory_ / "bin").string();
  std::filesystem::create_directories(folder);
  std::ofstream(folder + "/az") << "#!/bin/sh\necho '{\"accessToken\": \"of-az\"}'\n";
  std::filesystem::permissions(folder + "/az", std::filesystem::perms::owner_all);
  const std::string path = std::getenv("PATH");
  ASSERT_EQ(setenv("PATH", (folder + ":" + path).c_str(), 1), 0);
  ChangingReply reply;
  HttpServer server([&](const ServedRequest&) { return reply.now(); });
  const ServedReply good{.body = R"({"access_token":"of-machine","expires_in":"86399"})"};

  AzureTokenSource machine = source({{"AZURE_POD_IDENTITY_AUTHORITY_HOST", server.url("")}});
  reply = good;
  const Secret token = machine.get(*context_);
  EXPECT_EQ(token.reveal(), "of-machine");
  EXPECT_TRUE(machine.renew(token));
  for (const int status : {404, 410, 429, 500, 503}) {
    reply = ServedReply{.status = status};
    EXPECT_EQ(code_of([&] { (void)machine.get(*context_); }), ErrorCode::kUnreachable) << status;
  }
  reply = ServedReply{.no_reply = true};
  EXPECT_EQ(code_of([&] { (void)machine.get(*context_); }), ErrorCode::kUnreachable);
  reply = ServedReply{.status = 400,
                      .body = R"({"error":"invalid_request"})"};  // the identity was taken away
  EXPECT_EQ(code_of([&] { (void)machine.get(*context_); }), ErrorCode::kPermission);
  reply = good;
  EXPECT_EQ(machine.get(*context_).reveal(), "of-machine");

  // While it is being updated nobody knows yet what else there is: Azure's own says who it is.
  AzureTokenSource updated = source({{"AZURE_POD_IDENTITY_AUTHORITY_HOST", server.url("")}});
  reply = ServedReply{.status = 404, .headers = {{"Server", "IMDS/150.870.65.1854"}}};
  EXPECT_EQ(code_of([&] { (void)updated.get(*context_); }), ErrorCode::kUnreachable);

  // And whoever has logged in stays that, also when a machine's identity turns up.
  AzureTokenSource person = source({{"AZURE_POD_IDENTITY_AUTHORITY_HOST", server.url("")}});
  reply = ServedReply{.status = 404};  // another cloud's
  const Secret own = person.get(*context_);
  EXPECT_EQ(own.reveal(), "of-az");
  EXPECT_TRUE(person.renew(own));
  reply = good;
  EXPECT_EQ(person.get(*context_).reveal(), "of-az");
  EXPECT_TRUE(person.renew(own));
  std::ofstream(folder + "/az") << "#!/bin/sh\nexit 1\n";
  EXPECT_EQ(code_of([&] { (void)person.get(*context_); }), ErrorCode::kUnreachable);
  setenv("PATH", path.c_str(), 1);
}

TEST_F(AzureTokens, AnOverloadedServiceRefusesNobody) {
  int status = 0;
  HttpServer server([&](const ServedRequest&) {
    return ServedReply{.status = status,
                       .headers = {{"Retry-After", "7"}},
                       .body = R"({"error":"temporarily_unavailable"})"};
  });
  for (const int now : {408, 429, 500, 503}) {
    status = now;
    const Error refused = error({{"AZURE_AUTHORITY_HOST", server.url("/")},
                                 {"AZURE_TENANT_ID", "my-tenant"},
                                 {"AZURE_CLIENT_ID", "app"},
                                 {"AZURE_CLIENT_SECRET", "s"}});
    EXPECT_EQ(refused.code(), ErrorCode::kUnreachable) << now;
    EXPECT_EQ(refused.advice().after, std::chrono::seconds(7)) << now;
  }
}

TEST_F(AzureTokens, WhatElseTheProgramSaysIsNoToken) {
  const std::string folder = (directory_ / "bin").string();
  std::filesystem::create_directories(folder);
  const std::string path = std::getenv("PATH");
  for (const char* says : {"echo '{}'", "echo 'Please run az login'", "exec yes"}) {
    std::ofstream(folder + "/az") << "#!/bin/sh\n" << says << "\n";
    std::filesystem::permissions(folder + "/az", std::filesystem::perms::owner_all);
    ASSERT_EQ(setenv("PATH", (folder + ":" + path).c_str(), 1), 0);
    EXPECT_EQ(error({{"AZURE_FORCE_CLI_CREDENTIAL", "true"}}).message(),
              "no Azure credentials were found")
        << says;
    setenv("PATH", path.c_str(), 1);
  }
}

}  // namespace
}  // namespace salvor::test
