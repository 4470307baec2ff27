#include "net/http_client.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <csignal>
#include <ctime>
#include <mutex>

#include <curl/curl.h>

#include "base/format.h"
#include "base/late_library.h"

// One session = one easy handle inside one multi handle of its own. Not curl_easy_perform, because
// that looks at a stop token once a second at best, while a multi handle that waits can be woken
// from any thread (curl_multi_wakeup). Sessions that are idle keep their connection and are reused,
// the last one first, so that few connections stay warm instead of many going cold.

namespace salvor {
namespace {

LateLibrary libcurl{"libcurl.so.4", "libcurl4"};
SALVOR_LATE(libcurl, curl_easy_cleanup);
SALVOR_LATE(libcurl, curl_easy_getinfo);
SALVOR_LATE(libcurl, curl_easy_init);
SALVOR_LATE(libcurl, curl_easy_reset);
SALVOR_LATE(libcurl, curl_easy_setopt);
SALVOR_LATE(libcurl, curl_easy_strerror);
SALVOR_LATE(libcurl, curl_free);
SALVOR_LATE(libcurl, curl_getdate);
SALVOR_LATE(libcurl, curl_global_init);
SALVOR_LATE(libcurl, curl_multi_add_handle);
SALVOR_LATE(libcurl, curl_multi_cleanup);
SALVOR_LATE(libcurl, curl_multi_info_read);
SALVOR_LATE(libcurl, curl_multi_init);
SALVOR_LATE(libcurl, curl_multi_perform);
SALVOR_LATE(libcurl, curl_multi_poll);
SALVOR_LATE(libcurl, curl_multi_remove_handle);
SALVOR_LATE(libcurl, curl_multi_strerror);
SALVOR_LATE(libcurl, curl_multi_wakeup);
SALVOR_LATE(libcurl, curl_slist_append);
SALVOR_LATE(libcurl, curl_slist_free_all);
SALVOR_LATE(libcurl, curl_url);
SALVOR_LATE(libcurl, curl_url_cleanup);
SALVOR_LATE(libcurl, curl_url_get);
SALVOR_LATE(libcurl, curl_url_set);

constexpr uint64_t kErrorBodyLimit = 256 << 10;
constexpr long kUploadBuffer = 512 << 10;
constexpr long kDownloadBuffer = 256 << 10;
constexpr long kMaxIdleSeconds = 55;  // load balancers drop idle connections from 60 s on
constexpr size_t kHeaderLimit = 300;  // lines

void init_curl() {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
}

// OpenSSL writes to sockets without MSG_NOSIGNAL. Keeps SIGPIPE from this thread, and takes it away
// if it was raised.
class NoSigpipe {
 public:
  NoSigpipe() {
    sigemptyset(&pipe_);
    sigaddset(&pipe_, SIGPIPE);
    sigset_t pending;
    sigpending(&pending);
    was_pending_ = sigismember(&pending, SIGPIPE) == 1;
    pthread_sigmask(SIG_BLOCK, &pipe_, &former_);
  }
  ~NoSigpipe() {
    sigset_t pending;
    sigpending(&pending);
    if (!was_pending_ && sigismember(&pending, SIGPIPE) == 1) {
      const timespec now{};
      sigtimedwait(&pipe_, nullptr, &now);
    }
    pthread_sigmask(SIG_SETMASK, &former_, nullptr);
  }
  NoSigpipe(const NoSigpipe&) = delete;
  NoSigpipe& operator=(const NoSigpipe&) = delete;

