#include "storage/azure/azure_storage.h"

#include <algorithm>
#include <atomic>
#include <charconv>
#include <mutex>
#include <set>

#include "base/format.h"
#include "codec/go_json.h"
#include "codec/xml_reader.h"
#include "storage/azure/azure_credentials.h"
#include "storage/azure/azure_errors.h"
#include "storage/azure/azure_past.h"
#include "storage/azure/azure_settings.h"
#include "storage/azure/azure_sign.h"
#include "storage/bucket_storage.h"
#include "storage/md5.h"
#include "storage/retention_mode.h"
#include "storage/server_clock.h"
#include "storage/server_trouble.h"

namespace salvor {
namespace {

constexpr const char* kVersion = "2021-12-02";
constexpr uint64_t kListReply = uint64_t{32} << 20;
constexpr uint64_t kMostBlocks = 50'000;
constexpr auto kSoon = std::chrono::hours(72);

using Query = std::vector<std::pair<std::string, std::string>>;

// One request, as far as it does not depend on address, time and credentials.
struct Call {
  std::string method;
  std::string key;  // in the container; empty: the container itself
  Query query;      // not encoded
  std::vector<HttpHeader> headers;
  std::span<const ByteView> body;
  // What is stored is kept for so long, from the server's present.
  std::optional<std::chrono::seconds> keep_for;
  std::optional<MutableBytes> into;
  uint64_t limit_bytes = uint64_t{1} << 20;
  std::string what;   // for messages
  std::string right;  // that it needs
};

// `parts` from `offset`, `size` bytes of them.
std::vector<ByteView> cut(std::span<const ByteView> parts, uint64_t offset, uint64_t size) {
  std::vector<ByteView> piece;
  for (const ByteView part : parts) {
    if (offset >= part.size()) {
      offset -= part.size();
      continue;
    }
    const ByteView taken = part.subspan(offset, std::min<uint64_t>(size, part.size() - offset));
    piece.push_back(taken);
    size -= taken.size();
    offset = 0;
    if (size == 0) {
      break;
    }
  }
  return piece;
}

// When a shared access signature ends; nothing when it does not say (a stored policy does).
std::optional<WallTime> expiry_of(const Secret& sas) {
  const std::string text = "&" + std::string(sas.reveal());
  const size_t at = text.find("&se=");
  if (at == std::string::npos) {
    return std::nullopt;
  }
  std::string time =
      percent_decode(text.substr(at + 4, text.find('&', at + 4) - at - 4)).value_or("");
  if (time.size() == 10) {
    time += "T00:00:00Z";
  }
  const auto parsed = parse_go_time(time);
  return parsed ? std::optional(parsed->wall()) : std::nullopt;
}

class AzureStorage final : public BucketStorage {
 public:
  AzureStorage(AzureSettings settings, const StorageOptions& options)
      : BucketStorage({.description = settings.description(),
                       .prefix = settings.prefix,
                       .scheme = "azure",
                       .connections = settings.connections,
                       .as_of = settings.as_of}),
        settings_(std::move(settings)),
        tokens_(options),
        client_(options.http),
        clock_(settings_.endpoint),
        sas_expires_(expiry_of(settings_.sas)) {
    const size_t host = settings_.endpoint.find("://") + 3;
    const size_t slash = settings_.endpoint.find('/', host);
    endpoint_path_ = slash == std::string::npos ? "" : settings_.endpoint.substr(slash);
  }

  void create(const Context& context) override;
  std::optional<Retention> retention(const Context& context, const ObjectName& object) override;
  void extend_retention(const Context& context, const ObjectName& object, WallTime until) override;
  WallTime server_time(const Context& context) override;

 private:
  void upload(const Context& context, const ObjectName& object, std::span<const ByteView> parts,
              bool if_absent) override;
  HttpResponse fetch(const Context& context, const ObjectName& object,
                     const Reading& reading) override;
  std::optional<uint64_t> size_of(const Context& context, const ObjectName& object) override;
  void list_keys(const Context& context, const std::string& below, const OnKey& on_key) override;
  void remove_present(const Context& context, const ObjectName& object) override;
  PastObjectMap load_past(const Context& context, WallTime as_of) override;

