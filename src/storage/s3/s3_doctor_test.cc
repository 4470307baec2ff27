// What is not known must not be told as forbidden: servers that answer what the real ones in the
// tests do not.
#include "storage/s3/s3_doctor.h"

#include <mutex>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "storage/s3/s3_client.h"
#include "support/http_server.h"
#include "support/storage_helpers.h"
#include "support/test_context.h"

namespace salvor::test {
namespace {

using testing::HasSubstr;

// By default a bucket without versions and locks, whose credential may only add and read.
class DoctorOfS3 : public testing::Test {
 protected:
  StorageReport examine() {
    StorageOptions options;
    options.http.proxy = "";
    options.environment = [](const std::string& name) -> std::optional<std::string> {
      return name == "AWS_ACCESS_KEY_ID" || name == "AWS_SECRET_ACCESS_KEY"
                 ? std::optional<std::string>("something")
                 : std::nullopt;
    };
    S3Client client(s3_settings(server_.url("/bucket/p"), options), options);
    StorageReport report = examine_s3(*context_, client);
    report.verdict = judge(report.rights);
    return report;
  }
  static ServedReply refusal(int status, const std::string& code) {
    return {.status = status, .body = "<Error><Code>" + code + "</Code></Error>"};
  }
  [[nodiscard]] size_t requests_with(const std::string& text) const {
    size_t count = 0;
    for (const ServedRequest& request : server_.requests()) {
      count += request.target.find(text) != std::string::npos ? 1 : 0;
    }
    return count;
  }
  static StorageCheck check(const StorageReport& report, const std::string& id) {
    const auto found = std::ranges::find(report.checks, id, &StorageCheck::id);
    EXPECT_NE(found, report.checks.end()) << id;
    return found == report.checks.end() ? StorageCheck{} : *found;
  }

  TestContext context_;
  int remove_ = 403;  // what removing answers, but from locks/
  int replace_ = 403;
  int policy_ = 403;
  int lifecycle_ = 403;
  int list_ = 200;
  int versioning_ = 200;
  bool truncated_ = false;             // the list of keys goes on
  std::optional<ServedReply> config_;  // what reading it answers, when it is not there
  bool markers_ = false;               // removing leaves one, as in a bucket that keeps versions
  std::string removable_ = "locks/";
  bool locks_ = false;
  std::set<std::string> unlocked_;  // keys below the repository
  std::map<std::string, std::vector<std::string>> names_{{"keys/", {"keys/a", "keys/b"}},
                                                         {"snapshots/", {"snapshots/c"}},
                                                         {"index/", {"index/d"}},
                                                         {"data/", {"data/ee/e"}},
                                                         {"salvor/", {"salvor/f"}}};

 private:
  static ServedReply answer_with(int status) {
    return status < 300    ? ServedReply{.status = status}
           : status == 403 ? refusal(status, "AccessDenied")
                           : refusal(status, "Something");
  }
  ServedReply answer(const ServedRequest& request) const {
    const auto asks = [&](const char* what) {
      return request.target.find(what) != std::string::npos;
    };
    if (asks("list-type=2")) {
      return list_ < 300 ? list(request) : answer_with(list_);
    }
    if (asks("?versioning")) {
      return versioning_ < 300 ? ServedReply{.body = "<VersioningConfiguration/>"}
                               : answer_with(versioning_);
    }
    if (asks("?object-lock")) {
      return locks_ ? ServedReply{.body =
                                      "<ObjectLockConfiguration><ObjectLockEnabled>Enabled"
                                      "</ObjectLockEnabled></ObjectLockConfiguration>"}
                    : refusal(404, "ObjectLockConfigurationNotFoundError");
    }
    if (asks("?policy") || asks("?lifecycle")) {
      return answer_with(asks("?policy") ? policy_ : lifecycle_);
    }
    if (request.method == "DELETE" && markers_) {
      return {.status = 204,
              .headers = {{"x-amz-delete-marker", "true"}, {"x-amz-version-id", "v/1"}}};
    }
    if (request.method == "DELETE") {
      return answer_with(asks(("/p/" + removable_).c_str()) ? 204 : remove_);
    }
    if (request.method == "PUT") {
      return answer_with(request.headers.contains("if-none-match") ? 412 : replace_);
    }
    if (request.method == "GET" && config_) {
      return *config_;
    }
    ServedReply reply{.body = "config"};
    if (request.method == "HEAD" && !unlocked_.contains(request.target.substr(10))) {
      reply.headers = {{"x-amz-object-lock-mode", "COMPLIANCE"},
                       {"x-amz-object-lock-retain-until-date", "2099-01-01T00:00:00Z"}};
    }
    return reply;
  }
  ServedReply list(const ServedRequest& request) const {
    std::string text = "<ListBucketResult>";
    if (truncated_) {
      text += "<IsTruncated>true</IsTruncated>";
    }
    for (const auto& [kind, names] : names_) {
      if (request.target.find("prefix=p%2F" + kind.substr(0, kind.size() - 1)) ==
          std::string::npos) {
        continue;
      }
      for (const std::string& name : names) {
        text += "<Contents><Key>p/" + name + "</Key><Size>1</Size></Contents>";
      }
    }
    return {.body = text + "</ListBucketResult>"};
  }

