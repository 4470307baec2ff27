#include "codec/tar_format.h"

#include <algorithm>
#include <optional>
#include <unordered_set>

#include "base/error.h"
#include "base/format.h"
#include "codec/tar_layout.h"

// Fields of a header (POSIX.1-1988): name 0 (100 bytes), mode 100 (8), uid 108, gid 116, size 124
// (12), mtime 136 (12), checksum 148 (8), type 156, link name 157 (100), "ustar\0" 257, version 263
// (2), user 265, group 297, device 329, prefix 345 (155). Numbers are octal digits, ended by a
// blank or a zero byte.

namespace salvor {
namespace {

using namespace tar_layout;

constexpr uint64_t kLargestContent = uint64_t{1} << 33;  // eleven octal digits
constexpr uint64_t kLargestExtension = 64 << 10;
constexpr size_t kMostMembers = 16'000'000;

[[noreturn]] void refuse(const std::string& why) {
  throw Error(ErrorCode::kDamaged, "the archive is not one that export writes: " + why);
}

std::string_view text_of(const TarBlock& block, Field field) {
  const std::string_view text = as_text(block).substr(field.offset, field.size);
  return text.substr(0, text.find('\0'));
}

void put_octal(TarBlock& block, Field field, uint64_t value) {
  for (size_t at = field.offset + field.size - 1; at-- > field.offset;) {
    block[at] = static_cast<std::byte>('0' + (value & 7U));
    value >>= 3U;
  }
}

uint64_t read_octal(const TarBlock& block, Field field, const char* what) {
  std::string_view digits = text_of(block, field);
  digits.remove_prefix(std::min(digits.find_first_not_of(' '), digits.size()));
  digits = digits.substr(0, digits.find(' '));
  uint64_t value = 0;
  for (const char digit : digits) {
    if (digit < '0' || digit > '7') {
      refuse(std::string("a header with a wrong ") + what);
    }
    value = value << 3U | static_cast<uint64_t>(digit - '0');
  }
  if (digits.empty() || digits.size() > 12) {
    refuse(std::string("a header with a wrong ") + what);
  }
  return value;
}

uint64_t checksum(const TarBlock& block) {
  uint64_t sum = 0;
  for (size_t at = 0; at < kTarBlock; ++at) {
    const bool own = at >= kChecksum.offset && at < kChecksum.offset + kChecksum.size;
    sum += own ? uint64_t{' '} : static_cast<uint64_t>(block[at]);
  }
  return sum;
}

void put_text(TarBlock& block, size_t offset, std::string_view text) {
  std::ranges::copy(as_bytes(text), block.begin() + static_cast<ptrdiff_t>(offset));
}

std::string member_name(const TarBlock& block) {
  const std::string_view prefix = text_of(block, kPrefix);
  const bool ustar = as_text(block).substr(kMagicAndVersion.offset, kMagicAndVersion.size) ==
                     std::string_view("ustar\00000", kMagicAndVersion.size);
  std::string whole = ustar && !prefix.empty() ? std::string(prefix) + "/" : std::string();
  whole += text_of(block, kName);
  std::string_view name = whole;
  while (name.starts_with("./")) {
    name.remove_prefix(2);
  }
  if (name.starts_with('/')) {
    refuse("the absolute name " + printable(name));
  }
  for (size_t at = 0; at <= name.size();) {
    const size_t end = std::min(name.find('/', at), name.size());
    if (name.substr(at, end - at) == "..") {
      refuse("the name " + printable(name) + " leads out of it");
    }
    at = end + 1;
  }
  return std::string(name);
}

// Records are "<length> <key>=<value>\n". Times, owners and the like do not matter here.
void check_extension(std::string_view records) {
  while (!records.empty()) {
    const size_t blank = records.find(' ');
    uint64_t length = 0;
    for (const char digit : records.substr(0, std::min<size_t>(blank, 8))) {
      if (digit < '0' || digit > '9') {
        refuse("a wrong extended header");
      }
      length = length * 10 + static_cast<uint64_t>(digit - '0');
    }
    if (blank == std::string_view::npos || length <= blank + 1 || length > records.size()) {
      refuse("a wrong extended header");
    }
    const std::string_view record = records.substr(blank + 1, length - blank - 1);
    const std::string_view key = record.substr(0, record.find('='));
    if (key == "path" || key == "size" || key == "linkpath" || key.starts_with("GNU.sparse")) {
      refuse("the extended header " + printable(key));
    }
    records.remove_prefix(length);
  }
}

bool is_zero(const TarBlock& block) {
  return std::ranges::all_of(block, [](std::byte byte) { return byte == std::byte{0}; });
}

struct Reader {
  const TarRead& read;
  const uint64_t end;
  uint64_t at = 0;
  TarContents contents;
  std::unordered_set<std::string> names;