  // `token`: where there is neither a key nor a signature.
  HttpResponse send(const Context& context, const Call& call, const Secret& token,
                    std::chrono::nanoseconds clock_offset);
  // Sends, and once more when the clock was wrong or a token had expired. Any status that is
  // neither a success nor one of `expected` is thrown. That something is missing is believed only
  // in Azure's own words: Error{kUnreachable} for another 404, `expected` or not, and for a
  // container that is missing after it has been there.
  HttpResponse execute(const Context& context, const Call& call,
                       std::initializer_list<int> expected = {});
  void warn_of_expiry(const Context& context);

  // Uploads what has not arrived yet, and returns the list that makes an object of the blocks.
  std::string upload_blocks(const Context& context, const ObjectName& object,
                            std::span<const ByteView> parts, uint64_t size_bytes);
  std::set<std::string> arrived_blocks(const Context& context, const ObjectName& object);
  [[nodiscard]] std::vector<HttpHeader> upload_headers(const ObjectName& object) const;
  [[nodiscard]] bool is_kept(const ObjectName& object) const {
    return !settings_.lock_mode.empty() && object.kind != ObjectKind::kLock;
  }
  void check_policy(const Context& context, const ObjectName& object);
  // Whether the container has version-level immutability; asked once.
  bool may_be_kept(const Context& context);
  using OnBlob = std::function<void(const XmlElement& blob, uint64_t size_bytes)>;
  // All that begins with `prefix`, page by page; `include`: what else than the present.
  void list_blobs(const Context& context, const std::string& prefix, const std::string& include,
                  const OnBlob& on_blob);
  // Nothing when there is no container.
  std::optional<XmlElement> list_page(const Context& context, const std::string& prefix,
                                      const std::string& include, const std::string& from);

