#include "storage/azure/azure_storage.h"

#include <gtest/gtest.h>

#include "storage/azure/azure_errors.h"
#include "storage/azure/azure_settings.h"
#include "storage/azure/azure_sign.h"
#include "support/http_server.h"
#include "support/storage_calls.h"
#include "support/storage_helpers.h"
#include "support/test_context.h"

namespace salvor::test {
namespace {

using Variables = std::map<std::string, std::string>;

StorageOptions with(Variables variables, Variables extended = {}) {
  variables.try_emplace("AZURE_ACCOUNT_NAME", "myaccount");
  variables.try_emplace("AZURE_ACCOUNT_KEY", "a2V5");
  StorageOptions options;
  options.http.proxy = "";
  options.extended = std::move(extended);
  options.environment = [variables](const std::string& name) {
    const auto found = variables.find(name);
    return found == variables.end() || found->second.empty() ? std::nullopt
                                                             : std::optional(found->second);
  };
  return options;
}

TEST(AzureSign, IsWhatMicrosoftsExampleSays) {
  // "Authorize with Shared Key": the request and its string to sign.
  const AzureRequest request{
      .method = "GET",
      .path = "/mycontainer",
      .query = {{"restype", "container"}, {"comp", "metadata"}, {"timeout", "20"}},
      .headers = {{"x-ms-version", "2015-02-21"}, {"x-ms-date", "Fri, 26 Jun 2015 23:39:12 GMT"}}};
  EXPECT_EQ(azure_string_to_sign("myaccount", request),
            "GET\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:Fri, 26 Jun 2015 23:39:12 GMT\n"
            "x-ms-version:2015-02-21\n/myaccount/mycontainer\ncomp:metadata\nrestype:container\n"
            "timeout:20");
  const std::string header = azure_authorization("myaccount", Secret("key"), request);
  EXPECT_TRUE(header.starts_with("SharedKey myaccount:"));
  EXPECT_EQ(header.size(), std::string_view("SharedKey myaccount:").size() + 44);
}

TEST(AzureSign, CoversTheBodyAndItsConditions) {
  const AzureRequest request{.method = "PUT",
                             .path = "/c/a%20b",
                             .headers = {{"Content-MD5", "bWQ1"}, {"If-None-Match", "*"}},
                             .body_bytes = 7};
  EXPECT_EQ(azure_string_to_sign("a", request), "PUT\n\n\n7\nbWQ1\n\n\n\n\n*\n\n\n/a/c/a%20b");
}

TEST(AzureSign, DatesAreHttps) {
  EXPECT_EQ(http_date(WallTime(std::chrono::seconds(784'111'777))),
            "Sun, 06 Nov 1994 08:49:37 GMT");
}

TEST(AzureSettings, AreReadAsResticReadsThem) {
  const AzureSettings settings = azure_settings("backups:/a//b/./c/", with({}));
  EXPECT_EQ(settings.container, "backups");
  EXPECT_EQ(settings.prefix, "a/b/c");
  EXPECT_EQ(settings.endpoint, "https://myaccount.blob.core.windows.net");
  EXPECT_EQ(settings.key.reveal(), "key");
  EXPECT_EQ(azure_settings("backups:/x", with({{"AZURE_ENDPOINT_SUFFIX", "core.chinacloudapi.cn"}}))
                .endpoint,
            "https://myaccount.blob.core.chinacloudapi.cn");
  EXPECT_EQ(azure_settings("backups:/x", with({}, {{"azure.access-tier", "cool"}})).access_tier,
            "Cool");
  for (const char* wrong : {"backups", "//backups/x", "", "B:/x", "b:/x", "backups:/a/../b"}) {
    EXPECT_EQ(code_of([&] { (void)azure_settings(wrong, with({})); }), ErrorCode::kUsage) << wrong;
  }
  EXPECT_EQ(code_of([] { (void)azure_settings("backups:/", with({{"AZURE_ACCOUNT_NAME", ""}})); }),
            ErrorCode::kUsage);
  EXPECT_EQ(code_of([] {
              (void)azure_settings("backups:/", with({}, {{"azure.access-tier", "Archive"}}));
            }),
            ErrorCode::kUsage);
}

TEST(AzureSettings, OptionsThatMakeNoSenseAreRefused) {
  for (const auto& [name, value] : {std::pair{"azure.endpoint", "blob.example.com"},
                                    {"azure.endpoint", "https://a?x=y"},
                                    {"azure.endpoint", "https://me@a"},
                                    {"azure.access-tier", "warm"},
                                    {"azure.object-lock", "unlocked"},
                                    {"azure.object-lock-days", "7"}}) {
    EXPECT_EQ(code_of([&] { (void)azure_settings("backups:/", with({}, {{name, value}})); }),
              ErrorCode::kUsage)
        << name << "=" << value;
  }
  EXPECT_EQ(
      azure_settings("backups:/", with({}, {{"azure.endpoint", "https://a.example//"}})).endpoint,
      "https://a.example");
}

TEST(AzureSettings, CredentialsThatAreNoneAreRefusedWithoutShowingThem) {
  for (const auto& [name, value] : {std::pair{"AZURE_ACCOUNT_KEY", "not base64!"},
                                    std::pair{"AZURE_ACCOUNT_SAS", "https://a/?sig=abc def"},
                                    std::pair{"AZURE_ACCOUNT_SAS", "abcdef"}}) {
    Variables variables{{"AZURE_ACCOUNT_KEY", ""}};
    variables[name] = value;
    try {
      (void)azure_settings("backups:/", with(variables));
      FAIL() << value;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kPermission);
      EXPECT_EQ((error.message() + error.hint()).find(value), std::string::npos);
    }
  }
  EXPECT_EQ(azure_settings("backups:/", with({{"AZURE_ACCOUNT_KEY", ""},
                                              {"AZURE_ACCOUNT_SAS", "?sv=1&sig=abc"}}))
                .sas.reveal(),
            "sv=1&sig=abc");
}

class AzureReplies : public testing::Test {
 protected:
  std::unique_ptr<Storage> open(HttpServer& server, Variables extended = {}) {
    extended["azure.endpoint"] = server.url("/myaccount");
    return open_azure_storage("backups:/p", with({}, std::move(extended)));
  }
  Error put_error(int status, const std::string& code, const std::string& message = "") {
    HttpServer server([&](const ServedRequest&) {
      return ServedReply{.status = status,
                         .headers = {{"Retry-After", "7"}, {"x-ms-error-code", code}},
                         .body = "\xEF\xBB\xBF<?xml version=\"1.0\"?><Error><Code>" + code +
                                 "</Code><Message>" + message +
                                 "\nRequestId:1\nTime:2</Message></Error>"};
    });
    const auto storage = open(server);
    try {
      storage->put(*context_, pack_, as_bytes("content"));
    } catch (const Error& error) {
      return error;
    }
    return {ErrorCode::kFailed, "nothing was thrown"};
  }

