// HTTP for the storages: many blocking callers, kept connections, bodies without copies.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/context.h"

namespace salvor {

struct HttpClientOptions {
  // Without any of these three: the system's certificate authorities and no client certificate.
  std::string ca_file;             // PEM; instead of the system's authorities
  std::string client_certificate;  // PEM with certificate and key, as restic's --tls-client-cert
  bool insecure = false;           // any certificate will do; only when a person asked for it

  std::string unix_socket;  // connect there, whatever host the URLs name
  std::string user_agent = "salvor";
  // Without: HTTPS_PROXY, HTTP_PROXY (lower case), ALL_PROXY and NO_PROXY of the environment.
  std::optional<std::string> proxy;  // "" for none

  std::chrono::milliseconds connect_timeout{30'000};  // names, TCP and TLS together
  // A request of which no byte moved in either direction for so long is given up.
  std::chrono::milliseconds stall_timeout{60'000};
  // Connections that are kept when nobody uses them.
  unsigned idle_connections = 64;
};

struct HttpHeader {
  std::string name;
  std::string value;
};

struct HttpRequest {
  std::string method = "GET";
  std::string url;  // absolute, %-encoded; sent as it stands (no "..", "//" or case is tidied)
  std::vector<HttpHeader> headers;
  // Sent one after the other, never copied as a whole; sent again from the start when a kept
  // connection turns out to be dead. PUT, POST and PATCH always have a body, if an empty one.
  std::span<const ByteView> body;

  // Where the body of a 2xx reply goes. Without: into HttpResponse::body.
  std::optional<MutableBytes> into;
  // The largest body of a reply that is taken; more is cut off (HttpResponse::cut). With `into` its
  // size. Replies other than 2xx are always taken into `body`, and cut at 256 KiB.
  uint64_t limit_bytes = uint64_t{1} << 20;
  // How many redirects are followed: only to the same host and port, or from http to https on the
  // same host. Without: the redirect is the reply.
  unsigned max_redirects = 0;
  std::chrono::milliseconds timeout{0};  // of the whole request; 0: only the client's two limits
  bool direct = false;                   // no proxy (services of the machine itself)
};

struct HttpResponse {
  int status = 0;
  std::vector<HttpHeader> headers;  // names in lower case, in the order of arrival
  Buffer body;                      // see HttpRequest::into
  uint64_t body_bytes = 0;          // how much of the body arrived, wherever it went
  bool cut = false;                 // there was more than limit_bytes (the connection is given up)

  [[nodiscard]] bool success() const { return status >= 200 && status < 300; }
  // The first header of that (lower-case) name.
  [[nodiscard]] std::optional<std::string_view> header(std::string_view name) const;
};

struct HttpStatistics {
  uint64_t requests = 0;     // including those that failed
  uint64_t connections = 0;  // that were opened for them
  uint64_t bytes_sent = 0;   // bodies
  uint64_t bytes_received = 0;
};

// Thread-safe: every caller gets a connection of its own, taken from those that are idle. HTTP/1.1:
// parallel bulk transfers gain nothing from sharing one TCP connection. Never compresses, never
// stores cookies, never sends anything that the request does not name but Host, User-Agent,
// Accept and Content-Length.
class HttpClient {
 public:
  explicit HttpClient(HttpClientOptions options = {});
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  // Blocks until the whole reply is there. Any status is a reply, not an error. Throws
  // Error{kUnreachable} for what may go away (no connection, stalled, cut off before the end),
  // Error{kFailed} for what stays (a certificate that does not verify, no URL), Error{kCancelled}
  // within a moment after the context was stopped. Messages name method, host and path; never
  // headers, queries or user information. After an error the server may or may not have acted, and
  // `into` may hold part of the body.
  [[nodiscard]] HttpResponse request(const Context& context, const HttpRequest& request);

  [[nodiscard]] HttpStatistics statistics() const;

 private:
  class Session;
  struct Shared;

  std::unique_ptr<Session> take_session();
  void keep_session(std::unique_ptr<Session> session);

  const HttpClientOptions options_;
  const std::unique_ptr<Shared> shared_;
};

// %-encodes everything but the unreserved characters of RFC 3986 (letters, digits, "-._~"), and
// "/" when `keep_slashes`.
[[nodiscard]] std::string percent_encode(std::string_view text, bool keep_slashes = false);
// Nothing when a % is not followed by two hexadecimal digits. "+" stays a plus.
[[nodiscard]] std::optional<std::string> percent_decode(std::string_view text);

// How long a reply asks to wait: "Retry-After" in seconds or as a date (relative to the reply's own
// "Date" header). Nothing when it does not say; at most a day.
[[nodiscard]] std::optional<std::chrono::milliseconds> retry_after(const HttpResponse& response);
// "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110, section 5.6.7; the obsolete forms too).
[[nodiscard]] std::optional<WallTime> parse_http_date(std::string_view text);

}  // namespace salvor