 private:
  sigset_t pipe_{};
  sigset_t former_{};
  bool was_pending_ = false;
};

struct UrlParts {
  std::string scheme, host, port, path;  // host in lower case
};

std::optional<UrlParts> split_url(const std::string& url) {
  const std::unique_ptr<CURLU, void (*)(CURLU*)> parsed(curl_url(), curl_url_cleanup);
  if (curl_url_set(parsed.get(), CURLUPART_URL, url.c_str(), CURLU_PATH_AS_IS) != CURLUE_OK) {
    return std::nullopt;
  }
  const auto part = [&](CURLUPart which) {
    char* text = nullptr;
    std::string result;
    if (curl_url_get(parsed.get(), which, &text, CURLU_DEFAULT_PORT) == CURLUE_OK) {
      result = text;
      curl_free(text);
    }
    return result;
  };
  UrlParts parts{part(CURLUPART_SCHEME), part(CURLUPART_HOST), part(CURLUPART_PORT),
                 part(CURLUPART_PATH)};
  std::ranges::transform(parts.host, parts.host.begin(), ::tolower);
  return parts;
}

// "PUT https://host:9000/bucket/key": without user information and query.
std::string display(const HttpRequest& request) {
  const std::optional<UrlParts> parts = split_url(request.url);
  if (!parts) {
    return request.method + " (no URL)";
  }
  const bool usual = parts->port == (parts->scheme == "https" ? "443" : "80");
  return request.method + " " + parts->scheme + "://" + printable(parts->host) +
         (usual ? "" : ":" + parts->port) + printable(parts->path);
}

bool has_line_break(std::string_view text) {
  return text.find_first_of(std::string_view("\r\n\0", 3)) != std::string_view::npos;
}

bool sends_body(const HttpRequest& request) {
  return !request.body.empty() || request.method == "PUT" || request.method == "POST" ||
         request.method == "PATCH";
}

}  // namespace

std::optional<std::string_view> HttpResponse::header(std::string_view name) const {
  for (const HttpHeader& header : headers) {
    if (header.name == name) {
      return header.value;
    }
  }
  return std::nullopt;
}

struct HttpClient::Shared {
  std::mutex mutex;
  std::vector<std::unique_ptr<Session>> idle;  // the warmest last
  std::atomic<uint64_t> requests = 0;
  std::atomic<uint64_t> connections = 0;
  std::atomic<uint64_t> bytes_sent = 0;
  std::atomic<uint64_t> bytes_received = 0;
};

// One request at a time.
class HttpClient::Session {
 public:
  explicit Session(const HttpClientOptions& options);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  HttpResponse run(const Context& context, const HttpRequest& request, Shared& shared);

 private:
  void prepare(const HttpRequest& request);
  void prepare_security();
  void prepare_body(const HttpRequest& request);
  CURLcode transfer(const Context& context, const HttpRequest& request);
  [[noreturn]] void fail(const HttpRequest& request, CURLcode code);

  static size_t on_read(char* out, size_t size, size_t count, void* self);
  static int on_seek(void* self, curl_off_t offset, int origin);
  static size_t on_write(char* data, size_t size, size_t count, void* self);
  static size_t on_header(char* data, size_t size, size_t count, void* self);
  size_t read(MutableBytes out);
  bool take(ByteView bytes);
  bool take_header(std::string_view line);

  template <class T>
  void set(CURLoption option, T value) {
    if (curl_easy_setopt(easy_, option, value) != CURLE_OK) {
      throw Error(ErrorCode::kFailed, "libcurl refuses option " + std::to_string(option));
    }
  }

  const HttpClientOptions& options_;
  CURL* easy_;
  CURLM* multi_;
  curl_slist* header_list_ = nullptr;
  std::array<char, CURL_ERROR_SIZE> curl_message_{};

