#include "net/sigv4.h"

#include <algorithm>
#include <array>
#include <map>

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

namespace salvor {
namespace {

using Digest = std::array<std::byte, 32>;

Digest sha256_of(std::string_view text) {
  Digest digest;
  unsigned size = digest.size();
  if (EVP_Digest(text.data(), text.size(), reinterpret_cast<unsigned char*>(digest.data()), &size,
                 EVP_sha256(), nullptr) != 1) {
    throw Error(ErrorCode::kFailed, "OpenSSL cannot compute SHA-256");
  }
  return digest;
}

Digest hmac(ByteView key, std::string_view text) {
  Digest digest;
  unsigned size = digest.size();
  if (HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
           reinterpret_cast<const unsigned char*>(text.data()), text.size(),
           reinterpret_cast<unsigned char*>(digest.data()), &size) == nullptr) {
    throw Error(ErrorCode::kFailed, "OpenSSL cannot compute HMAC-SHA-256");
  }
  return digest;
}

// Without "." and ".." and empty components.
std::string normalized(std::string_view path) {
  std::vector<std::string_view> components;
  bool directory = false;
  for (size_t at = 0; at <= path.size();) {
    const size_t end = std::min(path.find('/', at), path.size());
    const std::string_view component = path.substr(at, end - at);
    directory = component.empty() || component == "." || component == "..";
    if (component == ".." && !components.empty()) {
      components.pop_back();
    } else if (!directory) {
      components.push_back(component);
    }
    at = end + 1;
  }
  std::string result = "/";
  for (const std::string_view component : components) {
    result.append(component).append("/");
  }
  if (!directory && result.size() > 1) {
    result.pop_back();
  }
  return result;
}

std::string canonical_path(std::string_view path, const SigV4Options& options) {
  std::string result = options.normalize_path ? normalized(path) : std::string(path);
  if (result.empty()) {
    result = "/";
  }
  return options.encode_path_again ? percent_encode(result, true) : result;
}

// Sorted by name, then value; a parameter without "=" has an empty value.
std::string canonical_query(std::string_view query) {
  std::vector<std::pair<std::string_view, std::string_view>> parameters;
  for (size_t at = 0; at < query.size();) {
    const size_t end = std::min(query.find('&', at), query.size());
    const std::string_view parameter = query.substr(at, end - at);
    const size_t equals = std::min(parameter.find('='), parameter.size());
    if (!parameter.empty()) {
      parameters.emplace_back(parameter.substr(0, equals),
                              parameter.substr(std::min(equals + 1, parameter.size())));
    }
    at = end + 1;
  }
  std::ranges::sort(parameters);
  std::string result;
  for (const auto& [name, value] : parameters) {
    result += fmt::format("{}{}={}", result.empty() ? "" : "&", name, value);
  }
  return result;
}

bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

// Trimmed, and every run of blanks made one.
std::string squeezed(std::string_view value) {
  std::string result;
  for (const char c : value) {
    if (!is_blank(c)) {
      result += c;
    } else if (!result.empty() && result.back() != ' ') {
      result += ' ';
    }
  }
  while (!result.empty() && result.back() == ' ') {
    result.pop_back();
  }
  return result;
}

}  // namespace

SigV4Signature sign_v4(const AwsCredentials& credentials, const SigV4Request& request,
                       const SigV4Options& options) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(options.time);
  const std::tm utc = fmt::gmtime(std::chrono::system_clock::to_time_t(seconds));
  const std::string timestamp = fmt::format("{:%Y%m%dT%H%M%SZ}", utc);
  const std::string scope =
      fmt::format("{}/{}/{}/aws4_request", timestamp.substr(0, 8), options.region, options.service);
  SigV4Signature signature;
  signature.headers.push_back({"X-Amz-Date", timestamp});
  if (!credentials.session_token.empty()) {
    signature.headers.push_back(
        {"X-Amz-Security-Token", std::string(credentials.session_token.reveal())});
  }
  if (options.content_header) {
    signature.headers.push_back({"X-Amz-Content-Sha256", std::string(request.payload_sha256)});
  }

  // Sorted by name alone ("a:" would come after "a-b:"); several values of a name in their order.
  std::map<std::string, std::string> headers{{"host", squeezed(request.host)}};
  const auto add = [&](const HttpHeader& header) {
    std::string name = header.name;
    std::ranges::transform(name, name.begin(), ::tolower);
    const auto [place, first] = headers.try_emplace(name);
    place->second += (first ? "" : ",") + squeezed(header.value);
  };
  std::ranges::for_each(request.headers, add);
  std::ranges::for_each(signature.headers, add);
  std::string lines;
  std::string names;
  for (const auto& [name, value] : headers) {
    lines += name + ":" + value + "\n";
    names += (names.empty() ? "" : ";") + name;
  }
  signature.canonical_request =
      fmt::format("{}\n{}\n{}\n{}\n{}\n{}", request.method, canonical_path(request.path, options),
                  canonical_query(request.query), lines, names, request.payload_sha256);
  signature.string_to_sign = fmt::format("AWS4-HMAC-SHA256\n{}\n{}\n{}", timestamp, scope,
                                         to_hex(sha256_of(signature.canonical_request)));

  std::string secret = "AWS4" + std::string(credentials.secret_access_key.reveal());
  Digest key = hmac(as_bytes(secret), timestamp.substr(0, 8));
  wipe(secret.data(), secret.size());
  for (const std::string_view step :
       {options.region, options.service, std::string_view("aws4_request")}) {
    key = hmac(key, step);
  }
  signature.headers.push_back(
      {"Authorization",
       fmt::format("AWS4-HMAC-SHA256 Credential={}/{}, SignedHeaders={}, Signature={}",
                   credentials.access_key_id, scope, names,
                   to_hex(hmac(key, signature.string_to_sign)))});
  wipe(key.data(), key.size());
  return signature;
}

}  // namespace salvor
