#include "connector/postgres/tar_parser.h"

#include <algorithm>

#include "base/error.h"
#include "base/format.h"
#include "codec/tar_layout.h"

namespace salvor::postgres {
namespace {

using namespace tar_layout;

[[noreturn]] void fail(const std::string& what) {
  throw Error(ErrorCode::kDamaged, "the server's archive is damaged: " + what);
}

std::string_view raw(ByteView header, Field field) {
  return as_text(header.subspan(field.offset, field.size));
}

std::string text(ByteView header, Field field) {
  const std::string_view all = raw(header, field);
  return std::string(all.substr(0, std::min(all.find('\0'), all.size())));
}

// Octal text, or base 256 when the first bit is set.
uint64_t number(ByteView header, Field field) {
  const std::string_view digits = raw(header, field);
  uint64_t value = 0;
  if ((static_cast<unsigned char>(digits[0]) & 0x80U) != 0) {
    for (size_t i = 1; i < digits.size(); ++i) {
      if ((value >> 55U) != 0) {
        fail("a number is too large");
      }
      value = value << 8U | static_cast<unsigned char>(digits[i]);
    }
    return value;
  }
  bool begun = false;
  for (const char c : digits) {
    if (c == '\0' || (c == ' ' && begun)) {
      break;
    }
    if (c == ' ') {
      continue;
    }
    if (c < '0' || c > '7') {
      fail("a number is none");
    }
    begun = true;
    value = value << 3U | static_cast<uint64_t>(c - '0');
  }
  return value;
}

// The sum of all bytes with the checksum's own taken as blanks.
uint64_t header_sum(ByteView header) {
  uint64_t sum = 0;
  for (size_t i = 0; i < header.size(); ++i) {
    const bool own = i >= kChecksum.offset && i < kChecksum.offset + kChecksum.size;
    sum += own ? ' ' : std::to_integer<uint64_t>(header[i]);
  }
  return sum;
}

std::string clean(std::string path) {
  if (path.starts_with("./")) {
    path.erase(0, 2);
  }
  while (path.ends_with('/')) {
    path.pop_back();
  }
  if (path == ".") {
    path.clear();
  }
  size_t begin = 0;
  while (begin < path.size()) {
    const size_t end = std::min(path.find('/', begin), path.size());
    const std::string_view component = std::string_view(path).substr(begin, end - begin);
    if (component.empty() || component == "." || component == "..") {
      fail("the path \"" + printable(path) + "\" is not a safe one");
    }
    begin = end + 1;
  }
  return path;
}

TarEntryType type_of(std::byte flag) {
  switch (std::to_integer<char>(flag)) {
    case '0':
    case '\0':
      return TarEntryType::kFile;
    case '2':
      return TarEntryType::kSymlink;
    case '5':
      return TarEntryType::kDirectory;
    default:
      fail("an entry is neither file, directory nor link");
  }
}

TarEntry parse_header(ByteView header) {
  if (header_sum(header) != number(header, kChecksum)) {
    fail("a header's checksum is wrong");
  }
  if (raw(header, kMagic) != "ustar") {
    fail("a header is not in the ustar format");
  }
  TarEntry entry;
  const std::string prefix = text(header, kPrefix);
  const std::string name = text(header, kName);
  entry.path = clean(prefix.empty() ? name : prefix + "/" + name);
  entry.type = type_of(header[kType]);
  entry.permissions = static_cast<uint32_t>(number(header, kMode) & 07777U);
  entry.uid = static_cast<uint32_t>(number(header, kUid));
  entry.gid = static_cast<uint32_t>(number(header, kGid));
  entry.user = text(header, kUser);
  entry.group = text(header, kGroup);
  entry.modified = static_cast<int64_t>(number(header, kModified));
  if (entry.type == TarEntryType::kFile) {
    entry.size = number(header, kSize);
  }
  if (entry.type == TarEntryType::kSymlink) {
    entry.link_target = text(header, kLink);
  }
  if (entry.path.empty() && entry.type != TarEntryType::kDirectory) {
    fail("a file has no name");
  }
  return entry;
}

}  // namespace

void TarParser::header() {
  const ByteView bytes(block_);
  if (std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; })) {
    ended_ = true;
    return;
  }
  if (ended_) {
    fail("entries follow its end");
  }
  const TarEntry entry = parse_header(bytes);
  receiver_.entry(entry);
  if (entry.type == TarEntryType::kFile) {
    content_ = entry.size;
    padding_ = (kBlockSize - entry.size % kBlockSize) % kBlockSize;
    if (content_ == 0) {
      receiver_.file_end();
    }
  }
}

void TarParser::feed(ByteView bytes) {
  while (!bytes.empty()) {
    if (content_ > 0) {
      const size_t part = std::min<uint64_t>(content_, bytes.size());
      receiver_.content(bytes.first(part));
      content_ -= part;
      bytes = bytes.subspan(part);
      if (content_ == 0) {
        receiver_.file_end();
      }
    } else if (padding_ > 0) {
      const size_t part = std::min<uint64_t>(padding_, bytes.size());
      padding_ -= part;
      bytes = bytes.subspan(part);
    } else {
      const size_t part = std::min(kBlockSize - have_, bytes.size());
      std::memcpy(block_ + have_, bytes.data(), part);
      have_ += part;
      bytes = bytes.subspan(part);
      if (have_ == kBlockSize) {
        have_ = 0;
        header();
      }
    }
  }
}

void TarParser::finish() const {
  if (content_ > 0 || padding_ > 0 || have_ > 0) {
    fail("it ends in the middle of an entry");
  }
}

}  // namespace salvor::postgres