  // Of the request that runs.
  const HttpRequest* request_ = nullptr;
  HttpResponse response_;
  size_t part_ = 0;         // what is sent next
  size_t part_offset_ = 0;  //
  uint64_t sent_ = 0;
  uint64_t moved_ = 0;  // bytes in either direction, to notice a stall
  bool stalled_ = false;
  bool timed_out_ = false;
};

HttpClient::Session::Session(const HttpClientOptions& options)
    : options_(options), easy_(curl_easy_init()), multi_(curl_multi_init()) {
  if (easy_ == nullptr || multi_ == nullptr) {
    throw Error(ErrorCode::kFailed, "libcurl cannot be initialised");
  }
}

HttpClient::Session::~Session() {
  const NoSigpipe guard;
  curl_easy_cleanup(easy_);
  curl_multi_cleanup(multi_);
  curl_slist_free_all(header_list_);
}

void HttpClient::Session::prepare(const HttpRequest& request) {
  curl_easy_reset(easy_);  // keeps connections
  curl_slist_free_all(std::exchange(header_list_, nullptr));
  curl_message_[0] = '\0';
  set(CURLOPT_ERRORBUFFER, curl_message_.data());
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_URL, request.url.c_str());
  set(CURLOPT_PATH_AS_IS, 1L);
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  set(CURLOPT_FOLLOWLOCATION, 0L);
  set(CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
  set(CURLOPT_USERAGENT, options_.user_agent.c_str());
  set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(options_.connect_timeout.count()));
  set(CURLOPT_TCP_KEEPALIVE, 1L);
  set(CURLOPT_QUICK_EXIT, 1L);  // does not wait for a name server when it is stopped
  set(CURLOPT_MAXAGE_CONN, kMaxIdleSeconds);
  set(CURLOPT_UPLOAD_BUFFERSIZE, kUploadBuffer);
  set(CURLOPT_BUFFERSIZE, kDownloadBuffer);
  set(CURLOPT_HEADERFUNCTION, &Session::on_header);
  set(CURLOPT_HEADERDATA, this);
  set(CURLOPT_WRITEFUNCTION, &Session::on_write);
  set(CURLOPT_WRITEDATA, this);
  set(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
  if (!options_.unix_socket.empty()) {
    set(CURLOPT_UNIX_SOCKET_PATH, options_.unix_socket.c_str());
  }
  if (request.direct) {
    set(CURLOPT_PROXY, "");
  } else if (options_.proxy) {
    set(CURLOPT_PROXY, options_.proxy->c_str());
  }
  prepare_security();
  prepare_body(request);
}

void HttpClient::Session::prepare_security() {
  set(CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  set(CURLOPT_SSL_VERIFYPEER, options_.insecure ? 0L : 1L);
  set(CURLOPT_SSL_VERIFYHOST, options_.insecure ? 0L : 2L);
  if (!options_.ca_file.empty()) {
    set(CURLOPT_CAINFO, options_.ca_file.c_str());
    set(CURLOPT_CAPATH, static_cast<const char*>(nullptr));
  }
  if (!options_.client_certificate.empty()) {
    set(CURLOPT_SSLCERT, options_.client_certificate.c_str());
    set(CURLOPT_SSLKEY, options_.client_certificate.c_str());
  }
}

void HttpClient::Session::prepare_body(const HttpRequest& request) {
  if (sends_body(request)) {
    uint64_t size_bytes = 0;
    for (const ByteView part : request.body) {
      size_bytes += part.size();
    }
    set(CURLOPT_UPLOAD, 1L);
    set(CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(size_bytes));
    set(CURLOPT_READFUNCTION, &Session::on_read);
    set(CURLOPT_READDATA, this);
    set(CURLOPT_SEEKFUNCTION, &Session::on_seek);
    set(CURLOPT_SEEKDATA, this);
    if (request.method != "PUT") {
      set(CURLOPT_CUSTOMREQUEST, request.method.c_str());
    }
  } else if (request.method == "HEAD") {
    set(CURLOPT_NOBODY, 1L);
  } else if (request.method != "GET") {
    set(CURLOPT_CUSTOMREQUEST, request.method.c_str());
  }
  const auto add = [&](const std::string& line) {
    curl_slist* longer = curl_slist_append(header_list_, line.c_str());
    if (longer == nullptr) {
      throw Error(ErrorCode::kFailed, "out of memory");
    }
    header_list_ = longer;
  };
  for (const HttpHeader& header : request.headers) {
    if (has_line_break(header.name) || has_line_break(header.value) || header.name.empty()) {
      throw Error(ErrorCode::kFailed, display(request) + ": the header " + printable(header.name) +
                                          " holds a line break");
    }
    // libcurl leaves "Name:" out altogether; "Name;" sends it empty.
    add(header.value.empty() ? header.name + ";" : header.name + ": " + header.value);
  }
  add("Expect:");  // waiting for "100 Continue" costs a round trip an upload
  set(CURLOPT_HTTPHEADER, header_list_);
}

size_t HttpClient::Session::on_read(char* out, size_t size, size_t count, void* self) {
  return static_cast<Session*>(self)->read({reinterpret_cast<std::byte*>(out), size * count});
}

size_t HttpClient::Session::read(MutableBytes out) {
  size_t done = 0;
  while (done < out.size() && part_ < request_->body.size()) {
    const ByteView part = request_->body[part_].subspan(part_offset_);
    const size_t count = std::min(part.size(), out.size() - done);
    std::copy_n(part.begin(), count, out.begin() + static_cast<ptrdiff_t>(done));
    done += count;
    part_offset_ += count;
    if (count == part.size()) {
      ++part_;
      part_offset_ = 0;
    }
  }
  sent_ += done;
  moved_ += done;
  return done;
}

int HttpClient::Session::on_seek(void* self, curl_off_t offset, int origin) {
  auto& session = *static_cast<Session*>(self);
  if (origin != SEEK_SET || offset < 0) {
    return CURL_SEEKFUNC_CANTSEEK;
  }
  auto left = static_cast<uint64_t>(offset);
  const std::span<const ByteView> parts = session.request_->body;
  size_t part = 0;
  while (part < parts.size() && left >= parts[part].size()) {
    left -= parts[part].size();
    ++part;
  }
  if (part == parts.size() && left > 0) {
    return CURL_SEEKFUNC_FAIL;
  }
  session.part_ = part;
  session.part_offset_ = left;
  return CURL_SEEKFUNC_OK;
}

size_t HttpClient::Session::on_write(char* data, size_t size, size_t count, void* self) {
  const ByteView bytes{reinterpret_cast<const std::byte*>(data), size * count};
  return static_cast<Session*>(self)->take(bytes) ? bytes.size() : 0;
}

bool HttpClient::Session::take(ByteView bytes) {
  moved_ += bytes.size();
  const bool success = response_.success();
  const bool into = success && request_->into.has_value();
  const uint64_t limit = into      ? request_->into->size()
                         : success ? request_->limit_bytes
                                   : kErrorBodyLimit;
  const uint64_t room = limit - std::min(limit, response_.body_bytes);
  const ByteView fits = bytes.first(std::min<uint64_t>(room, bytes.size()));
  if (into) {
    std::copy(fits.begin(), fits.end(),
              request_->into->begin() + static_cast<ptrdiff_t>(response_.body_bytes));
  } else {
    response_.body.append(fits);
  }
  response_.body_bytes += fits.size();
  response_.cut = fits.size() < bytes.size();
  return !response_.cut;
}

size_t HttpClient::Session::on_header(char* data, size_t size, size_t count, void* self) {
  const std::string_view line(data, size * count);
  return static_cast<Session*>(self)->take_header(line) ? line.size() : 0;
}

bool HttpClient::Session::take_header(std::string_view line) {
  moved_ += line.size();
  while (!line.empty() && (line.back() == '\r' || line.back() == '\n')) {
    line.remove_suffix(1);
  }
  if (line.starts_with("HTTP/")) {  // also after "100 Continue", or a request that was repeated
    response_ = {};
    const size_t space = std::min(line.find(' '), line.size() - 1);
    std::from_chars(line.data() + space + 1, line.data() + line.size(), response_.status);
    return true;
  }
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos) {
    return true;
  }
  HttpHeader header{std::string(line.substr(0, colon)), {}};
  std::ranges::transform(header.name, header.name.begin(), ::tolower);
  const size_t begin = line.find_first_not_of(" \t", colon + 1);
  if (begin != std::string_view::npos) {
    header.value = line.substr(begin, line.find_last_not_of(" \t") - begin + 1);
  }
  if (header.name == "content-length" && response_.success() && !request_->into) {
    uint64_t length = 0;
    std::from_chars(header.value.data(), header.value.data() + header.value.size(), length);
    if (request_->method != "HEAD" && length <= request_->limit_bytes) {
      response_.body.reserve(length);
    }
  }
  response_.headers.push_back(std::move(header));
  return response_.headers.size() <= kHeaderLimit;
}

// Moves bytes until the reply is there, the context stops, or nothing moves any more.
CURLcode HttpClient::Session::transfer(const Context& context, const HttpRequest& request) {
  using Steady = std::chrono::steady_clock;
  const Steady::time_point begin = Steady::now();
  Steady::time_point moved_at = begin;
  uint64_t moved = 0;
  const std::stop_callback wake(context.stop, [this] { curl_multi_wakeup(multi_); });
  for (;;) {
    int running = 0;
    if (const CURLMcode code = curl_multi_perform(multi_, &running); code != CURLM_OK) {
      throw Error(ErrorCode::kFailed, display(request) + ": " + curl_multi_strerror(code));
    }
    int left = 0;
    if (const CURLMsg* message = curl_multi_info_read(multi_, &left);
        message != nullptr && message->msg == CURLMSG_DONE) {
      return message->data.result;
    }
    context.check_stopped();
    const Steady::time_point now = Steady::now();
    if (moved != moved_) {
      moved = moved_;
      moved_at = now;
    }
    Steady::time_point end = moved_at + options_.stall_timeout;
    stalled_ = now >= end;
    if (request.timeout.count() > 0) {
      timed_out_ = now >= begin + request.timeout;
      end = std::min(end, begin + request.timeout);
    }
    if (stalled_ || timed_out_) {
      return CURLE_OPERATION_TIMEDOUT;
    }
    const auto wait = std::chrono::duration_cast<std::chrono::milliseconds>(end - now);
    const auto wait_ms = std::clamp<int64_t>(wait.count() + 1, 1, 1000);
    curl_multi_poll(multi_, nullptr, 0, static_cast<int>(wait_ms), nullptr);
  }
}

HttpResponse HttpClient::Session::run(const Context& context, const HttpRequest& request,
                                      Shared& shared) {
  request_ = &request;
  response_ = {};
  part_ = part_offset_ = sent_ = moved_ = 0;
  stalled_ = timed_out_ = false;
  const NoSigpipe guard;
  prepare(request);
  if (curl_multi_add_handle(multi_, easy_) != CURLM_OK) {
    throw Error(ErrorCode::kFailed, display(request) + ": libcurl is out of order");
  }
  struct Removal {
    CURLM* multi;
    CURL* easy;
    ~Removal() { curl_multi_remove_handle(multi, easy); }
  };
  CURLcode code = CURLE_OK;
  {
    const Removal removal{multi_, easy_};
    ++shared.requests;
    code = transfer(context, request);
    long connections = 0;
    curl_easy_getinfo(easy_, CURLINFO_NUM_CONNECTS, &connections);
    shared.connections += static_cast<uint64_t>(connections);
  }
  shared.bytes_sent += sent_;
  shared.bytes_received += response_.body_bytes;
  if (code == CURLE_WRITE_ERROR && response_.cut) {
    code = CURLE_OK;
  }
  // A server may refuse an upload before it has taken all of it and close: its reply counts.
  if (code == CURLE_SEND_ERROR && response_.status >= 400) {
    code = CURLE_OK;
  }
  if (code != CURLE_OK) {
    fail(request, code);
  }
  return std::move(response_);
}

void HttpClient::Session::fail(const HttpRequest& request, CURLcode code) {
  const std::string what = display(request) + ": ";
  const std::string_view detail =
      curl_message_[0] != '\0' ? std::string_view(curl_message_.data()) : curl_easy_strerror(code);
  const auto seconds = [](std::chrono::milliseconds time) {
    return std::to_string(time.count() / 1000) + "." + std::to_string(time.count() % 1000 / 100) +
           " s";
  };
  switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
      if (timed_out_) {
        throw Error(ErrorCode::kUnreachable, what + "no reply within " + seconds(request.timeout));
      }
      if (stalled_) {
        throw Error(ErrorCode::kUnreachable,
                    what + "stalled: not a byte moved for " + seconds(options_.stall_timeout),
                    "The server or the network hangs. Try again.");
      }
      throw Error(ErrorCode::kUnreachable,
                  what + "no connection within " + seconds(options_.connect_timeout),
                  "Check host and port, and that no firewall drops the packets.");
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
      throw Error(ErrorCode::kUnreachable, what + printable(detail),
                  "Check how the host name is spelled, and that name resolution (DNS) works.");
    case CURLE_COULDNT_CONNECT:
      throw Error(ErrorCode::kUnreachable, what + printable(detail),
                  "Check host and port, and that the server runs.");
    case CURLE_PEER_FAILED_VERIFICATION:
      throw Error(ErrorCode::kFailed, what + printable(detail),
                  "The server's certificate cannot be verified. If its authority is a private one, "
                  "name its certificate with --cacert.");
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_ISSUER_ERROR:
      throw Error(ErrorCode::kFailed, what + printable(detail),
                  "Check the files that --cacert and --tls-client-cert name.");
    case CURLE_SSL_CONNECT_ERROR:
      throw Error(ErrorCode::kUnreachable, what + printable(detail),
                  "Does the server speak TLS on this port? If it does not, the URL must begin with "
                  "http://.");
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
      throw Error(ErrorCode::kFailed, what + printable(detail));
    case CURLE_OUT_OF_MEMORY:
      throw Error(ErrorCode::kFailed, what + "out of memory");
    default:
      throw Error(ErrorCode::kUnreachable, what + printable(detail));
  }
}

