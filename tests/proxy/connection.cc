#include "proxy/connection.h"

#include <algorithm>
#include <thread>

namespace salvor::proxy {
namespace {

using std::chrono::minutes;

// How long a stalled connection is held for a client that does not mind.
constexpr auto kStall = minutes(10);
constexpr size_t kRepeatLimit = size_t{256} << 20;

bool is_reset(Fault fault) {
  return fault == Fault::kCutRequest || fault == Fault::kCutReply;
}

bool garbles(const HttpHead& request, const HttpHead& reply) {
  // Objects only: nobody can tell a listing that lies from one that does not.
  return request.method == "GET" && request.target.find('?') == std::string::npos &&
         !request.target.ends_with('/') && reply.status >= 200 && reply.status < 300 &&
         !reply.chunked && reply.length.value_or(0) > 0;
}

}  // namespace

void Network::note(const std::string& line) {
  if (log != nullptr) {
    const std::scoped_lock lock(log_mutex);
    std::fputs((line + "\n").c_str(), log);
    std::fflush(log);
  }
}

// ---- bytes ----

namespace {

struct BytesBroken {
  std::mutex mutex;
  Fault fault = Fault::kNone;
};

// One direction.
void pass_bytes(Network& network, Socket& from, Socket& to, DelayLine& line, BytesBroken& broken,
                bool upwards) {
  for (;;) {
    std::string bytes = from.read_some(SIZE_MAX);
    if (bytes.empty()) {
      line.drain();
      to.end_output();
      return;
    }
    const size_t size = bytes.size();
    Fault fault = network.plan.next_of_traffic(size);
    {
      const std::scoped_lock lock(broken.mutex);
      if (fault != Fault::kNone && broken.fault == Fault::kNone) {
        broken.fault = fault;
        network.plan.happened(fault);
        network.note("bytes " + std::string(fault_name(fault)));
      }
      fault = broken.fault;
    }
    const bool lost = fault == Fault::kLostReply && !upwards;
    const bool stalled = fault == Fault::kStallReply;
    if (is_reset(fault)) {
      line.push(bytes.substr(0, network.plan.place(size)));
      line.drain();
      from.reset();
      to.reset();
      return;
    }
    if (lost || stalled) {
      // The other direction goes on for a while (lost), or notices with its next bytes (stalled).
      from.await_close(stalled ? std::chrono::milliseconds(kStall) : std::chrono::milliseconds(80));
      from.reset();
      to.reset();
      return;
    }
    if (!line.push(std::move(bytes))) {
      from.shut();
      return;
    }
    network.plan.count_bytes(upwards ? size : 0, upwards ? 0 : size);
  }
}

}  // namespace

void serve_bytes(Network& network, int client_fd) {
  const Clock::time_point begin = Clock::now();
  Socket client(client_fd);
  std::this_thread::sleep_for(network.round_trip);
  network.plan.count_connection(begin, Clock::now());
  const int server_fd = Socket::connect_to(network.host, network.port);
  if (server_fd < 0) {
    client.reset();
    return;
  }
  Socket server(server_fd);
  DelayLine up(server, network.up, network.round_trip / 2);
  DelayLine down(client, network.down, network.round_trip / 2);
  BytesBroken broken;
  std::thread downwards([&] { pass_bytes(network, server, client, down, broken, false); });
  pass_bytes(network, client, server, up, broken, true);
  downwards.join();
}

// ---- HTTP ----

HttpConnection::HttpConnection(Network& network, int client)
    : network_(network),
      client_(client),
      from_client_(client_),
      down_(client_, network.down, network.round_trip / 2) {}

void HttpConnection::serve() {
  const Clock::time_point opened = Clock::now();
  std::this_thread::sleep_for(network_.round_trip);
  network_.plan.count_connection(opened, Clock::now());
  for (;;) {
    const std::optional<HttpHead> head = from_client_.read_head();
    if (!head) {
      break;
    }
    const Clock::time_point begin = Clock::now();
    const Fault fault = network_.plan.next();
    const Next next = exchange(*head, fault);
    network_.plan.count_request(head->method, begin, Clock::now());
    if (next == Next::kClose) {
      break;
    }
  }
  down_.drain();
  client_.shut();
  if (up_) {
    up_->abandon();
  }
  if (server_) {
    server_->shut();
  }
}

bool HttpConnection::connect() {
  up_.reset();
  from_server_.reset();
  server_.reset();
  const int fd = Socket::connect_to(network_.host, network_.port);
  if (fd < 0) {
    return false;
  }
  server_ = std::make_unique<Socket>(fd);
  from_server_ = std::make_unique<HttpStream>(*server_);
  up_ = std::make_unique<DelayLine>(*server_, network_.up, network_.round_trip / 2);
  return true;
}

HttpConnection::Next HttpConnection::exchange(const HttpHead& head, Fault fault) {
  network_.note(head.method + " " + head.target + " " + std::string(fault_name(fault)));
  if (head.expects_continue) {
    down_.push("HTTP/1.1 100 Continue\r\n\r\n");
  }
  if (fault == Fault::kError500 || fault == Fault::kSlowDown || fault == Fault::kTooMany) {
    return answer_instead(head, fault);
  }
  if (!up_ && !connect()) {
    client_.reset();
    return Next::kClose;
  }
  std::string copy;
  const bool repeat = fault == Fault::kDuplicate && head.length.value_or(0) <= kRepeatLimit;
  if (!forward_request(head, fault, repeat ? &copy : nullptr)) {
    return Next::kClose;
  }
  if (repeat && !repeat_request(head, copy)) {
    client_.reset();
    return Next::kClose;
  }
  return forward_reply(head, fault);
}

HttpConnection::Next HttpConnection::answer_instead(const HttpHead& head, Fault fault) {
  const auto ignore = [](const std::string&) { return true; };
  if (!from_client_.read_body(head, true, false, ignore)) {
    return Next::kClose;
  }
  network_.plan.happened(fault);
  std::string body;
  std::string line = "500 Internal Server Error";
  std::string code = "InternalError";
  std::string more;
  if (fault == Fault::kSlowDown) {
    line = "503 Slow Down";
    code = "SlowDown";
  } else if (fault == Fault::kTooMany) {
    line = "429 Too Many Requests";
    code = "TooManyRequests";
    more = "Retry-After: 1\r\n";
  }
  if (head.method != "HEAD") {
    body = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>" + code +
           "</Code><Message>made by the proxy</Message></Error>";
  }
  std::this_thread::sleep_for(network_.round_trip / 2);  // what it takes to get to a server
  down_.push("HTTP/1.1 " + line + "\r\nContent-Type: application/xml\r\n" + more +
             "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
  return down_.drain() ? Next::kGoOn : Next::kClose;
}

bool HttpConnection::forward_request(const HttpHead& head, Fault fault, std::string* copy) {
  const bool breaks = fault == Fault::kCutRequest || fault == Fault::kStallRequest;
  uint64_t left = breaks ? network_.plan.place(head.length.value_or(0) + 1) : UINT64_MAX;
  const bool before_all = breaks && head.length.value_or(0) == 0;
  uint64_t size = head.bytes.size();
  if (!before_all) {
    up_->push(head.bytes);
    if (copy != nullptr) {
      *copy = head.bytes;
    }
    (void)from_client_.read_body(head, true, false, [&](std::string piece) {
      if (piece.size() > left) {
        piece.resize(left);
      }
      left -= breaks ? piece.size() : 0;
      size += piece.size();
      if (copy != nullptr) {
        *copy += piece;
      }
      // A server that has answered early (it refuses) may not read on: the reply follows.
      return up_->push(std::move(piece)) && left > 0;
    });
  }
  network_.plan.count_bytes(size, 0);
  if (!breaks) {
    return true;
  }
  network_.plan.happened(fault);
  if (fault == Fault::kStallRequest) {
    stall();
  } else {
    client_.reset();
  }
  return false;
}

bool HttpConnection::repeat_request(const HttpHead& head, const std::string& copy) {
  const std::optional<HttpHead> first = from_server_->read_head();
  if (!first || !from_server_->read_body(*first, has_reply_body(head, *first), true,
                                         [](const std::string&) { return true; })) {
    return false;
  }
  if (first->closes && !connect()) {
    return false;
  }
  network_.plan.happened(Fault::kDuplicate);
  return up_->push(copy);
}

bool HttpConnection::has_reply_body(const HttpHead& request, const HttpHead& reply) const {
  return request.method != "HEAD" && reply.status != 204 && reply.status != 304;
}

void HttpConnection::stall() {
  client_.await_close(kStall);
  client_.reset();
}

HttpConnection::Next HttpConnection::forward_reply(const HttpHead& head, Fault fault) {
  std::optional<HttpHead> reply = from_server_->read_head();
  while (reply && reply->status >= 100 && reply->status < 200) {
    reply = from_server_->read_head();
  }
  if (!reply) {
    client_.reset();
    return Next::kClose;
  }
  if (fault == Fault::kLostReply || fault == Fault::kCutReply || fault == Fault::kTruncate ||
      fault == Fault::kStallReply) {
    return break_reply(head, *reply, fault);
  }
  uint64_t at = UINT64_MAX;
  if (fault == Fault::kGarble && garbles(head, *reply)) {
    at = network_.plan.place(*reply->length);
    network_.plan.happened(fault);
  }
  uint64_t size = 0;
  bool alive = down_.push(reply->bytes);
  const bool whole =
      from_server_->read_body(*reply, has_reply_body(head, *reply), true, [&](std::string piece) {
        if (at >= size && at - size < piece.size()) {
          piece[at - size] = static_cast<char>(piece[at - size] ^ 0x10);
        }
        size += piece.size();
        alive = down_.push(std::move(piece));
        return alive;
      });
  network_.plan.count_bytes(0, reply->bytes.size() + size);
  const bool until_end = !reply->length && !reply->chunked && has_reply_body(head, *reply);
  alive = down_.drain() && alive;
  return whole && alive && !reply->closes && !head.closes && !until_end ? Next::kGoOn
                                                                        : Next::kClose;
}

HttpConnection::Next HttpConnection::break_reply(const HttpHead& request, const HttpHead& reply,
                                                 Fault fault) {
  network_.plan.happened(fault);
  const bool has_body = has_reply_body(request, reply) && (reply.chunked || reply.length != 0);
  if (fault != Fault::kLostReply && has_body) {
    uint64_t left = network_.plan.place(reply.length.value_or(64 << 10));
    bool alive = down_.push(reply.bytes);
    if (alive && left > 0) {
      (void)from_server_->read_body(reply, true, true, [&](std::string piece) {
        piece.resize(std::min<uint64_t>(piece.size(), left));
        left -= piece.size();
        alive = down_.push(std::move(piece));
        return alive && left > 0;
      });
    }
    down_.drain();
  }
  if (fault == Fault::kTruncate) {
    client_.shut();
  } else if (fault == Fault::kStallReply) {
    stall();
  } else {
    client_.reset();
  }
  return Next::kClose;
}

}  // namespace salvor::proxy
