#include "storage/s3/s3_client.h"

#include <algorithm>

#include "base/format.h"
#include "model/utc_text.h"
#include "storage/md5.h"
#include "storage/server_trouble.h"

namespace salvor {

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
      clock_(settings_.endpoint),
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
  signing.clock_offset = clock_.offset();
  const WallTime server_time = context.clock.now() + signing.clock_offset;
  if (call.lock_for) {
    request.headers.push_back(
        {"x-amz-object-lock-retain-until-date", rfc3339_utc(server_time + *call.lock_for)});
  }
  if (!settings_.anonymous) {
    const AwsCredentials credentials = credentials_.get(context);
    signing.region = region();
    signing.key_id = credentials.access_key_id;
    const SigV4Signature signature =
        sign_v4(credentials,
                {.method = call.method,
                 .host = place,
                 .path = path,
                 .query = call.query,
                 .headers = request.headers,
                 .payload_sha256 = call.payload_sha256},
                {.region = signing.region, .service = "s3", .time = server_time});
    request.headers.insert(request.headers.end(), signature.headers.begin(),
                           signature.headers.end());
  }
  const MonotonicTime began = context.clock.monotonic();
  HttpResponse response = client_.request(context, request);
  clock_.learn(context, response, context.clock.monotonic() - began);
  return {std::move(response), std::move(signing)};
}

WallTime S3Client::server_time(const Context& context) {
  if (!clock_.known()) {
    (void)execute(context,
                  {.method = "HEAD",
                   .what = "cannot ask for the time of " + settings_.description(),
                   .action = "s3:ListBucket"},
                  {403, 404});
  }
  return clock_.now(context);
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
  if (response.success()) {
    bucket_seen_ = true;
    return response;
  }
  const bool awaited = std::ranges::find(expected, response.status) != expected.end();
  S3Failure failure = reason_of(context, call, response, awaited);
  if (failure.there) {  // it has come in between
    response = send_mended(context, call);
    if (response.success()) {
      return response;
    }
    failure = parse_s3_failure(response);
  }
  if (awaited && !failure.foreign() && !(failure.code == "NoSuchBucket" && bucket_seen_)) {
    return response;
  }
  Error error = s3_error(settings_, failure, response, call.what, call.action);
  throw failure.code == "NoSuchBucket" && bucket_seen_ ? vanished_bucket(error.message()) : error;
}

S3Failure S3Client::reason_of(const Context& context, const S3Call& call,
                              const HttpResponse& response, bool awaited) {
  S3Failure failure = parse_s3_failure(response);
  check_content(call, failure);
  const bool worth_asking = failure.foreign() || (!awaited && failure.code.empty() &&
                                                  (failure.status == 400 || failure.status == 403));
  return call.method == "HEAD" && worth_asking ? ask_reason(context, call, failure) : failure;
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
  S3Failure answered = response.status == failure.status ? parse_s3_failure(response) : failure;
  answered.there = response.success();
  return answered;
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
  if (attempt == 0 && clock_.differs_from(reply.signing.clock_offset) &&
      (failure.skewed_clock() || (call.method == "HEAD" && failure.status == 403))) {
    return true;
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