HttpClient::HttpClient(HttpClientOptions options)
    : options_(std::move(options)), shared_(std::make_unique<Shared>()) {
  init_curl();
}

HttpClient::~HttpClient() = default;

std::unique_ptr<HttpClient::Session> HttpClient::take_session() {
  {
    const std::scoped_lock lock(shared_->mutex);
    if (!shared_->idle.empty()) {
      std::unique_ptr<Session> session = std::move(shared_->idle.back());
      shared_->idle.pop_back();
      return session;
    }
  }
  return std::make_unique<Session>(options_);
}

void HttpClient::keep_session(std::unique_ptr<Session> session) {
  const std::scoped_lock lock(shared_->mutex);
  if (shared_->idle.size() < options_.idle_connections) {
    shared_->idle.push_back(std::move(session));
  }
}

namespace {

// Where a redirect leads, when it may be followed.
std::string redirect_target(const HttpRequest& request, const HttpResponse& response) {
  const std::unique_ptr<CURLU, void (*)(CURLU*)> url(curl_url(), curl_url_cleanup);
  const std::string location(response.header("location").value_or(""));
  std::string target;
  char* text = nullptr;
  if (curl_url_set(url.get(), CURLUPART_URL, request.url.c_str(), CURLU_PATH_AS_IS) == CURLUE_OK &&
      curl_url_set(url.get(), CURLUPART_URL, location.c_str(), CURLU_PATH_AS_IS) == CURLUE_OK &&
      curl_url_get(url.get(), CURLUPART_URL, &text, 0) == CURLUE_OK) {
    target = text;
    curl_free(text);
  }
  const auto from = split_url(request.url);
  const auto to = split_url(target);
  const bool same =
      from && to && from->scheme == to->scheme && from->host == to->host && from->port == to->port;
  const bool upgrade =
      from && to && from->scheme == "http" && to->scheme == "https" && from->host == to->host;
  if (!same && !upgrade) {
    throw Error(ErrorCode::kFailed,
                display(request) + ": the server redirects to another place" +
                    (to ? ", " + to->scheme + "://" + printable(to->host) + ":" + to->port : ""),
                "Credentials are not sent there. If it is the right place, use its address.");
  }
  return target;
}

bool is_redirect(int status) {
  return status == 301 || status == 302 || status == 307 || status == 308;
}

}  // namespace

