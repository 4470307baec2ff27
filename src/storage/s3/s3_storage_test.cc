#include "storage/s3/s3_storage.h"

#include <mutex>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "codec/go_json.h"
#include "storage/azure/azure_sign.h"
#include "support/http_server.h"
#include "support/storage_calls.h"
#include "support/storage_helpers.h"
#include "support/test_context.h"

namespace salvor::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

// What requests hold, and what is made of replies that real servers in the tests do not give.
class S3Replies : public testing::Test {
 protected:
  std::unique_ptr<Storage> open(std::map<std::string, std::string> extended = {}) {
    StorageOptions options;
    options.http.proxy = "";
    options.extended = std::move(extended);
    options.environment = [](const std::string& name) -> std::optional<std::string> {
      return name == "AWS_ACCESS_KEY_ID" || name == "AWS_SECRET_ACCESS_KEY"
                 ? std::optional<std::string>("something")
                 : std::nullopt;
    };
    return open_s3_storage(server_.url("/bucket/p"), options);
  }
  // Replies in order; the last one again and again.
  void answer(std::vector<ServedReply> replies) {
    const std::scoped_lock lock(mutex_);
    replies_ = std::move(replies);
    next_ = 0;
  }
  std::vector<ServedRequest> requests_of(const std::function<void()>& action) {
    const size_t before = server_.requests().size();
    action();
    std::vector<ServedRequest> all = server_.requests();
    all.erase(all.begin(), all.begin() + static_cast<ptrdiff_t>(before));
    return all;
  }
  static ServedReply refusal(int status, const std::string& code, const std::string& message = "") {
    return {.status = status,
            .body = "<Error><Code>" + code + "</Code><Message>" + message + "</Message></Error>"};
  }

  TestContext context_;
  const ObjectName pack_ = named_by_hash(ObjectKind::kPack, as_bytes("content"));
  const ObjectName index_ = named_by_hash(ObjectKind::kIndex, as_bytes("content"));
  const ObjectName lock_ = named_by_hash(ObjectKind::kLock, as_bytes("content"));

 private:
  ServedReply reply() {
    const std::scoped_lock lock(mutex_);
    const ServedReply& now = replies_.at(std::min(next_, replies_.size() - 1));
    ++next_;
    return now;
  }

  std::mutex mutex_;
  std::vector<ServedReply> replies_{{}};
  size_t next_ = 0;
  HttpServer server_{[this](const ServedRequest&) { return reply(); }};
};

using Headers = std::map<std::string, std::string>;

TEST_F(S3Replies, UploadsSayHowTheyAreToBeKept) {
  const auto headers_of = [&](const ObjectName& object, Storage& storage) {
    Headers found;
    for (const ServedRequest& request :
         requests_of([&] { storage.put(*context_, object, as_bytes("content")); })) {
      for (const auto& [name, value] : request.headers) {
        if (name.starts_with("x-amz-server-side") || name.starts_with("x-amz-storage") ||
            name.starts_with("x-amz-object-lock-mode")) {
          found.emplace(name, value);
        }
      }
    }
    return found;
  };
  EXPECT_EQ(headers_of(pack_, *open()), Headers());
  EXPECT_EQ(headers_of(index_, *open({{"s3.sse", "AES256"}})),
            (Headers{{"x-amz-server-side-encryption", "AES256"}}));
  EXPECT_EQ(headers_of(pack_, *open({{"s3.sse-kms-key-id", "arn:key"}})),
            (Headers{{"x-amz-server-side-encryption", "aws:kms"},
                     {"x-amz-server-side-encryption-aws-kms-key-id", "arn:key"}}));
  // What is read with every command stays where it is cheap to read.
  const auto classed = open({{"s3.storage-class", "STANDARD_IA"}});
  EXPECT_EQ(headers_of(pack_, *classed), (Headers{{"x-amz-storage-class", "STANDARD_IA"}}));
  EXPECT_EQ(headers_of(index_, *classed), Headers());
  const auto locked = open({{"s3.object-lock", "governance"}, {"s3.object-lock-days", "7"}});
  EXPECT_EQ(headers_of(pack_, *locked), (Headers{{"x-amz-object-lock-mode", "GOVERNANCE"}}));
  EXPECT_EQ(headers_of(lock_, *locked), Headers()) << "locks must be removable";
}

