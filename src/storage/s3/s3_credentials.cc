#include "storage/s3/s3_credentials.h"

#include <array>
#include <map>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/fd.h"
#include "base/format.h"
#include "codec/go_json.h"
#include "codec/xml_reader.h"
#include "crypto/sha256.h"
#include "net/subprocess.h"

namespace salvor {
namespace {

constexpr auto kRefreshBefore = std::chrono::minutes(5);
constexpr uint64_t kFileLimit = 1 << 20;
constexpr auto kMachineTimeout = std::chrono::milliseconds(2000);
constexpr int kMaxProfileDepth = 5;

std::string_view trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t\r");
  if (begin == std::string_view::npos) {
    return {};
  }
  return text.substr(begin, text.find_last_not_of(" \t\r") - begin + 1);
}

using Section = std::map<std::string, std::string>;

// The section of that heading in an INI file; nothing when there is no file or no such section.
std::optional<Section> read_section(const std::string& path, const std::string& heading) {
  Buffer content;
  try {
    content = read_file(path, kFileLimit);
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kNotFound) {
      return std::nullopt;
    }
    throw;
  }
  std::optional<Section> section;
  bool inside = false;
  std::string_view rest = as_text(content.view());
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view raw = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    const std::string_view line = trimmed(raw);
    if (line.empty() || line[0] == '#' || line[0] == ';') {
      continue;
    }
    if (line[0] == '[') {
      inside = trimmed(line.substr(1, line.find(']') - 1)) == heading;
      if (inside) {
        section.emplace();
      }
    } else if (const size_t equals = line.find('=');
               inside && equals != std::string_view::npos && raw[0] != ' ' && raw[0] != '\t') {
      (*section)[std::string(trimmed(line.substr(0, equals)))] = trimmed(line.substr(equals + 1));
    }
  }
  return section;
}

std::string first_line_of(const std::string& path, const std::string& what) {
  try {
    const Buffer content = read_file(path, kFileLimit);
    const std::string_view text = as_text(content.view());
    return std::string(trimmed(text.substr(0, text.find('\n'))));
  } catch (Error& error) {
    throw error.within(what);
  }
}

WallTime parse_time(const std::string& text, const std::string& origin) {
  if (const auto time = parse_go_time(text)) {
    return time->wall();
  }
  throw Error(ErrorCode::kPermission,
              "the credentials from " + origin + " have no valid time of expiry");
}

Error instance_trouble(const HttpResponse& response) {
  return {ErrorCode::kUnreachable, "the instance's metadata service answered with status " +
                                       std::to_string(response.status)};
}

Error incomplete(const std::string& origin, const std::string& what) {
  return {ErrorCode::kPermission,
          "the AWS credentials from " + origin + " are incomplete: " + what};
}

}  // namespace

struct AwsCredentialSource::Profile {
  Section values;
  [[nodiscard]] std::string get(const std::string& key) const {
    const auto found = values.find(key);
    return found == values.end() ? std::string() : found->second;
  }
};

AwsCredentialSource::AwsCredentialSource(StorageOptions options, std::string region)
    : options_(std::move(options)), region_(std::move(region)), client_(options_.http) {}

AwsCredentialSource::~AwsCredentialSource() = default;

AwsCredentials AwsCredentialSource::get(const Context& context) {
  const std::scoped_lock lock(mutex_);
  const WallTime now = context.clock.now();
  const bool expiring = current_ && current_->expires && *current_->expires - kRefreshBefore <= now;
  if (!current_ || expiring || stale_) {
    try {
      current_ = find(context);
      stale_ = false;
    } catch (const Error&) {
      const bool still_good = current_ && !stale_ && current_->expires > now;
      if (!still_good || context.stop.stop_requested()) {
        throw;
      }
    }
  }
  return current_->credentials;
}

