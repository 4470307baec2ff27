#include "storage/rest/rest_storage.h"

#include <filesystem>
#include <mutex>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/fd.h"
#include "storage/decorators/retry_storage.h"
#include "support/http_server.h"
#include "support/storage_calls.h"
#include "support/storage_helpers.h"
#include "support/temp_directory.h"
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

// A server that holds one repository, fails as told, and may be hidden behind a load balancer that
// answers 404.
class RestRepository : public testing::Test {
 protected:
  enum class Fate : uint8_t { kFails, kReplyIsLost };

  std::unique_ptr<Storage> open() {
    StorageOptions options;
    options.http.proxy = "";
    options.environment = [this](const std::string& name) {
      return name == "TMPDIR" ? std::optional(directory_.path().string()) : std::nullopt;
    };
    return open_rest_storage(server_.url("/"), options);
  }
  static std::unique_ptr<Storage> retried(std::unique_ptr<Storage> base) {
    return std::make_unique<RetryStorage>(
        std::move(base),
        RetryOptions{.wait = [](const Context& context, auto) { context.check_stopped(); }});
  }
  std::string text(const ObjectName& object) {
    return std::string(as_text(open()->get(*context_, object, 100).view()));
  }
  // What has been kept of a config that was being replaced.
  std::vector<std::string> kept() const {
    std::vector<std::string> found;
    for (const auto& entry : std::filesystem::directory_iterator(directory_.path())) {
      found.emplace_back(as_text(read_file(entry.path().string(), 100).view()));
    }
    return found;
  }

  TestContext context_;
  TempDirectory directory_{TempPlace::kMemory};
  const ObjectName pack_ = named_by_hash(ObjectKind::kPack, as_bytes("content"));
  const ObjectName config_{ObjectKind::kConfig, ""};
  std::mutex mutex_;
  std::map<std::string, std::string> stored_{{"/config", "old"}, {"/data/", "[]"}};
  std::map<std::string, std::vector<std::optional<Fate>>> fates_;  // of the next ones, by method
  int shown_ = 0;                                                  // after so many requests,
  int hidden_ = 0;                                                 // so many get 404

 private:
  ServedReply answer(const ServedRequest& request) {
    const std::scoped_lock lock(mutex_);
    if (shown_ > 0) {
      --shown_;
    } else if (hidden_ > 0) {
      --hidden_;
      return {.status = 404, .body = "404 page not found"};
    }
    std::optional<Fate> fate;
    if (auto& next = fates_[request.method]; !next.empty()) {
      fate = next.front();
      next.erase(next.begin());
    }
    if (fate == Fate::kFails) {
      return {.status = 500};
    }
    ServedReply reply = act(request);
    return fate ? ServedReply{.status = 504} : reply;
  }
  ServedReply act(const ServedRequest& request) {
    const auto found = stored_.find(request.target);
    if (request.method == "DELETE") {
      stored_.erase(request.target);
      return {};
    }
    if (request.method == "POST") {
      return {.status = stored_.try_emplace(request.target, request.body).second ? 200 : 403};
    }
    return found == stored_.end() ? ServedReply{.status = 404} : ServedReply{.body = found->second};
  }

 protected:
  HttpServer server_{[this](const ServedRequest& request) { return answer(request); }};
};

TEST_F(RestRepository, ALostReplyDoesNotCostTheConfig) {
  constexpr auto kLost = Fate::kReplyIsLost;
  constexpr auto kFails = Fate::kFails;
  const std::vector<std::map<std::string, std::vector<std::optional<Fate>>>> cases{
      {{"DELETE", {kLost}}},
      {{"DELETE", {kFails}}},
      {{"POST", {kLost}}},
      {{"POST", {kFails}}},
      {{"DELETE", {kLost}}, {"POST", {kFails}}},
      {{"DELETE", {kLost}}, {"POST", {kLost, kLost}}},
      {{"POST", {kFails, kFails, kFails}}},
      {{"POST", {kLost}}, {"GET", {std::nullopt, kFails, kFails}}},
  };
  for (size_t i = 0; i < cases.size(); ++i) {
    stored_["/config"] = "old";
    fates_ = cases[i];
    EXPECT_NO_THROW(retried(open())->replace_config(*context_, as_bytes("new"))) << i;
    EXPECT_EQ(text(config_), "new") << i;
    EXPECT_THAT(kept(), ElementsAre()) << i;
  }
}

