#include "storage/s3/s3_versions.h"

#include <gtest/gtest.h>

#include "storage/s3/s3_client.h"
#include "support/errors.h"
#include "support/http_server.h"
#include "support/s3_keys.h"
#include "support/test_context.h"

namespace salvor {
namespace {

TEST(S3Versions, AreReadInTheOrderOfTheReply) {
  const S3VersionsPage page = parse_s3_versions(
      parse_xml(
          "<ListVersionsResult><IsTruncated>true</IsTruncated><NextKeyMarker>k/b</NextKeyMarker>"
          "<NextVersionIdMarker>v3</NextVersionIdMarker>"
          "<DeleteMarker><Key>k/a</Key><VersionId>v2</VersionId><IsLatest>true</IsLatest>"
          "<LastModified>2026-11-21T10:48:15.5Z</LastModified></DeleteMarker>"
          "<Version><Key>k/a</Key><VersionId>v1</VersionId><IsLatest>false</IsLatest>"
          "<LastModified>2026-11-21T10:48:12Z</LastModified><Size>42</Size></Version>"
          "</ListVersionsResult>"),
      "x");
  ASSERT_EQ(page.versions.size(), 2U);
  EXPECT_TRUE(page.versions[0].marker);
  EXPECT_TRUE(page.versions[0].latest);
  EXPECT_EQ(page.versions[1].id, "v1");
  EXPECT_EQ(page.versions[1].size_bytes, 42U);
  EXPECT_EQ(page.versions[0].modified - page.versions[1].modified, std::chrono::milliseconds(3500));
  EXPECT_EQ(page.next_key, "k/b");
  EXPECT_EQ(page.next_id, "v3");
}

// versitygw stamps the version with the time when it was written over (10:48:12); it was made at
// 10:48:09, as its id says.
TEST(S3Versions, ATimeInTheIdCounts) {
  const auto modified = [](const std::string& id) {
    return parse_s3_versions(
               parse_xml("<ListVersionsResult><Version><Key>a</Key><VersionId>" + id +
                         "</VersionId><LastModified>2026-11-21T10:48:12Z</LastModified>"
                         "<Size>3</Size></Version></ListVersionsResult>"),
               "x")
        .versions[0]
        .modified;
  };
  const WallTime stamp{std::chrono::seconds(1795258092)};
  const auto made = stamp - modified("01M7YVH066HZM4ZDG659XE51Q5");
  EXPECT_GT(made, std::chrono::seconds(2));
  EXPECT_LT(made, std::chrono::seconds(4));
  for (const char* id :
       {"null", "5657c3a5-c9cd-4fee-9cce-291bff7a18d3", "01M7YVH066HZM4ZDG659XE51Ql",
        "3/L4kqtJlcpXroDTDmJ+rmSpXd3dIbrHY+MTRCxf3vjVBH40Nr8X8gdRQBpUMLUo",
        "00000000000000000000000000", "7ZZZZZZZZZZZZZZZZZZZZZZZZZ"}) {
    EXPECT_EQ(modified(id), stamp) << id;
  }
}

TEST(S3Versions, WhatIsNoListIsRefused) {
  for (const char* reply :
       {"<ListBucketResult/>",
        "<ListVersionsResult><Version><Key>a</Key></Version></ListVersionsResult>",
        "<ListVersionsResult><Version><Key>a</Key><LastModified>2026-11-21T10:48:12Z</LastModified>"
        "<Size>-1</Size></Version></ListVersionsResult>",
        "<ListVersionsResult><IsTruncated>true</IsTruncated></ListVersionsResult>"}) {
    EXPECT_THROW((void)parse_s3_versions(parse_xml(reply), "x"), Error) << reply;
  }
}

std::string version(const std::string& key, const std::string& id) {
  return "<Version><Key>" + key + "</Key><VersionId>" + id +
         "</VersionId><LastModified>2026-11-21T10:48:12Z</LastModified><Size>3</Size></Version>";
}

class S3Past : public testing::Test {
 protected:
  PastObjectMap past(test::HttpServer& server) {
    const StorageOptions options = test::with_some_keys();
    S3Client client(s3_settings(server.url("/bucket/p"), options), options);
    return s3_past(*context_, client, (*context_).clock.now() + std::chrono::hours(24 * 36'500));
  }

  test::TestContext context_;
};

// A thousand versions are a page, and a repository has more.
TEST_F(S3Past, GoesOnWithTheNextPage) {
  const std::string a(64, 'a');
  const std::string b(64, 'b');
  test::HttpServer server([&](const test::ServedRequest& request) {
    const bool second =
        request.target.ends_with("&key-marker=p%2Findex%2F" + a + "&version-id-marker=v%2B1");
    EXPECT_TRUE(second || request.target.ends_with("&versions=")) << request.target;
    return test::ServedReply{
        .body = second ? "<ListVersionsResult>" + version("p/index/" + b, "v2") +
                             version("p/notes/of-somebody", "v3") + "</ListVersionsResult>"
                       : "<ListVersionsResult><IsTruncated>true</IsTruncated><NextKeyMarker>"
                         "p/index/" +
                             a + "</NextKeyMarker><NextVersionIdMarker>v+1</NextVersionIdMarker>" +
                             version("p/index/" + a, "v+1") + "</ListVersionsResult>"};
  });
  const PastObjectMap objects = past(server);
  ASSERT_EQ(objects.size(), 2U) << "others' objects are not part of it";
  EXPECT_EQ(objects.at({ObjectKind::kIndex, a}).version, "v+1");
  EXPECT_EQ(objects.at({ObjectKind::kIndex, b}).version, "v2");
  EXPECT_EQ(server.requests().size(), 2U);
}

TEST_F(S3Past, AListThatTurnsInACircleIsRefused) {
  test::HttpServer server([](const test::ServedRequest&) {
    return test::ServedReply{.body =
                                 "<ListVersionsResult><IsTruncated>true</IsTruncated>"
                                 "<NextKeyMarker>k</NextKeyMarker></ListVersionsResult>"};
  });
  const Error error = test::error_of([&] { (void)past(server); });
  EXPECT_NE(error.message().find("the list does not go on"), std::string::npos) << error.message();
}

}  // namespace
}  // namespace salvor
