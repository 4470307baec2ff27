#include "storage/azure/azure_credentials.h"

#include <array>
#include <charconv>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/fd.h"
#include "base/format.h"
#include "net/subprocess.h"

namespace salvor {
namespace {

constexpr uint64_t kFileLimit = 1 << 20;
constexpr auto kMachineTimeout = std::chrono::milliseconds(2000);
constexpr const char* kResource = "https://storage.azure.com/";

std::string text_of(const nlohmann::json& json, const char* key) {
  return json.is_object() && json.contains(key) && json.at(key).is_string()
             ? json.at(key).get<std::string>()
             : std::string();
}

// Some services write numbers as text.
std::optional<int64_t> number_of(const nlohmann::json& json, const char* key) {
  if (json.is_object() && json.contains(key) && json.at(key).is_number_integer()) {
    return json.at(key).get<int64_t>();
  }
  const std::string text = text_of(json, key);
  int64_t value = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  return !text.empty() && parsed.ec == std::errc() && parsed.ptr == text.data() + text.size()
             ? std::optional(value)
             : std::nullopt;
}

std::string first_word(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t\r\n");
  return begin == std::string_view::npos
             ? std::string()
             : std::string(text.substr(begin, text.find_first_of(" \t\r\n", begin) - begin));
}

}  // namespace

AzureTokenSource::AzureTokenSource(StorageOptions options)
    : options_(std::move(options)),
      client_(options_.http),
      cache_([this](const Context& context) { return fetch(context); }) {}

AccessToken AzureTokenSource::fetch(const Context& context) {
  const auto& variable = options_.environment;
  const std::string tenant = variable("AZURE_TENANT_ID").value_or("");
  const std::string client = variable("AZURE_CLIENT_ID").value_or("");
  const bool only_program = variable("AZURE_FORCE_CLI_CREDENTIAL").value_or("") == "true";
  if (!only_program) {
    const auto secret = variable("AZURE_CLIENT_SECRET");
    const auto file = variable("AZURE_FEDERATED_TOKEN_FILE");
    if ((secret || file) && (tenant.empty() || client.empty())) {
      throw Error(ErrorCode::kPermission,
                  "the Azure credentials of the environment are incomplete: " +
                      std::string(tenant.empty() ? "AZURE_TENANT_ID" : "AZURE_CLIENT_ID") +
                      " is not set");
    }
    if (secret) {
      return from_authority(context, tenant, "&client_secret=" + percent_encode(*secret),
                            "AZURE_CLIENT_SECRET");
    }
    if (file) {
      const std::string token = first_word(as_text(read_file(*file, kFileLimit).view()));
      return from_authority(context, tenant,
                            "&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-"
                            "type%3Ajwt-bearer&client_assertion=" +
                                percent_encode(token),
                            "AZURE_FEDERATED_TOKEN_FILE");
    }
    if (source_ != Source::kProgram) {
      if (auto token = from_machine(context)) {
        source_ = Source::kMachine;
        return std::move(*token);
      }
    }
  }
  if (auto token = from_program()) {
    source_ = Source::kProgram;
    return std::move(*token);
  }
  if (source_ == Source::kProgram) {
    throw Error(ErrorCode::kUnreachable, "az gives no token any more",
                "Look with: az account get-access-token. Perhaps to be logged in again: az login.");
  }
  throw Error(ErrorCode::kPermission, "no Azure credentials were found",
              "Set AZURE_ACCOUNT_KEY or AZURE_ACCOUNT_SAS. Looked for those, for an application's "
              "secret (AZURE_CLIENT_SECRET), workload identity, managed identity and az login.");
}

AccessToken AzureTokenSource::from_authority(const Context& context, const std::string& tenant,
                                             const std::string& proof, const std::string& origin) {
  std::string authority =
      options_.environment("AZURE_AUTHORITY_HOST").value_or("https://login.microsoftonline.com");
  while (authority.ends_with('/')) {
    authority.pop_back();
  }
  // Secrets are only ever sent over TLS, or to this machine.
  if (!authority.starts_with("https://") && !authority.starts_with("http://127.0.0.1:")) {
    throw Error(ErrorCode::kPermission,
                "AZURE_AUTHORITY_HOST is no https:// address: " + printable(authority));
  }
  const std::string form =
      "grant_type=client_credentials&scope=" + percent_encode(std::string(kResource) + ".default") +
      "&client_id=" + percent_encode(options_.environment("AZURE_CLIENT_ID").value_or("")) + proof;
  const ByteView body = as_bytes(form);
  const HttpResponse response = client_.request(
      context, {.method = "POST",
                .url = authority + "/" + percent_encode(tenant) + "/oauth2/v2.0/token",
                .headers = {{"Content-Type", "application/x-www-form-urlencoded"}},
                .body = {&body, 1}});
  return parse(context, response, origin);
}

std::optional<AccessToken> AzureTokenSource::from_machine(const Context& context) {
  const auto& variable = options_.environment;
  const auto endpoint = variable("IDENTITY_ENDPOINT");
  const auto header = variable("IDENTITY_HEADER");
  const std::string client = variable("AZURE_CLIENT_ID").value_or("");
  const std::string which = "resource=" + percent_encode(kResource) +
                            (client.empty() ? "" : "&client_id=" + percent_encode(client));
  HttpRequest request{.timeout = kMachineTimeout, .direct = true};
  if (endpoint && header) {
    request.url = *endpoint + "?api-version=2019-08-01&" + which;
    request.headers = {{"X-IDENTITY-HEADER", *header}};
  } else {
    request.url = variable("AZURE_POD_IDENTITY_AUTHORITY_HOST").value_or("http://169.254.169.254") +
                  "/metadata/identity/oauth2/token?api-version=2018-02-01&" + which;
    request.headers = {{"Metadata", "true"}};
  }
  bool certain = endpoint.has_value() || source_ == Source::kMachine;
  HttpResponse response;
  try {
    response = client_.request(context, request);
  } catch (const Error& error) {
    if (error.retryable() && !certain) {
      return std::nullopt;  // no such service: this is not one of Azure's machines
    }
    throw;
  }
  // Azure's own says so; 404 and 410 mean that it is being updated, which takes a minute. A machine
  // without an identity answers 400, other clouds what they like.
  certain = certain || response.header("server").value_or("").starts_with("IMDS");
  if (response.status == 410 || (response.status == 404 && certain)) {
    throw Error(ErrorCode::kUnreachable, "the machine's metadata service answered with status " +
                                             std::to_string(response.status));
  }
  if (source_ != Source::kMachine && !endpoint && response.status >= 400 && response.status < 500 &&
      response.status != 429) {
    return std::nullopt;
  }
  return parse(context, response, "managed identity");
}

// The command-line program of Azure, where somebody has logged in.
std::optional<AccessToken> AzureTokenSource::from_program() {
  Subprocess program(
      {.arguments = {"sh", "-c",
                     "command -v az >/dev/null || exit 127; exec az account get-access-token "
                     "--output json --resource \"$0\" 2>/dev/null",
                     kResource}});
  std::string output;
  std::array<std::byte, 4096> buffer;
  while (const size_t got = program.read(buffer)) {
    output += as_text(ByteView(buffer).first(got));
    if (output.size() > kFileLimit) {
      return std::nullopt;  // no token is so long
    }
  }
  if (!program.wait().success()) {
    return std::nullopt;
  }
  const auto json = nlohmann::json::parse(output, nullptr, false);
  const std::string value = text_of(json, "accessToken");
  if (value.empty()) {
    return std::nullopt;
  }
  AccessToken token{.value = Secret(value), .expires = std::nullopt};
  if (const auto expires = number_of(json, "expires_on")) {
    token.expires = WallTime(std::chrono::seconds(*expires));
  }
  return token;
}

AccessToken AzureTokenSource::parse(const Context& context, const HttpResponse& response,
                                    const std::string& origin) {
  const auto json = nlohmann::json::parse(as_text(response.body.view()), nullptr, false);
  const std::string value = text_of(json, "access_token");
  if (!response.success() || value.empty()) {
    // The first line; the others are numbers for support.
    std::string words = text_of(json, "error_description");
    words.resize(std::min(words.find_first_of("\r\n"), words.size()));
    const std::string code = text_of(json, "error");
    const std::string text =
        "Entra ID gives no token for " + origin + ": " +
        (code.empty() ? "status " + std::to_string(response.status) : printable(code)) +
        (words.empty() ? "" : " (" + printable(words) + ")");
    if (response.status >= 500 || response.status == 429 || response.status == 408) {
      throw Error(ErrorCode::kUnreachable, text)
          .advise({.after = retry_after(response).value_or(std::chrono::milliseconds(0))});
    }
    throw Error(ErrorCode::kPermission, text,
                "Check AZURE_TENANT_ID and AZURE_CLIENT_ID, and that the secret or the trust in "
                "the token's issuer has not ended.");
  }
  AccessToken token{.value = Secret(value), .expires = std::nullopt};
  if (const auto seconds = number_of(json, "expires_in")) {
    token.expires =
        context.clock.now() + std::chrono::seconds(std::clamp<int64_t>(*seconds, 0, 172'800));
  } else if (const auto expires = number_of(json, "expires_on")) {
    token.expires = WallTime(std::chrono::seconds(*expires));
  }
  return token;
}

}  // namespace salvor
