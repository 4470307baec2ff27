#include "connector/files/listing.h"

#include <algorithm>
#include <cerrno>
#include <numeric>

#include <dirent.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace salvor {
namespace {

// The head of the kernel's linux_dirent64; the name follows it directly.
struct RawEntry {
  uint64_t inode;
  int64_t offset;
  uint16_t length;
  uint8_t type;
};
constexpr size_t kNameAt = 19;

bool is_dot(const char* name) {
  return name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}

}  // namespace

int Listing::read(int fd) {
  names_.clear();
  entries_.clear();
  // Small first: most directories are small, and a fresh large buffer costs page faults.
  thread_local Buffer buffer(size_t{32} * 1024);
  int error = 0;
  for (;;) {
    const long got = syscall(SYS_getdents64, fd, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got <= 0) {
      error = got < 0 ? errno : 0;
      break;
    }
    for (long at = 0; at < got;) {
      RawEntry raw{};
      const std::byte* const record = buffer.data() + at;
      std::memcpy(&raw, record, kNameAt);
      const char* const name = reinterpret_cast<const char*>(record) + kNameAt;
      at += raw.length;
      if (is_dot(name)) {
        continue;
      }
      const size_t length = std::strlen(name);
      Entry entry{};
      entry.inode = raw.inode;
      entry.offset = names_.size();
      entry.length = length;
      entry.type = raw.type;
      names_.append(ByteView(record + kNameAt, length + 1));
      entries_.push_back(entry);
    }
    constexpr size_t kLarge = size_t{256} * 1024;
    if (buffer.size() < kLarge && static_cast<size_t>(got) * 2 > buffer.size()) {
      buffer = Buffer(kLarge);
    }
  }
  sort();
  return error;
}

void Listing::sort() {
  const auto text = [this](const Entry& entry) {
    return as_text(names_.view(entry.offset, entry.length));
  };
  const auto less = [&](const Entry& a, const Entry& b) { return text(a) < text(b); };
  constexpr size_t kWorthKeys = 64;
  if (entries_.size() < kWorthKeys) {
    std::sort(entries_.begin(), entries_.end(), less);
  } else {
    // Comparing eight bytes after the common beginning decides most pairs without touching the
    // names.
    const std::string_view first = text(entries_.front());
    size_t common = first.size();
    for (const Entry& entry : entries_) {
      const std::string_view name = text(entry);
      common = std::min(common, name.size());
      common = static_cast<size_t>(
          std::mismatch(first.begin(), first.begin() + static_cast<ptrdiff_t>(common), name.begin())
              .first -
          first.begin());
    }
    struct Keyed {
      uint64_t key;
      Entry entry;
    };
    std::vector<Keyed> keyed;
    keyed.reserve(entries_.size());
    for (const Entry& entry : entries_) {
      uint64_t key = 0;
      const std::string_view rest = text(entry).substr(common);
      std::memcpy(&key, rest.data(), std::min<size_t>(rest.size(), sizeof key));
      keyed.push_back({__builtin_bswap64(key), entry});
    }
    std::sort(keyed.begin(), keyed.end(), [&](const Keyed& a, const Keyed& b) {
      return a.key != b.key ? a.key < b.key : less(a.entry, b.entry);
    });
    std::transform(keyed.begin(), keyed.end(), entries_.begin(),
                   [](const Keyed& one) { return one.entry; });
  }
  const auto same = [&](const Entry& a, const Entry& b) { return text(a) == text(b); };
  entries_.erase(std::unique(entries_.begin(), entries_.end(), same), entries_.end());
}

bool Listing::contains(std::string_view wanted) const {
  size_t low = 0;
  size_t high = entries_.size();
  while (low < high) {
    const size_t middle = (low + high) / 2;
    if (name(middle) < wanted) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low < entries_.size() && name(low) == wanted;
}

}  // namespace salvor
