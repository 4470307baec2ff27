#include "storage/gcs/gcs_credentials.h"

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/fd.h"
#include "base/format.h"
#include "codec/go_json.h"
#include "storage/gcs/jwt.h"

namespace salvor {
namespace {

constexpr auto kSkewAllowed = std::chrono::minutes(5);
constexpr uint64_t kFileLimit = 1 << 20;
constexpr auto kMachineTimeout = std::chrono::milliseconds(2000);
constexpr int kMaxDepth = 3;
constexpr const char* kScope = "https://www.googleapis.com/auth/devstorage.read_write";
constexpr const char* kCloudScope = "https://www.googleapis.com/auth/cloud-platform";
constexpr const char* kTokenService = "https://oauth2.googleapis.com/token";

// A string member; "" when there is none.
std::string text_of(const nlohmann::json& json, const char* key) {
  return json.is_object() && json.contains(key) && json.at(key).is_string()
             ? json.at(key).get<std::string>()
             : std::string();
}

std::string trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t\r\n");
  return begin == std::string_view::npos
             ? std::string()
             : std::string(text.substr(begin, text.find_last_not_of(" \t\r\n") - begin + 1));
}

// Tokens and keys are only ever sent over TLS, or to this machine.
void check_url(const std::string& url, const std::string& origin) {
  const bool local = url.starts_with("http://127.0.0.1:") || url.starts_with("http://localhost:") ||
                     url.starts_with("http://169.254.169.254");
  if (!url.starts_with("https://") && !local) {
    throw Error(ErrorCode::kPermission,
                "the credentials from " + origin + " name no https:// address: " + printable(url));
  }
}

}  // namespace

class GcsTokenSource::File {
 public:
  File(nlohmann::json json, std::string origin)
      : json_(std::move(json)), origin_(std::move(origin)) {}

  // Throws Error{kPermission} for what is no JSON object.
  static File read(const std::string& text, const std::string& origin) {
    auto json = nlohmann::json::parse(text, nullptr, false);
    if (!json.is_object()) {
      throw Error(ErrorCode::kPermission,
                  "the Google credentials from " + origin + " are not a JSON object",
                  "It is the text of a key file of a service account (or that in base64).");
    }
    return {std::move(json), origin};
  }

  [[nodiscard]] std::string get(const char* key) const { return text_of(json_, key); }
  // Throws Error{kPermission} when it is missing.
  [[nodiscard]] std::string need(const char* key) const {
    std::string value = get(key);
    if (value.empty()) {
      throw Error(ErrorCode::kPermission,
                  "the Google credentials from " + origin_ + " are incomplete: no " + key);
    }
    return value;
  }
  [[nodiscard]] const nlohmann::json& member(const char* key) const {
    static const nlohmann::json kNone;
    const auto found = json_.find(key);
    return found == json_.end() ? kNone : *found;
  }
  [[nodiscard]] const std::string& origin() const { return origin_; }

 private:
  nlohmann::json json_;
  std::string origin_;
};

GcsTokenSource::GcsTokenSource(StorageOptions options)
    : options_(std::move(options)),
      client_(options_.http),
      cache_([this](const Context& context) { return fetch(context); }) {}

std::string GcsTokenSource::project() const {
  const std::scoped_lock lock(mutex_);
  return project_;
}

