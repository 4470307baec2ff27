#include "storage/gcs/gcs_doctor.h"

#include <gtest/gtest.h>

#include "support/http_server.h"
#include "support/test_context.h"

namespace salvor::test {
namespace {

constexpr auto kAll = {"storage.objects.create", "storage.objects.delete", "storage.objects.get",
                       "storage.objects.list", "storage.buckets.setIamPolicy"};

// A bucket with one repository, as Google describes it.
struct Bucket {
  std::vector<std::string> permissions;
  bool versioning = false;
  std::string retention;  // of each object: JSON
  bool asks = true;       // knows testIamPermissions
  bool describes = true;  // may be asked for its settings
};

class GcsDoctor : public testing::Test {
 protected:
  StorageReport examine(const Bucket& bucket) {
    HttpServer server([&](const ServedRequest& request) { return answer(bucket, request); });
    StorageOptions options;
    options.http.proxy = "";
    options.extended = {{"gs.endpoint", server.url("")}};
    options.environment = [](const std::string& name) {
      return name == "GOOGLE_ACCESS_TOKEN" ? std::optional<std::string>("token") : std::nullopt;
    };
    StorageReport report = examine_storage(*context_, "gs:bucket:/p", options);
    for (const ServedRequest& request : server.requests()) {
      EXPECT_EQ(request.method, "GET") << "examining changes nothing";
    }
    return report;
  }

  static std::optional<Answer> answer_of(const StorageReport& report, const std::string& id) {
    for (const StorageCheck& check : report.checks) {
      if (check.id == id) {
        return check.answer;
      }
    }
    ADD_FAILURE() << "no check " << id;
    return std::nullopt;
  }

 private:
  static ServedReply answer(const Bucket& bucket, const ServedRequest& request) {
    const auto asks = [&](const char* what) {
      return request.target.find(what) != std::string::npos;
    };
    if (asks("testPermissions")) {
      if (!bucket.asks) {
        return {.status = 404};
      }
      std::string list;
      for (const std::string& permission : bucket.permissions) {
        // Only what was asked for is answered.
        if (asks(permission.c_str())) {
          list += (list.empty() ? "\"" : ",\"") + permission + "\"";
        }
      }
      return {.body = R"({"kind":"storage#testIamPermissionsResponse")" +
                      (list.empty() ? std::string() : R"(,"permissions":[)" + list + "]") + "}"};
    }
    if (asks("fields=versioning") && !bucket.describes) {
      return {.status = 403};
    }
    if (asks("fields=versioning")) {
      return {.body = bucket.versioning
                          ? R"({"versioning":{"enabled":true}})"
                          : R"({"softDeletePolicy":{"retentionDurationSeconds":"604800"}})"};
    }
    if (asks("fields=objectRetention")) {
      return {.body = R"({"objectRetention":{"mode":"Enabled"}})"};
    }
    if (asks("fields=retention")) {
      return {.body =
                  bucket.retention.empty() ? "{}" : R"({"retention":)" + bucket.retention + "}"};
    }
    if (asks("/o?")) {
      return {.body = "{}"};
    }
    return {.body = R"({"size":"155"})"};
  }

  TestContext context_;
};

TEST_F(GcsDoctor, WhoMayDeleteMayDestroy) {
  const StorageReport report = examine({.permissions = {kAll.begin(), kAll.end()}});
  EXPECT_TRUE(report.repository);
  EXPECT_TRUE(report.enough_for_backups());
  EXPECT_EQ(answer_of(report, "remove"), Answer::kYes);
  EXPECT_EQ(report.verdict.destroyable, Answer::kYes);
  EXPECT_NE(report.verdict.advice.find("storage.buckets.setIamPolicy"), std::string::npos)
      << report.verdict.advice;
}

TEST_F(GcsDoctor, WhoMayOnlyAddMayNot) {
  const StorageReport report = examine(
      {.permissions = {"storage.objects.create", "storage.objects.get", "storage.objects.list"}});
  EXPECT_TRUE(report.enough_for_backups());
  EXPECT_EQ(answer_of(report, "remove"), Answer::kNo);
  EXPECT_EQ(report.verdict.destroyable, Answer::kNo) << report.verdict.sentence;
}

TEST_F(GcsDoctor, WhatABackupNeedsIsMissed) {
  const StorageReport report = examine({.permissions = {"storage.objects.get"}});
  EXPECT_FALSE(report.enough_for_backups());
  EXPECT_EQ(answer_of(report, "create"), Answer::kNo);
}

TEST_F(GcsDoctor, LockedRetentionHoldsAgainstEverybody) {
  const StorageReport report =
      examine({.permissions = {kAll.begin(), kAll.end()},
               .retention = R"({"mode":"Locked","retainUntilTime":"2099-01-01T00:00:00Z"})"});
  EXPECT_EQ(report.verdict.destroyable, Answer::kNo) << report.verdict.sentence;
  const StorageReport unlocked = examine(
      {.permissions = {"storage.objects.delete", "storage.objects.overrideUnlockedRetention"},
       .retention = R"({"mode":"Unlocked","retainUntilTime":"2099-01-01T00:00:00Z"})"});
  EXPECT_EQ(unlocked.verdict.destroyable, Answer::kYes) << unlocked.verdict.sentence;
}

TEST_F(GcsDoctor, AServerThatDoesNotSayIsNotBelieved) {
  const StorageReport report = examine({.asks = false});
  EXPECT_EQ(answer_of(report, "remove"), Answer::kUnknown);
  EXPECT_EQ(report.verdict.destroyable, Answer::kUnknown) << report.verdict.sentence;
}

TEST_F(GcsDoctor, ABucketThatMayNotBeAskedPerhapsKeepsVersions) {
  const StorageReport report =
      examine({.permissions = {"storage.objects.create", "storage.objects.delete",
                               "storage.objects.get", "storage.objects.list"},
               .describes = false});
  EXPECT_EQ(report.rights.versioned, Answer::kUnknown);
  EXPECT_NE(report.verdict.destroyable, Answer::kNo) << report.verdict.sentence;
}

}  // namespace
}  // namespace salvor::test
