#include "net/sftp_protocol.h"

#include <algorithm>
#include <limits>

#include "base/error.h"

namespace salvor {
namespace {

constexpr size_t kMaxHandle = 256;  // the draft's limit
constexpr size_t kMaxMessage = 1024;
constexpr uint32_t kMaxNames = 100'000;
constexpr uint32_t kMaxExtensions = 256;

[[noreturn]] void malformed(const std::string& what) {
  throw Error(ErrorCode::kFailed, "malformed SFTP reply: " + what,
              "The server does not speak SFTP version 3 as it should.");
}

// Takes one value after the other from a packet.
class PacketReader {
 public:
  explicit PacketReader(ByteView rest) : rest_(rest) {}

  uint8_t byte() { return static_cast<uint8_t>(take(1)[0]); }
  uint32_t number() { return load_u32be(take(4).data()); }
  uint64_t number64() {
    const uint64_t high = number();
    return (high << 32U) | number();
  }
  ByteView bytes() { return take(number()); }
  std::string text() { return std::string(as_text(bytes())); }
  [[nodiscard]] ByteView rest() const { return rest_; }
  [[nodiscard]] bool empty() const { return rest_.empty(); }

  SftpAttributes attributes() {
    SftpAttributes attributes;
    const uint32_t flags = number();
    if ((flags & 1U) != 0) {
      attributes.size_bytes = number64();
    }
    if ((flags & 2U) != 0) {  // user and group
      number64();
    }
    if ((flags & 4U) != 0) {
      attributes.mode = number();
    }
    if ((flags & 8U) != 0) {
      number();  // of the last access
      attributes.modified = std::chrono::sys_seconds(std::chrono::seconds(number()));
    }
    if ((flags & 0x80000000U) != 0) {
      const uint32_t count = number();
      for (uint32_t i = 0; i < count; ++i) {  // ends: each takes eight bytes of the packet
        bytes();
        bytes();
      }
    }
    return attributes;
  }

 private:
  ByteView take(size_t count) {
    if (count > rest_.size()) {
      malformed("it ends too early");
    }
    const ByteView taken = rest_.first(count);
    rest_ = rest_.subspan(count);
    return taken;
  }

  ByteView rest_;
};

void append_u32be(std::string& out, uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) {
    out += static_cast<char>((value >> static_cast<unsigned>(shift)) & 0xffU);
  }
}

}  // namespace

uint32_t load_u32be(const std::byte* in) {
  uint32_t value = 0;
  for (int i = 0; i < 4; ++i) {
    value = (value << 8U) | static_cast<uint32_t>(in[i]);
  }
  return value;
}

SftpRequest::SftpRequest(SftpType type, uint32_t id) : id_(id), packet_(4, '\0') {
  packet_ += static_cast<char>(type);
  number(id);
}

SftpRequest::SftpRequest(std::string_view extension, uint32_t id)
    : SftpRequest(SftpType::kExtended, id) {
  text(extension);
}

SftpRequest& SftpRequest::number(uint32_t value) {
  append_u32be(packet_, value);
  return *this;
}

SftpRequest& SftpRequest::number64(uint64_t value) {
  return number(static_cast<uint32_t>(value >> 32U)).number(static_cast<uint32_t>(value));
}

SftpRequest& SftpRequest::text(std::string_view value) {
  number(static_cast<uint32_t>(value.size()));
  packet_ += value;
  return *this;
}

SftpRequest& SftpRequest::payload(size_t size_bytes) {
  payload_ = size_bytes;
  return number(static_cast<uint32_t>(size_bytes));
}

std::string SftpRequest::bytes() const {
  std::string length;
  append_u32be(length, static_cast<uint32_t>(packet_.size() - 4 + payload_));
  std::string complete = packet_;
  complete.replace(0, 4, length);
  return complete;
}

SftpReply parse_sftp_reply(ByteView packet) {
  PacketReader in(packet);
  SftpReply reply;
  reply.type = static_cast<SftpType>(in.byte());
  reply.id = in.number();
  switch (reply.type) {
    case SftpType::kStatus:
      reply.status = static_cast<SftpStatus>(in.number());
      if (!in.empty()) {  // some servers leave the words out
        reply.message = std::string(as_text(in.bytes()).substr(0, kMaxMessage));
      }
      return reply;
    case SftpType::kHandle:
      reply.handle = in.text();
      if (reply.handle.size() > kMaxHandle) {
        malformed("its handle is too long");
      }
      return reply;
    case SftpType::kData:
      reply.data = in.bytes();
      return reply;
    case SftpType::kName: {
      const uint32_t count = in.number();
      if (count > kMaxNames) {
        malformed("it has too many names");
      }
      for (uint32_t i = 0; i < count; ++i) {
        SftpName name{.name = in.text(), .attributes = {}};
        in.bytes();  // the line that `ls -l` would show
        name.attributes = in.attributes();
        reply.names.push_back(std::move(name));
      }
      return reply;
    }
    case SftpType::kAttributes:
      reply.attributes = in.attributes();
      return reply;
    case SftpType::kExtendedReply:
      reply.data = in.rest();
      return reply;
    default:
      malformed("its type is " + std::to_string(static_cast<unsigned>(reply.type)));
  }
}

std::map<std::string, std::string> parse_sftp_version(ByteView packet) {
  PacketReader in(packet);
  if (static_cast<SftpType>(in.byte()) != SftpType::kVersion) {
    malformed("it is not a greeting");
  }
  const uint32_t version = in.number();
  if (version != 3) {
    throw Error(ErrorCode::kFailed,
                "the SFTP server speaks version " + std::to_string(version) + ", not 3");
  }
  std::map<std::string, std::string> extensions;
  while (!in.empty() && extensions.size() < kMaxExtensions) {
    std::string name = in.text();
    extensions.insert_or_assign(std::move(name), in.text());
  }
  return extensions;
}

SftpLimits parse_sftp_limits(ByteView data) {
  PacketReader in(data);
  SftpLimits limits;
  limits.max_packet = in.number64();
  limits.max_read = in.number64();
  limits.max_write = in.number64();
  limits.max_handles = in.number64();
  return limits;
}

SftpSpace parse_sftp_space(ByteView data) {
  PacketReader in(data);
  const uint64_t block_size = in.number64();
  const uint64_t fragment_size = in.number64();
  const uint64_t unit = fragment_size != 0 ? fragment_size : block_size;
  const auto in_bytes = [unit](uint64_t blocks) {
    constexpr uint64_t kMost = std::numeric_limits<uint64_t>::max();
    return unit != 0 && blocks > kMost / unit ? kMost : blocks * unit;
  };
  SftpSpace space;
  space.total_bytes = in_bytes(in.number64());
  in.number64();  // free, with what is kept for root
  space.free_bytes = in_bytes(in.number64());
  space.total_files = in.number64();
  in.number64();
  space.free_files = in.number64();
  in.number64();  // file system id
  space.read_only = (in.number64() & 1U) != 0;
  in.number64();  // the longest name
  return space;
}

}  // namespace salvor
