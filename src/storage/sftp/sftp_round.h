// Requests that are sent together and whose answers are awaited together.
#pragma once

#include <deque>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "net/sftp_session.h"

namespace salvor {

// The references that calls return are filled by the next `wait` (before it they hold
// SftpStatus::kOk) and stay valid as long as the round. A round may be used several times. Throws
// what SftpSession::wait throws. Not thread-safe; must not outlive the session.
class SftpRound {
 public:
  explicit SftpRound(SftpSession& session) : session_(session) {}
  SftpRound(const SftpRound&) = delete;
  SftpRound& operator=(const SftpRound&) = delete;

  const SftpReply& stat(const std::string& path);  // follows symbolic links
  const SftpReply& stat_open(const std::string& handle);
  // `mode` when it is created.
  const SftpReply& open(const std::string& path, uint32_t flags, uint32_t mode = 0);
  const SftpReply& make_directory(const std::string& path, uint32_t mode);
  const SftpReply& remove(const std::string& path);
  const SftpReply& rename(const std::string& from, const std::string& to);
  const SftpReply& rename_over(const std::string& from, const std::string& to);
  const SftpReply& link(const std::string& from, const std::string& to);
  const std::optional<SftpSpace>& space(const std::string& path);
  // A file or directory. Does nothing for an empty handle (what could not be opened), and where the
  // server or the file system cannot; the answer does not matter.
  void sync(const std::string& handle);
  // Nobody waits for the answer. Does nothing for an empty handle.
  void close(const std::string& handle);

  void wait(const Context& context) { session_.wait(context); }

  // The concatenation of `parts` into an open file, its mode, fsync where there is one, close. The
  // first answer that is not kOk, if any.
  [[nodiscard]] SftpReply write_all(const Context& context, const std::string& handle,
                                    std::span<const ByteView> parts, uint32_t mode);

  struct Read {
    size_t got = 0;     // less than asked: the file ends there
    SftpReply failure;  // kOk: none
  };
  [[nodiscard]] Read read(const Context& context, const std::string& handle, uint64_t offset,
                          MutableBytes out);

  struct Listing {
    std::vector<SftpName> names;  // symbolic links already followed; without "." and ".."
    SftpReply failure;            // kOk: none; a missing directory is empty
  };
  // In the order of `paths`.
  [[nodiscard]] std::vector<Listing> list(const Context& context,
                                          std::span<const std::string> paths);

 private:
  class DirectoryReader;

  SftpReply& slot() { return replies_.emplace_back(); }
  const SftpReply& ask(const SftpRequest& request);
  [[nodiscard]] SftpRequest make(SftpType type) { return {type, session_.next_id()}; }
  [[nodiscard]] SftpRequest make(std::string_view extension) {
    return {extension, session_.next_id()};
  }
  void follow_links(const Context& context, std::span<const std::string> paths,
                    std::vector<Listing>& listings);

  SftpSession& session_;
  std::deque<SftpReply> replies_;
  std::deque<std::optional<SftpSpace>> spaces_;
};

// Closes an open file when it ends, without waiting for that.
class SftpHandle {
 public:
  SftpHandle(SftpSession& session, std::string handle)
      : session_(session), handle_(std::move(handle)) {}
  ~SftpHandle() { SftpRound(session_).close(handle_); }
  SftpHandle(const SftpHandle&) = delete;
  SftpHandle& operator=(const SftpHandle&) = delete;

 private:
  SftpSession& session_;
  const std::string handle_;
};

}  // namespace salvor