  TestContext context_;
  ObjectName pack_ = named_by_hash(ObjectKind::kPack, as_bytes("content"));
};

TEST_F(AzureReplies, NameCauseAndNextStep) {
  Error error = put_error(403, "AuthorizationPermissionMismatch", "Not authorized.");
  EXPECT_EQ(error.code(), ErrorCode::kPermission);
  EXPECT_NE(error.hint().find("c (create) on container backups"), std::string::npos);
  EXPECT_NE(error.message().find("AuthorizationPermissionMismatch (Not authorized)"),
            std::string::npos)
      << error.message();
  error = put_error(403, "AuthenticationFailed", "Server failed to authenticate the request.");
  EXPECT_NE(error.hint().find("AZURE_ACCOUNT_KEY"), std::string::npos) << error.hint();
  error = put_error(404, "ContainerNotFound");
  EXPECT_EQ(error.code(), ErrorCode::kNotFound);
  EXPECT_NE(error.hint().find("no container backups in the account myaccount"), std::string::npos);
  error = put_error(409, "BlobImmutableDueToPolicy");
  EXPECT_EQ(error.code(), ErrorCode::kPermission);
  EXPECT_NE(error.hint().find("immutability policy"), std::string::npos) << error.hint();
  error = put_error(409, "ContainerBeingDeleted");
  EXPECT_TRUE(error.retryable());
  error = put_error(503, "ServerBusy");
  EXPECT_TRUE(error.retryable());
  EXPECT_TRUE(error.advice().slow_down);
  EXPECT_EQ(error.advice().after, std::chrono::seconds(7));
  error = put_error(400, "Md5Mismatch");
  EXPECT_TRUE(error.retryable()) << "the body was changed on the way";
  error = put_error(500, "OperationTimedOut");
  EXPECT_TRUE(error.retryable());
  EXPECT_FALSE(error.advice().slow_down);
}

TEST_F(AzureReplies, ListingsThatAreNoneAreRefused) {
  const std::string blob = "<Blob><Name>p/index/x</Name>";
  for (const auto& [body, message] : std::vector<std::pair<std::string, std::string>>{
           {"<html>Welcome", "not an XML reply"},
           {"<Welcome/>", "the reply is not a listing"},
           {"<EnumerationResults/>", "the reply is not a listing"},
           {"<EnumerationResults><Blobs>" + blob +
                "<Properties/></Blob></Blobs>"
                "</EnumerationResults>",
            "the reply has no sizes"},
           {"<EnumerationResults><Blobs>" + blob +
                "</Blob></Blobs><NextMarker>m</NextMarker>"
                "</EnumerationResults>",
            "the listing does not go on"}}) {
    HttpServer server([&](const ServedRequest&) { return ServedReply{.body = body}; });
    const auto storage = open(server);
    const Error error = error_of([&] { (void)storage->list_all(*context_, ObjectKind::kIndex); });
    EXPECT_EQ(error.code(), ErrorCode::kFailed) << body;
    EXPECT_NE(error.message().find(message), std::string::npos) << error.message();
  }
}

// What a load balancer answers while the servers behind it restart.
TEST_F(AzureReplies, A404ThatTheStorageDidNotGiveIsNotBelieved) {
  std::string code;
  HttpServer server([&](const ServedRequest& request) {
    ServedReply reply{.status = 404, .body = "404 page not found"};
    if (!code.empty()) {
      reply.headers["x-ms-error-code"] = code;
    }
    if (request.target.find("marker=") == std::string::npos &&
        request.target.find("p%2Findex") != std::string::npos) {
      reply = {.body =
                   "<EnumerationResults><Blobs/><NextMarker>m</NextMarker>"
                   "</EnumerationResults>"};
    }
    return reply;
  });
  const auto storage = open(server);
  std::vector<std::function<void()>> calls = calls_of(*storage, context_, pack_);
  calls.emplace_back([&] { storage->create(*context_); });
  for (const auto& call : calls) {
    const Error error = error_of(call);
    EXPECT_EQ(error.code(), ErrorCode::kUnreachable) << error.message();
    EXPECT_NE(error.hint().find("load balancer"), std::string::npos) << error.hint();
  }
  code = "ContainerNotFound";  // before it was made, it is empty
  EXPECT_FALSE(storage->stat(*context_, pack_).has_value());
  EXPECT_TRUE(storage->list_all(*context_, ObjectKind::kPack).empty());
  // A listing that breaks off, and a container that was there.
  EXPECT_EQ(code_of([&] { (void)storage->list_all(*context_, ObjectKind::kIndex); }),
            ErrorCode::kUnreachable);
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(error_of(calls[i]).code(), ErrorCode::kUnreachable) << i;
  }
  code = "BlobNotFound";
  EXPECT_FALSE(storage->stat(*context_, pack_).has_value());
  EXPECT_EQ(code_of(calls[0]), ErrorCode::kNotFound);
}

