#include "storage/gcs/gcs_credentials.h"

#include <fstream>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "storage/gcs/jwt.h"
#include "support/http_server.h"
#include "support/storage_helpers.h"
#include "support/temp_directory.h"
#include "support/test_context.h"

namespace salvor::test {
namespace {

// An RSA key made for this run, and what verifies its signatures.
class RsaKey {
 public:
  explicit RsaKey(unsigned bits = 2048) : key_(EVP_RSA_gen(bits), &EVP_PKEY_free) {}
  [[nodiscard]] std::string pem() const {
    const std::unique_ptr<BIO, decltype(&BIO_free)> memory(BIO_new(BIO_s_mem()), &BIO_free);
    PEM_write_bio_PrivateKey(memory.get(), key_.get(), nullptr, nullptr, 0, nullptr, nullptr);
    char* text = nullptr;
    const long size = BIO_get_mem_data(memory.get(), &text);
    return {text, static_cast<size_t>(size)};
  }
  // The claims of a token whose signature is this key's; nothing otherwise.
  [[nodiscard]] nlohmann::json verified(const std::string& token) const {
    const size_t last = token.rfind('.');
    const size_t first = token.find('.');
    const std::string signature = decoded(token.substr(last + 1));
    const std::string text = token.substr(0, last);
    const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> verifier(EVP_MD_CTX_new(),
                                                                           &EVP_MD_CTX_free);
    if (EVP_DigestVerifyInit(verifier.get(), nullptr, EVP_sha256(), nullptr, key_.get()) != 1 ||
        EVP_DigestVerify(verifier.get(), reinterpret_cast<const unsigned char*>(signature.data()),
                         signature.size(), reinterpret_cast<const unsigned char*>(text.data()),
                         text.size()) != 1) {
      return {};
    }
    const auto header = nlohmann::json::parse(decoded(token.substr(0, first)));
    auto claims = nlohmann::json::parse(decoded(token.substr(first + 1, last - first - 1)));
    claims["header"] = header;
    return claims;
  }

 private:
  static std::string decoded(std::string text) {
    for (char& c : text) {
      c = c == '-' ? '+' : c == '_' ? '/' : c;
    }
    text.append((4 - text.size() % 4) % 4, '=');
    Buffer out;
    EXPECT_TRUE(from_base64(text, out));
    return std::string(as_text(out.view()));
  }

  std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key_;
};

class Tokens : public testing::Test {
 protected:
  GcsTokenSource source(std::map<std::string, std::string> variables) {
    variables.try_emplace("GCE_METADATA_HOST", "127.0.0.1:1");
    StorageOptions options;
    options.http.proxy = "";
    options.environment = [variables](const std::string& name) {
      const auto found = variables.find(name);
      return found == variables.end() ? std::nullopt : std::optional(found->second);
    };
    return GcsTokenSource(options);
  }
  std::string token(std::map<std::string, std::string> variables) {
    GcsTokenSource from = source(std::move(variables));
    return std::string(from.get(*context_).reveal());
  }
  Error error(std::map<std::string, std::string> variables) {
    try {
      (void)token(std::move(variables));
    } catch (const Error& error) {
      return error;
    }
    return {ErrorCode::kFailed, "nothing was thrown"};
  }
  std::string account(const std::string& token_uri, const std::string& pem) {
    return nlohmann::json{{"type", "service_account"},
                          {"project_id", "my-project"},
                          {"private_key_id", "key-1"},
                          {"private_key", pem},
                          {"client_email", "backup@my-project.iam.gserviceaccount.com"},
                          {"token_uri", token_uri}}
        .dump();
  }
  std::string file(const std::string& name, const std::string& text) {
    std::ofstream(directory_ / name) << text;
    return (directory_ / name).string();
  }
  // A form's field, decoded.
  static std::string field(const std::string& form, const std::string& name) {
    const size_t at = ("&" + form).find("&" + name + "=");
    if (at == std::string::npos) {
      return {};
    }
    const size_t begin = at + name.size() + 1;
    return percent_decode(form.substr(begin, form.find('&', begin) - begin)).value_or("");
  }

