#include "storage/s3/s3_settings.h"

#include <gtest/gtest.h>

#include "support/storage_helpers.h"

namespace salvor::test {
namespace {

StorageOptions with(std::map<std::string, std::string> extended,
                    std::map<std::string, std::string> variables = {}) {
  StorageOptions options;
  options.extended = std::move(extended);
  options.environment = [variables](const std::string& name) {
    const auto found = variables.find(name);
    return found == variables.end() ? std::nullopt : std::optional(found->second);
  };
  return options;
}

TEST(S3Settings, UrlsAsResticWritesThem) {
  const struct {
    const char *url, *endpoint, *bucket, *prefix;
    bool tls;
  } cases[] = {{"s3.amazonaws.com/b", "s3.amazonaws.com", "b", "", true},
               {"//host/b/p/q/", "host", "b", "p/q", true},
               {"https://Host:443/b//x/./y", "host", "b", "x/y", true},
               {"http://127.0.0.1:9000/b/p", "127.0.0.1:9000", "b", "p", false},
               {"http://[::1]:9000/b", "[::1]:9000", "b", "", false}};
  for (const auto& expected : cases) {
    const S3Settings settings = s3_settings(expected.url, with({}));
    EXPECT_EQ(settings.endpoint, expected.endpoint) << expected.url;
    EXPECT_EQ(settings.bucket, expected.bucket);
    EXPECT_EQ(settings.prefix, expected.prefix);
    EXPECT_EQ(settings.tls, expected.tls);
  }
  for (const char* url : {"", "host", "host/", "https:///b", "http://user:pw@host/b", "host/b?x=1",
                          "host/b/../c", "ho st/b"}) {
    EXPECT_EQ(code_of([&] { (void)s3_settings(url, with({})); }), ErrorCode::kUsage) << url;
  }
  try {
    (void)s3_settings("http://user:topsecret@host/b", with({}));
  } catch (const Error& error) {
    EXPECT_EQ((error.message() + error.hint()).find("topsecret"), std::string::npos);
  }
}

TEST(S3Settings, BucketsAreInTheHostOnlyWhereThatWorks) {
  const auto by_host = [](const char* url, std::map<std::string, std::string> options = {}) {
    return s3_settings(url, with(std::move(options))).addressing == S3Addressing::kHost;
  };
  EXPECT_TRUE(by_host("s3.amazonaws.com/bucket"));
  EXPECT_FALSE(by_host("s3.amazonaws.com/bucket.with.dots"));
  EXPECT_FALSE(by_host("minio.example:9000/bucket"));
  EXPECT_TRUE(by_host("minio.example:9000/bucket", {{"s3.bucket-lookup", "dns"}}));
  EXPECT_FALSE(by_host("s3.amazonaws.com/bucket", {{"s3.bucket-lookup", "path"}}));
}

TEST(S3Settings, RegionsComeFromTheOptionTheHostOrTheEnvironment) {
  EXPECT_EQ(region_of_endpoint("s3.eu-west-1.amazonaws.com"), "eu-west-1");
  EXPECT_EQ(region_of_endpoint("s3-eu-west-1.amazonaws.com"), "eu-west-1");
  EXPECT_EQ(region_of_endpoint("s3.dualstack.us-gov-west-1.amazonaws.com"), "us-gov-west-1");
  EXPECT_EQ(region_of_endpoint("s3.cn-north-1.amazonaws.com.cn"), "cn-north-1");
  EXPECT_EQ(region_of_endpoint("s3.amazonaws.com"), "");
  EXPECT_EQ(region_of_endpoint("s3.eu-west-1.example.com"), "");
  const std::map<std::string, std::string> variables{{"AWS_REGION", "ap-south-1"}};
  EXPECT_EQ(s3_settings("s3.amazonaws.com/b", with({}, variables)).region, "ap-south-1");
  EXPECT_EQ(s3_settings("s3.amazonaws.com/b", with({{"s3.region", "x-1"}}, variables)).region,
            "x-1");
  EXPECT_EQ(s3_settings("s3.amazonaws.com/b", with({})).region, "us-east-1");
}

TEST(S3Settings, GooglesInterfaceGetsNoConditions) {
  EXPECT_TRUE(s3_settings("host/b", with({})).conditional_put);
  EXPECT_FALSE(s3_settings("storage.googleapis.com/b", with({})).conditional_put);
  EXPECT_TRUE(s3_settings("storage.googleapis.com/b", with({{"s3.conditional-put", "true"}}))
                  .conditional_put);
}

TEST(S3Settings, OptionsThatMakeNoSenseAreRefused) {
  for (const std::map<std::string, std::string>& options :
       {std::map<std::string, std::string>{{"s3.colour", "red"}},
        {{"s3.connections", "0"}},
        {{"s3.connections", "many"}},
        {{"s3.bucket-lookup", "magic"}},
        {{"s3.list-objects-v1", "maybe"}},
        {{"s3.storage-class", "DEEP_ARCHIVE"}},
        {{"s3.object-lock", "governance"}},
        {{"s3.object-lock-days", "5"}},
        {{"s3.sse", "AES256"}, {"s3.sse-kms-key-id", "key"}}}) {
    EXPECT_EQ(code_of([&] { (void)s3_settings("host/b", with(options)); }), ErrorCode::kUsage)
        << options.begin()->first;
  }
  EXPECT_NO_THROW((void)s3_settings("host/b", with({{"sftp.args", "x"}})));  // another storage's
}

}  // namespace
}  // namespace salvor::test