TEST_F(RestRepository, AConfigThatCannotBeReplacedIsPutBack) {
  fates_["POST"] = {Fate::kFails};
  EXPECT_EQ(code_of([&] { open()->replace_config(*context_, as_bytes("new")); }),
            ErrorCode::kUnreachable);
  EXPECT_EQ(text(config_), "old");
  EXPECT_THAT(kept(), ElementsAre());
  stored_.erase("/config");
  EXPECT_EQ(code_of([&] { open()->replace_config(*context_, as_bytes("new")); }),
            ErrorCode::kNotFound)
      << "what is not there cannot be put back";
}

TEST_F(RestRepository, AConfigThatCannotEvenBePutBackIsKeptInAFile) {
  fates_["POST"] = std::vector<std::optional<Fate>>(2, Fate::kFails);
  const auto storage = open();
  const Error error = error_of([&] { storage->replace_config(*context_, as_bytes("new")); });
  EXPECT_EQ(error.code(), ErrorCode::kUnreachable);
  EXPECT_THAT(error.hint(), HasSubstr(directory_.path().string() + "/salvor-config-"));
  EXPECT_THAT(kept(), ElementsAre("old"));
  EXPECT_FALSE(stored_.contains("/config"));
  storage->replace_config(*context_, as_bytes("new"));  // again: it goes on where it was
  EXPECT_EQ(text(config_), "new");
  EXPECT_THAT(kept(), ElementsAre());
}

TEST_F(RestRepository, A404IsBelievedWhileTheConfigIsThere) {
  const auto storage = open();
  std::vector<std::function<void()>> calls = calls_of(*storage, context_, pack_);
  calls.emplace_back([&] { (void)storage->get(*context_, config_, 100); });
  calls.emplace_back([&] { storage->replace_config(*context_, as_bytes("new")); });
  // Before anything was there, nothing is.
  hidden_ = 3;
  EXPECT_FALSE(storage->stat(*context_, config_).has_value());
  EXPECT_TRUE(storage->list_all(*context_, ObjectKind::kPack).empty());
  EXPECT_EQ(code_of(calls[0]), ErrorCode::kNotFound);

  EXPECT_EQ(as_text(storage->get(*context_, config_, 100).view()), "old");
  for (const auto& call : calls) {
    hidden_ = 2;
    const Error error = error_of(call);
    EXPECT_EQ(error.code(), ErrorCode::kUnreachable) << error.message();
    EXPECT_THAT(error.hint(), HasSubstr("load balancer"));
  }
  hidden_ = 0;
  EXPECT_EQ(text(config_), "old");
  // And while it is there, an object that is not does not exist.
  EXPECT_EQ(code_of(calls[0]), ErrorCode::kNotFound);
  EXPECT_FALSE(storage->stat(*context_, pack_).has_value());
  stored_.erase("/data/");
  EXPECT_TRUE(storage->list_all(*context_, ObjectKind::kPack).empty());
  EXPECT_NO_THROW(storage->remove(*context_, pack_));
}

TEST_F(RestRepository, TheConfigIsReplacedBehindForeign404s) {
  for (int shown = 0; shown < 4; ++shown) {
    for (int hidden = 1; hidden < 6; ++hidden) {
      const std::string wanted = std::to_string(shown) + " " + std::to_string(hidden);
      const auto storage = retried(open());
      (void)storage->get(*context_, config_, 100);
      shown_ = shown;
      hidden_ = hidden;
      EXPECT_NO_THROW(storage->replace_config(*context_, as_bytes(wanted))) << wanted;
      shown_ = hidden_ = 0;
      EXPECT_EQ(text(config_), wanted);
      EXPECT_THAT(kept(), ElementsAre()) << wanted;
    }
  }
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
