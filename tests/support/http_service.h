// A real server that speaks HTTP, on loopback, for as long as a test runs.
#pragma once

#include <array>
#include <chrono>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>

#include "net/http_client.h"
#include "net/subprocess.h"
#include "support/loopback.h"
#include "support/test_context.h"

namespace salvor::test {

class HttpService {
 public:
  // Returns when something answers on that port of 127.0.0.1. The program's output is swallowed.
  HttpService(SubprocessOptions options, uint16_t port) : port_(port) {
    process_.emplace(options);
    drain_ = std::jthread([this] {
      std::array<std::byte, 4096> buffer;
      try {
        while (process_->read(buffer) > 0) {
        }
      } catch (const std::exception&) {
      }
    });
    TestContext context;
    HttpClient client({.proxy = "", .connect_timeout = std::chrono::milliseconds(500)});
    for (int i = 0; i < 600; ++i) {
      try {
        (void)client.request(*context, {.url = url("/")});
        return;
      } catch (const Error&) {
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
      }
    }
    stop();
    throw std::runtime_error("the server does not start: " + options.arguments.front());
  }
  ~HttpService() { stop(); }
  HttpService(const HttpService&) = delete;
  HttpService& operator=(const HttpService&) = delete;

  [[nodiscard]] std::string url(const std::string& path) const {
    return "http://127.0.0.1:" + std::to_string(port_) + path;
  }

 private:
  void stop() {
    process_->terminate();
    drain_.join();
  }

  const uint16_t port_;
  std::optional<Subprocess> process_;
  std::jthread drain_;
};

}  // namespace salvor::test
