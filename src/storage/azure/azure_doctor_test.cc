#include "storage/azure/azure_doctor.h"

#include <gtest/gtest.h>

#include "storage/azure/azure_settings.h"
#include "support/errors.h"
#include "support/http_server.h"
#include "support/test_context.h"

namespace salvor::test {
namespace {

class AzureDoctor : public testing::Test {
 protected:
  // `kept`: headers of each object.
  StorageReport examine(const std::string& variable, const std::string& value,
                        const std::map<std::string, std::string>& kept = {}) {
    HttpServer server([&](const ServedRequest& request) {
      EXPECT_TRUE(request.method == "GET" || request.method == "HEAD") << request.method;
      if (request.target.find("comp=list") != std::string::npos) {
        return ServedReply{.body =
                               "<EnumerationResults><Blobs/><NextMarker/></EnumerationResults>"};
      }
      ServedReply reply{.headers = kept};
      if (request.target.find("restype=container") != std::string::npos) {
        reply.headers = {
            {"x-ms-immutable-storage-with-versioning-enabled", kept.empty() ? "false" : "true"}};
      }
      reply.headers["Content-Length"] = "155";
      return reply;
    });
    StorageOptions options;
    options.http.proxy = "";
    options.extended = {{"azure.endpoint", server.url("")}};
    options.environment = [&](const std::string& name) -> std::optional<std::string> {
      return name == "AZURE_ACCOUNT_NAME" ? std::optional<std::string>("account")
             : name == variable           ? std::optional(value)
                                          : std::nullopt;
    };
    return examine_storage(*context_, "azure:container:/p", options);
  }

  // By a token of Entra ID, for which removing answers this.
  StorageReport examine_role(const ServedReply& removal) {
    HttpServer server([&](const ServedRequest& request) {
      if (request.target.ends_with("/oauth2/v2.0/token")) {
        return ServedReply{.body = R"({"access_token":"token","expires_in":3599})"};
      }
      EXPECT_EQ(request.headers.at("authorization"), "Bearer token");
      return request.method == "DELETE" ? removal
             : request.target.find("comp=list") != std::string::npos
                 ? ServedReply{.body =
                                   "<EnumerationResults><Blobs/><NextMarker/>"
                                   "</EnumerationResults>"}
                 : ServedReply{.headers = {{"Content-Length", "155"}}};
    });
    const std::map<std::string, std::string> variables{{"AZURE_ACCOUNT_NAME", "account"},
                                                       {"AZURE_AUTHORITY_HOST", server.url("")},
                                                       {"AZURE_TENANT_ID", "tenant"},
                                                       {"AZURE_CLIENT_ID", "app"},
                                                       {"AZURE_CLIENT_SECRET", "secret"}};
    StorageOptions options;
    options.http.proxy = "";
    options.extended = {{"azure.endpoint", server.url("")}};
    options.environment = [&](const std::string& name) {
      const auto found = variables.find(name);
      return found == variables.end() ? std::nullopt : std::optional(found->second);
    };
    AzureSettings settings = azure_settings("container:/p", options);
    return examine_azure(*context_, std::move(settings), options);
  }

  static Answer answer_of(const StorageReport& report, const std::string& id) {
    for (const StorageCheck& check : report.checks) {
      if (check.id == id) {
        return check.answer.value_or(Answer::kUnknown);
      }
    }
    ADD_FAILURE() << "no check " << id;
    return Answer::kUnknown;
  }

  TestContext context_;
};

TEST_F(AzureDoctor, ASignatureSaysWhatItMay) {
  const StorageReport backup =
      examine("AZURE_ACCOUNT_SAS", "sv=2021-12-02&se=2099-01-01&sr=c&sp=rcl&sig=abc");
  EXPECT_TRUE(backup.enough_for_backups());
  EXPECT_EQ(answer_of(backup, "create"), Answer::kYes);
  EXPECT_EQ(answer_of(backup, "overwrite"), Answer::kNo);
  EXPECT_EQ(answer_of(backup, "remove"), Answer::kNo);
  EXPECT_EQ(backup.verdict.destroyable, Answer::kNo) << backup.verdict.sentence;

  const StorageReport prune =
      examine("AZURE_ACCOUNT_SAS", "sv=2021-12-02&se=2099-01-01&sr=c&sp=rcwdl&sig=abc");
  EXPECT_EQ(answer_of(prune, "remove"), Answer::kYes);
  EXPECT_EQ(prune.verdict.destroyable, Answer::kUnknown) << prune.verdict.sentence;
  EXPECT_NE(prune.verdict.sentence.find("version"), std::string::npos);

  const StorageReport all =
      examine("AZURE_ACCOUNT_SAS", "sv=2021-12-02&se=2099-01-01&sr=c&sp=racwdxl&sig=abc");
  EXPECT_EQ(all.verdict.destroyable, Answer::kYes) << all.verdict.sentence;

  const StorageReport blind =
      examine("AZURE_ACCOUNT_SAS", "sv=2021-12-02&se=2099-01-01&sr=c&sp=rc&sig=abc");
  EXPECT_FALSE(blind.enough_for_backups()) << "without l nothing can be listed";
}

TEST_F(AzureDoctor, AnAccountsKeyMayEverythingButBreakALockedPolicy) {
  EXPECT_EQ(examine("AZURE_ACCOUNT_KEY", "a2V5").verdict.destroyable, Answer::kYes);
  const StorageReport locked =
      examine("AZURE_ACCOUNT_KEY", "a2V5",
              {{"x-ms-immutability-policy-until-date", "Fri, 01 Jan 2099 00:00:00 GMT"},
               {"x-ms-immutability-policy-mode", "locked"}});
  EXPECT_EQ(locked.verdict.destroyable, Answer::kNo) << locked.verdict.sentence;
}

// What a role permits is not in its token: it is tried with a name that never was.
TEST_F(AzureDoctor, WhetherARoleMayRemoveIsTried) {
  const auto refusal = [](int status, const char* code) {
    return ServedReply{.status = status, .headers = {{"x-ms-error-code", code}}};
  };
  EXPECT_EQ(examine_role(refusal(404, "BlobNotFound")).rights.remove, Answer::kYes);
  EXPECT_EQ(examine_role(refusal(403, "AuthorizationPermissionMismatch")).rights.remove,
            Answer::kNo);
  EXPECT_EQ(code_of([&] { (void)examine_role(refusal(503, "ServerBusy")); }),
            ErrorCode::kUnreachable)
      << "that says nothing about rights";
}

}  // namespace
}  // namespace salvor::test
