#include "net/http_client.h"

#include <array>
#include <cstdlib>
#include <filesystem>
#include <set>
#include <thread>

#include <gtest/gtest.h>

#include "base/error.h"
#include "net/subprocess.h"
#include "support/errors.h"
#include "support/http_server.h"
#include "support/temp_directory.h"
#include "support/test_context.h"

namespace salvor {
namespace {

using namespace std::chrono_literals;
using test::error_of;
using test::HttpServer;
using test::ServedReply;
using test::ServedRequest;

HttpClientOptions quick() {
  HttpClientOptions options;
  options.proxy = "";
  options.connect_timeout = 2000ms;
  options.stall_timeout = 300ms;
  return options;
}

std::chrono::milliseconds time_of(const std::function<void()>& action) {
  const auto begin = std::chrono::steady_clock::now();
  action();
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() -
                                                               begin);
}

TEST(HttpClient, SendsAllPartsAndTheHeaders) {
  HttpServer server([](const ServedRequest& request) {
    return ServedReply{.status = 201, .headers = {{"X-Size", std::to_string(request.body.size())}}};
  });
  test::TestContext context;
  HttpClient client(quick());
  const std::string large(3'000'000, 'x');
  const std::array<ByteView, 4> parts{as_bytes("first,"), ByteView{}, as_bytes(large),
                                      as_bytes(",last")};
  const HttpResponse response = client.request(
      *context, {.method = "PUT",
                 .url = server.url("/a/../b//c%2Fd?x=1"),
                 .headers = {{"X-One", "1"}, {"X-Empty", ""}, {"Authorization", "secret"}},
                 .body = parts});
  EXPECT_EQ(response.status, 201);
  EXPECT_EQ(response.header("x-size"), std::to_string(large.size() + 11));
  const ServedRequest got = server.requests().at(0);
  EXPECT_EQ(got.body, "first," + large + ",last");
  EXPECT_EQ(got.target, "/a/../b//c%2Fd?x=1");  // signatures cover the path as it was written
  EXPECT_EQ(got.headers.at("x-one"), "1");
  EXPECT_EQ(got.headers.at("x-empty"), "");
  EXPECT_FALSE(got.headers.contains("expect"));
  EXPECT_FALSE(got.headers.contains("transfer-encoding"));
}

TEST(HttpClient, EveryMethodArrivesAsItself) {
  HttpServer server([](const ServedRequest&) { return ServedReply{.body = "ok"}; });
  test::TestContext context;
  HttpClient client(quick());
  for (const std::string method : {"GET", "HEAD", "POST", "PUT", "DELETE", "PROPFIND"}) {
    const HttpResponse response =
        client.request(*context, {.method = method, .url = server.url("/m")});
    EXPECT_EQ(response.status, 200);
    EXPECT_EQ(as_text(response.body.view()), method == "HEAD" ? "" : "ok") << method;
    const ServedRequest got = server.requests().back();
    EXPECT_EQ(got.method, method);
    EXPECT_EQ(got.headers.contains("content-length"), method == "POST" || method == "PUT");
  }
  EXPECT_EQ(server.connections(), 1U);  // kept over all of them
  EXPECT_EQ(client.statistics().requests, 6U);
  EXPECT_EQ(client.statistics().connections, 1U);
}

TEST(HttpClient, BodiesGoToTheCallersMemoryOrIntoABoundedBuffer) {
  HttpServer server([](const ServedRequest& request) {
    return request.target == "/missing" ? ServedReply{.status = 404, .body = "no such thing"}
                                        : ServedReply{.body = "0123456789"};
  });
  test::TestContext context;
  HttpClient client(quick());
  std::array<std::byte, 10> memory{};
  HttpResponse response =
      client.request(*context, {.url = server.url(), .into = MutableBytes(memory)});
  EXPECT_EQ(as_text(memory), "0123456789");
  EXPECT_EQ(response.body_bytes, 10U);
  EXPECT_TRUE(response.body.empty());
  EXPECT_FALSE(response.cut);
  // More than fits is cut off, never written.
  std::array<std::byte, 11> guarded{};
  response =
      client.request(*context, {.url = server.url(), .into = MutableBytes(guarded).first(9)});
  EXPECT_TRUE(response.cut);
  EXPECT_EQ(guarded[9], std::byte{0});
  EXPECT_EQ(response.body_bytes, 9U);
  response = client.request(*context, {.url = server.url(), .limit_bytes = 4});
  EXPECT_TRUE(response.cut);
  EXPECT_EQ(as_text(response.body.view()), "0123");
  // An error's text does not end up where the content was wanted.
  memory = {};
  response =
      client.request(*context, {.url = server.url("/missing"), .into = MutableBytes(memory)});
  EXPECT_EQ(response.status, 404);
  EXPECT_EQ(as_text(response.body.view()), "no such thing");
  EXPECT_EQ(memory[0], std::byte{0});
}

TEST(HttpClient, AReplyThatEndsEarlyIsAnError) {
  HttpServer server([](const ServedRequest&) {
    return ServedReply{.body = std::string(100'000, 'x'), .cut_after = 50'000};
  });
  test::TestContext context;
  HttpClient client(quick());
  Buffer memory(100'000);
  const Error error = error_of([&] {
    (void)client.request(*context, {.url = server.url("/path"), .into = memory.bytes()});
  });
  EXPECT_EQ(error.code(), ErrorCode::kUnreachable) << error.message();
  EXPECT_NE(error.message().find("GET " + server.url("/path")), std::string::npos);
}

TEST(HttpClient, AnUploadIsRepeatedWhenTheKeptConnectionWasDead) {
  // The server closes the connection when the second request comes in on it, as one does that has
  // just timed it out.
  HttpServer server([first = std::make_shared<std::atomic<int>>(0)](const ServedRequest&) {
    return ServedReply{.no_reply = ++*first == 2};
  });
  test::TestContext context;
  HttpClient client(quick());
  const std::array<ByteView, 2> parts{as_bytes("first,"), as_bytes("second")};
  const HttpRequest request{.method = "PUT", .url = server.url(), .body = parts};
  EXPECT_EQ(client.request(*context, request).status, 200);
  EXPECT_EQ(client.request(*context, request).status, 200);
  EXPECT_EQ(server.connections(), 2U);
  EXPECT_EQ(server.requests().back().body, "first,second");
}

TEST(HttpClient, StalledTransfersAreGivenUp) {
  HttpServer server([](const ServedRequest& request) {
    return request.target == "/silent"
               ? ServedReply{.delay = 1h}
               : ServedReply{.body = std::string(1000, 'x'), .stall_after = 500};
  });
  test::TestContext context;
  HttpClient client(quick());
  for (const std::string path : {"/silent", "/half"}) {
    Error error(ErrorCode::kFailed, "");
    const auto took = time_of([&] {
      error = error_of([&] { (void)client.request(*context, {.url = server.url(path)}); });
    });
    EXPECT_EQ(error.code(), ErrorCode::kUnreachable);
    EXPECT_NE(error.message().find("stalled"), std::string::npos) << error.message();
    EXPECT_GE(took, 290ms);
    EXPECT_LT(took, 2000ms);
  }
  const Error late = error_of(
      [&] { (void)client.request(*context, {.url = server.url("/silent"), .timeout = 100ms}); });
  EXPECT_NE(late.message().find("no reply within 0.1 s"), std::string::npos) << late.message();
}

TEST(HttpClient, SlowButMovingIsNotStalled) {
  HttpServer server([](const ServedRequest&) { return ServedReply{.delay = 200ms}; });
  test::TestContext context;
  HttpClient client(quick());
  EXPECT_EQ(client.request(*context, {.url = server.url()}).status, 200);
}

TEST(HttpClient, StoppingEndsARequestAtOnce) {
  HttpServer server([](const ServedRequest&) { return ServedReply{.delay = 1h}; });
  test::TestContext context;
  HttpClientOptions options = quick();
  options.stall_timeout = 1h;
  HttpClient client(options);
  std::jthread stopper([&] {
    std::this_thread::sleep_for(50ms);
    context.stop.request_stop();
  });
  const auto took = time_of([&] {
    const Error error = error_of([&] { (void)client.request(*context, {.url = server.url()}); });
    EXPECT_EQ(error.code(), ErrorCode::kCancelled);
  });
  EXPECT_LT(took, 1000ms);
  EXPECT_EQ(error_of([&] { (void)client.request(*context, {.url = server.url()}); }).code(),
            ErrorCode::kCancelled);
}

TEST(HttpClient, ErrorsNameThePlaceAndNoSecret) {
  test::TestContext context;
  HttpClient client(quick());
  const Error error = error_of([&] {
    (void)client.request(*context, {.method = "PUT",
                                    .url = "http://user:pass@127.0.0.1:1/path?sig=topsecret",
                                    .headers = {{"Authorization", "hidden"}}});
  });
  EXPECT_EQ(error.code(), ErrorCode::kUnreachable);
  EXPECT_NE(error.message().find("PUT http://127.0.0.1:1/path: "), std::string::npos)
      << error.message();
  for (const char* secret : {"pass", "topsecret", "hidden"}) {
    EXPECT_EQ((error.message() + error.hint()).find(secret), std::string::npos) << secret;
  }
  EXPECT_FALSE(error.hint().empty());
}

TEST(HttpClient, LineBreaksCannotSmuggleHeaders) {
  HttpServer server([](const ServedRequest&) { return ServedReply{}; });
  test::TestContext context;
  HttpClient client(quick());
  EXPECT_EQ(error_of([&] {
              (void)client.request(*context,
                                   {.url = server.url(), .headers = {{"A", "b\r\nC: d"}}});
            }).code(),
            ErrorCode::kFailed);
  EXPECT_EQ(
      error_of([&] { (void)client.request(*context, {.url = server.url("/\r\nA: b")}); }).code(),
      ErrorCode::kFailed);
  EXPECT_TRUE(server.requests().empty());
}

TEST(HttpClient, RedirectsStayOnTheSameHost) {
  HttpServer other([](const ServedRequest&) { return ServedReply{.body = "elsewhere"}; });
  HttpServer server([&](const ServedRequest& request) {
    if (request.target == "/here") {
      return ServedReply{.status = 307, .headers = {{"Location", "/there?x=1"}}};
    }
    if (request.target == "/away") {
      return ServedReply{.status = 301, .headers = {{"Location", other.url("/stolen")}}};
    }
    if (request.target == "/loop") {
      return ServedReply{.status = 302, .headers = {{"Location", "/loop"}}};
    }
    return ServedReply{.body = request.body};
  });
  test::TestContext context;
  HttpClient client(quick());
  const ByteView body = as_bytes("content");
  HttpRequest request{.method = "POST",
                      .url = server.url("/here"),
                      .headers = {{"Authorization", "secret"}},
                      .body = {&body, 1}};
  EXPECT_EQ(client.request(*context, request).status, 307);  // not asked to follow
  request.max_redirects = 3;
  EXPECT_EQ(as_text(client.request(*context, request).body.view()), "content");
  EXPECT_EQ(server.requests().back().target, "/there?x=1");
  request.url = server.url("/away");
  EXPECT_EQ(error_of([&] { (void)client.request(*context, request); }).code(), ErrorCode::kFailed);
  EXPECT_TRUE(other.requests().empty());
  request.url = server.url("/loop");
  EXPECT_NE(error_of([&] { (void)client.request(*context, request); })
                .message()
                .find("too many redirects"),
            std::string::npos);
}

TEST(HttpClient, ManyThreadsShareFewConnections) {
  HttpServer server([](const ServedRequest& request) {
    return ServedReply{.body = request.target, .delay = 1ms};
  });
  test::TestContext context;
  HttpClient client(quick());
  std::atomic<int> wrong = 0;
  {
    std::vector<std::jthread> threads;
    for (int thread = 0; thread < 8; ++thread) {
      threads.emplace_back([&, thread] {
        for (int i = 0; i < 30; ++i) {
          const std::string path = "/" + std::to_string(thread) + "/" + std::to_string(i);
          const HttpResponse response = client.request(*context, {.url = server.url(path)});
          wrong += as_text(response.body.view()) == path ? 0 : 1;
        }
      });
    }
  }
  EXPECT_EQ(wrong, 0);
  EXPECT_LE(server.connections(), 8U);
  EXPECT_EQ(client.statistics().requests, 240U);
}

// A TLS server with a certificate of its own authority, for this test alone.
class TlsServer {
 public:
  TlsServer() {
    const std::string script =
        "cd " + directory_.path().string() +
        " && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1"
        " -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1"
        " -keyout key.pem -out cert.pem 2>/dev/null"
        " && exec openssl s_server -accept 127.0.0.1:0 -cert cert.pem -key key.pem -www 2>&1";
    server_.emplace(SubprocessOptions{.arguments = {"sh", "-c", script}});
    std::string text;
    std::array<std::byte, 256> buffer;
    while (text.find("ACCEPT") == std::string::npos || text.back() != '\n') {
      const size_t got = server_->read(buffer);
      if (got == 0) {
        throw std::runtime_error("openssl s_server: " + text);
      }
      text += as_text(ByteView(buffer).first(got));
    }
    const size_t colon = text.find(':', text.find("ACCEPT"));
    port_ = text.substr(colon + 1, text.find_first_of("\r\n", colon) - colon - 1);
  }
  [[nodiscard]] std::string url() const { return "https://127.0.0.1:" + port_ + "/"; }
  [[nodiscard]] std::string certificate() const { return (directory_ / "cert.pem").string(); }

 private:
  test::TempDirectory directory_{test::TempPlace::kMemory};
  std::optional<Subprocess> server_;
  std::string port_;
};

TEST(HttpClient, CertificatesAreVerifiedUnlessAskedNotTo) {
  const TlsServer server;
  test::TestContext context;
  HttpClient plain(quick());
  const Error error = error_of([&] { (void)plain.request(*context, {.url = server.url()}); });
  EXPECT_EQ(error.code(), ErrorCode::kFailed) << error.message();  // trying again is in vain
  EXPECT_NE(error.hint().find("--cacert"), std::string::npos) << error.hint();
  HttpClientOptions options = quick();
  options.ca_file = server.certificate();
  EXPECT_EQ(HttpClient(options).request(*context, {.url = server.url()}).status, 200);
  options = quick();
  options.insecure = true;
  EXPECT_EQ(HttpClient(options).request(*context, {.url = server.url()}).status, 200);
}

TEST(HttpClient, ProxiesAreUsedUnlessTheServiceIsOfThisMachine) {
  HttpServer proxy([](const ServedRequest&) { return ServedReply{.body = "proxied"}; });
  HttpServer server([](const ServedRequest&) { return ServedReply{.body = "direct"}; });
  test::TestContext context;
  HttpClientOptions options = quick();
  options.proxy = proxy.url();
  HttpClient client(options);
  EXPECT_EQ(as_text(client.request(*context, {.url = "http://salvor.example/x"}).body.view()),
            "proxied");
  EXPECT_EQ(proxy.requests().back().target, "http://salvor.example/x");
  EXPECT_EQ(as_text(client.request(*context, {.url = server.url(), .direct = true}).body.view()),
            "direct");
}

TEST(PercentEncoding, KeepsOnlyUnreservedCharacters) {
  EXPECT_EQ(percent_encode("aZ09-._~"), "aZ09-._~");
  EXPECT_EQ(percent_encode("a/b c+d\xC3\xA9*'()"), "a%2Fb%20c%2Bd%C3%A9%2A%27%28%29");
  EXPECT_EQ(percent_encode("a/b c", true), "a/b%20c");
  EXPECT_EQ(percent_decode("a%2Fb%20c+%c3%A9"), "a/b c+\xC3\xA9");
  EXPECT_EQ(percent_decode("%2"), std::nullopt);
  EXPECT_EQ(percent_decode("%zz"), std::nullopt);
}

TEST(RetryAfter, SecondsOrADateByTheServersClock) {
  HttpResponse response;
  EXPECT_EQ(retry_after(response), std::nullopt);
  response.headers = {{"retry-after", "7"}};
  EXPECT_EQ(retry_after(response), 7s);
  response.headers = {{"retry-after", "99999999"}};
  EXPECT_EQ(retry_after(response), 24h);
  response.headers = {{"retry-after", "soon"}};
  EXPECT_EQ(retry_after(response), std::nullopt);
  response.headers = {{"retry-after", "Sun, 06 Nov 1994 08:50:00 GMT"},
                      {"date", "Sun, 06 Nov 1994 08:49:30 GMT"}};
  EXPECT_EQ(retry_after(response), 30s);
}

}  // namespace
}  // namespace salvor