  TempDirectory directory_{TempPlace::kMemory};
  TestContext context_;
};

// Gives a token for every statement that the key has signed and whose time is near.
class TokenServer {
 public:
  explicit TokenServer(const RsaKey& key, WallTime now = SystemClock().now())
      : key_(key), now_(now) {}
  ServedReply operator()(const ServedRequest& request) {
    const auto begin = request.body.find("&assertion=");
    const auto claims = key_.verified(request.body.substr(begin + 11));
    const auto now =
        std::chrono::duration_cast<std::chrono::seconds>(now_.time_since_epoch()).count();
    ServedReply reply;
    reply.headers["Date"] = date_;
    if (claims.is_null() ||
        !request.body.starts_with(
            "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&")) {
      reply.status = 400;
      reply.body = R"({"error":"invalid_grant","error_description":"Invalid JWT Signature."})";
    } else if (std::abs(claims.value("iat", int64_t{0}) - now) > 300) {
      reply.status = 400;
      reply.body = R"({"error":"invalid_grant","error_description":"Invalid JWT: Token must be )"
                   R"(a short-lived token (60 minutes) and in a reasonable timeframe."})";
    } else {
      last_claims = claims;
      reply.body = R"({"access_token":"token-)" + std::to_string(++count) +
                   R"(","expires_in":3599,"token_type":"Bearer"})";
    }
    return reply;
  }
  void set_date(std::string date) { date_ = std::move(date); }

  nlohmann::json last_claims;
  int count = 0;

 private:
  const RsaKey& key_;
  const WallTime now_;
  std::string date_ = "Sat, 01 Jan 2000 00:00:00 GMT";
};

TEST_F(Tokens, AServiceAccountsKeySignsForOne) {
  const RsaKey key;
  TokenServer tokens(key, (*context_).clock.now());
  HttpServer server([&](const ServedRequest& request) { return tokens(request); });
  const std::string json = account(server.url("/token"), key.pem());
  EXPECT_EQ(token({{"GOOGLE_APPLICATION_CREDENTIALS", file("key.json", json)}}), "token-1");
  EXPECT_EQ(tokens.last_claims.value("iss", ""), "backup@my-project.iam.gserviceaccount.com");
  EXPECT_EQ(tokens.last_claims.value("aud", ""), server.url("/token"));
  EXPECT_EQ(tokens.last_claims.value("scope", ""),
            "https://www.googleapis.com/auth/devstorage.read_write");
  EXPECT_EQ(
      tokens.last_claims.value("exp", int64_t{0}) - tokens.last_claims.value("iat", int64_t{0}),
      3600);
  EXPECT_EQ(tokens.last_claims["header"],
            nlohmann::json({{"alg", "RS256"}, {"typ", "JWT"}, {"kid", "key-1"}}));
  // The same in a variable, as it is and in base64, broken into lines as `base64` does.
  EXPECT_EQ(token({{"GCS_CREDENTIALS", json}}), "token-2");
  std::string encoded = to_base64(as_bytes(json));
  for (size_t at = 76; at < encoded.size(); at += 77) {
    encoded.insert(at, "\n");
  }
  GcsTokenSource from = source({{"GCS_CREDENTIALS", encoded + "\n"}});
  EXPECT_EQ(from.get(*context_).reveal(), "token-3");
  EXPECT_EQ(from.get(*context_).reveal(), "token-3");  // it is kept
  EXPECT_EQ(from.project(), "my-project");
}

TEST_F(Tokens, AreRenewedBeforeTheyExpireAndWhenRefused) {
  const RsaKey key;
  TokenServer tokens(key, (*context_).clock.now());
  HttpServer server([&](const ServedRequest& request) { return tokens(request); });
  GcsTokenSource from = source({{"GCS_CREDENTIALS", account(server.url(), key.pem())}});
  const Secret first = from.get(*context_);
  EXPECT_EQ(first.reveal(), "token-1");
  EXPECT_TRUE(from.renew(first));
  EXPECT_EQ(from.get(*context_).reveal(), "token-2");
  EXPECT_TRUE(from.renew(first));  // another thread has seen to that
  EXPECT_EQ(from.get(*context_).reveal(), "token-2");
  EXPECT_EQ(tokens.count, 2);

  GcsTokenSource fixed = source({{"GOOGLE_ACCESS_TOKEN", "given"}});
  const Secret given = fixed.get(*context_);
  EXPECT_EQ(given.reveal(), "given");
  EXPECT_FALSE(fixed.renew(given));
}