TEST_F(AzureReplies, AnUploadIsConditionalCheckedTieredAndKept) {
  HttpServer server([&](const ServedRequest& request) {
    ServedReply reply{.status = request.method == "HEAD" ? 200 : 201};
    reply.headers["x-ms-immutability-policy-until-date"] = "Thu, 01 Jan 2099 00:00:00 GMT";
    return reply;
  });
  const auto storage = open(server, {{"azure.access-tier", "Cool"},
                                     {"azure.object-lock", "locked"},
                                     {"azure.object-lock-days", "30"}});
  storage->put(*context_, pack_, as_bytes("content"));
  storage->put(*context_, {ObjectKind::kLock, pack_.name}, as_bytes("content"));
  auto requests = server.requests();
  ASSERT_EQ(requests.size(), 3U);
  EXPECT_EQ(requests[1].method, "HEAD");  // whether the policy is there
  requests.erase(requests.begin() + 1);
  const auto& pack = requests[0].headers;
  EXPECT_EQ(requests[0].target,
            "/myaccount/backups/p/data/" + pack_.name.substr(0, 2) + "/" + pack_.name);
  EXPECT_EQ(pack.at("x-ms-blob-type"), "BlockBlob");
  EXPECT_EQ(pack.at("if-none-match"), "*");
  EXPECT_EQ(pack.at("content-md5"), "mgNkuembtIDdJeHwKEyFVQ==");
  EXPECT_EQ(pack.at("x-ms-access-tier"), "Cool");
  EXPECT_EQ(pack.at("x-ms-immutability-policy-mode"), "Locked");
  const auto until = parse_http_date(pack.at("x-ms-immutability-policy-until-date"));
  ASSERT_TRUE(until.has_value());
  const auto kept = *until - (*context_).clock.now();
  EXPECT_GT(kept, std::chrono::days(30) - std::chrono::minutes(1));
  EXPECT_LE(kept, std::chrono::days(30));
  EXPECT_FALSE(requests[1].headers.contains("x-ms-immutability-policy-mode"));
  EXPECT_FALSE(requests[1].headers.contains("x-ms-access-tier"));
}