bool AwsCredentialSource::renew(const std::string& access_key_id) {
  const std::scoped_lock lock(mutex_);
  if (!current_ || current_->credentials.access_key_id != access_key_id) {
    return true;  // another thread has renewed them meanwhile
  }
  if (!current_->expires) {
    return false;
  }
  stale_ = true;
  return true;
}

AwsCredentialSource::Found AwsCredentialSource::find(const Context& context) {
  std::optional<Found> found = find_base(context);
  if (!found) {
    throw Error(
        ErrorCode::kPermission, "no AWS credentials were found",
        "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE for a profile in "
        "~/.aws/credentials. Looked at the environment, profiles, the container's and the "
        "instance's credential services. For public buckets: -o s3.unsafe-anonymous-auth=true.");
  }
  const auto either = [&](const std::string& name) {
    const auto own = options_.environment("SALVOR_AWS_ASSUME_ROLE_" + name);
    return own ? *own : options_.environment("RESTIC_AWS_ASSUME_ROLE_" + name).value_or("");
  };
  if (const std::string role = either("ARN"); !role.empty()) {
    return assume_role(context, *found, role, either("SESSION_NAME"), either("EXTERNAL_ID"));
  }
  return std::move(*found);
}

std::optional<AwsCredentialSource::Found> AwsCredentialSource::find_base(const Context& context) {
  if (source_) {
    auto found = find_in(context, *source_);
    if (!found) {
      throw Error(ErrorCode::kUnreachable,
                  "there are no AWS credentials any more where there were some before",
                  "Others are not looked for: they would be another identity's. Start again for "
                  "that.");
    }
    return found;
  }
  for (const Source source : {Source::kEnvironment, Source::kWebIdentity, Source::kProfile,
                              Source::kContainer, Source::kInstance}) {
    if (auto found = find_in(context, source)) {
      source_ = source;
      return found;
    }
  }
  return std::nullopt;
}

std::optional<AwsCredentialSource::Found> AwsCredentialSource::find_in(const Context& context,
                                                                       Source source) {
  const auto& variable = options_.environment;
  switch (source) {
    case Source::kEnvironment:
      return from_environment();
    case Source::kWebIdentity: {
      const auto file = variable("AWS_WEB_IDENTITY_TOKEN_FILE");
      return file ? from_web_identity(context, *file, variable("AWS_ROLE_ARN").value_or(""),
                                      variable("AWS_ROLE_SESSION_NAME").value_or(""))
                  : std::nullopt;
    }
    case Source::kProfile: {
      const auto named = variable("AWS_PROFILE");
      auto found = from_profile(context, named.value_or("default"), 0);
      if (!found && named && !source_) {
        throw Error(ErrorCode::kPermission, "there is no AWS profile " + printable(*named),
                    "AWS_PROFILE names it. Profiles are in ~/.aws/credentials and ~/.aws/config, "
                    "or where AWS_SHARED_CREDENTIALS_FILE and AWS_CONFIG_FILE say.");
      }
      return found;
    }
    case Source::kContainer:
      return from_container(context);
    case Source::kInstance:
      break;
  }
  return from_instance(context);
}

std::optional<AwsCredentialSource::Found> AwsCredentialSource::from_environment() {
  const auto& variable = options_.environment;
  const auto id = variable("AWS_ACCESS_KEY_ID");
  const auto secret = variable("AWS_SECRET_ACCESS_KEY");
  if (!id && !secret) {
    return std::nullopt;
  }
  if (!id || !secret) {
    throw incomplete(
        "the environment",
        std::string(id ? "AWS_SECRET_ACCESS_KEY" : "AWS_ACCESS_KEY_ID") + " is not set");
  }
  return Found{{*id, Secret(*secret), Secret(variable("AWS_SESSION_TOKEN").value_or(""))},
               std::nullopt,
               "the environment"};
}