GcsTokenSource::Token GcsTokenSource::fetch(const Context& context) {
  const auto& variable = options_.environment;
  if (const auto token = variable("GOOGLE_ACCESS_TOKEN")) {
    return {.value = Secret(*token), .expires = std::nullopt, .renewable = false};
  }
  if (const auto given = variable("GCS_CREDENTIALS")) {
    std::string text = trimmed(*given);
    if (!text.starts_with('{')) {
      std::erase_if(text, [](char c) { return c == '\n' || c == '\r' || c == ' '; });
      Buffer decoded;
      if (!from_base64(text, decoded)) {
        throw Error(ErrorCode::kPermission,
                    "the variable GCS_CREDENTIALS is neither JSON nor base64 of it",
                    "For example GCS_CREDENTIALS=\"$(base64 -w0 key.json)\". The path of a file "
                    "goes to GOOGLE_APPLICATION_CREDENTIALS.");
      }
      text = as_text(decoded.view());
    }
    return from_file(context, File::read(text, "GCS_CREDENTIALS"), 0);
  }
  if (const auto path = variable("GOOGLE_APPLICATION_CREDENTIALS")) {
    return from_path(context, *path, "GOOGLE_APPLICATION_CREDENTIALS");
  }
  for (const Source source : {Source::kLogin, Source::kMachine}) {
    if (source_.value_or(source) != source) {
      continue;
    }
    if (auto token = source == Source::kLogin ? from_login(context) : from_machine(context)) {
      source_ = source;
      return std::move(*token);
    }
  }
  if (source_) {
    throw Error(ErrorCode::kUnreachable,
                std::string(source_ == Source::kLogin ? "gcloud's login"
                                                      : "the machine's metadata service") +
                    " gives no token any more");
  }
  throw Error(ErrorCode::kPermission, "no Google Cloud credentials were found",
              "Set GOOGLE_APPLICATION_CREDENTIALS to the path of a service account's key file. "
              "Looked at GOOGLE_ACCESS_TOKEN, GCS_CREDENTIALS, that, gcloud's login and the "
              "machine's metadata service. For public buckets: -o gs.unsafe-anonymous-auth=true.");
}

GcsTokenSource::Token GcsTokenSource::from_path(const Context& context, const std::string& path,
                                                const std::string& origin) {
  const Buffer content = read_file(path, kFileLimit);
  return from_file(context, File::read(std::string(as_text(content.view())), origin), 0);
}

std::optional<GcsTokenSource::Token> GcsTokenSource::from_login(const Context& context) {
  const std::string home = options_.environment("HOME").value_or("");
  const std::string folder = options_.environment("CLOUDSDK_CONFIG")
                                 .value_or(home.empty() ? "" : home + "/.config/gcloud");
  if (folder.empty()) {
    return std::nullopt;
  }
  try {
    return from_path(context, folder + "/application_default_credentials.json", "gcloud's login");
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kNotFound) {
      throw;
    }
  }
  return std::nullopt;
}

GcsTokenSource::Token GcsTokenSource::from_file(const Context& context, const File& file,
                                                int depth) {
  const std::string type = file.get("type");
  {
    const std::scoped_lock lock(mutex_);
    project_ = file.get(type == "service_account" ? "project_id" : "quota_project_id");
  }
  if (type == "service_account") {
    return from_service_account(context, file);
  }
  if (type == "authorized_user") {
    return from_user(context, file);
  }
  if (type == "external_account") {
    Token token = from_external_account(context, file);
    return file.get("service_account_impersonation_url").empty()
               ? token
               : impersonate(context, token, file);
  }
  if (type == "impersonated_service_account" && depth < kMaxDepth) {
    const File source(file.member("source_credentials"), file.origin());
    return impersonate(context, from_file(context, source, depth + 1), file);
  }
  throw Error(ErrorCode::kPermission,
              "the Google credentials from " + file.origin() + " are of the type " +
                  (type.empty() ? "(none)" : printable(type)) + ", which cannot be used here",
              "Known are service_account, authorized_user, external_account and "
              "impersonated_service_account.");
}

// The key signs a statement of who we are, and the token service gives a token for it.
GcsTokenSource::Token GcsTokenSource::from_service_account(const Context& context,
                                                           const File& file) {
  const std::string url = file.get("token_uri").empty() ? kTokenService : file.get("token_uri");
  const Secret key(file.need("private_key"));
  nlohmann::ordered_json header{{"alg", "RS256"}, {"typ", "JWT"}};
  if (const std::string id = file.get("private_key_id"); !id.empty()) {
    header["kid"] = id;
  }
  for (unsigned attempt = 0;; ++attempt) {
    const auto now = std::chrono::duration_cast<std::chrono::seconds>(
                         (context.clock.now() + clock_offset_).time_since_epoch())
                         .count();
    const nlohmann::ordered_json claims{{"iss", file.need("client_email")},
                                        {"scope", kScope},
                                        {"aud", url},
                                        {"iat", now},
                                        {"exp", now + 3600}};
    const Secret statement = sign_jwt(key, header.dump(), claims.dump());
    const auto before = clock_offset_;
    try {
      return exchange(
          context, file, url,
          "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=" +
              std::string(statement.reveal()));
    } catch (const Error&) {
      // The statement counts only near the time that it names.
      if (attempt > 0 || clock_offset_ == before) {
        throw;
      }
    }
  }
}