TEST_F(Tokens, AWrongClockIsCorrectedByTheServers) {
  const RsaKey key;
  const WallTime here = (*context_).clock.now();
  TokenServer tokens(key, here + std::chrono::hours(2));
  const time_t there = std::chrono::system_clock::to_time_t(
      std::chrono::time_point_cast<std::chrono::system_clock::duration>(here +
                                                                        std::chrono::hours(2)));
  std::tm utc{};
  ::gmtime_r(&there, &utc);
  std::array<char, 64> date{};
  (void)std::strftime(date.data(), date.size(), "%a, %d %b %Y %H:%M:%S GMT", &utc);
  tokens.set_date(date.data());
  HttpServer server([&](const ServedRequest& request) { return tokens(request); });
  EXPECT_EQ(token({{"GCS_CREDENTIALS", account(server.url(), key.pem())}}), "token-1");
  EXPECT_EQ(server.requests().size(), 2U);
  EXPECT_EQ(context_.events.events().size(), 1U);  // and said so
}

TEST_F(Tokens, RefusalsSayWhyAndNothingSecret) {
  const RsaKey key;
  const RsaKey other;
  TokenServer tokens(key, (*context_).clock.now());
  HttpServer server([&](const ServedRequest& request) { return tokens(request); });
  Error refused = error({{"GCS_CREDENTIALS", account(server.url(), other.pem())}});
  EXPECT_EQ(refused.code(), ErrorCode::kPermission);
  EXPECT_NE(refused.message().find("Invalid JWT Signature"), std::string::npos);
  EXPECT_NE(refused.hint().find("key has been deleted"), std::string::npos) << refused.hint();

  const std::string secret = "MIIEvQIBADANBgkqhkiG";
  refused = error({{"GCS_CREDENTIALS", account(server.url(), secret)}});
  EXPECT_EQ(refused.code(), ErrorCode::kPermission);
  EXPECT_EQ((refused.message() + refused.hint()).find(secret), std::string::npos);
  refused = error({{"GCS_CREDENTIALS", account(server.url(), RsaKey(1024).pem())}});
  EXPECT_NE(refused.message().find("2048"), std::string::npos);

  refused = error({{"GCS_CREDENTIALS", "/path/to/key.json"}});
  EXPECT_NE(refused.hint().find("GOOGLE_APPLICATION_CREDENTIALS"), std::string::npos);
  refused = error({{"GOOGLE_APPLICATION_CREDENTIALS", "/nonexistent/key.json"}});
  EXPECT_EQ(refused.code(), ErrorCode::kNotFound);
  EXPECT_NE(refused.message().find("/nonexistent/key.json"), std::string::npos);
  // A key is never sent in the clear over a network.
  refused = error({{"GCS_CREDENTIALS", account("http://example.com/token", key.pem())}});
  EXPECT_NE(refused.message().find("https"), std::string::npos) << refused.message();
  refused = error({});
  EXPECT_EQ(refused.code(), ErrorCode::kPermission);
  EXPECT_NE(refused.hint().find("GOOGLE_APPLICATION_CREDENTIALS"), std::string::npos);
}

TEST_F(Tokens, OfUsersAndFederatedIdentities) {
  HttpServer server([&](const ServedRequest& request) {
    ServedReply reply;
    if (request.target == "/user" && field(request.body, "refresh_token") == "r/1" &&
        field(request.body, "client_secret") == "s&s" &&
        field(request.body, "grant_type") == "refresh_token") {
      reply.body = R"({"access_token":"of-user","expires_in":3599})";
    } else if (request.target == "/sts" && field(request.body, "subject_token") == "github's" &&
               field(request.body, "audience") == "//iam/pools/p" &&
               field(request.body, "grant_type") ==
                   "urn:ietf:params:oauth:grant-type:token-exchange") {
      reply.body = R"({"access_token":"federated","expires_in":3599})";
    } else if (request.target == "/impersonate" &&
               request.headers.at("authorization") == "Bearer federated") {
      reply.body = R"({"accessToken":"impersonated","expireTime":"2200-01-01T00:00:00Z"})";
    } else if (request.target == "/github" && request.headers.at("authorization") == "bearer x") {
      reply.body = R"({"value":"github's"})";
    } else {
      reply.status = 400;
      reply.body = "{}";
    }
    return reply;
  });
  const nlohmann::json user{{"type", "authorized_user"},
                            {"client_id", "i"},
                            {"client_secret", "s&s"},
                            {"refresh_token", "r/1"},
                            {"token_uri", server.url("/user")}};
  EXPECT_EQ(token({{"GCS_CREDENTIALS", user.dump()}}), "of-user");
  std::filesystem::create_directories(directory_.path() / ".config/gcloud");
  file(".config/gcloud/application_default_credentials.json", user.dump());
  EXPECT_EQ(token({{"HOME", directory_.path().string()}}), "of-user");

  nlohmann::json federated{{"type", "external_account"},
                           {"audience", "//iam/pools/p"},
                           {"subject_token_type", "urn:ietf:params:oauth:token-type:jwt"},
                           {"token_url", server.url("/sts")},
                           {"credential_source", {{"file", file("token", "github's\n")}}}};
  EXPECT_EQ(token({{"GCS_CREDENTIALS", federated.dump()}}), "federated");
  federated["credential_source"] = {
      {"url", server.url("/github")},
      {"headers", {{"Authorization", "bearer x"}}},
      {"format", {{"type", "json"}, {"subject_token_field_name", "value"}}}};
  federated["service_account_impersonation_url"] = server.url("/impersonate");
  EXPECT_EQ(token({{"GCS_CREDENTIALS", federated.dump()}}), "impersonated");
}

