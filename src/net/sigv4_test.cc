#include "net/sigv4.h"

#include <fstream>
#include <iomanip>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <openssl/evp.h>

#include "support/test_data.h"

namespace salvor {
namespace {

std::string sha256_hex(const std::string& text) {
  std::array<std::byte, 32> digest;
  EVP_Digest(text.data(), text.size(), reinterpret_cast<unsigned char*>(digest.data()), nullptr,
             EVP_sha256(), nullptr);
  return to_hex(digest);
}

WallTime time_of(const std::string& text) {
  std::tm fields{};
  std::istringstream(text) >> std::get_time(&fields, "%Y-%m-%dT%H:%M:%SZ");
  return WallTime(std::chrono::seconds(timegm(&fields)));
}

TEST(SigV4, SignsAsTheVectorsOfAwsSay) {
  const auto vectors = nlohmann::json::parse(std::ifstream(test::test_data("sigv4.json")));
  ASSERT_EQ(vectors.size(), 40U);
  for (const auto& vector : vectors) {
    const auto text = [&](const char* name) { return vector.at(name).get<std::string>(); };
    SCOPED_TRACE(text("name"));
    const AwsCredentials credentials{.access_key_id = text("access_key_id"),
                                     .secret_access_key = Secret(text("secret_access_key")),
                                     .session_token = Secret(text("session_token"))};
    std::vector<HttpHeader> headers;
    for (const auto& header : vector.at("headers")) {
      headers.push_back({header.at(0), header.at(1)});
    }
    const std::string method = text("method");
    const std::string host = text("host");
    const std::string path = text("path");
    const std::string query = text("query");
    const std::string region = text("region");
    const std::string service = text("service");
    const std::string payload = sha256_hex(text("body"));
    const SigV4Signature signature =
        sign_v4(credentials,
                {.method = method,
                 .host = host,
                 .path = path,
                 .query = query,
                 .headers = headers,
                 .payload_sha256 = payload},
                {.region = region,
                 .service = service,
                 .time = time_of(text("timestamp")),
                 .content_header = vector.at("sign_body").get<bool>(),
                 .encode_path_again = vector.at("encode_path_again").get<bool>(),
                 .normalize_path = vector.at("normalize").get<bool>()});
    EXPECT_EQ(signature.canonical_request, text("canonical_request"));
    if (text("string_to_sign").empty()) {
      continue;  // two vectors end here or one step later
    }
    EXPECT_EQ(signature.string_to_sign, text("string_to_sign"));
    if (text("signature").empty()) {
      continue;
    }
    const std::string& authorization = signature.headers.back().value;
    EXPECT_EQ(authorization.substr(authorization.rfind('=') + 1), text("signature"));
  }
}

TEST(SigV4, HeadersAreSortedByNameEvenWhereOneIsThePrefixOfAnother) {
  const std::vector<HttpHeader> headers{{"x-amz-server-side-encryption-aws-kms-key-id", "key"},
                                        {"x-amz-server-side-encryption", "aws:kms"}};
  const SigV4Signature signature =
      sign_v4({.access_key_id = "A", .secret_access_key = Secret("B")},
              {.method = "PUT", .host = "h", .path = "/", .headers = headers},
              {.region = "r", .time = WallTime{}});
  EXPECT_NE(signature.canonical_request.find("x-amz-server-side-encryption:aws:kms\n"
                                             "x-amz-server-side-encryption-aws-kms-key-id:key\n"),
            std::string::npos)
      << signature.canonical_request;
  EXPECT_EQ(signature.headers.at(1).name, "X-Amz-Content-Sha256");
}

}  // namespace
}  // namespace salvor
