#include "storage/s3/s3_doctor.h"

#include <algorithm>
#include <array>

#include "base/format.h"
#include "codec/xml_reader.h"
#include "crypto/sha256.h"
#include "model/utc_text.h"
#include "storage/s3/s3_locks.h"

// How rights are tried. Servers look at the right before they look at the request:
//   create       put of the config's own bytes with "If-None-Match: *": 412, it exists
//   replace      the same with "If-Match" of another content: 412
//   remove       removal of a name that does not exist, with "If-Match" (Amazon would put a delete
//                marker otherwise): 204 or 404
//   versions     removal of the version "null" of such a name
//   retention    extending that of such a name: 404
//   bucket       a policy and a lifecycle that are none: 400
// 403 in each case: not permitted. What is neither says nothing (501: the server knows no such
// condition), and is not taken for a refusal. A server that knows no conditions stores the config's
// own bytes again. Removing the config itself cannot be tried without harm where a condition might
// be ignored: a name beside it, "config-...", stands for it.

namespace salvor {
namespace {

using Mark = StorageCheck::Mark;

constexpr auto kSkewWorth = std::chrono::minutes(1);
constexpr size_t kSamples = 10;  // of each kind; of the keys all, as one opens the repository
constexpr size_t kMostKeys = 1000;

class Examination {
 public:
  Examination(const Context& context, S3Client& client)
      : context_(context), client_(client), settings_(client.settings()) {
    report_.description = settings_.description();
  }

  StorageReport run() {
    look_at_connection();
    look_at_contents();
    try_writing();
    try_removing();
    look_at_versions();
    look_at_locks();
    try_bucket();
    return std::move(report_);
  }

 private:
  HttpResponse ask(S3Call call) {
    call.what = "cannot examine " + settings_.description();
    HttpResponse response = client_.attempt(context_, call);
    const S3Failure failure = parse_s3_failure(response);
    // What says nothing about rights: an overloaded server, a wrong key.
    const bool other = response.status >= 500 && response.status != 501;
    const bool denied = response.status == 403 && !failure.code.empty() &&
                        failure.code != "AccessDenied" && failure.code != "AllAccessDisabled";
    if (other || response.status == 401 || denied) {
      throw s3_error(settings_, failure, response, call.what, "s3:ListBucket");
    }
    return response;
  }
  // A request with a body needs its hash, and Content-MD5 where objects may be locked.
  HttpResponse send_body(S3Call call, ByteView body) {
    call.body = {&body, 1};
    call.payload_sha256 = to_hex(sha256(body));
    call.headers.push_back({"Content-MD5", md5_base64({&body, 1})});
    return ask(std::move(call));
  }
  static Answer allowed(const HttpResponse& response) {
    return response.status == 403                             ? Answer::kNo
           : response.status == 405 || response.status == 501 ? Answer::kUnknown
                                                              : Answer::kYes;
  }
  // One that is permitted is enough; nothing is refused as long as one is not known.
  static Answer any_of(std::span<const Answer> answers) {
    const auto has = [&](Answer one) { return std::ranges::find(answers, one) != answers.end(); };
    return has(Answer::kYes)       ? Answer::kYes
           : has(Answer::kUnknown) ? Answer::kUnknown
                                   : Answer::kNo;
  }
  // "may remove ...", "may not remove ...", "whether it may remove ... could not be found out"
  static std::string sentence(Answer answer, const std::string& what) {
    return answer == Answer::kYes  ? "may " + what
           : answer == Answer::kNo ? "may not " + what
                                   : "whether it may " + what + " could not be found out";
  }
  // Of a right that only does harm.
  static Mark harm(Answer answer) {
    return answer == Answer::kYes  ? Mark::kWarning
           : answer == Answer::kNo ? Mark::kGood
                                   : Mark::kNote;
  }
  // Of a right that backups need.
  static Mark need(Answer answer) {
    return answer == Answer::kYes ? Mark::kGood : answer == Answer::kNo ? Mark::kBad : Mark::kNote;
  }
  std::string unused_name() {
    Digest name;
    context_.random.fill(name);
    return to_hex(name);
  }

  void look_at_connection();
  void look_at_contents();
  void try_writing();
  void try_removing();
  Answer try_removal(const std::string& key, const std::string& query);
  void look_at_versions();
  void look_at_locks();
  std::vector<std::string> lock_samples();
  void sample_locks();
  Answer try_change(const char* query, std::string_view body);
  void try_bucket();

