// Waits until something answers: a port, an address, a query, a file. The step's timeout is how
// long.
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>

#include <fcntl.h>
#include <fmt/format.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/format.h"
#include "connector/postgres/connection.h"
#include "plan/expectation.h"
#include "plan/http_call.h"
#include "plan/sql_values.h"
#include "plan/steps/steps.h"

namespace salvor::plan {
namespace {

// Empty when a connection was made, else why not.
std::string try_tcp(const std::string& address) {
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos || colon == 0) {
    throw Error(ErrorCode::kUsage, "\"" + printable(address) + "\" is no host:port");
  }
  std::string host = address.substr(0, colon);
  if (host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  }
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int error = ::getaddrinfo(host.c_str(), address.substr(colon + 1).c_str(), &hints, &found);
  if (error != 0) {
    return ::gai_strerror(error);
  }
  std::string why = "no address";
  for (const addrinfo* at = found; at != nullptr; at = at->ai_next) {
    const UniqueFd fd(
        ::socket(at->ai_family, at->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, at->ai_protocol));
    if (!fd) {
      continue;
    }
    int result = ::connect(fd.get(), at->ai_addr, at->ai_addrlen) == 0 ? 0 : errno;
    if (result == EINPROGRESS) {
      constexpr int kWaitMs = 2000;
      pollfd polled{.fd = fd.get(), .events = POLLOUT, .revents = 0};
      socklen_t size = sizeof result;
      if (::poll(&polled, 1, kWaitMs) != 1) {
        result = ETIMEDOUT;
      } else if (::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &result, &size) != 0) {
        result = errno;
      }
    }
    if (result == 0) {
      why.clear();
      break;
    }
    why = std::strerror(result);
  }
  ::freeaddrinfo(found);
  return why;
}

class WaitStep final : public Step {
 public:
  [[nodiscard]] const StepKind& kind() const override {
    static const StepKind kind{
        .name = "wait-for",
        .summary =
            "waits, up to the step's timeout, until a port, an address, a query or a file is "
            "there",
        .fields = {{.name = "tcp",
                    .help = "host:port that takes connections",
                    .example = "localhost:5432"},
                   {.name = "http", .help = "address that answers with one of expect-status"},
                   {.name = "sql", .help = "query that succeeds (and gives what `expect` says)"},
                   {.name = "file", .help = "file or directory that exists"},
                   {.name = "url",
                    .type = FieldType::kSecret,
                    .help = "of the database for `sql`",
                    .default_text = "${target.url}"},
                   {.name = "expect", .help = "what the query's first value must be"},
                   {.name = "expect-status",
                    .type = FieldType::kTextList,
                    .help = "statuses that are right",
                    .default_text = "2xx"},
                   {.name = "ca-file",
                    .type = FieldType::kPath,
                    .help = "certificate authorities for `http` instead of the system's"},
                   {.name = "every",
                    .type = FieldType::kDuration,
                    .help = "how often it tries",
                    .default_text = "1s"},
                   in_drill_field()}};
    return kind;
  }
  [[nodiscard]] std::vector<std::string> outputs() const override { return {"seconds"}; }
  [[nodiscard]] std::string describe(const Settings& settings) const override {
    for (const std::string what : {"tcp", "http", "sql", "file"}) {
      if (settings.has(what)) {
        return "wait for " + settings.text(what);
      }
    }
    return "wait";
  }
  void complete(Settings& settings, const TextMap&) const override {
    if (settings.has("sql") && !settings.has("url")) {
      settings.set("url", std::string("${target.url}"));
    }
  }
  [[nodiscard]] std::vector<std::string> preflight(StepScene& scene) const override {
    int kinds = 0;
    for (const std::string what : {"tcp", "http", "sql", "file"}) {
      kinds += scene.settings.has(what) ? 1 : 0;
    }
    return kinds == 1 ? std::vector<std::string>{}
                      : std::vector<std::string>{"give one of tcp, http, sql and file"};
  }
  [[nodiscard]] StepResult run(StepScene& scene) const override {
    const auto begun = scene.context.clock.monotonic();
    const auto every = scene.settings.duration("every", std::chrono::seconds(1));
    std::string last;
    while (true) {
      const std::string why = attempt(scene);
      const std::chrono::duration<double> took = scene.context.clock.monotonic() - begun;
      if (why.empty()) {
        return {.summary = fmt::format("there after {:.1f} s", took.count()),
                .outputs = {{"seconds", fmt::format("{:.3f}", took.count())}},
                .checks = {},
                .facts = {}};
      }
      if (why != last) {
        scene.say(why);
        last = why;
      }
      constexpr auto kTick = std::chrono::milliseconds(20);
      const auto until = std::chrono::steady_clock::now() + every;
      while (std::chrono::steady_clock::now() < until) {
        scene.context.check_stopped();
        std::this_thread::sleep_for(kTick);
      }
    }
  }

 private:
  // Empty when it is there.
  static std::string attempt(StepScene& scene) {
    const Settings& settings = scene.settings;
    try {
      if (settings.has("tcp")) {
        return try_tcp(settings.text("tcp"));
      }
      if (settings.has("file")) {
        std::error_code error;
        return std::filesystem::exists(settings.text("file"), error) ? "" : "it does not exist yet";
      }
      if (settings.has("http")) {
        const int status =
            http_call(scene, {.url = settings.text("http"), .ca_file = settings.text("ca-file")})
                .status;
        return accepts(settings.list("expect-status"), status) ? ""
                                                               : "status " + std::to_string(status);
      }
      return try_sql(scene);
    } catch (const Error& error) {
      if (error.code() == ErrorCode::kUsage || error.code() == ErrorCode::kCancelled) {
        throw;
      }
      return error.message();
    }
  }

  static std::string try_sql(StepScene& scene) {
    const Secret url = secret_setting(scene, "url");
    const std::string query = expand(scene.raw.text("sql"), sql_values(scene));
    postgres::Connection connection(
        scene.context, {.target = std::string(url.reveal()), .database = {}, .server = {}},
        postgres::ConnectionMode::kSql);
    const auto rows = connection.run_single(scene.context, query);
    const std::string wanted = scene.settings.text("expect");
    if (wanted.empty()) {
      return {};
    }
    const std::string value =
        rows.rows.empty() || rows.rows[0].empty() ? "no row" : rows.rows[0][0].value_or("");
    return meets(value, wanted) ? "" : "it gives " + printable(value);
  }
};

}  // namespace

const Step& wait_step() {
  static const WaitStep step;
  return step;
}

}  // namespace salvor::plan
