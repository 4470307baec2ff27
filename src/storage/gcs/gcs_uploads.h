// Uploads to Google Cloud Storage that go on where they were cut (resumable upload sessions):
// https://cloud.google.com/storage/docs/performing-resumable-uploads
//
// A session costs a round trip before the first byte, so an object is first sent in one request;
// only when that was cut, or when it is so large that sending it again would hurt, a session is
// begun. What the server has of it is asked after each cut, never guessed. Sessions that are not
// finished end by themselves after a week and cost nothing.
#pragma once

#include <map>
#include <mutex>
#include <span>
#include <string>

#include "storage/gcs/gcs_client.h"

namespace salvor {

// Thread-safe.
class GcsUploads {
 public:
  explicit GcsUploads(GcsClient& client) : client_(client) {}

  // Whether the content (which `checksum` stands for) should be sent by `upload` rather than in one
  // request.
  [[nodiscard]] bool wants_session(const std::string& key, const std::string& checksum,
                                   uint64_t size_bytes) const;
  // One request was cut: what follows is a session.
  void was_cut(const std::string& key, const std::string& checksum);
  // Ends what `was_cut` and `upload` remember of the key.
  void forget(const std::string& key);

  // Begins with `begin` (a POST that describes the object) or goes on with what was begun; gives
  // the reply to the last piece, or one of 404 and 412. Throws what GcsClient::execute throws; then
  // calling it again goes on.
  HttpResponse upload(const Context& context, const std::string& key, const std::string& checksum,
                      const GcsCall& begin, std::span<const ByteView> parts);

 private:
  struct Session {
    std::string checksum;
    std::string path;  // and query; empty: not begun yet
  };

  [[nodiscard]] std::string session_path(const std::string& key, const std::string& checksum) const;
  void remember(const std::string& key, Session session);
  // Nothing (412, 404 ...) when the reply says that there will be no session.
  HttpResponse begin_session(const Context& context, const GcsCall& begin, std::string& path);
  HttpResponse send(const Context& context, const GcsCall& begin, const std::string& path,
                    std::span<const ByteView> parts, uint64_t from);

  GcsClient& client_;
  mutable std::mutex mutex_;
  std::map<std::string, Session> sessions_;  // by key; under mutex_
};

}  // namespace salvor