TEST_F(S3Replies, WhereConditionsAreUnknownTheyAreLeftOut) {
  const auto storage = open();
  answer({refusal(501, "NotImplemented"), {}});
  std::vector<ServedRequest> requests =
      requests_of([&] { storage->put(*context_, pack_, as_bytes("content")); });
  ASSERT_EQ(requests.size(), 2U);
  EXPECT_TRUE(requests[0].headers.contains("if-none-match"));
  EXPECT_FALSE(requests[1].headers.contains("if-none-match"));
  // From then on the object is looked for first.
  answer({refusal(404, "NoSuchKey"), {}});
  requests = requests_of([&] { storage->put(*context_, index_, as_bytes("content")); });
  ASSERT_EQ(requests.size(), 2U);
  EXPECT_EQ(requests[0].method, "GET") << "whose reply says that it is absent, not only HEAD's 404";
  EXPECT_EQ(requests[0].headers.at("range"), "bytes=0-0");
  EXPECT_FALSE(requests[1].headers.contains("if-none-match"));
  // What is there already: a hash as its name speaks for it, a config is compared.
  answer({{.status = 206, .headers = {{"Content-Range", "bytes 0-0/7"}}, .body = "c"}});
  EXPECT_EQ(requests_of([&] { storage->put(*context_, lock_, as_bytes("content")); }).size(), 1U);
  const ServedReply present{.headers = {{"Content-Length", "7"}}, .body = "content"};
  answer({present});
  const ObjectName config{ObjectKind::kConfig, ""};
  requests = requests_of([&] { storage->put(*context_, config, as_bytes("content")); });
  EXPECT_EQ(requests.back().method, "GET");
  EXPECT_EQ(code_of([&] { storage->put(*context_, config, as_bytes("Content")); }),
            ErrorCode::kFailed);
}

TEST_F(S3Replies, WithoutConditionsWhatIsThereStays) {
  const auto storage = open({{"s3.conditional-put", "false"}});
  answer({refusal(404, "NoSuchKey"), {}});
  std::vector<ServedRequest> requests =
      requests_of([&] { storage->put(*context_, pack_, as_bytes("content")); });
  ASSERT_EQ(requests.size(), 2U);
  EXPECT_EQ(requests[0].method, "GET");
  EXPECT_EQ(requests[1].method, "PUT");
  EXPECT_FALSE(requests[1].headers.contains("if-none-match"));
  const auto present = [](const char* size) {
    return ServedReply{.status = 206,
                       .headers = {{"Content-Range", std::string("bytes 0-0/") + size}},
                       .body = "c"};
  };
  answer({present("7")});
  requests = requests_of([&] { storage->put(*context_, pack_, as_bytes("content")); });
  ASSERT_EQ(requests.size(), 1U) << "it is there, and is not stored again";
  EXPECT_EQ(requests[0].method, "GET");
  answer({present("6")});
  requests = requests_of([&] {
    EXPECT_EQ(code_of([&] { storage->put(*context_, pack_, as_bytes("content")); }),
              ErrorCode::kFailed)
        << "a damaged one is not hidden by another";
  });
  EXPECT_EQ(requests.size(), 1U);
  // An empty object has no first byte.
  const ObjectName empty = named_by_hash(ObjectKind::kLock, {});
  answer({refusal(416, "InvalidRange"), {}});
  requests = requests_of([&] { storage->put(*context_, empty, ByteView()); });
  ASSERT_EQ(requests.size(), 2U);
  EXPECT_EQ(requests[1].method, "HEAD");
}

TEST_F(S3Replies, WhyAHeadWasRefusedIsAskedFor) {
  const auto storage = open();
  answer({{.status = 403}, refusal(403, "AccessDenied", "no s3:GetObject for you")});
  const Error error = error_of([&] { (void)storage->stat(*context_, pack_); });
  EXPECT_EQ(error.code(), ErrorCode::kPermission);
  EXPECT_THAT(error.message(), HasSubstr("no s3:GetObject for you"));
}

TEST_F(S3Replies, ListingsThatAreNoneAreRefused) {
  const auto list = [&](ServedReply reply, std::map<std::string, std::string> extended = {}) {
    answer({std::move(reply)});
    const auto storage = open(std::move(extended));
    return error_of([&] { (void)storage->list_all(*context_, ObjectKind::kPack); });
  };
  EXPECT_THAT(list({.body = "<html>Welcome"}).hint(), HasSubstr("Does this host speak S3?"));
  EXPECT_THAT(list({.body = "<Welcome/>"}).message(), HasSubstr("the reply is not a listing"));
  EXPECT_THAT(list({.body = "<ListBucketResult><Contents><Key>p/data/x</Key></Contents>"
                            "</ListBucketResult>"})
                  .message(),
              HasSubstr("the reply has no sizes"));
  const ServedReply endless{
      .body = "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>"};
  EXPECT_THAT(list(endless).message(), HasSubstr("does not go on"));
  EXPECT_THAT(list(endless, {{"s3.list-objects-v1", "true"}}).message(),
              HasSubstr("does not go on"));
}