TEST_F(Tokens, OfImpersonatedAccounts) {
  HttpServer server([&](const ServedRequest& request) {
    const auto by = request.headers.find("authorization");
    if (request.target == "/user") {
      return ServedReply{.body = R"({"access_token":"base","expires_in":3599})"};
    }
    return by != request.headers.end() && by->second == "Bearer base"
               ? ServedReply{.body =
                                 R"({"accessToken":"other","expireTime":"2200-01-01T00:00:00Z"})"}
               : ServedReply{.status = 403};
  });
  nlohmann::json source{{"type", "authorized_user"},
                        {"client_id", "i"},
                        {"client_secret", "s"},
                        {"refresh_token", "r"},
                        {"token_uri", server.url("/user")}};
  const auto impersonating = [&](const nlohmann::json& base) {
    return nlohmann::json{{"type", "impersonated_service_account"},
                          {"service_account_impersonation_url", server.url("/impersonate")},
                          {"source_credentials", base}};
  };
  EXPECT_EQ(token({{"GCS_CREDENTIALS", impersonating(source).dump()}}), "other");
  // Whoever nests them for ever gets nowhere.
  for (int i = 0; i < 20; ++i) {
    source = impersonating(source);
  }
  EXPECT_EQ(error({{"GCS_CREDENTIALS", source.dump()}}).code(), ErrorCode::kPermission);
}

TEST_F(Tokens, WhatProvidersRefuseIsSaid) {
  ServedReply provider;
  ServedReply impersonation;
  HttpServer server([&](const ServedRequest& request) {
    return request.target == "/provider"      ? provider
           : request.target == "/impersonate" ? impersonation
                                              : ServedReply{.body = R"({"access_token":"f"})"};
  });
  nlohmann::json account{{"type", "external_account"},
                         {"audience", "//iam/pools/p"},
                         {"subject_token_type", "urn:ietf:params:oauth:token-type:jwt"},
                         {"token_url", server.url("/sts")},
                         {"credential_source", {{"url", server.url("/provider")}}}};
  const auto refused = [&] { return error({{"GCS_CREDENTIALS", account.dump()}}); };
  const auto expect = [](const Error& error, ErrorCode code, const std::string& text) {
    EXPECT_EQ(error.code(), code);
    EXPECT_NE(error.message().find(text), std::string::npos) << error.message();
  };
  provider.status = 401;
  expect(refused(), ErrorCode::kPermission, "the identity provider that GCS_CREDENTIALS");
  provider.status = 503;
  expect(refused(), ErrorCode::kUnreachable, "status 503");
  provider = {.body = " \n"};
  expect(refused(), ErrorCode::kPermission, "has no token where it says it is");
  account["credential_source"]["format"] = {{"type", "json"},
                                            {"subject_token_field_name", "value"}};
  provider.body = R"({"another":"field"})";
  expect(refused(), ErrorCode::kPermission, "has no token where it says it is");
  provider.body = R"({"value":"t"})";
  account["service_account_impersonation_url"] = server.url("/impersonate");
  impersonation = {.status = 403, .body = "no JSON"};
  expect(refused(), ErrorCode::kPermission, "cannot be impersonated: status 403");
  impersonation = {.status = 500};
  expect(refused(), ErrorCode::kUnreachable, "cannot be impersonated: status 500");
  account["credential_source"] = {{"environment_id", "aws1"}};
  expect(refused(), ErrorCode::kPermission, "neither from a file nor from a URL");
  account.erase("credential_source");
  EXPECT_EQ(refused().code(), ErrorCode::kPermission);

  expect(error({{"GCS_CREDENTIALS", R"({"type":"door"})"}}), ErrorCode::kPermission,
         "of the type door, which cannot be used here");
  expect(error({{"GCS_CREDENTIALS", R"({"type":"service_account"})"}}), ErrorCode::kPermission,
         "incomplete: no private_key");
  file("key.json", "[]");
  expect(error({{"GOOGLE_APPLICATION_CREDENTIALS", (directory_ / "key.json").string()}}),
         ErrorCode::kPermission, "not a JSON object");
}

