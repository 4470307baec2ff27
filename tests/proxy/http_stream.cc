#include "proxy/http_stream.h"

#include <algorithm>
#include <charconv>

namespace salvor::proxy {
namespace {

constexpr size_t kHeadLimit = 256 << 10;
constexpr size_t kPiece = size_t{128} << 10;

std::string lower(std::string_view text) {
  std::string result(text);
  std::ranges::transform(result, result.begin(), ::tolower);
  return result;
}

void take_header(HttpHead& head, std::string_view line) {
  const size_t colon = std::min(line.find(':'), line.size());
  const std::string name = lower(line.substr(0, colon));
  std::string value = lower(line.substr(std::min(colon + 1, line.size())));
  value.erase(0, std::min(value.find_first_not_of(" \t"), value.size()));
  if (name == "content-length") {
    uint64_t length = 0;
    std::from_chars(value.data(), value.data() + value.size(), length);
    head.length = length;
  } else if (name == "transfer-encoding") {
    head.chunked = value.find("chunked") != std::string::npos;
  } else if (name == "connection") {
    head.closes = value.find("close") != std::string::npos;
  } else if (name == "expect") {
    head.expects_continue = value.find("100-continue") != std::string::npos;
  }
}

HttpHead parse_head(std::string bytes) {
  HttpHead head;
  std::string_view rest = bytes;
  bool first = true;
  while (!rest.empty()) {
    const size_t end = std::min(rest.find("\r\n"), rest.size());
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 2, rest.size()));
    if (!first) {
      take_header(head, line);
      continue;
    }
    first = false;
    const size_t space = std::min(line.find(' '), line.size());
    const std::string_view after = line.substr(std::min(space + 1, line.size()));
    if (line.starts_with("HTTP/")) {
      std::from_chars(after.data(), after.data() + after.size(), head.status);
    } else {
      head.method = line.substr(0, space);
      head.target = after.substr(0, after.find(' '));
    }
  }
  head.bytes = std::move(bytes);
  return head;
}

}  // namespace

bool HttpStream::fill() {
  const std::string more = socket_.read_some(kPiece);
  buffer_ += more;
  return !more.empty();
}

std::string HttpStream::take(size_t limit) {
  std::string bytes;
  if (buffer_.size() <= limit) {
    bytes.swap(buffer_);
  } else {
    bytes = buffer_.substr(0, limit);
    buffer_.erase(0, limit);
  }
  return bytes;
}

std::optional<HttpHead> HttpStream::read_head() {
  size_t end = 0;
  while ((end = buffer_.find("\r\n\r\n")) == std::string::npos) {
    if (buffer_.size() > kHeadLimit || !fill()) {
      return std::nullopt;
    }
  }
  return parse_head(take(end + 4));
}

bool HttpStream::read_body(const HttpHead& head, bool has_body, bool is_reply,
                           const std::function<bool(std::string piece)>& on_piece) {
  if (!has_body) {
    return true;
  }
  if (head.chunked) {
    return read_chunks(on_piece);
  }
  const bool until_end = is_reply && !head.length;
  uint64_t left = until_end ? UINT64_MAX : head.length.value_or(0);
  while (left > 0) {
    if (buffer_.empty() && !fill()) {
      return until_end;
    }
    std::string piece = take(std::min<uint64_t>(left, kPiece));
    left -= piece.size();
    if (!on_piece(std::move(piece))) {
      return false;
    }
  }
  return true;
}

std::optional<std::string> HttpStream::take_line() {
  size_t end = 0;
  while ((end = buffer_.find("\r\n")) == std::string::npos) {
    if (buffer_.size() > kHeadLimit || !fill()) {
      return std::nullopt;
    }
  }
  return take(end + 2);
}

bool HttpStream::read_chunks(const std::function<bool(std::string piece)>& on_piece) {
  for (;;) {
    auto line = take_line();
    if (!line) {
      return false;
    }
    uint64_t left = 0;
    std::from_chars(line->data(), line->data() + line->size(), left, 16);
    const bool last = left == 0;
    if (!on_piece(std::move(*line))) {
      return false;
    }
    left += last ? 0 : 2;  // the line break after the data
    while (left > 0) {
      if (buffer_.empty() && !fill()) {
        return false;
      }
      std::string piece = take(std::min<uint64_t>(left, kPiece));
      left -= piece.size();
      if (!on_piece(std::move(piece))) {
        return false;
      }
    }
    while (last) {  // trailers up to the empty line
      line = take_line();
      const bool end = line && *line == "\r\n";
      if (!line || !on_piece(std::move(*line))) {
        return false;
      }
      if (end) {
        return true;
      }
    }
  }
}

}  // namespace salvor::proxy