AwsCredentialSource::Profile AwsCredentialSource::read_profile(const std::string& name) {
  const std::string home = options_.environment("HOME").value_or("");
  const auto file = [&](const char* variable, const char* usual) {
    return options_.environment(variable).value_or(home.empty() ? "" : home + usual);
  };
  Profile profile;
  const std::string config = file("AWS_CONFIG_FILE", "/.aws/config");
  const std::string heading = name == "default" ? name : "profile " + name;
  if (auto section = config.empty() ? std::nullopt : read_section(config, heading)) {
    profile.values = std::move(*section);
  }
  const std::string credentials = file("AWS_SHARED_CREDENTIALS_FILE", "/.aws/credentials");
  if (auto section = credentials.empty() ? std::nullopt : read_section(credentials, name)) {
    for (auto& [key, value] : *section) {
      profile.values[key] = std::move(value);
    }
  }
  return profile;
}

std::optional<AwsCredentialSource::Found> AwsCredentialSource::from_profile(const Context& context,
                                                                            const std::string& name,
                                                                            int depth) {
  const Profile profile = read_profile(name);
  const std::string origin = "the profile " + printable(name);
  const std::string id = profile.get("aws_access_key_id");
  const std::string role = profile.get("role_arn");
  if (!role.empty() && !profile.get("web_identity_token_file").empty()) {
    return from_web_identity(context, profile.get("web_identity_token_file"), role,
                             profile.get("role_session_name"));
  }
  if (!role.empty()) {
    const std::string source = profile.get("source_profile");
    const std::string other = profile.get("credential_source");
    std::optional<Found> base;
    if (source == name && !id.empty()) {
      base = Found{{id, Secret(profile.get("aws_secret_access_key")), {}}, std::nullopt, origin};
    } else if (!source.empty() && depth < kMaxProfileDepth) {
      base = from_profile(context, source, depth + 1);
    } else if (other == "Environment") {
      base = from_environment();
    } else if (other == "EcsContainer") {
      base = from_container(context);
    } else if (other == "Ec2InstanceMetadata") {
      base = from_instance(context);
    }
    if (!base) {
      throw incomplete(origin, "its role needs a source_profile or credential_source that works");
    }
    return assume_role(context, *base, role, profile.get("role_session_name"),
                       profile.get("external_id"));
  }
  if (!id.empty()) {
    if (profile.get("aws_secret_access_key").empty()) {
      throw incomplete(origin, "aws_secret_access_key is missing");
    }
    return Found{{id, Secret(profile.get("aws_secret_access_key")),
                  Secret(profile.get("aws_session_token"))},
                 std::nullopt,
                 origin};
  }
  if (const std::string command = profile.get("credential_process"); !command.empty()) {
    Subprocess process({.arguments = {"sh", "-c", command}});
    std::string output;
    std::array<std::byte, 4096> buffer;
    while (const size_t got = process.read(buffer)) {
      output += as_text(ByteView(buffer).first(got));
      if (output.size() > kFileLimit) {
        throw Error(ErrorCode::kPermission,
                    "the credential_process of " + origin + " does not end its output");
      }
    }
    if (const ExitState state = process.wait(); !state.success()) {
      throw Error(ErrorCode::kPermission,
                  "the credential_process of " + origin + " failed: " + state.text());
    }
    return parse_json(output, origin);
  }
  if (!profile.get("sso_start_url").empty() || !profile.get("sso_session").empty()) {
    throw Error(ErrorCode::kPermission, origin + " signs in by SSO, which needs a browser",
                "Sign in with \"aws sso login\", and add to a profile: credential_process = aws "
                "configure export-credentials --profile " +
                    printable(name) + " --format process");
  }
  return std::nullopt;
}

HttpResponse AwsCredentialSource::call_machine(const Context& context, HttpRequest request) {
  request.timeout = kMachineTimeout;
  request.direct = true;
  return client_.request(context, request);
}