HttpResponse HttpClient::request(const Context& context, const HttpRequest& request) {
  context.check_stopped();
  if (has_line_break(request.url) || has_line_break(request.method) || !split_url(request.url)) {
    throw Error(ErrorCode::kFailed, display(request) + ": this is not a URL");
  }
  HttpRequest next = request;
  for (unsigned redirects = 0;; ++redirects) {
    std::unique_ptr<Session> session = take_session();
    HttpResponse response = session->run(context, next, *shared_);
    keep_session(std::move(session));
    if (!is_redirect(response.status) || request.max_redirects == 0) {
      return response;
    }
    if (redirects == request.max_redirects) {
      throw Error(ErrorCode::kFailed, display(request) + ": too many redirects");
    }
    next.url = redirect_target(next, response);
  }
}

HttpStatistics HttpClient::statistics() const {
  return {.requests = shared_->requests,
          .connections = shared_->connections,
          .bytes_sent = shared_->bytes_sent,
          .bytes_received = shared_->bytes_received};
}

std::string percent_encode(std::string_view text, bool keep_slashes) {
  static constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') ||
        (byte >= 'A' && byte <= 'Z') ||
        std::string_view("-._~").find(c) != std::string_view::npos || (keep_slashes && c == '/')) {
      out += c;
    } else {
      out += '%';
      out += kDigits[byte >> 4U];
      out += kDigits[byte & 15U];
    }
  }
  return out;
}

