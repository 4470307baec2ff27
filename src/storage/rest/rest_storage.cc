#include "storage/rest/rest_storage.h"

#include <algorithm>
#include <charconv>

#include <nlohmann/json.hpp>

#include "base/format.h"
#include "storage/layout.h"

namespace salvor {
namespace {

constexpr uint64_t kListReply = uint64_t{512} << 20U;  // some three million objects
constexpr const char* kVersion2 = "application/vnd.x.restic.rest.v2";

struct RestSettings {
  std::string base;  // "http://host:8000/path/", without user information
  std::string unix_socket;
  std::string user;
  std::string password;
  unsigned connections = 5;
};

[[noreturn]] void refuse(const std::string& why) {
  throw Error(ErrorCode::kUsage, "the REST location " + why,
              "Write rest:https://user:password@host:8000/path/ or "
              "rest:http+unix:///run/rest.sock:/path/; or give the password with "
              "RESTIC_REST_USERNAME and RESTIC_REST_PASSWORD.");
}

RestSettings parse_settings(std::string_view rest, const StorageOptions& options) {
  ExtendedOptions extended(options, "rest");
  RestSettings settings;
  settings.connections = extended.number("connections", 5, 1, 256);
  extended.finish();
  const auto either = [&](const std::string& name) {
    const auto ours = options.environment("SALVOR_" + name);
    return (ours ? ours : options.environment("RESTIC_" + name)).value_or("");
  };
  settings.user = either("REST_USERNAME");
  settings.password = either("REST_PASSWORD");

  constexpr std::string_view kUnix = "http+unix://";
  if (rest.starts_with(kUnix)) {
    rest.remove_prefix(kUnix.size());
    const size_t colon = rest.find(":/");
    settings.unix_socket = std::string(rest.substr(0, colon));
    if (!settings.unix_socket.starts_with('/')) {
      refuse("names no socket");
    }
    settings.base = "http://localhost" +
                    std::string(colon == std::string_view::npos ? "/" : rest.substr(colon + 1));
  } else {
    const size_t marker = rest.find("://");
    const std::string_view scheme = rest.substr(0, marker);
    if (marker == std::string_view::npos || (scheme != "http" && scheme != "https")) {
      refuse("must begin with rest:http:// or rest:https://");
    }
    std::string_view place = rest.substr(marker + 3);
    const size_t slash = place.find('/');
    const size_t at = place.rfind('@', slash);
    if (at != std::string_view::npos) {
      const std::string_view who = place.substr(0, at);
      const size_t colon = who.find(':');
      settings.user = percent_decode(who.substr(0, colon)).value_or(std::string(who));
      settings.password =
          colon == std::string_view::npos
              ? ""
              : percent_decode(who.substr(colon + 1)).value_or(std::string(who.substr(colon + 1)));
      place.remove_prefix(at + 1);
    }
    if (place.empty() || place.starts_with('/')) {
      refuse("names no host");
    }
    settings.base = std::string(scheme) + "://" + std::string(place);
  }
  if (settings.base.find('?') != std::string::npos) {
    refuse("must not have a query");
  }
  if (!settings.base.ends_with('/')) {
    settings.base += '/';
  }
  return settings;
}

HttpClientOptions client_options(const StorageOptions& options, const RestSettings& settings) {
  HttpClientOptions http = options.http;
  http.unix_socket = settings.unix_socket;
  return http;
}

class RestStorage final : public Storage {
 public:
  RestStorage(RestSettings settings, const StorageOptions& options,
              std::shared_ptr<RestConfigMemory> memory)
      : settings_(std::move(settings)),
        client_(client_options(options, settings_)),
        memory_(std::move(memory)) {}

  using Storage::put;
  void create(const Context& context) override {
    context.check_stopped();
    const HttpResponse response = send(context, "POST", "?create=true");
    if (!response.success()) {
      throw failure(response, "cannot make " + traits().description, false);
    }
  }
  void put(const Context& context, const ObjectName& object,
           std::span<const ByteView> parts) override;
  void replace_config(const Context& context, ByteView bytes) override;
  Buffer get(const Context& context, const ObjectName& object, uint64_t limit_bytes) override;
  void get_range(const Context& context, const ObjectName& object, uint64_t offset,
                 MutableBytes out) override;
  std::optional<ObjectInfo> stat(const Context& context, const ObjectName& object) override;
  void list(const Context& context, ObjectKind kind,
            const std::function<void(const ObjectInfo&)>& on_object) override;
  void remove(const Context& context, const ObjectName& object) override;
  [[nodiscard]] StorageTraits traits() const override {
    return {.connections = settings_.connections,
            .remote = true,
            .description =
                "REST server " +
                printable(settings_.unix_socket.empty() ? settings_.base : settings_.unix_socket)};
  }