std::optional<AwsCredentialSource::Found> AwsCredentialSource::from_container(
    const Context& context) {
  const auto& variable = options_.environment;
  const auto relative = variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
  const auto full = variable("AWS_CONTAINER_CREDENTIALS_FULL_URI");
  if (!relative && !full) {
    return std::nullopt;
  }
  HttpRequest request{.url = relative ? "http://169.254.170.2" + *relative : *full};
  if (const auto file = variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")) {
    request.headers = {{"Authorization", first_line_of(*file, "AWS container credentials")}};
  } else if (const auto token = variable("AWS_CONTAINER_AUTHORIZATION_TOKEN")) {
    request.headers = {{"Authorization", *token}};
  }
  const HttpResponse response = call_machine(context, request);
  if (!response.success()) {
    const bool passes = response.status >= 500 || response.status == 429;
    throw Error(passes ? ErrorCode::kUnreachable : ErrorCode::kPermission,
                "the container's credential service answered with status " +
                    std::to_string(response.status));
  }
  return parse_json(std::string(as_text(response.body.view())), "the container's service");
}

// The service says with many statuses that there is none, and with the same ones that it is
// restarted: they mean the first until it has given some.
std::optional<AwsCredentialSource::Found> AwsCredentialSource::from_instance(
    const Context& context) {
  const auto& variable = options_.environment;
  if (variable("AWS_EC2_METADATA_DISABLED").value_or("") == "true") {
    return std::nullopt;
  }
  const auto none = [this](const HttpResponse& response) -> std::optional<Found> {
    if (on_instance_) {
      throw instance_trouble(response);
    }
    return std::nullopt;
  };
  const std::string base =
      variable("AWS_EC2_METADATA_SERVICE_ENDPOINT").value_or("http://169.254.169.254") + "/latest/";
  HttpResponse response;
  try {
    response =
        call_machine(context, {.method = "PUT",
                               .url = base + "api/token",
                               .headers = {{"X-aws-ec2-metadata-token-ttl-seconds", "300"}}});
  } catch (const Error& error) {
    if (error.retryable() && !on_instance_) {
      return std::nullopt;  // no such service: this is not an instance
    }
    throw;
  }
  if (!response.success()) {
    return none(response);
  }
  const std::vector<HttpHeader> headers{
      {"X-aws-ec2-metadata-token", std::string(as_text(response.body.view()))}};
  const std::string roles = base + "meta-data/iam/security-credentials/";
  response = call_machine(context, {.url = roles, .headers = headers});
  const std::string_view names = as_text(response.body.view());
  const std::string role(trimmed(names.substr(0, names.find('\n'))));
  if (!response.success() || role.empty()) {
    return none(response);  // an instance without a role
  }
  response = call_machine(context, {.url = roles + percent_encode(role), .headers = headers});
  if (!response.success()) {
    throw instance_trouble(response);
  }
  Found found = parse_json(std::string(as_text(response.body.view())), "the instance's role");
  on_instance_ = true;
  return found;
}

AwsCredentialSource::Found AwsCredentialSource::parse_json(const std::string& text,
                                                           const std::string& origin) {
  const auto json = nlohmann::json::parse(text, nullptr, false);
  const auto get = [&](const char* key) {
    return json.is_object() && json.contains(key) && json.at(key).is_string()
               ? json.at(key).get<std::string>()
               : std::string();
  };
  Found found{{get("AccessKeyId"), Secret(get("SecretAccessKey")), Secret(get("Token"))},
              std::nullopt,
              origin};
  if (found.credentials.session_token.empty()) {
    found.credentials.session_token = Secret(get("SessionToken"));
  }
  if (found.credentials.access_key_id.empty() || found.credentials.secret_access_key.empty()) {
    throw incomplete(origin,
                     "no AccessKeyId and SecretAccessKey" +
                         (get("Message").empty() ? "" : " (" + printable(get("Message")) + ")"));
  }
  if (!get("Expiration").empty()) {
    found.expires = parse_time(get("Expiration"), origin);
  }
  return found;
}

