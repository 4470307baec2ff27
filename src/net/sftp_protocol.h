// The packets of SFTP version 3 (draft-ietf-secsh-filexfer-02) and of OpenSSH's extensions
// (PROTOCOL, section 4): requests written, replies read. No I/O.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"

namespace salvor {

enum class SftpType : uint8_t {
  kInit = 1,
  kVersion = 2,
  kOpen = 3,
  kClose = 4,
  kRead = 5,
  kWrite = 6,
  kLstat = 7,
  kFstat = 8,
  kSetstat = 9,
  kFsetstat = 10,
  kOpendir = 11,
  kReaddir = 12,
  kRemove = 13,
  kMkdir = 14,
  kRmdir = 15,
  kRealpath = 16,
  kStat = 17,
  kRename = 18,
  kStatus = 101,
  kHandle = 102,
  kData = 103,
  kName = 104,
  kAttributes = 105,
  kExtended = 200,
  kExtendedReply = 201,
};

// Flags of kOpen.
constexpr uint32_t kSftpRead = 1;
constexpr uint32_t kSftpWrite = 2;
constexpr uint32_t kSftpCreate = 8;
constexpr uint32_t kSftpExclusive = 32;

enum class SftpStatus : uint32_t {
  kOk = 0,
  kEof = 1,
  kNoSuchFile = 2,
  kPermissionDenied = 3,
  kFailure = 4,  // anything else: exists, full, not empty, read-only
  kBadMessage = 5,
  kUnsupported = 8,
};

// The largest packet that is taken from a server, without its length: OpenSSH's own limit.
constexpr size_t kSftpMaxPacket = size_t{256} << 10U;

// One request. The caller sends `bytes()` and then, for kWrite, the payload.
class SftpRequest {
 public:
  SftpRequest(SftpType type, uint32_t id);
  // kExtended with the name of the extension.
  SftpRequest(std::string_view extension, uint32_t id);

  SftpRequest& number(uint32_t value);
  SftpRequest& number64(uint64_t value);
  SftpRequest& text(std::string_view value);  // with its length in front
  // Attributes that hold nothing, or the permission bits only.
  SftpRequest& no_attributes() { return number(0); }
  SftpRequest& permissions(uint32_t mode) { return number(4).number(mode); }
  // The length of the payload that will follow on the wire.
  SftpRequest& payload(size_t size_bytes);

  [[nodiscard]] uint32_t id() const { return id_; }
  // Complete with the length in front.
  [[nodiscard]] std::string bytes() const;

 private:
  uint32_t id_;
  size_t payload_ = 0;
  std::string packet_;  // the length is filled in by bytes()
};

// What a server need not say is absent.
struct SftpAttributes {
  std::optional<uint64_t> size_bytes;
  std::optional<uint32_t> mode;  // type and permissions, as stat(2)
  std::optional<std::chrono::sys_seconds> modified;
  [[nodiscard]] bool is_regular() const { return mode && (*mode & 0170000U) == 0100000U; }
  [[nodiscard]] bool is_directory() const { return mode && (*mode & 0170000U) == 0040000U; }
};

struct SftpName {
  std::string name;
  SftpAttributes attributes;  // of a symbolic link itself
};

// One reply; which members mean something depends on `type`.
struct SftpReply {
  SftpType type = SftpType::kStatus;
  uint32_t id = 0;
  SftpStatus status = SftpStatus::kOk;  // kStatus; kOk for the others
  std::string message;                  // kStatus: the server's words, at most 1 KiB of them
  std::string handle;                   // kHandle, at most 256 bytes
  ByteView data;                        // kData, kExtendedReply: a part of the packet parsed
  std::vector<SftpName> names;          // kName
  SftpAttributes attributes;            // kAttributes
};

// `packet` is without its length. Throws Error{kFailed} for anything malformed.
[[nodiscard]] SftpReply parse_sftp_reply(ByteView packet);

// The server's greeting: its extensions by name. Throws Error{kFailed} for another version than 3.
[[nodiscard]] std::map<std::string, std::string> parse_sftp_version(ByteView packet);

// limits@openssh.com. Zero: no limit is known.
struct SftpLimits {
  uint64_t max_packet = 0;
  uint64_t max_read = 0;
  uint64_t max_write = 0;
  uint64_t max_handles = 0;
};
[[nodiscard]] SftpLimits parse_sftp_limits(ByteView data);

// statvfs@openssh.com
struct SftpSpace {
  uint64_t free_bytes = 0;  // for a user without privileges
  uint64_t total_bytes = 0;
  uint64_t free_files = 0;   // inodes
  uint64_t total_files = 0;  // 0 where they are not counted
  bool read_only = false;
};
[[nodiscard]] SftpSpace parse_sftp_space(ByteView data);

[[nodiscard]] uint32_t load_u32be(const std::byte* in);

}  // namespace salvor