TEST_F(S3Replies, TheOldListingGoesOnAfterItsLastKey) {
  const std::string first(64, 'a');
  const std::string second(64, 'b');
  const auto page = [](const std::string& name, bool more) {
    return ServedReply{.body = "<ListBucketResult><IsTruncated>" +
                               std::string(more ? "true" : "false") +
                               "</IsTruncated><Contents><Key>" + "p/index/" + name +
                               "</Key><Size>5</Size></Contents>"
                               "</ListBucketResult>"};
  };
  answer({page(first, true), page(second, false)});
  const auto storage = open({{"s3.list-objects-v1", "true"}});
  std::vector<std::string> names;
  const std::vector<ServedRequest> requests = requests_of([&] {
    for (const ObjectInfo& info : storage->list_all(*context_, ObjectKind::kIndex)) {
      names.push_back(info.name);
    }
  });
  EXPECT_THAT(names, ElementsAre(first, second));
  ASSERT_EQ(requests.size(), 2U);
  EXPECT_THAT(requests[0].target, Not(HasSubstr("list-type=2")));
  EXPECT_THAT(requests[1].target, HasSubstr("marker=p%2Findex%2F" + first));
}

TEST_F(S3Replies, RemovingManyIsOneRequestWhereTheServerCan) {
  const std::vector<ObjectName> objects{pack_, index_};
  const auto storage = open();
  answer({{.body = "<DeleteResult/>"}});
  std::vector<ServedRequest> requests =
      requests_of([&] { storage->remove_many(*context_, objects); });
  ASSERT_EQ(requests.size(), 1U);
  EXPECT_EQ(requests[0].method, "POST");
  EXPECT_THAT(requests[0].body, HasSubstr("<Key>p/index/" + index_.name + "</Key>"));

  answer({{}});
  EXPECT_NO_THROW(storage->remove_many(*context_, objects)) << "quiet, so there may be no words";

  // A refusal inside a 200 is one.
  answer({{.body = "<DeleteResult><Error><Key>p/index/x</Key><Code>NoSuchKey</Code></Error>"
                   "<Error><Key>p/data/y</Key><Code>AccessDenied</Code><Message>locked</Message>"
                   "</Error></DeleteResult>"}});
  const Error refused = error_of([&] { storage->remove_many(*context_, objects); });
  EXPECT_EQ(refused.code(), ErrorCode::kPermission);
  EXPECT_THAT(refused.message(), HasSubstr("p/data/y"));
  answer({{.body = "<DeleteResult><Error><Key>p/index/x</Key><Code>NoSuchKey</Code></Error>"
                   "</DeleteResult>"}});
  EXPECT_NO_THROW(storage->remove_many(*context_, objects)) << "what is not there is removed";

  answer({refusal(404, "NoSuchBucket")});
  EXPECT_EQ(error_of([&] { open()->remove_many(*context_, objects); }).code(),
            ErrorCode::kNotFound);

  answer({refusal(501, "NotImplemented"), {.status = 204}});
  requests = requests_of([&] { storage->remove_many(*context_, objects); });
  ASSERT_EQ(requests.size(), 3U);
  EXPECT_EQ(requests[1].method, "DELETE");
  requests = requests_of([&] { storage->remove_many(*context_, objects); });
  EXPECT_EQ(requests.size(), 2U) << "it has learnt";
}