TEST_F(AzureReplies, AnUploadInBlocksGoesOnWhereItStopped) {
  std::mutex mutex;
  std::vector<std::string> blocks;  // that have arrived
  std::string committed;
  int fail_at = 3;
  HttpServer server([&](const ServedRequest& request) {
    const std::scoped_lock lock(mutex);
    ServedReply reply{.status = 201};
    const auto id = request.target.find("blockid=");
    if (id != std::string::npos) {
      if (static_cast<int>(blocks.size()) == fail_at) {
        reply.status = 500;
        return reply;
      }
      const size_t end = request.target.find('&', id);
      blocks.push_back(*percent_decode(request.target.substr(id + 8, end - id - 8)));
    } else if (request.method == "GET") {
      reply.status = blocks.empty() ? 404 : 200;
      reply.headers = {{"x-ms-error-code", "BlobNotFound"}};
      reply.body = "<BlockList><UncommittedBlocks>";
      for (const std::string& block : blocks) {
        reply.body += "<Block><Name>" + block + "</Name><Size>1048576</Size></Block>";
      }
      reply.body += "</UncommittedBlocks></BlockList>";
    } else {
      committed = request.body;
    }
    return reply;
  });
  const auto storage = open(server, {{"azure.block-size", "1"}});
  const Buffer content = pattern((5U << 20U) + 100, 1);
  const ObjectName pack = named_by_hash(ObjectKind::kPack, content.view());
  EXPECT_EQ(code_of([&] { storage->put(*context_, pack, content.view()); }),
            ErrorCode::kUnreachable);
  fail_at = -1;
  storage->put(*context_, pack, content.view());
  EXPECT_EQ(blocks.size(), 6U);  // each was sent once
  size_t at = 0;
  for (const std::string& block : blocks) {  // and all are in the list, in their order
    at = committed.find("<Uncommitted>" + block + "</Uncommitted>", at);
    ASSERT_NE(at, std::string::npos);
    EXPECT_EQ(block.size(), blocks.front().size());
  }
}

