#include "storage/s3/s3_settings.h"

#include <algorithm>
#include <array>

#include "base/error.h"
#include "base/format.h"
#include "storage/layout.h"
#include "storage/past_objects.h"

namespace salvor {
namespace {

[[noreturn]] void refuse(std::string_view rest, const std::string& why) {
  throw Error(ErrorCode::kUsage,
              "the repository location s3:" + printable(rest.substr(0, rest.find('?'))) + " " + why,
              "Write s3:HOST/BUCKET/PATH or s3:https://HOST:PORT/BUCKET/PATH, for example "
              "s3:s3.amazonaws.com/my-backups/db. Credentials do not belong there: see "
              "docs/storage-s3.md.");
}

std::string cleaned(std::string_view rest, std::string_view path) {
  auto prefix = clean_prefix(path);
  if (!prefix) {
    refuse(rest, "must not contain \"..\"");
  }
  return std::move(*prefix);
}

bool is_aws(std::string_view host) {
  return host.ends_with(".amazonaws.com") || host.ends_with(".amazonaws.com.cn");
}

bool may_be_host_label(std::string_view bucket) {
  return bucket.size() >= 3 && bucket.size() <= 63 && std::ranges::all_of(bucket, [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
         });
}

// On AWS and Aliyun (which wants nothing else) the bucket is part of the host name, unless a dot in
// it would make the certificate wrong.
S3Addressing automatic(const S3Settings& settings) {
  const bool by_host = settings.aws || settings.endpoint.ends_with(".aliyuncs.com");
  return by_host && may_be_host_label(settings.bucket) ? S3Addressing::kHost : S3Addressing::kPath;
}

void parse_url(std::string_view rest, S3Settings& settings) {
  std::string_view url = rest;
  if (url.starts_with("http://")) {
    settings.tls = false;
    url.remove_prefix(7);
  } else if (url.starts_with("https://")) {
    url.remove_prefix(8);
  } else if (url.starts_with("//")) {
    url.remove_prefix(2);
  }
  if (url.find_first_of("?#") != std::string_view::npos) {
    refuse(rest, "must not contain \"?\" or \"#\"");
  }
  const size_t slash = url.find('/');
  std::string_view host = url.substr(0, slash);
  if (host.find('@') != std::string_view::npos) {
    refuse("...", "must not contain credentials");
  }
  if (host.empty() ||
      host.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                             ".-_:[]") != std::string_view::npos) {
    refuse(rest, "names no host");
  }
  const std::string usual_port = settings.tls ? ":443" : ":80";
  if (host.ends_with(usual_port)) {
    host.remove_suffix(usual_port.size());
  }
  settings.endpoint = host;
  std::ranges::transform(settings.endpoint, settings.endpoint.begin(), ::tolower);
  const std::string path =
      cleaned(rest, slash == std::string_view::npos ? "" : url.substr(slash + 1));
  settings.bucket = path.substr(0, path.find('/'));
  if (settings.bucket.empty()) {
    refuse(rest, "names no bucket");
  }
  settings.prefix = path.substr(std::min(settings.bucket.size() + 1, path.size()));
}

void set_encryption(ExtendedOptions& options, S3Settings& settings) {
  settings.encryption = options.choice("sse", {"", "AES256", "aws:kms", "aws:kms:dsse"});
  settings.kms_key = options.text("sse-kms-key-id");
  if (!settings.kms_key.empty() && settings.encryption.empty()) {
    settings.encryption = "aws:kms";
  }
  if (!settings.kms_key.empty() && settings.encryption == "AES256") {
    throw Error(ErrorCode::kUsage, "s3.sse=AES256 and s3.sse-kms-key-id exclude each other");
  }
}

void set_lock(ExtendedOptions& options, S3Settings& settings) {
  const std::string mode = options.choice("object-lock", {"", "governance", "compliance"});
  settings.lock_days = std::chrono::days(options.number("object-lock-days", 0, 1, 36'500));
  if (mode.empty() != (settings.lock_days.count() == 0)) {
    throw Error(ErrorCode::kUsage,
                "s3.object-lock and s3.object-lock-days are only meaningful together",
                "For example -o s3.object-lock=governance -o s3.object-lock-days=30.");
  }
  settings.lock_mode = mode;
  std::ranges::transform(settings.lock_mode, settings.lock_mode.begin(), ::toupper);
}

void set_storage_class(ExtendedOptions& options, S3Settings& settings) {
  settings.storage_class = options.text("storage-class");
  if (settings.storage_class == "GLACIER" || settings.storage_class == "DEEP_ARCHIVE") {
    throw Error(ErrorCode::kUsage,
                "the storage class " + settings.storage_class +
                    " cannot be used: packs that hold directory trees must stay readable",
                "GLACIER_IR costs little more and can be read at once. Or let a lifecycle rule of "
                "the bucket move old objects below data/.");
  }
}

void set_region(ExtendedOptions& extended, const StorageOptions& options, S3Settings& settings) {
  settings.region = extended.text("region");
  if (settings.region.empty()) {
    settings.region = region_of_endpoint(settings.endpoint);
  }
  for (const char* name : {"AWS_REGION", "AWS_DEFAULT_REGION"}) {
    if (settings.region.empty()) {
      settings.region = options.environment(name).value_or("");
    }
  }
  settings.region_fixed = !settings.region.empty();
  if (!settings.region_fixed) {
    settings.region = "us-east-1";
  }
}

}  // namespace

std::string region_of_endpoint(std::string_view endpoint) {
  if (!is_aws(endpoint)) {
    return {};
  }
  std::string_view rest = endpoint.substr(0, endpoint.rfind(".amazonaws.com"));
  for (const std::string_view lead :
       {"s3.dualstack.", "s3-fips.dualstack.", "s3-fips.", "s3.", "s3-"}) {
    if (rest.starts_with(lead)) {
      rest.remove_prefix(lead.size());
      const bool region = rest.find('.') == std::string_view::npos &&
                          std::ranges::count(rest, '-') >= 2 && !rest.starts_with("accelerate");
      return region ? std::string(rest) : std::string();
    }
  }
  return {};
}

std::string S3Settings::description() const {
  return "S3 bucket " + printable(bucket + (prefix.empty() ? "" : "/" + prefix)) + " at " +
         endpoint;
}

S3Settings s3_settings(std::string_view rest, const StorageOptions& options) {
  S3Settings settings;
  parse_url(rest, settings);
  settings.aws = is_aws(settings.endpoint);
  ExtendedOptions extended(options, "s3");
  const std::string lookup = extended.choice("bucket-lookup", {"auto", "dns", "path"});
  settings.addressing = lookup == "auto"  ? automatic(settings)
                        : lookup == "dns" ? S3Addressing::kHost
                                          : S3Addressing::kPath;
  set_region(extended, options, settings);
  set_storage_class(extended, settings);
  set_encryption(extended, settings);
  set_lock(extended, settings);
  settings.as_of = parse_as_of(extended, "s3");
  settings.list_v1 = extended.flag("list-objects-v1");
  settings.anonymous = extended.flag("unsafe-anonymous-auth");
  // Google's XML interface has a condition of its own, which does not go with signatures of this
  // kind.
  const bool google = settings.endpoint == "storage.googleapis.com";
  settings.conditional_put = extended.flag("conditional-put", !google);
  settings.connections = extended.number("connections", settings.connections, 1, 256);
  const std::string checksum = extended.choice("checksum", {"auto", "sha256", "md5", "none"});
  settings.checksum = checksum == "sha256" || (checksum == "auto" && settings.aws);
  // A bucket with object lock refuses uploads without either.
  settings.md5 =
      checksum == "md5" || (checksum == "auto" && !settings.aws && !settings.lock_mode.empty());
  (void)extended.number("retries", 0, 0, 1000);  // restic's; ours goes by time
  (void)extended.choice("layout", {"default"});
  (void)extended.text("enable-restore");
  extended.finish();
  return settings;
}

}  // namespace salvor