  const Context& context_;
  S3Client& client_;
  const S3Settings& settings_;
  StorageReport report_;
  std::string config_;
  bool config_has_version_ = false;
};

void Examination::look_at_connection() {
  const HttpResponse response = ask({.method = "GET", .query = "list-type=2&max-keys=1"});
  if (response.status == 404) {
    throw s3_error(settings_, parse_s3_failure(response), response,
                   "cannot examine " + settings_.description(), "s3:ListBucket");
  }
  report_.add("tls", settings_.tls ? Mark::kGood : Mark::kWarning,
              settings_.tls ? "TLS" : "plain HTTP: names and sizes can be read on the way");
  report_.add("region", Mark::kGood,
              "region " + client_.region() +
                  (settings_.region_fixed && settings_.region != client_.region()
                       ? ", not " + settings_.region + " as was said"
                       : ""));
  const auto date = response.header("date");
  const auto time = date ? parse_http_date(*date) : std::nullopt;
  if (time) {
    const auto skew = std::chrono::abs(*time - context_.clock.now());
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(skew).count();
    report_.add("clock", skew > kSkewWorth ? Mark::kWarning : Mark::kGood,
                skew > kSkewWorth ? "this machine's clock differs from the server's by " +
                                        std::to_string(seconds) + " s: set it (NTP)"
                                  : "the clocks agree");
  }
}

void Examination::look_at_contents() {
  const HttpResponse listed =
      ask({.method = "GET",
           .query = "list-type=2&max-keys=1&prefix=" + percent_encode(client_.key_of("")),
           .limit_bytes = uint64_t{1} << 20});
  report_.add("list", listed.success() ? Mark::kGood : Mark::kBad,
              listed.success() ? "may list" : "may not list (s3:ListBucket)",
              listed.success() ? Answer::kYes : Answer::kNo);
  const HttpResponse config = ask({.method = "GET", .key = client_.key_of("config")});
  report_.repository = config.success();
  if (config.success()) {
    config_ = std::string(as_text(config.body.view()));
    const auto version = config.header("x-amz-version-id");
    config_has_version_ = version && *version != "null";
    report_.add("read", Mark::kGood, "may read", Answer::kYes);
  } else if (config.status == 403) {
    report_.add("read", Mark::kBad, "may not read (s3:GetObject)", Answer::kNo);
  } else if (const S3Failure failure = parse_s3_failure(config); failure.foreign()) {
    throw s3_error(settings_, failure, config, "cannot examine " + settings_.description(),
                   "s3:GetObject");
  } else {
    report_.add("repository", Mark::kBad, "there is no repository yet");
  }
}

void Examination::try_writing() {
  if (config_.empty()) {
    return;
  }
  const std::string key = client_.key_of("config");
  const HttpResponse created = send_body(
      {.method = "PUT", .key = key, .headers = {{"If-None-Match", "*"}}}, as_bytes(config_));
  report_.rights.create = allowed(created);
  report_.add("create", need(report_.rights.create),
              report_.rights.create == Answer::kNo ? "may not add objects (s3:PutObject)"
              : created.success() ? "may add objects (the server knows no conditional puts)"
                                  : sentence(report_.rights.create, "add objects"),
              report_.rights.create);
  const HttpResponse replaced =
      send_body({.method = "PUT",
                 .key = key,
                 .headers = {{"If-Match", "\"00000000000000000000000000000000\""}}},
                as_bytes(config_));
  report_.rights.overwrite = allowed(replaced);
  report_.add("overwrite", harm(report_.rights.overwrite),
              sentence(report_.rights.overwrite, "replace what is there"),
              report_.rights.overwrite);
}

Answer Examination::try_removal(const std::string& key, const std::string& query) {
  S3Call call{.method = "DELETE", .key = key, .query = query};
  if (query.empty()) {
    call.headers = {{"If-Match", "\"00000000000000000000000000000000\""}};
  }
  const HttpResponse response = ask(call);
  // A delete marker of a name that never was: it goes again if it may.
  const auto version = response.header("x-amz-version-id");
  if (query.empty() && response.success() && response.header("x-amz-delete-marker") == "true" &&
      version) {
    (void)ask({.method = "DELETE",
               .key = key,
               .query = "versionId=" + percent_encode(std::string(*version))});
  }
  return allowed(response);
}

void Examination::try_removing() {
  struct Place {
    const char* shown;
    std::string key;
  };
  const std::vector<Place> places{{"data/", "data/00/00" + unused_name().substr(2)},
                                  {"snapshots/", "snapshots/" + unused_name()},
                                  {"index/", "index/" + unused_name()},
                                  {"keys/", "keys/" + unused_name()},
                                  {"salvor/", "salvor/doctor-" + unused_name()},
                                  {"config", "config-" + unused_name()}};
  StorageRights& rights = report_.rights;
  std::string removable;
  std::vector<Answer> answers;
  for (const Place& place : places) {
    answers.push_back(try_removal(client_.key_of(place.key), ""));
    if (answers.back() == Answer::kYes) {
      removable += (removable.empty() ? "" : ", ") + std::string(place.shown);
    }
  }
  rights.remove = any_of(answers);
  report_.add("remove", harm(rights.remove),
              removable.empty()
                  ? sentence(rights.remove, "remove data, snapshots, index, keys or config")
                  : "may remove from " + removable,
              rights.remove);
  rights.remove_locks = try_removal(client_.key_of("locks/" + unused_name()), "");
  report_.add("remove-locks", need(rights.remove_locks),
              rights.remove_locks == Answer::kNo
                  ? "may not remove from locks/ (s3:DeleteObject): every backup leaves its lock "
                    "behind"
                  : sentence(rights.remove_locks, "remove from locks/, as backups do"),
              rights.remove_locks);
}

void Examination::look_at_versions() {
  StorageRights& rights = report_.rights;
  const HttpResponse response = ask({.method = "GET", .query = "versioning="});
  if (response.success()) {
    const XmlElement root = parse_xml(as_text(response.body.view()));
    rights.versioned = root.child_text("Status") == "Enabled" ? Answer::kYes : Answer::kNo;
  } else if (response.status == 403 && config_.empty()) {
    rights.versioned = Answer::kUnknown;
  } else {  // objects of buckets that keep versions have one
    rights.versioned = config_has_version_ ? Answer::kYes : Answer::kNo;
  }
  const bool kept = rights.versioned == Answer::kYes;
  report_.add("versioning", kept ? Mark::kGood : Mark::kNote,
              kept ? "the bucket keeps older versions"
              : rights.versioned == Answer::kNo
                  ? "the bucket keeps no versions"
                  : "may not ask whether the bucket keeps versions (s3:GetBucketVersioning)");
  if (rights.versioned == Answer::kNo) {
    rights.remove_versions = rights.remove;
    return;
  }
  rights.remove_versions =
      try_removal(client_.key_of("data/00/00" + unused_name().substr(2)), "versionId=null");
  report_.add("remove-versions", harm(rights.remove_versions),
              rights.remove_versions == Answer::kYes
                  ? "may remove versions for good"
                  : sentence(rights.remove_versions, "remove versions"),
              rights.remove_versions);
}

void Examination::look_at_locks() {
  const S3LockState state = s3_lock_state(context_, client_);
  if (state.known == S3LockState::Known::kNo) {
    report_.add("object-lock", Mark::kNote, "the bucket has no object lock");
    return;
  }
  report_.add("object-lock", Mark::kGood,
              state.known == S3LockState::Known::kDenied
                  ? "may not ask whether the bucket has object lock"
              : state.default_mode.empty()
                  ? "the bucket has object lock, without a default for new objects"
                  : "the bucket has object lock: by default " + state.default_mode + " for " +
                        std::to_string(state.default_days.count()) + " days");
  sample_locks();
  const std::string xml =
      "<Retention xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Mode>GOVERNANCE</Mode>"
      "<RetainUntilDate>" +
      rfc3339_utc(client_.server_time(context_) + std::chrono::days(1)) +
      "</RetainUntilDate></Retention>";
  const std::string unused = client_.key_of("data/00/00" + unused_name().substr(2));
  const Answer extend =
      allowed(send_body({.method = "PUT", .key = unused, .query = "retention="}, as_bytes(xml)));
  report_.add("extend-retention", Mark::kNote, sentence(extend, "extend the protection of objects"),
              extend);
  if (!report_.rights.compliance) {
    const HttpResponse response = ask({.method = "DELETE",
                                       .key = unused,
                                       .query = "versionId=null",
                                       .headers = {{"x-amz-bypass-governance-retention", "true"}}});
    // Permission shows only on what is locked, which must not be tried.
    report_.rights.bypass = response.status == 403 ? Answer::kNo : Answer::kUnknown;
    report_.add("bypass-governance", Mark::kNote,
                response.status == 403 ? "may not bypass governance mode"
                                       : "whether it may bypass governance mode is not known",
                report_.rights.bypass);
  }
}

// Nothing when not all could be listed that has to be looked at.
std::vector<std::string> Examination::lock_samples() {
  std::vector<std::string> keys{client_.key_of("config")};
  for (const std::string kind : {"keys/", "snapshots/", "index/", "data/", "salvor/"}) {
    const bool all = kind == "keys/";
    const HttpResponse response =
        ask({.method = "GET",
             .query = "list-type=2&max-keys=" + std::to_string(all ? kMostKeys : kSamples) +
                      "&prefix=" + percent_encode(client_.key_of(kind))});
    if (!response.success()) {
      return {};
    }
    const XmlElement root = parse_xml(as_text(response.body.view()));
    if (all && root.child_text("IsTruncated") == "true") {
      return {};
    }
    for (const XmlElement& element : root.children) {
      if (element.name == "Contents") {
        keys.push_back(element.child_text("Key"));
      }
    }
  }
  return keys;
}

void Examination::sample_locks() {
  const std::vector<std::string> keys = lock_samples();
  if (keys.empty()) {
    return;
  }
  StorageRights& rights = report_.rights;
  size_t held = 0;
  size_t strict = 0;
  const WallTime now = client_.server_time(context_);
  for (const std::string& key : keys) {
    const auto retention =
        s3_retention(context_, client_, key, "cannot examine " + settings_.description());
    if (!retention || !retention->holds(now)) {
      continue;
    }
    ++held;
    strict += retention->compliance && retention->until && *retention->until > now ? 1 : 0;
    if (retention->until && (!rights.locked_until || *retention->until < *rights.locked_until)) {
      rights.locked_until = retention->until;
    }
  }
  rights.all_locked = held == keys.size();
  rights.compliance = strict == keys.size();
  report_.add(
      "locked", rights.all_locked ? Mark::kGood : Mark::kWarning,
      std::to_string(held) + " of " + std::to_string(keys.size()) + " sampled objects are locked" +
          (rights.locked_until ? ", the first until " + rfc3339_utc(*rights.locked_until) : ""));
}

// 405 and 501: the server has no such thing, so that nobody may change it.
Answer Examination::try_change(const char* query, std::string_view body) {
  const ByteView bytes = as_bytes(body);
  // Not `ask`: some servers call what they cannot parse an internal error.
  const int status = client_
                         .attempt(context_, {.method = "PUT",
                                             .query = query,
                                             .headers = {{"Content-MD5", md5_base64({&bytes, 1})}},
                                             .body = {&bytes, 1},
                                             .payload_sha256 = to_hex(sha256(bytes))})
                         .status;
  const bool no = status == 403 || status == 405 || status == 501;
  return no ? Answer::kNo : status < 300 || status == 400 ? Answer::kYes : Answer::kUnknown;
}

void Examination::try_bucket() {
  const Answer policy = try_change("policy=", "not a policy");
  // A rule that no server can take; an empty list could be taken for the wish to have none.
  const Answer lifecycle =
      try_change("lifecycle=",
                 "<LifecycleConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Rule>"
                 "<Status>Neither</Status></Rule></LifecycleConfiguration>");
  const bool both = policy == Answer::kYes && lifecycle == Answer::kYes;
  const std::string what = both                        ? "policy and lifecycle"
                           : policy == Answer::kYes    ? "policy"
                           : lifecycle == Answer::kYes ? "lifecycle"
                                                       : "policy or lifecycle";
  Answer& change = report_.rights.change_bucket;
  change = any_of(std::array{policy, lifecycle});
  report_.add("change-bucket", harm(change), sentence(change, "change the bucket's " + what),
              change);
}

}  // namespace

StorageReport examine_s3(const Context& context, S3Client& client) {
  return Examination(context, client).run();
}

}  // namespace salvor