GcsTokenSource::Token GcsTokenSource::from_user(const Context& context, const File& file) {
  const std::string url = file.get("token_uri").empty() ? kTokenService : file.get("token_uri");
  return exchange(context, file, url,
                  "grant_type=refresh_token&client_id=" + percent_encode(file.need("client_id")) +
                      "&client_secret=" + percent_encode(file.need("client_secret")) +
                      "&refresh_token=" + percent_encode(file.need("refresh_token")));
}

std::string GcsTokenSource::subject_token(const Context& context, const File& file) {
  const nlohmann::json& source = file.member("credential_source");
  std::string text;
  if (const std::string path = text_of(source, "file"); !path.empty()) {
    text = as_text(read_file(path, kFileLimit).view());
  } else if (const std::string url = text_of(source, "url"); !url.empty()) {
    check_url(url, file.origin());
    HttpRequest request{.url = url};
    if (source.contains("headers") && source["headers"].is_object()) {
      for (const auto& [name, value] : source["headers"].items()) {
        if (value.is_string()) {
          request.headers.push_back({name, value.get<std::string>()});
        }
      }
    }
    const HttpResponse response = client_.request(context, request);
    if (!response.success()) {
      throw Error(response.status >= 500 ? ErrorCode::kUnreachable : ErrorCode::kPermission,
                  "the identity provider that " + file.origin() + " names answered with status " +
                      std::to_string(response.status));
    }
    text = as_text(response.body.view());
  } else {
    throw Error(ErrorCode::kPermission,
                "the external account from " + file.origin() +
                    " takes its token neither from a file nor from a URL",
                "Tokens of AWS and of executables are not supported.");
  }
  const nlohmann::json& format =
      source.contains("format") ? source.at("format") : nlohmann::json::object();
  if (text_of(format, "type") == "json") {
    const std::string field = text_of(format, "subject_token_field_name");
    text = text_of(nlohmann::json::parse(text, nullptr, false), field.c_str());
  }
  text = trimmed(text);
  if (text.empty()) {
    throw Error(ErrorCode::kPermission,
                "the external account from " + file.origin() + " has no token where it says it is");
  }
  return text;
}

GcsTokenSource::Token GcsTokenSource::from_external_account(const Context& context,
                                                            const File& file) {
  const bool last = file.get("service_account_impersonation_url").empty();
  return exchange(
      context, file, file.need("token_url"),
      "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange"
      "&requested_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Aaccess_token&audience=" +
          percent_encode(file.need("audience")) +
          "&scope=" + percent_encode(last ? kScope : kCloudScope) +
          "&subject_token_type=" + percent_encode(file.need("subject_token_type")) +
          "&subject_token=" + percent_encode(subject_token(context, file)));
}

GcsTokenSource::Token GcsTokenSource::impersonate(const Context& context, const Token& base,
                                                  const File& file) {
  const std::string url = file.need("service_account_impersonation_url");
  check_url(url, file.origin());
  const std::string question = nlohmann::json{{"scope", {kScope}}}.dump();
  const ByteView body = as_bytes(question);
  const HttpResponse response = client_.request(
      context, {.method = "POST",
                .url = url,
                .headers = {{"Authorization", "Bearer " + std::string(base.value.reveal())},
                            {"Content-Type", "application/json"}},
                .body = {&body, 1}});
  const auto json = nlohmann::json::parse(as_text(response.body.view()), nullptr, false);
  const std::string value = text_of(json, "accessToken");
  if (!response.success() || value.empty()) {
    throw Error(response.status >= 500 ? ErrorCode::kUnreachable : ErrorCode::kPermission,
                "the service account that " + file.origin() +
                    " names cannot be impersonated: status " + std::to_string(response.status),
                "The identity needs the role roles/iam.workloadIdentityUser or "
                "roles/iam.serviceAccountTokenCreator on it.");
  }
  Token token{Secret(value), std::nullopt};
  if (const auto expires = parse_go_time(text_of(json, "expireTime"))) {
    token.expires = expires->wall();
  }
  return token;
}