TEST_F(Tokens, OfTheMachine) {
  HttpServer server([&](const ServedRequest& request) {
    ServedReply reply;
    const bool right =
        request.target == "/computeMetadata/v1/instance/service-accounts/default/token" &&
        request.headers.at("metadata-flavor") == "Google";
    reply.status = right ? 200 : 400;
    reply.headers["Metadata-Flavor"] = "Google";
    reply.body = R"({"access_token":"of-machine","expires_in":3599})";
    return reply;
  });
  const std::string host = "127.0.0.1:" + std::to_string(server.port());
  EXPECT_EQ(token({{"GCE_METADATA_HOST", host}}), "of-machine");
  // Something else at that address (other clouds have their own service there) is not it.
  HttpServer other([](const ServedRequest&) { return ServedReply{.body = "{}"}; });
  EXPECT_EQ(error({{"GCE_METADATA_HOST", "127.0.0.1:" + std::to_string(other.port())}}).code(),
            ErrorCode::kPermission);
  for (const auto& [status, code] : {std::pair{429, ErrorCode::kUnreachable},
                                     {503, ErrorCode::kUnreachable},
                                     {403, ErrorCode::kPermission},
                                     {200, ErrorCode::kPermission}}) {  // without a token in it
    HttpServer refusing([status](const ServedRequest&) {
      return ServedReply{
          .status = status, .headers = {{"Metadata-Flavor", "Google"}}, .body = "{}"};
    });
    EXPECT_EQ(error({{"GCE_METADATA_HOST", "127.0.0.1:" + std::to_string(refusing.port())}}).code(),
              code)
        << status;
  }
}

TEST_F(Tokens, StayThoseOfTheSourceTheyCameFrom) {
  const ServedReply good{.headers = {{"Metadata-Flavor", "Google"}},
                         .body = R"({"access_token":"of-machine","expires_in":3599})"};
  ChangingReply reply;
  reply = good;
  HttpServer server([&](const ServedRequest&) { return reply.now(); });
  GcsTokenSource machine =
      source({{"GCE_METADATA_HOST", "127.0.0.1:" + std::to_string(server.port())},
              {"CLOUDSDK_CONFIG", directory_.path().string()}});
  const Secret first = machine.get(*context_);
  EXPECT_EQ(first.reveal(), "of-machine");
  EXPECT_TRUE(machine.renew(first));
  // A login that turns up is another identity's, and an outage is no reason to be without any.
  file("application_default_credentials.json", account(server.url(), "no key"));
  EXPECT_EQ(machine.get(*context_).reveal(), "of-machine");
  EXPECT_TRUE(machine.renew(first));
  reply = ServedReply{.status = 404};
  EXPECT_EQ(code_of([&] { (void)machine.get(*context_); }), ErrorCode::kUnreachable);
  reply = ServedReply{.no_reply = true};
  EXPECT_EQ(code_of([&] { (void)machine.get(*context_); }), ErrorCode::kUnreachable);
  reply = good;
  EXPECT_EQ(machine.get(*context_).reveal(), "of-machine");
}

TEST_F(Tokens, TheTokenServiceMayBeOverloadedOrRefuse) {
  ServedReply reply;
  HttpServer server([&](const ServedRequest&) { return reply; });
  const nlohmann::json user{{"type", "authorized_user"},
                            {"client_id", "i"},
                            {"client_secret", "s"},
                            {"refresh_token", "r"},
                            {"token_uri", server.url("/user")}};
  const auto refused = [&] { return error({{"GCS_CREDENTIALS", user.dump()}}); };
  for (const int status : {408, 429, 500, 503}) {
    reply = {.status = status, .headers = {{"Retry-After", "7"}}};
    EXPECT_EQ(refused().code(), ErrorCode::kUnreachable) << status;
    EXPECT_EQ(refused().advice().after, std::chrono::seconds(7)) << status;
  }
  reply = {.status = 400,
           .body = R"({"error":"invalid_grant","error_description":"Token has been revoked."})"};
  EXPECT_EQ(refused().code(), ErrorCode::kPermission);
  EXPECT_NE(refused().hint().find("application-default login"), std::string::npos);
}

}  // namespace
}  // namespace salvor::test