TEST_F(AzureReplies, PoliciesAreExtendedAndNeverShortened) {
  std::mutex mutex;
  std::string until = "Sat, 01 Jan 2050 00:00:00 GMT";
  unsigned changes = 0;
  HttpServer server([&](const ServedRequest& request) {
    const std::scoped_lock lock(mutex);
    ServedReply reply;
    if (request.target.find("restype=container") != std::string::npos) {
      reply.headers["x-ms-immutable-storage-with-versioning-enabled"] = "true";
    } else if (request.method == "HEAD") {
      reply.headers["x-ms-immutability-policy-until-date"] = until;
      reply.headers["x-ms-immutability-policy-mode"] = "locked";
    } else if (request.method == "PUT" && request.target.ends_with("?comp=immutabilityPolicies") &&
               request.headers.at("x-ms-immutability-policy-mode") == "Locked") {
      until = request.headers.at("x-ms-immutability-policy-until-date");
      ++changes;
    } else {
      reply.status = 400;
    }
    return reply;
  });
  const auto storage = open(server);
  const auto at = [](const char* date) { return *parse_http_date(date); };
  const auto found = storage->retention(*context_, pack_);
  ASSERT_TRUE(found && found->until);
  EXPECT_EQ(*found->until, at("Sat, 01 Jan 2050 00:00:00 GMT"));
  EXPECT_TRUE(found->compliance);
  EXPECT_FALSE(found->legal_hold);
  storage->extend_retention(*context_, pack_, at("Sun, 01 Jan 2051 00:00:00 GMT"));
  EXPECT_EQ(until, "Sun, 01 Jan 2051 00:00:00 GMT");
  storage->extend_retention(*context_, pack_, at("Fri, 01 Jan 2049 00:00:00 GMT"));
  EXPECT_EQ(until, "Sun, 01 Jan 2051 00:00:00 GMT");
  EXPECT_EQ(changes, 1U);
}

TEST_F(AzureReplies, ContainersWithoutPoliciesCostOneQuestion) {
  HttpServer server([](const ServedRequest&) { return ServedReply{}; });
  const auto storage = open(server);
  for (int i = 0; i < 5; ++i) {
    EXPECT_FALSE(storage->retention(*context_, pack_).has_value());
  }
  EXPECT_EQ(code_of([&] { storage->extend_retention(*context_, pack_, (*context_).clock.now()); }),
            ErrorCode::kUsage);
  EXPECT_EQ(server.requests().size(), 1U);
}

TEST_F(AzureReplies, WhatIsNotThereIsNotKept) {
  HttpServer server([](const ServedRequest& request) {
    return request.target.find("restype=container") != std::string::npos
               ? ServedReply{.headers = {{"x-ms-immutable-storage-with-versioning-enabled",
                                          "true"}}}
               : ServedReply{.status = 404, .headers = {{"x-ms-error-code", "BlobNotFound"}}};
  });
  EXPECT_FALSE(open(server)->retention(*context_, pack_).has_value());
}

