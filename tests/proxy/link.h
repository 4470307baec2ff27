// The network between a client and a server: delay and bandwidth, and sockets to apply them to.
//
// A model, not a network: bytes pass a link of a bandwidth that all connections share, then travel
// for half a round trip. A new connection costs one round trip before its first byte. What a sender
// may have on the way is bounded (kWindow, as a grown TCP window); slow start and loss are not
// modelled.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

namespace salvor::proxy {

using Clock = std::chrono::steady_clock;

// Owns a connected TCP socket. Calls block; `shut` may be called from any thread and ends them.
class Socket {
 public:
  explicit Socket(int fd) : fd_(fd) {}
  ~Socket();
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;

  static int connect_to(const std::string& host, uint16_t port);  // -1 when nobody listens

  // What is there, at most `limit` bytes; empty at the end or after an error.
  [[nodiscard]] std::string read_some(size_t limit);
  [[nodiscard]] bool write_all(std::string_view bytes);
  void shut();        // both ways, in order: the peer sees the end of the stream
  void end_output();  // the peer sees the end after what was written
  void reset();       // the peer sees "connection reset"
  void await_close(std::chrono::milliseconds longest) const;  // by the peer

 private:
  int fd_;
};

// One direction of the link, shared by all connections. Thread-safe.
class Bandwidth {
 public:
  explicit Bandwidth(uint64_t bytes_per_second) : rate_(bytes_per_second) {}
  // When these bytes have passed.
  [[nodiscard]] Clock::time_point pass(size_t bytes);

 private:
  const uint64_t rate_;  // 0: no limit
  std::mutex mutex_;
  Clock::time_point free_at_{};
};

// One direction of one connection: what is pushed arrives at `out` when its time has come. One
// thread pushes.
class DelayLine {
 public:
  DelayLine(Socket& out, Bandwidth& bandwidth, Clock::duration delay);
  ~DelayLine();
  DelayLine(const DelayLine&) = delete;
  DelayLine& operator=(const DelayLine&) = delete;

  // False when the receiver has gone.
  bool push(std::string bytes);
  // Until all that was pushed has arrived. False when the receiver has gone.
  bool drain();
  void abandon();  // what is on the way never arrives
  [[nodiscard]] uint64_t arrived_bytes() const { return arrived_.load(); }

 private:
  struct Piece {
    Clock::time_point due;
    std::string bytes;
  };
  void run();

  Socket& out_;
  Bandwidth& bandwidth_;
  const Clock::duration delay_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Piece> pieces_;
  size_t queued_ = 0;
  bool writing_ = false;
  bool broken_ = false;
  bool ending_ = false;
  std::atomic<uint64_t> arrived_ = 0;
  std::thread thread_;
};

}  // namespace salvor::proxy