std::optional<std::string> percent_decode(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size(); ++at) {
    if (text[at] != '%') {
      out += text[at];
      continue;
    }
    std::byte byte{};
    if (text.size() - at < 3 || !from_hex(text.substr(at + 1, 2), {&byte, 1})) {
      return std::nullopt;
    }
    out += static_cast<char>(byte);
    at += 2;
  }
  return out;
}

std::optional<WallTime> parse_http_date(std::string_view text) {
  init_curl();
  const time_t seconds = curl_getdate(std::string(text).c_str(), nullptr);
  if (seconds < 0) {
    return std::nullopt;
  }
  return WallTime(std::chrono::seconds(seconds));
}

std::optional<std::chrono::milliseconds> retry_after(const HttpResponse& response) {
  using std::chrono::milliseconds;
  constexpr milliseconds kMost = std::chrono::hours(24);
  const auto value = response.header("retry-after");
  if (!value) {
    return std::nullopt;
  }
  uint32_t seconds = 0;
  const char* end = value->data() + value->size();
  if (const auto result = std::from_chars(value->data(), end, seconds);
      result.ec == std::errc() && result.ptr == end) {
    return std::min<milliseconds>(std::chrono::seconds(seconds), kMost);
  }
  const auto until = parse_http_date(*value);
  const auto date = response.header("date");
  const auto now = date ? parse_http_date(*date) : std::nullopt;
  if (!until || !now) {
    return std::nullopt;
  }
  return std::clamp(std::chrono::duration_cast<milliseconds>(*until - *now), milliseconds(0),
                    kMost);
}

}  // namespace salvor