// A signature in the address has no time, so that a wrong clock is not refused.
TEST_F(AzureReplies, PoliciesLastByTheServersClock) {
  const WallTime server_time = (*context_).clock.now() - std::chrono::hours(5);
  HttpServer server([&](const ServedRequest& request) {
    return ServedReply{
        .status = request.method == "PUT" ? 201 : 200,
        .headers = {{"Date", http_date(server_time)},
                    {"x-ms-immutability-policy-until-date", "Thu, 01 Jan 2099 00:00:00 GMT"}}};
  });
  for (const bool by_key : {true, false}) {
    const auto storage =
        open_azure_storage("backups:/p", with({{"AZURE_ACCOUNT_KEY", by_key ? "a2V5" : ""},
                                               {"AZURE_ACCOUNT_SAS", by_key ? "" : "sv=1&sig=abc"}},
                                              {{"azure.endpoint", server.url("/myaccount")},
                                               {"azure.object-lock", "locked"},
                                               {"azure.object-lock-days", "1"}}));
    if (by_key) {  // else it asks by itself
      (void)storage->stat(*context_, {ObjectKind::kLock, pack_.name});
    }
    const size_t before = server.requests().size();
    storage->put(*context_, pack_, as_bytes("content"));
    const ServedRequest put = server.requests().at(before + (by_key ? 0 : 1));
    const auto until = parse_http_date(put.headers.at("x-ms-immutability-policy-until-date"));
    EXPECT_LT(std::chrono::abs(*until - server_time - std::chrono::hours(24)),
              std::chrono::minutes(1));
    EXPECT_LT(std::chrono::abs(storage->server_time(*context_) - server_time),
              std::chrono::minutes(1));
  }
}

TEST_F(AzureReplies, AWrongClockIsCorrectedByTheServers) {
  const std::string date = http_date((*context_).clock.now() + std::chrono::hours(5));
  HttpServer server([&](const ServedRequest& request) {
    const bool right = request.headers.at("x-ms-date").substr(0, 19) == date.substr(0, 19);
    return ServedReply{.status = right ? 201 : 403,
                       .headers = {{"Date", date}, {"x-ms-error-code", "AuthenticationFailed"}}};
  });
  const auto storage = open(server);
  storage->put(*context_, pack_, as_bytes("content"));
  EXPECT_EQ(server.requests().size(), 2U);
  EXPECT_EQ(context_.events.events().size(), 1U);  // and said so
}

// A listing with versions as Microsoft documents it, in pages of two.
class AzurePastReplies : public AzureReplies {
 protected:
  struct Version {
    std::string name;  // below the repository
    std::string id;    // empty: from before versions were kept
    std::string more;  // elements
    std::string content;
  };

  ServedReply answer(const ServedRequest& request) {
    const auto value_of = [&](const std::string& name) {
      const size_t at = request.target.find(name + "=");
      const size_t begin = at + name.size() + 1;
      return at == std::string::npos ? std::string()
                                     : *percent_decode(request.target.substr(
                                           begin, request.target.find('&', begin) - begin));
    };
    if (value_of("comp") == "list") {
      EXPECT_EQ(value_of("include"), "versions");
      EXPECT_EQ(value_of("prefix"), "p/");
      const size_t from = value_of("marker").empty() ? 0 : std::stoul(value_of("marker"));
      return {.body = page(from)};
    }
    for (const Version& version : versions_) {
      if (version.id == value_of("versionid") &&
          request.target.starts_with("/myaccount/backups/p/" + version.name)) {
        return {.body = version.content};
      }
    }
    return {.status = 404, .headers = {{"x-ms-error-code", "BlobNotFound"}}};
  }

  [[nodiscard]] std::string page(size_t from) const {
    std::string text =
        "<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults "
        "ServiceEndpoint=\"https://myaccount.blob.core.windows.net/\" ContainerName=\"backups\">"
        "<Prefix>p/</Prefix><Blobs>";
    const size_t end = std::min(from + 2, versions_.size());
    for (size_t i = from; i < end; ++i) {
      const Version& version = versions_[i];
      text += "<Blob><Name>p/" + version.name + "</Name>" +
              (version.id.empty() ? "" : "<VersionId>" + version.id + "</VersionId>") +
              version.more +
              "<Properties><Last-Modified>Fri, 20 Nov 2026 09:00:00 GMT</Last-Modified>"
              "<Content-Length>" +
              std::to_string(version.content.size()) + "</Content-Length></Properties></Blob>";
    }
    return text + "</Blobs>" +
           (end < versions_.size() ? "<NextMarker>" + std::to_string(end) + "</NextMarker>"
                                   : "<NextMarker />") +
           "</EnumerationResults>";
  }

  std::vector<Version> versions_;
};

