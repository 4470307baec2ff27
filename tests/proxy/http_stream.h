// HTTP/1.1 messages as they pass: where they begin and end, nothing more.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "proxy/link.h"

namespace salvor::proxy {

struct HttpHead {
  std::string bytes;  // as received, with the empty line
  std::string method;
  std::string target;  // of a request
  int status = 0;      // of a reply
  std::optional<uint64_t> length;
  bool chunked = false;
  bool closes = false;
  bool expects_continue = false;
};

// Reads messages from one socket, one after the other. Not thread-safe.
class HttpStream {
 public:
  explicit HttpStream(Socket& socket) : socket_(socket) {}

  // Nothing at the end of the stream, and for what is not HTTP.
  [[nodiscard]] std::optional<HttpHead> read_head();
  // The body of a message, piece by piece; `on_piece` returns false to stop. True at its end.
  bool read_body(const HttpHead& head, bool has_body, bool is_reply,
                 const std::function<bool(std::string piece)>& on_piece);

 private:
  [[nodiscard]] bool fill();
  [[nodiscard]] std::string take(size_t limit);
  bool read_chunks(const std::function<bool(std::string piece)>& on_piece);
  [[nodiscard]] std::optional<std::string> take_line();

  Socket& socket_;
  std::string buffer_;
};

}  // namespace salvor::proxy
