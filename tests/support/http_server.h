// A small HTTP/1.1 server inside the test's process, that misbehaves as told.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include "base/fd.h"

namespace salvor::test {

struct ServedRequest {
  std::string method;
  std::string target;                          // path and query as sent
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
  unsigned connection = 0;  // from 1
};

struct ServedReply {
  int status = 200;
  std::map<std::string, std::string> headers;  // Content-Length is added
  std::string body;
  std::chrono::milliseconds delay{0};
  size_t cut_after = std::string::npos;    // body bytes, then the connection is closed
  size_t stall_after = std::string::npos;  // body bytes, then silence
  bool no_reply = false;                   // the connection is closed instead
};

// A reply that a test changes while the server is there. Thread-safe.
class ChangingReply {
 public:
  ChangingReply& operator=(ServedReply reply) {
    const std::scoped_lock lock(mutex_);
    reply_ = std::move(reply);
    return *this;
  }
  [[nodiscard]] ServedReply now() const {
    const std::scoped_lock lock(mutex_);
    return reply_;
  }

 private:
  mutable std::mutex mutex_;
  ServedReply reply_;
};

// On 127.0.0.1, a thread a connection. The handler is called from any of them.
class HttpServer {
 public:
  using Handler = std::function<ServedReply(const ServedRequest&)>;

  explicit HttpServer(Handler handler)
      : handler_(std::move(handler)), listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    if (::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), length) != 0 ||
        ::listen(listener_.get(), 64) != 0 ||
        ::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &length) != 0) {
      throw std::runtime_error("cannot listen");
    }
    port_ = ntohs(address.sin_port);
    acceptor_ = std::jthread([this](const std::stop_token& stop) { accept_all(stop); });
  }
  ~HttpServer() {
    stop_.request_stop();
    acceptor_.request_stop();
    acceptor_.join();
    connections_.clear();
  }
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  [[nodiscard]] uint16_t port() const { return port_; }
  [[nodiscard]] std::string url(const std::string& path = "/") const {
    return "http://127.0.0.1:" + std::to_string(port_) + path;
  }
  [[nodiscard]] std::vector<ServedRequest> requests() const {
    const std::scoped_lock lock(mutex_);
    return requests_;
  }
  [[nodiscard]] unsigned connections() const { return accepted_; }

 private:
  static bool readable(int fd, const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      pollfd waiting{fd, POLLIN, 0};
      if (::poll(&waiting, 1, 10) > 0) {
        return true;
      }
    }
    return false;
  }
  void accept_all(const std::stop_token& stop) {
    while (readable(listener_.get(), stop)) {
      UniqueFd peer(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      const unsigned number = ++accepted_;
      connections_.emplace_back([this, number, fd = std::move(peer)] { serve(fd.get(), number); });
    }
  }
  void serve(int fd, unsigned connection) {
    std::string input;
    for (;;) {
      ServedRequest request;
      request.connection = connection;
      if (!read_request(fd, input, request)) {
        return;
      }
      {
        const std::scoped_lock lock(mutex_);
        requests_.push_back(request);
      }
      if (!answer(fd, request, handler_(request))) {
        return;
      }
    }
  }
  bool more(int fd, std::string& input) {
    char buffer[65536];
    if (!readable(fd, stop_.get_token())) {
      return false;
    }
    const ssize_t got = ::recv(fd, buffer, sizeof buffer, 0);
    if (got <= 0) {
      return false;
    }
    input.append(buffer, static_cast<size_t>(got));
    return true;
  }
  bool read_request(int fd, std::string& input, ServedRequest& request) {
    size_t end = 0;
    while ((end = input.find("\r\n\r\n")) == std::string::npos) {
      if (!more(fd, input)) {
        return false;
      }
    }
    std::string head = input.substr(0, end + 2);
    input.erase(0, end + 4);
    const size_t line_end = head.find("\r\n");
    const std::string line = head.substr(0, line_end);
    const size_t first = line.find(' ');
    const size_t second = line.rfind(' ');
    request.method = line.substr(0, first);
    request.target = line.substr(first + 1, second - first - 1);
    for (size_t at = line_end + 2; at < head.size();) {
      const size_t stop = head.find("\r\n", at);
      const size_t colon = head.find(':', at);
      std::string name = head.substr(at, colon - at);
      std::ranges::transform(name, name.begin(), ::tolower);
      const size_t value = std::min(head.find_first_not_of(' ', colon + 1), stop);
      request.headers[name] = head.substr(value, stop - value);
      at = stop + 2;
    }
    const auto length = request.headers.find("content-length");
    const size_t size = length == request.headers.end() ? 0 : std::stoull(length->second);
    while (input.size() < size) {
      if (!more(fd, input)) {
        return false;
      }
    }
    request.body = input.substr(0, size);
    input.erase(0, size);
    return true;
  }
  void pause(std::chrono::milliseconds time) {
    const auto end = std::chrono::steady_clock::now() + time;
    while (!stop_.stop_requested() && std::chrono::steady_clock::now() < end) {
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
  }
  static bool send_all(int fd, std::string_view text) {
    while (!text.empty()) {
      const ssize_t sent = ::send(fd, text.data(), text.size(), MSG_NOSIGNAL);
      if (sent <= 0) {
        return false;
      }
      text.remove_prefix(static_cast<size_t>(sent));
    }
    return true;
  }
  bool answer(int fd, const ServedRequest& request, const ServedReply& reply) {
    pause(reply.delay);
    if (reply.no_reply) {
      return false;
    }
    std::string head = "HTTP/1.1 " + std::to_string(reply.status) + " Text\r\n";
    for (const auto& [name, value] : reply.headers) {
      head += name + ": " + value + "\r\n";
    }
    if (!reply.headers.contains("Content-Length")) {
      head += "Content-Length: " + std::to_string(reply.body.size()) + "\r\n";
    }
    if (!send_all(fd, head + "\r\n")) {
      return false;
    }
    if (request.method == "HEAD") {
      return true;
    }
    const size_t count = std::min(reply.cut_after, reply.stall_after);
    const bool sent = send_all(fd, std::string_view(reply.body).substr(0, count));
    if (reply.stall_after != std::string::npos) {
      pause(std::chrono::hours(1));
    }
    return sent && count == std::string::npos;
  }

  const Handler handler_;
  UniqueFd listener_;
  uint16_t port_ = 0;
  std::atomic<unsigned> accepted_ = 0;
  mutable std::mutex mutex_;
  std::vector<ServedRequest> requests_;
  std::stop_source stop_;
  std::vector<std::jthread> connections_;
  std::jthread acceptor_;
};

}  // namespace salvor::test