  HttpServer server_{[this](const ServedRequest& request) { return answer(request); }};
};

TEST_F(DoctorOfS3, WhatIsRefusedIsRefused) {
  const StorageReport report = examine();
  EXPECT_EQ(report.rights.remove, Answer::kNo);
  EXPECT_EQ(report.rights.overwrite, Answer::kNo);
  EXPECT_EQ(report.rights.remove_locks, Answer::kYes);
  EXPECT_EQ(report.rights.change_bucket, Answer::kNo);
  EXPECT_EQ(report.verdict.destroyable, Answer::kNo);
  EXPECT_TRUE(report.enough_for_backups());
}

TEST_F(DoctorOfS3, AServerWithoutConditionalRemovalSaysNothing) {
  remove_ = 501;
  const StorageReport report = examine();
  EXPECT_EQ(report.rights.remove, Answer::kUnknown);
  EXPECT_EQ(report.verdict.destroyable, Answer::kUnknown);
  EXPECT_EQ(check(report, "remove").mark, StorageCheck::Mark::kNote);
  EXPECT_THAT(check(report, "remove").text, HasSubstr("could not be found out"));
  replace_ = 501;
  EXPECT_EQ(examine().verdict.destroyable, Answer::kUnknown);
}

TEST_F(DoctorOfS3, WhateverMayBeRemovedCounts) {
  for (const char* place : {"data/", "snapshots/", "index/", "keys/", "salvor/", "config"}) {
    removable_ = place;
    const StorageReport report = examine();
    EXPECT_EQ(report.rights.remove, Answer::kYes) << place;
    EXPECT_EQ(report.verdict.destroyable, Answer::kYes) << place;
    EXPECT_THAT(check(report, "remove").text, HasSubstr(place));
    EXPECT_FALSE(report.enough_for_backups()) << "its locks stay";
  }
}

TEST_F(DoctorOfS3, APolicyThatMayBeChangedPerhapsIsNotSafe) {
  policy_ = 500;  // some servers call what they cannot parse an internal error
  StorageReport report = examine();
  EXPECT_EQ(report.rights.change_bucket, Answer::kUnknown);
  EXPECT_EQ(report.verdict.destroyable, Answer::kUnknown);
  EXPECT_THAT(report.verdict.sentence, HasSubstr("policy or lifecycle"));
  lifecycle_ = 400;
  report = examine();
  EXPECT_EQ(report.rights.change_bucket, Answer::kYes);
  EXPECT_EQ(report.verdict.destroyable, Answer::kYes);
  EXPECT_EQ(check(report, "change-bucket").text, "may change the bucket's lifecycle");
  policy_ = 403;
  lifecycle_ = 501;  // there is no such thing
  EXPECT_EQ(examine().verdict.destroyable, Answer::kNo);
}

TEST_F(DoctorOfS3, LockedForEverybodyIsWhatEveryKindShows) {
  locks_ = true;
  remove_ = replace_ = 204;
  policy_ = 400;
  StorageReport report = examine();
  EXPECT_TRUE(report.rights.all_locked);
  EXPECT_EQ(report.verdict.destroyable, Answer::kNo);
  EXPECT_THAT(report.verdict.sentence, HasSubstr("for everybody"));
  // One that is not is enough, wherever it is: without a key or the index nothing can be read.
  for (const char* name : {"config", "keys/b", "snapshots/c", "index/d", "data/ee/e", "salvor/f"}) {
    unlocked_ = {name};
    report = examine();
    EXPECT_FALSE(report.rights.all_locked) << name;
    EXPECT_NE(report.verdict.destroyable, Answer::kNo) << name;
  }
  // Of the keys each counts, however many there are.
  names_["keys/"].assign(30, "keys/a");
  names_["keys/"].push_back("keys/last");
  unlocked_ = {"keys/last"};
  EXPECT_FALSE(examine().rights.all_locked);
}

TEST_F(DoctorOfS3, WhatMayNotBeReadIsNotGuessed) {
  config_ = refusal(403, "AccessDenied");
  versioning_ = 403;
  StorageReport report = examine();
  EXPECT_FALSE(report.enough_for_backups());
  EXPECT_EQ(check(report, "read").answer, Answer::kNo);
  EXPECT_EQ(report.rights.versioned, Answer::kUnknown);
  EXPECT_EQ(check(report, "versioning").mark, StorageCheck::Mark::kNote);
  // What could not be listed is not taken for locked, whatever the rest shows.
  config_.reset();
  versioning_ = 200;
  locks_ = true;
  truncated_ = true;
  EXPECT_FALSE(examine().rights.all_locked);
  truncated_ = false;
  EXPECT_TRUE(examine().rights.all_locked);
  list_ = 403;
  report = examine();
  EXPECT_EQ(check(report, "list").answer, Answer::kNo);
  EXPECT_FALSE(report.rights.all_locked);
}

// Each attempt to remove what never was would leave one for ever.
TEST_F(DoctorOfS3, DeleteMarkersOfItsOwnAreRemovedAgain) {
  markers_ = true;
  const StorageReport report = examine();
  EXPECT_EQ(report.rights.remove, Answer::kYes);
  EXPECT_EQ(requests_with("?versionId=v%2F1"), 7U) << "six places and the locks";
}

TEST_F(DoctorOfS3, WithoutAConfigThereIsNoRepositoryUnlessAProxySaysSo) {
  config_ = refusal(404, "NoSuchKey");
  const StorageReport report = examine();
  EXPECT_FALSE(report.repository);
  EXPECT_EQ(check(report, "repository").mark, StorageCheck::Mark::kBad);
  config_ = ServedReply{
      .status = 404, .headers = {{"Content-Type", "text/plain"}}, .body = "404 page not found"};
  EXPECT_EQ(code_of([&] { (void)examine(); }), ErrorCode::kUnreachable);
}

}  // namespace
}  // namespace salvor::test
