#include "storage/s3/s3_client.h"

#include <algorithm>
#include <array>
#include <ctime>

#include "base/format.h"
#include "storage/md5.h"

namespace salvor {
namespace {

constexpr auto kSkewAllowed = std::chrono::minutes(10);  // S3 allows 15

}  // namespace

Digest sha256_of(std::span<const ByteView> parts) {
  Sha256 hash;
  for (const ByteView part : parts) {
    hash.update(part);
  }
  return hash.finish();
}

std::string md5_base64(std::span<const ByteView> parts) {
  return to_base64(md5(parts));
}

S3Client::S3Client(S3Settings settings, const StorageOptions& options)
    : settings_(std::move(settings)),
      credentials_(options, settings_.region_fixed ? settings_.region : ""),
      client_(options.http),
      region_(settings_.region) {}

std::string S3Client::region() const {
  const std::scoped_lock lock(mutex_);
  return region_;
}

std::string S3Client::host() const {
  std::string endpoint = settings_.endpoint;
  if (endpoint == "s3.amazonaws.com") {
    const std::scoped_lock lock(mutex_);
    if (region_ != "us-east-1") {
      endpoint = "s3." + region_ + ".amazonaws.com";
    }
  }
  return settings_.addressing == S3Addressing::kHost ? settings_.bucket + "." + endpoint : endpoint;
}

S3Client::Reply S3Client::send(const Context& context, const S3Call& call) {
  Signing signing;
  const std::string place = host();
  std::string path = "/";
  if (settings_.addressing == S3Addressing::kPath) {
    path += percent_encode(settings_.bucket) + (call.key.empty() ? "" : "/");
  }
  path += percent_encode(call.key, true);
  HttpRequest request{.method = call.method,
                      .url = (settings_.tls ? "https://" : "http://") + place + path +
                             (call.query.empty() ? "" : "?" + call.query),
                      .headers = call.headers,
                      .body = call.body,
                      .into = call.into,
                      .limit_bytes = call.limit_bytes};
  if (!settings_.anonymous) {
    const AwsCredentials credentials = credentials_.get(context);
    {
      const std::scoped_lock lock(mutex_);
      signing = {region_, clock_offset_, credentials.access_key_id};
    }
    const SigV4Signature signature = sign_v4(credentials,
                                             {.method = call.method,
                                              .host = place,
                                              .path = path,
                                              .query = call.query,
                                              .headers = call.headers,
                                              .payload_sha256 = call.payload_sha256},
                                             {.region = signing.region,
                                              .service = "s3",
                                              .time = context.clock.now() + signing.clock_offset});
    request.headers.insert(request.headers.end(), signature.headers.begin(),
                           signature.headers.end());
  }
  return {client_.request(context, request), std::move(signing)};
}

HttpResponse S3Client::send_mended(const Context& context, const S3Call& call) {
  for (unsigned attempt = 0;; ++attempt) {
    Reply reply = send(context, call);
    if (reply.response.success() || attempt == 3 ||
        !mend(context, call, parse_s3_failure(reply.response), reply, attempt)) {
      return std::move(reply.response);
    }
  }
}

HttpResponse S3Client::attempt(const Context& context, const S3Call& call) {
  return send_mended(context, call);
}

HttpResponse S3Client::execute(const Context& context, const S3Call& call,
                               std::initializer_list<int> expected) {
  HttpResponse response = send_mended(context, call);
  if (response.success() || std::ranges::find(expected, response.status) != expected.end()) {
    return response;
  }
  S3Failure failure = parse_s3_failure(response);
  check_content(call, failure);
  if (call.method == "HEAD" && (failure.status == 400 || failure.status == 403)) {
    failure = ask_reason(context, call, failure);
  }
  throw s3_error(settings_, failure, response, call.what, call.action);
}

// Replies to HEAD have no body; the same by GET tells why it failed.
S3Failure S3Client::ask_reason(const Context& context, const S3Call& call,
                               const S3Failure& failure) {
  S3Call question{.method = "GET", .key = call.key};
  if (call.key.empty()) {
    question.query = "list-type=2&max-keys=1";
  } else {
    question.headers = {{"Range", "bytes=0-0"}};
  }
  const HttpResponse response = send(context, question).response;
  return response.status == failure.status ? parse_s3_failure(response) : failure;
}

void S3Client::check_content(const S3Call& call, const S3Failure& failure) {
  if (failure.wrong_content() && to_hex(sha256_of(call.body)) != call.payload_sha256) {
    throw Error(ErrorCode::kFailed, call.what + ": its content is not what its name says",
                "That points to faulty memory in this machine.");
  }
}

bool S3Client::mend(const Context& context, const S3Call& call, const S3Failure& failure,
                    const Reply& reply, unsigned attempt) {
  if (failure.expired() && attempt == 0) {
    return credentials_.renew(reply.signing.key_id);
  }
  // Where the reply has no body its date must do.
  const auto date = reply.response.header("date");
  const auto time = date ? parse_http_date(*date) : std::nullopt;
  const bool far_off = time && std::chrono::abs(*time - context.clock.now()) > kSkewAllowed;
  if (attempt == 0 && far_off &&
      (failure.skewed_clock() || (call.method == "HEAD" && failure.status == 403))) {
    return adjust_clock(context, *time, reply.signing.clock_offset);
  }
  // A HEAD that failed has no body to say why: the bucket is asked.
  const bool mute = call.method == "HEAD" && !call.key.empty() &&
                    (failure.status == 400 || failure.status == 301) && failure.region.empty();
  if (mute || failure.wrong_region()) {
    const std::string found = failure.region.empty() ? ask_region(context) : failure.region;
    if (!found.empty() && found != reply.signing.region) {
      use_region(found);
      return true;
    }
  }
  return false;
}

// False when the request was signed with that offset already: then the clock is not the cause.
bool S3Client::adjust_clock(const Context& context, WallTime server,
                            std::chrono::nanoseconds signed_with) {
  const auto offset = server - context.clock.now();
  {
    const std::scoped_lock lock(mutex_);
    if (std::chrono::abs(offset - signed_with) < kSkewAllowed) {
      return false;
    }
    if (std::chrono::abs(offset - clock_offset_) < kSkewAllowed) {
      return true;  // another thread's request was refused at the same time
    }
    clock_offset_ = offset;
  }
  context.events.on(Warning{"this machine's clock differs from that of " + settings_.endpoint +
                                " by more than 10 minutes; requests carry the server's time",
                            "Set the clock (NTP)."});
  return true;
}

std::string S3Client::ask_region(const Context& context) {
  const HttpResponse response = send(context, {.method = "HEAD"}).response;
  return std::string(response.header("x-amz-bucket-region").value_or(""));
}

void S3Client::use_region(const std::string& region) {
  const bool plain = std::ranges::all_of(
      region, [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; });
  if (!plain) {
    return;
  }
  const std::scoped_lock lock(mutex_);
  region_ = region;
}

}  // namespace salvor