std::optional<GcsTokenSource::Token> GcsTokenSource::from_machine(const Context& context) {
  const std::string host = options_.environment("GCE_METADATA_HOST").value_or("169.254.169.254");
  HttpResponse response;
  try {
    response = client_.request(
        context,
        {.url = "http://" + host + "/computeMetadata/v1/instance/service-accounts/default/token",
         .headers = {{"Metadata-Flavor", "Google"}},
         .timeout = kMachineTimeout,
         .direct = true});
  } catch (const Error& error) {
    if (error.retryable()) {
      return std::nullopt;  // no such service: this is not one of Google's machines
    }
    throw;
  }
  // Other clouds have another service at the same address.
  if (response.header("metadata-flavor").value_or("") != "Google" || response.status == 404) {
    return std::nullopt;
  }
  if (!response.success()) {
    throw Error(
        response.status >= 500 || response.status == 429 ? ErrorCode::kUnreachable
                                                         : ErrorCode::kPermission,
        "the machine's metadata service answered with status " + std::to_string(response.status));
  }
  return parse(context, as_text(response.body.view()), "the machine's metadata service");
}

GcsTokenSource::Token GcsTokenSource::exchange(const Context& context, const File& file,
                                               const std::string& url, const std::string& form) {
  check_url(url, file.origin());
  const ByteView body = as_bytes(form);
  const HttpResponse response =
      client_.request(context, {.method = "POST",
                                .url = url,
                                .headers = {{"Content-Type", "application/x-www-form-urlencoded"}},
                                .body = {&body, 1}});
  if (response.success()) {
    return parse(context, as_text(response.body.view()), file.origin());
  }
  const auto json = nlohmann::json::parse(as_text(response.body.view()), nullptr, false);
  const std::string code = text_of(json, "error");
  const std::string words = text_of(json, "error_description");
  const std::string text =
      "Google's token service refuses the credentials from " + file.origin() + ": " +
      (code.empty() ? "status " + std::to_string(response.status) : printable(code)) +
      (words.empty() ? "" : " (" + printable(words) + ")");
  if (response.status >= 500 || response.status == 429 || response.status == 408) {
    throw Error(ErrorCode::kUnreachable, text)
        .advise({.after = retry_after(response).value_or(std::chrono::milliseconds(0))});
  }
  const auto date = response.header("date");
  const auto time = date ? parse_http_date(*date) : std::nullopt;
  const auto here = context.clock.now();
  if (time && std::chrono::abs(*time - (here + clock_offset_)) > kSkewAllowed) {
    clock_offset_ = *time - here;
    context.events.on(
        Warning{"this machine's clock differs from that of Google's token service by "
                "more than 5 minutes; requests carry the server's time",
                "Set the clock (NTP)."});
  }
  std::string hint = "Has the account or its key been removed or disabled?";
  if (words.find("ignature") != std::string::npos) {
    hint =
        "The key has been deleted, or is another account's. Make a new one: gcloud iam "
        "service-accounts keys create.";
  } else if (file.get("type") == "authorized_user") {
    hint = "Log in again: gcloud auth application-default login.";
  }
  throw Error(ErrorCode::kPermission, text, hint);
}

GcsTokenSource::Token GcsTokenSource::parse(const Context& context, std::string_view json,
                                            const std::string& origin) {
  const auto reply = nlohmann::json::parse(json, nullptr, false);
  const std::string value = text_of(reply, "access_token");
  if (value.empty()) {
    throw Error(ErrorCode::kPermission,
                "the reply to the credentials from " + origin + " holds no access token");
  }
  Token token{Secret(value), std::nullopt};
  if (reply.contains("expires_in") && reply["expires_in"].is_number_integer()) {
    const int64_t seconds = std::clamp<int64_t>(reply["expires_in"].get<int64_t>(), 0, 86'400);
    token.expires = context.clock.now() + std::chrono::seconds(seconds);
  }
  return token;
}

}  // namespace salvor