 private:
  // The protocol hides the two-digit directories.
  static std::string path_of(const ObjectName& object) {
    return std::string(kind_prefix(object.kind)) + object.name;
  }
  [[nodiscard]] std::string what(std::string_view verb, const ObjectName& object) const {
    return "cannot " + std::string(verb) + " " + object.display() + " in " + traits().description;
  }
  HttpResponse send(const Context& context, const std::string& method, const std::string& path,
                    HttpRequest request = {});
  [[nodiscard]] static Error failure(const HttpResponse& response, const std::string& what,
                                     bool removing);
  [[nodiscard]] Error absent(const ObjectName& object) const {
    return {ErrorCode::kNotFound, what("read", object) + ": it does not exist"};
  }
  // As `send`, of an object or (without a name) all of a kind, and throws Error{kUnreachable} for a
  // 404 that is not to be believed.
  HttpResponse send_for(const Context& context, const std::string& method, const ObjectName& object,
                        HttpRequest request = {});
  void doubt_404(const Context& context, const ObjectName& object, const std::string& what);

  [[nodiscard]] std::optional<Buffer> present_config(const Context& context);
  void mend_config(const Context& context, ByteView wanted, bool was_there, const Error& error);

  const RestSettings settings_;
  HttpClient client_;
  // Shared: see there.
  const std::shared_ptr<RestConfigMemory> memory_;
};

HttpResponse RestStorage::send(const Context& context, const std::string& method,
                               const std::string& path, HttpRequest request) {
  request.method = method;
  request.url = settings_.base + path;
  request.headers.push_back({"Accept", kVersion2});
  if (!settings_.user.empty() || !settings_.password.empty()) {
    request.headers.push_back(
        {"Authorization",
         "Basic " + to_base64(as_bytes(settings_.user + ":" + settings_.password))});
  }
  return client_.request(context, request);
}

HttpResponse RestStorage::send_for(const Context& context, const std::string& method,
                                   const ObjectName& object, HttpRequest request) {
  HttpResponse response = send(context, method, path_of(object), std::move(request));
  if (response.status == 404) {
    doubt_404(context, object, method + " of " + path_of(object) + " in " + traits().description);
  } else if (object.kind == ObjectKind::kConfig && response.success()) {
    memory_->set_seen(method != "DELETE");
  }
  return response;
}

// Before the config has been seen there may be no repository yet, of which everything is missing.
void RestStorage::doubt_404(const Context& context, const ObjectName& object,
                            const std::string& what) {
  if (!memory_->seen()) {
    return;
  }
  const bool itself = object.kind == ObjectKind::kConfig;
  if (!itself && send(context, "HEAD", "config").success()) {
    return;
  }
  throw Error(ErrorCode::kUnreachable,
              what + ": the server answered 404" +
                  (itself ? ", and a moment ago it was there" : " for this and for the config"),
              "Somebody else may have answered: a load balancer or a proxy while the server was "
              "away. Or the repository was removed.");
}

Error RestStorage::failure(const HttpResponse& response, const std::string& what, bool removing) {
  std::string words = printable(as_text(response.body.view()).substr(0, 200));
  while (!words.empty() && (words.back() == ' ' || words.ends_with("\\x0a"))) {
    words.resize(words.size() - (words.back() == ' ' ? 1 : 4));
  }
  const std::string message = what + ": the server answered " + std::to_string(response.status) +
                              (words.empty() ? "" : " (" + words + ")");
  switch (response.status) {
    case 401:
      return {ErrorCode::kPermission, message,
              "Check the user name and password: in the location, or RESTIC_REST_USERNAME and "
              "RESTIC_REST_PASSWORD."};
    case 403:
      return {ErrorCode::kPermission, message,
              removing ? "The server is append-only, as it should be for whoever makes backups: "
                         "forget and prune with other credentials, or on the server itself."
                       : "The server does not let this user there: with private repositories the "
                         "path begins with the user's name."};
    case 404:
      return {ErrorCode::kNotFound, message, "Check the path."};
    case 400:  // a body that is not what its name says: changed on the way
      return {ErrorCode::kUnreachable, message, "The data was changed on the way to the server."};
    case 413:
    case 507:
      return {ErrorCode::kStorageFull, message,
              "The server's disk or quota is full. Free some space (forget and prune old "
              "snapshots) and run the command again; nothing already stored is lost."};
    default:
      break;
  }
  if (response.status == 429 || response.status >= 500) {
    Error error(ErrorCode::kUnreachable, message, "The server is overloaded or has trouble.");
    return error.advise({.after = retry_after(response).value_or(std::chrono::milliseconds(0)),
                         .slow_down = response.status == 429 || response.status == 503});
  }
  return {ErrorCode::kFailed, message, "Is it a restic REST server, and is the path right?"};
}

void RestStorage::put(const Context& context, const ObjectName& object,
                      std::span<const ByteView> parts) {
  check_call(context, object);
  if (object.kind == ObjectKind::kSalvor) {
    throw Error(ErrorCode::kFailed,
                what("write", object) + ": the REST protocol has no place for journals",
                "Keep journals and evidence on another kind of storage.");
  }
  const HttpResponse response = send_for(context, "POST", object, {.body = parts});
  if (response.success()) {
    return;
  }
  // What exists is refused with 403, also when it is the same (a reply that was lost).
  if (response.status == 403 || response.status == 409) {
    if (const auto existing = stat(context, object)) {
      check_existing(*this, context, object, existing->size_bytes, parts);
      return;
    }
  }
  throw failure(response, what("write", object), false);
}

// Each request may have been carried out although its reply was lost: what is there is looked at,
// before and after.
void RestStorage::replace_config(const Context& context, ByteView bytes) {
  context.check_stopped();
  const ObjectName config{ObjectKind::kConfig, {}};
  const std::optional<Buffer> present = present_config(context);
  if (!present && !memory_->old()) {
    doubt_404(context, config, what("read", config));
    throw absent(config);
  }
  if (!present || !std::ranges::equal(present->view(), bytes)) {
    if (present) {
      memory_->keep_old(present->view());
    }
    try {
      if (present) {
        remove(context, config);
      }
      put(context, config, std::span<const ByteView>(&bytes, 1));
    } catch (const Error& error) {
      mend_config(context, bytes, present.has_value(), error);
    }
  }
  memory_->forget_old();
}

// After `error`, when nobody knows what is there: returns if it is the new config after all, and
// otherwise sees to it that it is the old one, and throws.
void RestStorage::mend_config(const Context& context, ByteView wanted, bool was_there,
                              const Error& error) {
  const Context last_try = context.with_stop({});
  std::optional<Buffer> present;
  try {
    present = present_config(last_try);
    if (!present) {
      put(last_try, {ObjectKind::kConfig, {}}, as_bytes(memory_->old().value_or("")));
    }
  } catch (const Error&) {
    // A 404 is no reason to give up: it can only be somebody else's.
    Error lost(error.code() == ErrorCode::kNotFound ? ErrorCode::kUnreachable : error.code(),
               error.message(),
               "The config could be missing now. What it was is in " + memory_->old_file() +
                   ": run the command again, or put that file there as \"config\".");
    throw lost.advise(error.advice());
  }
  if (present && std::ranges::equal(present->view(), wanted)) {
    return;
  }
  memory_->forget_old();
  // One that was not there a moment ago: that 404, too, was somebody else's.
  if (error.code() == ErrorCode::kNotFound || (present && !was_there)) {
    throw Error(ErrorCode::kUnreachable, error.message());
  }
  throw error;
}

// Nothing when the server says 404.
std::optional<Buffer> RestStorage::present_config(const Context& context) {
  const ObjectName config{ObjectKind::kConfig, {}};
  HttpResponse response =
      send(context, "GET", path_of(config), {.limit_bytes = uint64_t{1} << 20U});
  if (response.status == 404) {
    return std::nullopt;
  }
  if (!response.success() || response.cut) {
    throw failure(response, what("read", config), false);
  }
  memory_->set_seen(true);
  return std::move(response.body);
}

Buffer RestStorage::get(const Context& context, const ObjectName& object, uint64_t limit_bytes) {
  check_call(context, object);
  if (object.kind == ObjectKind::kSalvor) {
    throw absent(object);
  }
  HttpResponse response = send_for(context, "GET", object, {.limit_bytes = limit_bytes});
  if (response.status == 404) {
    throw absent(object);
  }
  if (!response.success()) {
    throw failure(response, what("read", object), false);
  }
  if (response.cut) {
    throw Error(ErrorCode::kDamaged, what("read", object) + ": it has more than " +
                                         std::to_string(limit_bytes) + " bytes");
  }
  return std::move(response.body);
}

void RestStorage::get_range(const Context& context, const ObjectName& object, uint64_t offset,
                            MutableBytes out) {
  check_call(context, object);
  if (out.empty() || object.kind == ObjectKind::kSalvor) {
    if (object.kind == ObjectKind::kSalvor || !stat(context, object)) {
      throw absent(object);
    }
    return;
  }
  const uint64_t end = offset + out.size();
  const HttpResponse response = send_for(
      context, "GET", object,
      {.headers = {{"Range", "bytes=" + std::to_string(offset) + "-" + std::to_string(end - 1)}},
       .into = out,
       .limit_bytes = out.size()});
  if (response.status == 404) {
    throw absent(object);
  }
  if (response.status == 416) {
    throw Error(ErrorCode::kDamaged,
                what("read", object) + ": it ends before byte " + std::to_string(end));
  }
  if (response.status != 206) {
    throw failure(response, what("read a part of", object), false);
  }
  if (response.body_bytes < out.size()) {
    throw Error(ErrorCode::kDamaged, what("read", object) + ": it ends at byte " +
                                         std::to_string(offset + response.body_bytes) +
                                         ", before byte " + std::to_string(end));
  }
}

std::optional<ObjectInfo> RestStorage::stat(const Context& context, const ObjectName& object) {
  check_call(context, object);
  if (object.kind == ObjectKind::kSalvor) {
    return std::nullopt;
  }
  const HttpResponse response = send_for(context, "HEAD", object);
  if (response.status == 404) {
    return std::nullopt;
  }
  if (!response.success()) {
    throw failure(response, what("look at", object), false);
  }
  const std::string_view length = response.header("content-length").value_or("");
  uint64_t size_bytes = 0;
  const auto parsed = std::from_chars(length.data(), length.data() + length.size(), size_bytes);
  if (length.empty() || parsed.ec != std::errc()) {
    throw Error(ErrorCode::kFailed, what("look at", object) + ": the server does not say its size");
  }
  return ObjectInfo{object.name, size_bytes};
}

void RestStorage::list(const Context& context, ObjectKind kind,
                       const std::function<void(const ObjectInfo&)>& on_object) {
  context.check_stopped();
  if (kind == ObjectKind::kSalvor) {
    return;
  }
  if (kind == ObjectKind::kConfig) {
    if (const auto config = stat(context, {kind, {}})) {
      on_object(*config);
    }
    return;
  }
  const std::string directory(kind_prefix(kind));
  const HttpResponse response = send_for(context, "GET", {kind, {}}, {.limit_bytes = kListReply});
  if (response.status == 404) {
    return;
  }
  const std::string what = "cannot list " + directory + " in " + traits().description;
  if (!response.success()) {
    throw failure(response, what, false);
  }
  const auto entries =
      nlohmann::json::parse(as_text(response.body.view()), nullptr, /*allow_exceptions=*/false);
  if (response.cut || !(entries.is_array() || entries.is_null())) {
    throw Error(ErrorCode::kFailed, what + ": the reply is not a list",
                "Is it a restic REST server, and is the path right?");
  }
  for (const auto& entry : entries) {
    context.check_stopped();
    // Version 2 has objects with a size, version 1 names only.
    const bool detailed = entry.is_object();
    const auto& name = detailed ? entry.value("name", nlohmann::json()) : entry;
    if (!name.is_string() || !is_object_name(kind, name.get_ref<const std::string&>())) {
      continue;
    }
    if (detailed && entry.contains("size") && entry["size"].is_number_unsigned()) {
      on_object({name.get<std::string>(), entry["size"].get<uint64_t>()});
    } else if (const auto object = stat(context, {kind, name.get<std::string>()})) {
      on_object(*object);
    }
  }
}

void RestStorage::remove(const Context& context, const ObjectName& object) {
  check_call(context, object);
  if (object.kind == ObjectKind::kSalvor) {
    return;
  }
  const HttpResponse response = send_for(context, "DELETE", object);
  if (!response.success() && response.status != 404) {
    throw failure(response, what("remove", object), true);
  }
}

}  // namespace

std::unique_ptr<Storage> open_rest_storage(std::string_view rest, const StorageOptions& options) {
  return open_rest_storage(rest, options, new_rest_config_memory(options));
}

std::unique_ptr<Storage> open_rest_storage(std::string_view rest, const StorageOptions& options,
                                           std::shared_ptr<RestConfigMemory> memory) {
  return std::make_unique<RestStorage>(parse_settings(rest, options), options, std::move(memory));
}

std::shared_ptr<RestConfigMemory> new_rest_config_memory(const StorageOptions& options) {
  return std::make_shared<RestConfigMemory>(options.environment("TMPDIR").value_or("/var/tmp"));
}

}  // namespace salvor