TEST_F(AzurePastReplies, TheNewestVersionOfThenIsRead) {
  const std::string a(64, 'a');
  const std::string b(64, 'b');
  const std::string c(64, 'c');
  const std::string d(64, 'd');
  const std::string current = "<IsCurrentVersion>true</IsCurrentVersion>";
  versions_ = {
      {"config", "", "", "config"},
      {"index/" + a, "2026-11-20T08:00:00.0000001Z", "", "old"},
      {"index/" + a, "2026-11-20T09:59:59.9999999Z", "", "then"},
      {"index/" + a, "2026-11-20T10:00:00.0000001Z", current, "destroyed"},
      {"index/" + b, "2026-11-20T07:00:00.0000000Z", "", "removed later"},
      {"index/" + c, "2026-11-20T11:00:00.0000000Z", current, "later"},
      {"index/" + d, "2026-11-20T07:00:00.0000000Z", "<Deleted>true</Deleted>", "gone for good"},
      {"index/foreign", "2026-11-20T07:00:00.0000000Z", current, "foreign"},
  };
  HttpServer server([this](const ServedRequest& request) { return answer(request); });
  const auto storage = open(server, {{"azure.as-of", "2026-11-20T11:00:00+01:00"}});
  EXPECT_TRUE(storage->traits().read_only);
  std::map<std::string, uint64_t> found;
  for (const ObjectInfo& object : storage->list_all(*context_, ObjectKind::kIndex)) {
    found[object.name] = object.size_bytes;
  }
  EXPECT_EQ(found, (std::map<std::string, uint64_t>{{a, 4}, {b, 13}}));
  const auto text = [&](ObjectKind kind, const std::string& name) {
    return std::string(as_text(storage->get(*context_, {kind, name}).view()));
  };
  EXPECT_EQ(text(ObjectKind::kIndex, a), "then");
  EXPECT_EQ(text(ObjectKind::kIndex, b), "removed later");
  EXPECT_EQ(text(ObjectKind::kConfig, ""), "config");
  EXPECT_EQ(storage->stat(*context_, {ObjectKind::kIndex, a})->size_bytes, 4U);
  EXPECT_FALSE(storage->stat(*context_, {ObjectKind::kIndex, c}).has_value());
  EXPECT_EQ(code_of([&] { (void)storage->get(*context_, {ObjectKind::kIndex, c}); }),
            ErrorCode::kNotFound);
  EXPECT_EQ(code_of([&] { (void)storage->get(*context_, {ObjectKind::kIndex, d}); }),
            ErrorCode::kNotFound);
}

TEST_F(AzurePastReplies, ThePastCannotBeChanged) {
  HttpServer server([this](const ServedRequest& request) { return answer(request); });
  const auto storage = open(server, {{"azure.as-of", "2026-11-20T10:00:00Z"}});
  for (const std::function<void()>& change : std::vector<std::function<void()>>{
           [&] { storage->put(*context_, pack_, as_bytes("content")); },
           [&] { storage->remove(*context_, pack_); }, [&] { storage->create(*context_); },
           [&] { storage->replace_config(*context_, as_bytes("x")); }}) {
    EXPECT_EQ(code_of(change), ErrorCode::kPermission);
  }
  EXPECT_TRUE(server.requests().empty());
}

TEST_F(AzurePastReplies, WithoutVersionsThereIsNoPast) {
  versions_ = {{"config", "", "", "config"}};
  HttpServer server([this](const ServedRequest& request) { return answer(request); });
  const auto storage = open(server, {{"azure.as-of", "2026-11-20T10:00:00Z"}});
  try {
    (void)storage->stat(*context_, {ObjectKind::kConfig, ""});
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(error.message().find("keeps no versions"), std::string::npos) << error.message();
  }
  EXPECT_EQ(code_of([] { (void)azure_settings("b-c:/", with({}, {{"azure.as-of", "soon"}})); }),
            ErrorCode::kUsage);
}

}  // namespace
}  // namespace salvor::test
