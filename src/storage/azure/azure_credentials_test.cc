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

}  // namespace
}  // namespace salvor::test
