#include "storage/rest/rest_storage.h"

#include <mutex>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/http_server.h"
#include "support/storage_helpers.h"
#include "support/test_context.h"

namespace salvor::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// What is made of replies that rest-server does not give in the tests against it.
class RestReplies : public testing::Test {
 protected:
  // By method; "*" for all others.
  void answer(const std::string& method, ServedReply reply) {
    const std::scoped_lock lock(mutex_);
    replies_[method] = std::move(reply);
  }
  Error put_error(int status, const std::string& body = "") {
    answer("POST", {.status = status, .headers = {{"Retry-After", "7"}}, .body = body});
    return error_of([&] { storage_->put(*context_, pack_, as_bytes("content")); });
  }
  std::vector<std::string> methods() const {
    std::vector<std::string> all;
    for (const ServedRequest& request : server_.requests()) {
      all.push_back(request.method);
    }
    return all;
  }

  TestContext context_;
  const ObjectName pack_ = named_by_hash(ObjectKind::kPack, as_bytes("content"));
  const ObjectName config_{ObjectKind::kConfig, ""};

 private:
  std::mutex mutex_;
  std::map<std::string, ServedReply> replies_{{"*", {.status = 404}}};

 protected:
  HttpServer server_{[this](const ServedRequest& request) {
    const std::scoped_lock lock(mutex_);
    const auto found = replies_.find(request.method);
    return found == replies_.end() ? replies_.at("*") : found->second;
  }};
  const std::unique_ptr<Storage> storage_ = open_rest_storage(server_.url("/repository"), [] {
    StorageOptions options;
    options.http.proxy = "";
    return options;
  }());
};

TEST_F(RestReplies, NameCauseAndNextStep) {
  struct Case {
    int status;
    ErrorCode code;
    const char* hint;
  };
  for (const Case& one : {Case{401, ErrorCode::kPermission, "RESTIC_REST_USERNAME"},
                          Case{403, ErrorCode::kPermission, "the path begins with the user's name"},
                          Case{404, ErrorCode::kNotFound, "Check the path"},
                          Case{400, ErrorCode::kUnreachable, "changed on the way"},
                          Case{413, ErrorCode::kStorageFull, "Free some space"},
                          Case{507, ErrorCode::kStorageFull, "Free some space"},
                          Case{429, ErrorCode::kUnreachable, "overloaded"},
                          Case{503, ErrorCode::kUnreachable, "overloaded"},
                          Case{418, ErrorCode::kFailed, "Is it a restic REST server"}}) {
    const Error error = put_error(one.status, "because \n");
    EXPECT_EQ(error.code(), one.code) << one.status;
    EXPECT_THAT(error.hint(), HasSubstr(one.hint)) << one.status;
    EXPECT_THAT(error.message(),
                HasSubstr("answered " + std::to_string(one.status) + " (because)"));
  }
  EXPECT_EQ(put_error(429).advice().after, std::chrono::seconds(7));
  EXPECT_TRUE(put_error(503).advice().slow_down);

  answer("DELETE", {.status = 403});
  EXPECT_THAT(error_of([&] { storage_->remove(*context_, pack_); }).hint(),
              HasSubstr("The server is append-only"));
  answer("*", {.status = 500});
  for (const auto& call : std::vector<std::function<void()>>{
           [&] { (void)storage_->get(*context_, pack_, 100); },
           [&] { (void)storage_->stat(*context_, pack_); },
           [&] { (void)storage_->list_all(*context_, ObjectKind::kPack); },
           [&] { storage_->create(*context_); }}) {
    answer("POST", {.status = 500});
    EXPECT_EQ(error_of(call).code(), ErrorCode::kUnreachable);
  }
}

TEST_F(RestReplies, WhatIsThereAlreadyIsFineWhenItIsTheSame) {
  answer("POST", {.status = 403});
  answer("HEAD", {.headers = {{"Content-Length", "7"}}});
  EXPECT_NO_THROW(storage_->put(*context_, pack_, as_bytes("content")));
  answer("HEAD", {.headers = {{"Content-Length", "6"}}});
  EXPECT_THAT(error_of([&] { storage_->put(*context_, pack_, as_bytes("content")); }).message(),
              HasSubstr("it exists with 6 instead of 7 bytes"));
}

TEST_F(RestReplies, PartsThatAreNotThereAreDamage) {
  Buffer out(5);
  const auto read = [&](ServedReply reply) {
    answer("GET", std::move(reply));
    return error_of([&] { storage_->get_range(*context_, pack_, 10, out.bytes()); });
  };
  EXPECT_EQ(read({.status = 404}).code(), ErrorCode::kNotFound);
  EXPECT_THAT(read({.status = 416}).message(), HasSubstr("it ends before byte 15"));
  EXPECT_THAT(read({.status = 206, .body = "123"}).message(), HasSubstr("it ends at byte 13"));
  EXPECT_EQ(read({.body = "12345"}).code(), ErrorCode::kFailed) << "ranges are ignored";
  answer("GET", {.body = std::string(101, 'x')});
  EXPECT_EQ(code_of([&] { (void)storage_->get(*context_, pack_, 100); }), ErrorCode::kDamaged);
}

TEST_F(RestReplies, ListsOfBothVersionsAndWhatIsNone) {
  const std::string name(64, 'a');
  const auto list = [&](const std::string& body) {
    answer("GET", {.body = body});
    std::vector<uint64_t> sizes;
    for (const ObjectInfo& info : storage_->list_all(*context_, ObjectKind::kIndex)) {
      EXPECT_EQ(info.name, name);
      sizes.push_back(info.size_bytes);
    }
    return sizes;
  };
  EXPECT_THAT(list(R"([{"name":")" + name + R"(","size":5},{"name":"other"},7])"), ElementsAre(5));
  answer("HEAD", {.headers = {{"Content-Length", "6"}}});
  EXPECT_THAT(list(R"([")" + name + R"("])"), ElementsAre(6)) << "version 1 names them only";
  EXPECT_THAT(list(R"([{"name":")" + name + R"(","size":-1}])"), ElementsAre(6));
  EXPECT_THAT(list("null"), ElementsAre());
  for (const char* body : {"", "{}", "<html>"}) {
    EXPECT_EQ(code_of([&] { (void)list(body); }), ErrorCode::kFailed) << body;
  }
}

TEST_F(RestReplies, AConfigThatCannotBeReplacedIsPutBack) {
  answer("GET", {.body = "old"});
  answer("DELETE", {});
  answer("POST", {.status = 500});
  EXPECT_EQ(code_of([&] { storage_->replace_config(*context_, as_bytes("new")); }),
            ErrorCode::kUnreachable);
  EXPECT_THAT(methods(), ElementsAre("GET", "DELETE", "POST", "POST"));
  EXPECT_EQ(server_.requests()[2].body, "new");
  EXPECT_EQ(server_.requests()[3].body, "old");
}

TEST(RestLocations, ThatAreNoneAreRefused) {
  for (const char* location : {"host/", "ftp://host/", "http:///path", "http://host/?a=b",
                               "http+unix://relative:/x", "http://user@/"}) {
    EXPECT_EQ(code_of([&] { (void)open_rest_storage(location, {}); }), ErrorCode::kUsage)
        << location;
  }
}

}  // namespace
}  // namespace salvor::test