  const AzureSettings settings_;
  AzureTokenSource tokens_;  // where there is neither a key nor a signature
  HttpClient client_;
  ServerClock clock_;
  const std::optional<WallTime> sas_expires_;
  std::string endpoint_path_;
  std::atomic<bool> container_seen_ = false;
  std::atomic<bool> warned_ = false;
  std::atomic<bool> policy_seen_ = false;
  std::mutex kept_mutex_;
  std::optional<bool> kept_;  // under kept_mutex_
};

// ---- requests ----

void AzureStorage::warn_of_expiry(const Context& context) {
  if (!sas_expires_) {
    return;
  }
  const auto left = *sas_expires_ - clock_.now(context);
  if (left < kSoon && !warned_.exchange(true)) {
    const std::string when = http_date(*sas_expires_);
    context.events.on(Warning{left.count() < 0
                                  ? "the shared access signature has expired: " + when
                                  : "the shared access signature expires soon: " + when,
                              "Make a new one and put it into AZURE_ACCOUNT_SAS."});
  }
}

HttpResponse AzureStorage::send(const Context& context, const Call& call, const Secret& token,
                                std::chrono::nanoseconds clock_offset) {
  const std::string path =
      "/" + settings_.container + (call.key.empty() ? "" : "/" + percent_encode(call.key, true));
  std::string url = settings_.endpoint + path;
  char mark = '?';
  for (const auto& [name, value] : call.query) {
    url += mark + name + "=" + percent_encode(value);
    mark = '&';
  }
  HttpRequest request{.method = call.method,
                      .headers = call.headers,
                      .body = call.body,
                      .into = call.into,
                      .limit_bytes = call.limit_bytes};
  request.headers.push_back({"x-ms-version", kVersion});
  const WallTime server_time = context.clock.now() + clock_offset;
  if (call.keep_for) {
    request.headers.push_back(
        {"x-ms-immutability-policy-until-date", http_date(server_time + *call.keep_for)});
  }
  if (!token.empty()) {
    request.headers.push_back({"Authorization", "Bearer " + std::string(token.reveal())});
  } else if (settings_.key.empty()) {
    warn_of_expiry(context);
    url += mark + std::string(settings_.sas.reveal());
  } else {
    request.headers.push_back({"x-ms-date", http_date(server_time)});
    const std::string signed_path = endpoint_path_ + path;
    request.headers.push_back(
        {"Authorization", azure_authorization(settings_.account, settings_.key,
                                              {.method = call.method,
                                               .path = signed_path,
                                               .query = call.query,
                                               .headers = request.headers,
                                               .body_bytes = total_size(call.body)})});
  }
  request.url = std::move(url);
  const MonotonicTime began = context.clock.monotonic();
  HttpResponse response = client_.request(context, request);
  clock_.learn(context, response, context.clock.monotonic() - began);
  return response;
}

HttpResponse AzureStorage::execute(const Context& context, const Call& call,
                                   std::initializer_list<int> expected) {
  const bool by_token = settings_.key.empty() && settings_.sas.empty();
  for (unsigned attempt = 0;; ++attempt) {
    const Secret token = by_token ? tokens_.get(context) : Secret();
    const std::chrono::nanoseconds offset = clock_.offset();
    HttpResponse response = send(context, call, token, offset);
    if (response.success()) {
      container_seen_ = true;
      return response;
    }
    if (response.status == 401 && by_token && attempt == 0 && tokens_.renew(token)) {
      continue;
    }
    const AzureFailure failure = parse_azure_failure(response);
    if (attempt == 0 && failure.status == 403 && failure.code == "AuthenticationFailed" &&
        !settings_.key.empty() && clock_.differs_from(offset)) {
      continue;
    }
    const bool awaited = std::ranges::find(expected, response.status) != expected.end();
    const bool vanished = failure.code == "ContainerNotFound" && container_seen_;
    if (awaited && !failure.foreign() && !vanished) {
      return response;
    }
    Error error = azure_error(settings_, failure, response, call.what, call.right);
    throw vanished ? vanished_bucket(error.message()) : error;
  }
}

WallTime AzureStorage::server_time(const Context& context) {
  if (!clock_.known()) {
    (void)execute(context,
                  {.method = "HEAD",
                   .query = {{"restype", "container"}},
                   .what = "cannot ask for the time of " + description(),
                   .right = "r (read)"},
                  {403, 404});
  }
  return clock_.now(context);
}

// ---- writing ----

void AzureStorage::create(const Context& context) {
  refuse_when_past();
  context.check_stopped();
  const std::string target = description();
  // Without the right to look, what follows will show whether the container is there.
  const HttpResponse found = execute(context,
                                     {.method = "HEAD",
                                      .query = {{"restype", "container"}},
                                      .what = "cannot look for " + target,
                                      .right = "r (read)"},
                                     {403, 404});
  const AzureFailure failure = parse_azure_failure(found);
  if (found.status == 403 &&
      (failure.code == "AuthenticationFailed" || !settings_.key.empty())) {  // a key may all
    throw azure_error(settings_, failure, found, "cannot look for " + target, "r (read)");
  }
  if (found.status != 404) {
    return;
  }
  (void)execute(context,
                {.method = "PUT",
                 .query = {{"restype", "container"}},
                 .what = "cannot make the container " + printable(settings_.container),
                 .right = "c (create)"},
                {409});  // somebody was faster
}

std::vector<HttpHeader> AzureStorage::upload_headers(const ObjectName& object) const {
  std::vector<HttpHeader> headers;
  if (!settings_.access_tier.empty() && object.kind == ObjectKind::kPack) {
    headers.push_back({"x-ms-access-tier", settings_.access_tier});
  }
  // Locks must be removable at any time.
  if (is_kept(object)) {
    headers.push_back({"x-ms-immutability-policy-mode", settings_.lock_mode});
  }
  return headers;
}

void AzureStorage::upload(const Context& context, const ObjectName& object,
                          std::span<const ByteView> parts, bool if_absent) {
  const uint64_t size_bytes = total_size(parts);
  Call call{.method = "PUT",
            .key = key_of(object),
            .headers = upload_headers(object),
            .body = parts,
            .what = what("write", object),
            .right = "c (create)"};
  if (is_kept(object)) {
    // A request that is signed with a key is refused when its time is wrong; others are not.
    if (settings_.key.empty()) {
      (void)server_time(context);
    }
    call.keep_for = settings_.lock_days;
  }
  if (if_absent) {
    call.headers.push_back({"If-None-Match", "*"});
  } else {
    call.right = "w (write)";
  }
  const bool in_blocks = size_bytes > settings_.block_bytes;
  std::string list;
  ByteView list_view;
  if (in_blocks) {
    list = upload_blocks(context, object, parts, size_bytes);
    list_view = as_bytes(list);
    call.body = {&list_view, 1};
    call.query = {{"comp", "blocklist"}};
    call.headers.push_back({"x-ms-blob-content-md5", to_base64(md5(parts))});
  } else {
    call.headers.push_back({"x-ms-blob-type", "BlockBlob"});
  }
  call.headers.push_back({"Content-MD5", to_base64(md5(call.body))});
  const HttpResponse response = execute(context, call, {409, 412});
  if (response.success()) {
    check_policy(context, object);
    return;
  }
  const AzureFailure failure = parse_azure_failure(response);
  if (if_absent && (failure.code == "BlobAlreadyExists" || response.status == 412)) {
    accept_existing(context, object, parts);
    return;
  }
  throw azure_error(settings_, failure, response, call.what, call.right);
}

// Servers that know no policies may ignore them: nobody should believe in a protection that is not
// there. One look is enough, as it is the container that has the support or not.
void AzureStorage::check_policy(const Context& context, const ObjectName& object) {
  if (!is_kept(object) || policy_seen_) {
    return;
  }
  const std::string action = "cannot keep " + object.display() + " in " + description();
  const HttpResponse response = execute(
      context, {.method = "HEAD", .key = key_of(object), .what = action, .right = "r (read)"});
  if (!response.header("x-ms-immutability-policy-until-date")) {
    throw Error(ErrorCode::kFailed, action + ": the server has stored it without the policy",
                "The container has no version-level immutability: see docs/storage-azure.md.");
  }
  policy_seen_ = true;
}

std::string AzureStorage::upload_blocks(const Context& context, const ObjectName& object,
                                        std::span<const ByteView> parts, uint64_t size_bytes) {
  if (size_bytes > settings_.block_bytes * kMostBlocks) {
    throw Error(ErrorCode::kFailed, what("write", object) + ": more than 50,000 blocks",
                "Choose larger ones with -o azure.block-size=MIB.");
  }
  const std::set<std::string> arrived = arrived_blocks(context, object);
  std::string list = "<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>";
  for (uint64_t offset = 0; offset < size_bytes; offset += settings_.block_bytes) {
    const auto piece = cut(parts, offset, std::min(settings_.block_bytes, size_bytes - offset));
    const auto hash = md5(piece);
    // All names of one object have to be of one length.
    std::string place = std::to_string(offset / settings_.block_bytes);
    place.insert(0, 6 - place.size(), '0');
    const std::string name = to_base64(as_bytes(place + "-" + to_hex(hash)));
    if (!arrived.contains(name)) {
      (void)execute(context, {.method = "PUT",
                              .key = key_of(object),
                              .query = {{"blockid", name}, {"comp", "block"}},
                              .headers = {{"Content-MD5", to_base64(hash)}},
                              .body = piece,
                              .what = what("write", object),
                              .right = "c (create)"});
    }
    list += "<Uncommitted>" + name + "</Uncommitted>";
  }
  return list + "</BlockList>";
}

// What an upload that failed has left there. Azure forgets it after a week.
std::set<std::string> AzureStorage::arrived_blocks(const Context& context,
                                                   const ObjectName& object) {
  const HttpResponse response =
      execute(context,
              {.method = "GET",
               .key = key_of(object),
               .query = {{"blocklisttype", "uncommitted"}, {"comp", "blocklist"}},
               .limit_bytes = kListReply,
               .what = what("write", object),
               .right = "r (read)"},
              {403, 404});  // without that right nothing is reused
  std::set<std::string> names;
  if (response.success() && !response.cut) {
    const XmlElement root = parse_xml(as_text(response.body.view()));
    if (const XmlElement* blocks = root.child("UncommittedBlocks")) {
      for (const XmlElement& block : blocks->children) {
        names.insert(block.child_text("Name"));
      }
    }
  }
  return names;
}

// ---- reading ----

HttpResponse AzureStorage::fetch(const Context& context, const ObjectName& object,
                                 const Reading& reading) {
  Call call{.method = "GET",
            .key = key_of(object),
            .into = reading.into,
            .limit_bytes = reading.limit_bytes,
            .what = reading.what,
            .right = "r (read)"};
  if (!reading.version.empty()) {
    call.query = {{"versionid", reading.version}};
  }
  if (reading.range.empty()) {
    return execute(context, call);
  }
  call.headers.push_back({"x-ms-range", reading.range});
  return execute(context, call, {416});
}

std::optional<uint64_t> AzureStorage::size_of(const Context& context, const ObjectName& object) {
  const Call call{.method = "HEAD",
                  .key = key_of(object),
                  .what = what("look for", object),
                  .right = "r (read)"};
  return size_in(execute(context, call, {404}), call.what);
}

std::optional<XmlElement> AzureStorage::list_page(const Context& context, const std::string& prefix,
                                                  const std::string& include,
                                                  const std::string& from) {
  Call call{.method = "GET",
            .query = {{"comp", "list"},
                      {"maxresults", std::to_string(settings_.list_page)},
                      {"prefix", prefix},
                      {"restype", "container"}},
            .limit_bytes = kListReply,
            .what = "cannot list " + description(),
            .right = "l (list)"};
  if (!include.empty()) {
    call.query.emplace_back("include", include);
  }
  if (!from.empty()) {
    call.query.emplace_back("marker", from);
  }
  const HttpResponse response =
      from.empty() ? execute(context, call, {404}) : execute(context, call);
  if (response.status == 404) {
    return std::nullopt;
  }
  const auto refuse = [&](const std::string& why) {
    return Error(ErrorCode::kFailed, call.what + ": " + why,
                 "Does " + printable(settings_.endpoint) + " speak Azure Blob Storage?");
  };
  XmlElement root;
  try {
    root = parse_xml(as_text(response.body.view()));
  } catch (const Error& error) {
    throw refuse(error.message());
  }
  if (root.name != "EnumerationResults" || root.child("Blobs") == nullptr || response.cut) {
    throw refuse("the reply is not a listing");
  }
  if (!from.empty() && root.child_text("NextMarker") == from) {
    throw refuse("the listing does not go on");
  }
  return root;
}

void AzureStorage::list_blobs(const Context& context, const std::string& prefix,
                              const std::string& include, const OnBlob& on_blob) {
  std::string from;
  do {
    const std::optional<XmlElement> page = list_page(context, prefix, include, from);
    if (!page) {
      return;  // no container yet, no objects
    }
    for (const XmlElement& blob : page->child("Blobs")->children) {
      const XmlElement* properties = blob.child("Properties");
      if (blob.name != "Blob" || properties == nullptr ||
          !blob.child_text("Name").starts_with(prefix)) {
        continue;
      }
      const auto size_bytes = parse_size(properties->child_text("Content-Length"));
      if (!size_bytes) {
        throw Error(ErrorCode::kFailed,
                    "cannot list " + description() + ": the reply has no sizes");
      }
      on_blob(blob, *size_bytes);
    }
    from = page->child_text("NextMarker");
  } while (!from.empty());
}

void AzureStorage::list_keys(const Context& context, const std::string& below,
                             const OnKey& on_key) {
  list_blobs(context, below, "", [&](const XmlElement& blob, uint64_t size_bytes) {
    on_key(blob.child_text("Name"), size_bytes);
  });
}

PastObjectMap AzureStorage::load_past(const Context& context, WallTime as_of) {
  AzurePast past(as_of, key_prefix(), "cannot list " + description());
  list_blobs(context, key_prefix(), "versions", [&](const XmlElement& blob, uint64_t size_bytes) {
    context.check_stopped();
    past.add(blob, size_bytes);
  });
  if (!past.versioned()) {
    throw no_past(description(), "azure");
  }
  return past.take();
}

void AzureStorage::remove_present(const Context& context, const ObjectName& object) {
  (void)execute(context,
                {.method = "DELETE",
                 .key = key_of(object),
                 .what = what("remove", object),
                 .right = "d (delete)"},
                {404});
}

// ---- retention ----

bool AzureStorage::may_be_kept(const Context& context) {
  const std::scoped_lock lock(kept_mutex_);
  if (!kept_) {
    const HttpResponse response =
        execute(context,
                {.method = "HEAD",
                 .query = {{"restype", "container"}},
                 .what = "cannot look for the immutability of " + description(),
                 .right = "r (read)"},
                {403, 404});
    // Without the right to know it, each object is asked.
    kept_ = response.header("x-ms-immutable-storage-with-versioning-enabled") == "true" ||
            response.status == 403;
  }
  return *kept_ || !settings_.lock_mode.empty();
}

std::optional<Retention> AzureStorage::retention(const Context& context, const ObjectName& object) {
  check_call(context, object);
  if (reads_past() || !may_be_kept(context)) {
    return std::nullopt;
  }
  const HttpResponse response = execute(context,
                                        {.method = "HEAD",
                                         .key = key_of(object),
                                         .what = what("look for", object),
                                         .right = "r (read)"},
                                        {404});
  if (response.status == 404) {
    return std::nullopt;
  }
  Retention found{.legal_hold = response.header("x-ms-legal-hold") == "true"};
  if (const auto until = response.header("x-ms-immutability-policy-until-date")) {
    found.until = parse_http_date(*until);
    std::string mode(response.header("x-ms-immutability-policy-mode").value_or(""));
    std::ranges::transform(mode, mode.begin(), ::tolower);
    found.compliance = mode == "locked";
  }
  return found.until || found.legal_hold ? std::optional(found) : std::nullopt;
}

void AzureStorage::extend_retention(const Context& context, const ObjectName& object,
                                    WallTime until) {
  check_call(context, object);
  refuse_when_past();
  if (!may_be_kept(context)) {
    Storage::extend_retention(context, object, until);
    return;
  }
  const auto mode = mode_to_extend(retention(context, object), until, settings_.lock_mode);
  if (!mode) {
    return;
  }
  (void)execute(context, {.method = "PUT",
                          .key = key_of(object),
                          .query = {{"comp", "immutabilityPolicies"}},
                          .headers = {{"x-ms-immutability-policy-mode", *mode},
                                      {"x-ms-immutability-policy-until-date", http_date(until)}},
                          .what = "cannot extend the protection of " + object.display() + " in " +
                                  description(),
                          .right = "i (immutability)"});
}

}  // namespace

std::unique_ptr<Storage> open_azure_storage(AzureSettings settings, const StorageOptions& options) {
  return std::make_unique<AzureStorage>(std::move(settings), options);
}

std::unique_ptr<Storage> open_azure_storage(std::string_view rest, const StorageOptions& options) {
  return open_azure_storage(azure_settings(rest, options), options);
}

}  // namespace salvor