TEST_F(S3Replies, RetentionIsExtendedInTheModeThatHolds) {
  const WallTime until{std::chrono::seconds(1'900'000'000)};
  const ServedReply configured{
      .body =
          "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule>"
          "<DefaultRetention><Mode>COMPLIANCE</Mode><Years>1</Years></DefaultRetention></Rule>"
          "</ObjectLockConfiguration>"};
  const auto extended = [&](std::vector<ServedReply> replies,
                            std::map<std::string, std::string> options = {}) {
    answer(std::move(replies));
    const auto storage = open(std::move(options));
    return requests_of([&] { storage->extend_retention(*context_, pack_, until); }).back();
  };
  // Its own mode, else the options', else the bucket's.
  const ServedReply governed{
      .headers = {{"x-amz-object-lock-mode", "GOVERNANCE"},
                  {"x-amz-object-lock-retain-until-date", "2026-01-01T00:00:00Z"}}};
  ServedRequest request = extended({configured, governed, {}});
  EXPECT_EQ(request.method, "PUT");
  EXPECT_THAT(request.body, HasSubstr("<Mode>GOVERNANCE</Mode>"));
  EXPECT_THAT(request.body, HasSubstr("<RetainUntilDate>2030-03-17T17:46:40Z<"));
  EXPECT_THAT(extended({configured, {}, {}},
                       {{"s3.object-lock", "governance"}, {"s3.object-lock-days", "7"}})
                  .body,
              HasSubstr("<Mode>GOVERNANCE</Mode>"));
  EXPECT_THAT(extended({configured, {}, configured, {}}).body,
              HasSubstr("<Mode>COMPLIANCE</Mode>"));
  // Never shorter.
  const ServedReply longer{
      .headers = {{"x-amz-object-lock-mode", "COMPLIANCE"},
                  {"x-amz-object-lock-retain-until-date", "2040-01-01T00:00:00Z"}}};
  EXPECT_EQ(extended({configured, longer}).method, "HEAD");

  answer({configured, refusal(404, "NoSuchKey")});
  EXPECT_EQ(error_of([&] { open()->extend_retention(*context_, pack_, until); }).code(),
            ErrorCode::kNotFound);
  // A server that knows no locks holds nothing.
  answer({{.status = 501}});
  const auto plain = open();
  EXPECT_EQ(plain->retention(*context_, pack_), std::nullopt);
  EXPECT_EQ(error_of([&] { plain->extend_retention(*context_, pack_, until); }).code(),
            ErrorCode::kUsage);
}

// In compliance mode nobody can undo a lock that a machine with a wrong clock has made too long.
TEST_F(S3Replies, LocksLastByTheServersClock) {
  const WallTime server = (*context_).clock.now() - std::chrono::hours(5);
  const std::map<std::string, std::string> dated{{"Date", http_date(server)}};
  const auto lasts = [&](const ServedRequest& request) {
    const auto until = parse_go_time(request.headers.at("x-amz-object-lock-retain-until-date"));
    return std::chrono::abs(until->wall() - server - std::chrono::hours(24)) <
           std::chrono::minutes(1);
  };
  const std::map<std::string, std::string> locked{{"s3.object-lock", "compliance"},
                                                  {"s3.object-lock-days", "1"}};
  // Learnt from whatever was answered before.
  auto storage = open(locked);
  answer({{.headers = dated}, {}});
  EXPECT_TRUE(lasts(requests_of([&] {
                      (void)storage->stat(*context_, pack_);
                      storage->put(*context_, pack_, as_bytes("content"));
                    }).back()));
  // Or from the refusal of the first.
  storage = open(locked);
  ServedReply skewed = refusal(403, "RequestTimeTooSkewed");
  skewed.headers = dated;
  answer({skewed, {}});
  const auto requests = requests_of([&] { storage->put(*context_, pack_, as_bytes("content")); });
  ASSERT_EQ(requests.size(), 2U);
  EXPECT_TRUE(lasts(requests.back()));
  EXPECT_LT(std::chrono::abs(storage->server_time(*context_) - server), std::chrono::minutes(1));
  // Who wants to know before anything was answered makes a request.
  storage = open(locked);
  answer({{.headers = dated}});
  EXPECT_LT(std::chrono::abs(storage->server_time(*context_) - server), std::chrono::minutes(1));
}

TEST_F(S3Replies, AMissingBucketIsMadeForInit) {
  const auto storage = open({{"s3.object-lock", "compliance"}, {"s3.object-lock-days", "7"}});
  // `init` looks for a repository first: before the bucket is there it is an empty one.
  answer({refusal(404, "NoSuchBucket")});
  EXPECT_FALSE(storage->stat(*context_, {ObjectKind::kConfig, ""}).has_value());
  EXPECT_TRUE(storage->list_all(*context_, ObjectKind::kKey).empty());
  answer({{.status = 404}, refusal(404, "NoSuchBucket"), {}});
  const std::vector<ServedRequest> requests = requests_of([&] { storage->create(*context_); });
  ASSERT_EQ(requests.size(), 3U);
  EXPECT_EQ(requests[1].method, "GET") << "which has words";
  EXPECT_EQ(requests[2].method, "PUT");
  EXPECT_EQ(requests[2].headers.at("x-amz-bucket-object-lock-enabled"), "true");
  EXPECT_EQ(requests[2].body, "") << "other servers know no regions";
}

// What a load balancer answers while the servers behind it restart.
TEST_F(S3Replies, A404ThatTheStorageDidNotGiveIsNotBelieved) {
  const ServedReply foreign{
      .status = 404, .headers = {{"Content-Type", "text/plain"}}, .body = "404 page not found"};
  const auto storage = open();
  answer({foreign});
  std::vector<std::function<void()>> calls = calls_of(*storage, context_, pack_);
  calls.emplace_back([&] { storage->create(*context_); });
  for (const auto& call : calls) {
    const Error error = error_of(call);
    EXPECT_EQ(error.code(), ErrorCode::kUnreachable) << error.message();
    EXPECT_THAT(error.message(), HasSubstr("not in the storage's own words"));
    EXPECT_THAT(error.hint(), HasSubstr("load balancer"));
  }
  answer({refusal(404, "NoSuchKey")});
  EXPECT_EQ(code_of([&] { (void)storage->get(*context_, pack_, 100); }), ErrorCode::kNotFound);
  EXPECT_FALSE(storage->stat(*context_, pack_).has_value());
  // HEAD says nothing, and by GET it is there: it has come in between, or one of the two was
  // somebody else's.
  answer({{.status = 404}, {.status = 206, .body = "c"}, {.body = "content"}});
  EXPECT_EQ(storage->stat(*context_, pack_).value().size_bytes, 7U);
  answer({{.status = 404}, {.status = 206, .body = "c"}, {.status = 404}});
  EXPECT_EQ(code_of([&] { (void)storage->stat(*context_, pack_); }), ErrorCode::kUnreachable);
  // MinIO says it in a header.
  answer({{.status = 404, .headers = {{"x-minio-error-code", "NoSuchKey"}}}});
  EXPECT_EQ(requests_of([&] { EXPECT_FALSE(storage->stat(*context_, pack_).has_value()); }).size(),
            1U);
}

TEST_F(S3Replies, AListingThatBreaksOffIsNoListing) {
  const ServedReply first{
      .body =
          "<ListBucketResult><IsTruncated>true</IsTruncated>"
          "<NextContinuationToken>x</NextContinuationToken><Contents><Key>p/data/"
          "aa/" +
          std::string(64, 'a') + "</Key><Size>5</Size></Contents></ListBucketResult>"};
  for (const ServedReply& second : {ServedReply{.status = 404, .body = "404 page not found"},
                                    refusal(404, "NoSuchBucket"), refusal(404, "NoSuchKey")}) {
    answer({first, second});
    EXPECT_TRUE(code_of([&] { (void)open()->list_all(*context_, ObjectKind::kPack); }).has_value())
        << second.body;
  }
}

// A gateway that has lost its disks says so of buckets that it had a moment ago.
TEST_F(S3Replies, ABucketThatWasThereIsNotAnEmptyOne) {
  const auto storage = open();
  answer({{.body = "config"}});
  (void)storage->get(*context_, {ObjectKind::kConfig, ""}, 100);
  answer({refusal(404, "NoSuchBucket")});
  for (const std::function<void()>& call : std::vector<std::function<void()>>{
           [&] { (void)storage->get(*context_, pack_, 100); },
           [&] { (void)storage->stat(*context_, pack_); },
           [&] { (void)storage->list_all(*context_, ObjectKind::kPack); }}) {
    const Error error = error_of(call);
    EXPECT_EQ(error.code(), ErrorCode::kUnreachable) << error.message();
    EXPECT_THAT(error.message(), HasSubstr("a moment ago it was there"));
  }
}

TEST_F(S3Replies, ARangeOfNoBytesIsLookedFor) {
  const auto storage = open();
  answer({{.headers = {{"Content-Length", "7"}}}});
  EXPECT_NO_THROW(storage->get_range(*context_, pack_, 7, {}));
  EXPECT_EQ(code_of([&] { storage->get_range(*context_, pack_, 8, {}); }), ErrorCode::kDamaged);
  answer({refusal(404, "NoSuchKey")});
  EXPECT_EQ(code_of([&] { storage->get_range(*context_, pack_, 0, {}); }), ErrorCode::kNotFound);
}

}  // namespace
}  // namespace salvor::test