  // False at the end, and where the archive is cut.
  bool next() {
    if (end - at < kTarBlock) {
      return false;
    }
    TarBlock block;
    read(at, block);
    if (is_zero(block)) {
      contents.complete = true;
      return false;
    }
    if (read_octal(block, kChecksum, "checksum") != checksum(block)) {
      refuse("the header at byte " + std::to_string(at) + " is damaged");
    }
    at += kTarBlock;
    const uint64_t size = read_octal(block, kSize, "size");
    if (size > end - at) {
      return false;
    }
    take(block, size);
    // The padding may be what was cut off; the end is then missed by the next call.
    at += std::min(size + tar_padding(size), end - at);
    return true;
  }

  void take(const TarBlock& block, uint64_t size) {
    const char type = static_cast<char>(block[kType]);
    if (type == 'x' || type == 'g') {
      if (size > kLargestExtension) {
        refuse("an extended header of " + std::to_string(size) + " bytes");
      }
      Buffer records(size);
      read(at, records.bytes());
      check_extension(as_text(records.view()));
      return;
    }
    std::string name = member_name(block);
    if (type == '5') {
      if (size != 0) {
        refuse("a directory with content");
      }
      return;
    }
    if (type != '0' && type != '\0') {
      refuse(printable(name) + " is neither a file nor a directory");
    }
    if (!names.insert(name).second) {
      refuse(printable(name) + " is there twice");
    }
    if (names.size() > kMostMembers) {
      refuse("more than " + std::to_string(kMostMembers) + " files");
    }
    contents.members.push_back({std::move(name), at, size});
  }
};

}  // namespace

TarBlock encode_tar_header(std::string_view name, uint64_t size_bytes, int64_t mtime_seconds) {
  const bool directory = name.ends_with('/');
  if (name.size() > kName.size || size_bytes >= kLargestContent) {
    throw Error(ErrorCode::kFailed, printable(name) + " of " + std::to_string(size_bytes) +
                                        " bytes does not fit into a tar archive");
  }
  TarBlock block{};
  put_text(block, kName.offset, name);
  put_octal(block, kMode, directory ? 0700 : 0600);
  put_octal(block, kUid, 0);
  put_octal(block, kGid, 0);
  put_octal(block, kSize, size_bytes);
  put_octal(block, kModified, mtime_seconds > 0 ? static_cast<uint64_t>(mtime_seconds) : 0);
  block[kType] = static_cast<std::byte>(directory ? '5' : '0');
  put_text(block, kMagicAndVersion.offset, std::string_view("ustar\00000", kMagicAndVersion.size));
  const uint64_t sum = checksum(block);
  put_octal(block, {kChecksum.offset, 7}, sum);
  block[kChecksum.offset + 7] = std::byte{' '};
  return block;
}

TarContents read_tar_contents(const TarRead& read, uint64_t size_bytes) {
  Reader reader{.read = read, .end = size_bytes, .contents = {}, .names = {}};
  while (reader.next()) {
  }
  return std::move(reader.contents);
}

}  // namespace salvor
