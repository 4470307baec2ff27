#include "storage/gcs/gcs_uploads.h"

#include <algorithm>
#include <charconv>

#include "storage/gcs/gcs_errors.h"

namespace salvor {
namespace {

constexpr size_t kMostSessions = 256;
// "Resume Incomplete": the server has what its header Range says, from the start.
constexpr int kIncomplete = 308;

// How much of the content the server has.
uint64_t received(const HttpResponse& response) {
  constexpr std::string_view kBegin = "bytes=0-";
  const std::string_view range = response.header("range").value_or("");
  uint64_t last = 0;
  if (!range.starts_with(kBegin) ||
      std::from_chars(range.data() + kBegin.size(), range.data() + range.size(), last).ec !=
          std::errc()) {
    return 0;
  }
  return last + 1;
}

// [begin, end) of the concatenation.
std::vector<ByteView> slice(std::span<const ByteView> parts, uint64_t begin, uint64_t end) {
  std::vector<ByteView> result;
  uint64_t at = 0;
  for (const ByteView part : parts) {
    const uint64_t from = std::clamp(begin, at, at + part.size());
    const uint64_t to = std::clamp(end, at, at + part.size());
    if (from < to) {
      result.push_back(part.subspan(from - at, to - from));
    }
    at += part.size();
  }
  return result;
}

// Of an absolute URL. Only the path is used, whatever host the server names: that is where the
// token may be sent to.
std::string path_of(std::string_view url) {
  const size_t host = url.find("://");
  const size_t path = url.find('/', host == std::string_view::npos ? 0 : host + 3);
  return path == std::string_view::npos ? std::string() : std::string(url.substr(path));
}

uint64_t size_of(std::span<const ByteView> parts) {
  uint64_t size_bytes = 0;
  for (const ByteView part : parts) {
    size_bytes += part.size();
  }
  return size_bytes;
}

}  // namespace

bool GcsUploads::wants_session(const std::string& key, const std::string& checksum,
                               uint64_t size_bytes) const {
  const std::scoped_lock lock(mutex_);
  const auto found = sessions_.find(key);
  return size_bytes >= client_.settings().session_bytes ||
         (size_bytes > 0 && found != sessions_.end() && found->second.checksum == checksum);
}

void GcsUploads::was_cut(const std::string& key, const std::string& checksum) {
  remember(key, {.checksum = checksum, .path = {}});
}

void GcsUploads::forget(const std::string& key) {
  const std::scoped_lock lock(mutex_);
  sessions_.erase(key);
}

void GcsUploads::remember(const std::string& key, Session session) {
  const std::scoped_lock lock(mutex_);
  if (sessions_.size() >= kMostSessions && !sessions_.contains(key)) {
    sessions_.erase(sessions_.begin());  // it begins anew, should it come again
  }
  sessions_.insert_or_assign(key, std::move(session));
}

std::string GcsUploads::session_path(const std::string& key, const std::string& checksum) const {
  const std::scoped_lock lock(mutex_);
  const auto found = sessions_.find(key);
  return found != sessions_.end() && found->second.checksum == checksum ? found->second.path : "";
}

HttpResponse GcsUploads::begin_session(const Context& context, const GcsCall& begin,
                                       std::string& path) {
  HttpResponse response = client_.execute(context, begin, {404, 412});
  if (response.success()) {
    path = path_of(response.header("location").value_or(""));
    if (path.empty()) {
      throw Error(ErrorCode::kFailed, begin.what + ": the server begins no upload session");
    }
  }
  return response;
}

// All from `from` on, in pieces; the reply to the last.
HttpResponse GcsUploads::send(const Context& context, const GcsCall& begin, const std::string& path,
                              std::span<const ByteView> parts, uint64_t from) {
  const uint64_t total = size_of(parts);
  for (;;) {
    const uint64_t end = std::min(total, from + client_.settings().piece_bytes);
    const std::vector<ByteView> piece = slice(parts, from, end);
    HttpResponse response = client_.execute(
        context,
        {.method = "PUT",
         .path = path,
         .headers = {{"Content-Range", "bytes " + std::to_string(from) + "-" +
                                           std::to_string(end - 1) + "/" + std::to_string(total)}},
         .body = piece,
         .what = begin.what,
         .permission = begin.permission},
        {kIncomplete, 404, 410, 412});
    if (response.status != kIncomplete) {
      return response;
    }
    const uint64_t now = received(response);
    if (now <= from || now > end || now == total) {
      throw Error(ErrorCode::kUnreachable,
                  begin.what + ": of the piece that ends at byte " + std::to_string(end) +
                      " the server has taken what ends at " + std::to_string(now));
    }
    from = now;
  }
}

HttpResponse GcsUploads::upload(const Context& context, const std::string& key,
                                const std::string& checksum, const GcsCall& begin,
                                std::span<const ByteView> parts) {
  std::string path = session_path(key, checksum);
  uint64_t from = 0;
  if (!path.empty()) {
    HttpResponse state = client_.execute(
        context,
        {.method = "PUT",
         .path = path,
         .headers = {{"Content-Range", "bytes */" + std::to_string(size_of(parts))}},
         .what = begin.what,
         .permission = begin.permission},
        {kIncomplete, 404, 410, 412});
    if (state.success() || state.status == 412) {
      forget(key);
      return state;
    }
    if (state.status == kIncomplete) {
      from = received(state);
    }
    if (state.status != kIncomplete || from >= size_of(parts)) {
      path.clear();  // the session is gone, or will never end
      from = 0;
    }
  }
  if (path.empty()) {
    HttpResponse response = begin_session(context, begin, path);
    if (path.empty()) {
      return response;
    }
    remember(key, {.checksum = checksum, .path = path});
  }
  HttpResponse response = send(context, begin, path, parts, from);
  forget(key);
  if (response.status == 404 || response.status == 410) {
    throw Error(ErrorCode::kUnreachable, begin.what + ": the upload session has ended early");
  }
  return response;
}

}  // namespace salvor