std::optional<AwsCredentialSource::Found> AwsCredentialSource::from_web_identity(
    const Context& context, const std::string& token_file, const std::string& role,
    const std::string& session) {
  if (role.empty()) {
    throw incomplete("web identity", "AWS_ROLE_ARN (role_arn) is not set");
  }
  const std::string form =
      "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=" + percent_encode(role) +
      "&RoleSessionName=" + percent_encode(session.empty() ? "salvor" : session) +
      "&WebIdentityToken=" + percent_encode(first_line_of(token_file, "AWS web identity token"));
  return ask_sts(context, form, nullptr, "web identity");
}

AwsCredentialSource::Found AwsCredentialSource::assume_role(const Context& context,
                                                            const Found& base,
                                                            const std::string& role,
                                                            const std::string& session,
                                                            const std::string& external_id) {
  std::string form = "Action=AssumeRole&Version=2011-06-15&RoleArn=" + percent_encode(role) +
                     "&RoleSessionName=" + percent_encode(session.empty() ? "salvor" : session);
  if (!external_id.empty()) {
    form += "&ExternalId=" + percent_encode(external_id);
  }
  return ask_sts(context, form, &base, "the role " + printable(role));
}

AwsCredentialSource::Found AwsCredentialSource::ask_sts(const Context& context,
                                                        const std::string& form,
                                                        const Found* signer,
                                                        const std::string& origin) {
  const std::string region = region_.empty() ? "us-east-1" : region_;
  std::string endpoint = options_.environment("AWS_ENDPOINT_URL_STS").value_or("");
  if (endpoint.empty()) {
    endpoint =
        "https://sts." + region + ".amazonaws.com" + (region.starts_with("cn-") ? ".cn" : "");
  }
  while (endpoint.ends_with('/')) {
    endpoint.pop_back();
  }
  const ByteView body = as_bytes(form);
  HttpRequest request{
      .method = "POST",
      .url = endpoint + "/",
      .headers = {{"Content-Type", "application/x-www-form-urlencoded; charset=utf-8"}},
      .body = {&body, 1}};
  if (signer != nullptr) {
    const std::string hash = to_hex(sha256(body));
    const SigV4Signature signature = sign_v4(
        signer->credentials,
        {.method = "POST",
         .host = std::string_view(endpoint).substr(endpoint.find("://") + 3),
         .path = "/",
         .query = "",
         .headers = request.headers,
         .payload_sha256 = hash},
        {.region = region, .service = "sts", .time = context.clock.now(), .content_header = false});
    request.headers.insert(request.headers.end(), signature.headers.begin(),
                           signature.headers.end());
  }
  const HttpResponse response = client_.request(context, request);
  const std::string text(as_text(response.body.view()));
  if (!response.success()) {
    std::string reason = "status " + std::to_string(response.status);
    try {
      const XmlElement root = parse_xml(text);
      if (const XmlElement* error = root.child("Error")) {
        reason = printable(error->child_text("Code") + ": " + error->child_text("Message"));
      }
    } catch (const Error&) {
      reason += " without a reason";
    }
    throw Error(response.status >= 500 ? ErrorCode::kUnreachable : ErrorCode::kPermission,
                "AWS STS gave no credentials for " + origin + ": " + reason,
                "Check the role's trust policy, and that the token or key has not expired.");
  }
  const XmlElement root = parse_xml(text);
  const XmlElement* result = root.children.empty() ? nullptr : &root.children.front();
  for (const XmlElement& child : root.children) {
    result = child.name.ends_with("Result") ? &child : result;
  }
  const XmlElement* credentials = result == nullptr ? nullptr : result->child("Credentials");
  if (credentials == nullptr) {
    throw incomplete(origin, "the reply holds none");
  }
  Found found{
      {credentials->child_text("AccessKeyId"), Secret(credentials->child_text("SecretAccessKey")),
       Secret(credentials->child_text("SessionToken"))},
      std::nullopt,
      origin};
  found.expires = parse_time(credentials->child_text("Expiration"), origin);
  return found;
}

}  // namespace salvor
