// One client's connection through the proxy.
#pragma once

#include <cstdio>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "proxy/fault_plan.h"
#include "proxy/http_stream.h"
#include "proxy/link.h"

namespace salvor::proxy {

// What all connections share. Thread-safe.
struct Network {
  std::string host;  // of the server, an IPv4 address
  uint16_t port = 0;
  Clock::duration round_trip{0};
  Bandwidth up{0};
  Bandwidth down{0};
  FaultPlan plan;
  std::mutex log_mutex;
  std::FILE* log = nullptr;

  void note(const std::string& line);
};

// Any protocol: bytes pass until one side ends, or until something happens to them. Blocks.
void serve_bytes(Network& network, int client);

// HTTP/1.1 without TLS, each request a candidate for a fault. Blocks until the client leaves.
class HttpConnection {
 public:
  HttpConnection(Network& network, int client);

  void serve();

 private:
  enum class Next : uint8_t { kGoOn, kClose };

  Next exchange(const HttpHead& head, Fault fault);
  Next answer_instead(const HttpHead& head, Fault fault);
  // False when the request did not get through whole: by a fault, or because a side has gone.
  bool forward_request(const HttpHead& head, Fault fault, std::string* copy);
  Next forward_reply(const HttpHead& head, Fault fault);
  Next break_reply(const HttpHead& request, const HttpHead& reply, Fault fault);
  // Sends `copy` once more, after the reply to the first was thrown away.
  bool repeat_request(const HttpHead& head, const std::string& copy);
  bool connect();
  void stall();
  [[nodiscard]] bool has_reply_body(const HttpHead& request, const HttpHead& reply) const;

  Network& network_;
  Socket client_;
  HttpStream from_client_;
  DelayLine down_;
  // The kept connection to the server; the line goes before its socket.
  std::unique_ptr<Socket> server_;
  std::unique_ptr<HttpStream> from_server_;
  std::unique_ptr<DelayLine> up_;
};

}  // namespace salvor::proxy
