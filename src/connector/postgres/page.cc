#include "connector/postgres/page.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "base/cpu.h"

namespace salvor::postgres {
namespace {

constexpr size_t kSums = 32;
constexpr size_t kRows = kPageBytes / sizeof(uint32_t) / kSums;
constexpr uint32_t kPrime = 16777619;  // FNV
constexpr size_t kChecksumOffset = 8;
constexpr size_t kUpperOffset = 14;

// Where the 32 sums start. Do not change: every checksum on disk depends on them (checksum_impl.h).
constexpr std::array<uint32_t, kSums> kStart{
    0x5B1F36E9, 0xB8525960, 0x02AB50AA, 0x1DE66D2A, 0x79FF467A, 0x9BB9F8A3, 0x217E7CD2, 0x83E13D2C,
    0xF8D4474F, 0xE39EB970, 0x42C6AE16, 0x993216FA, 0x7B093B5D, 0x98DAFF3C, 0xF718902A, 0x0B1C9CDB,
    0xE58F764B, 0x187636BC, 0x5D7B3BB1, 0xE73DE7DE, 0x92BEC979, 0xCCA6C0B2, 0x304A0979, 0x85AA43D4,
    0x783125BB, 0x6CA8EAA2, 0xE407EAC6, 0x4B5CFC3E, 0x9FBF8C76, 0x15CA20BE, 0xF2CA9FD3, 0x959BD756};

// Eight sums in one vector; the compiler makes what the target has of it.
using Vector = uint32_t __attribute__((vector_size(32)));

// The kernel, to be inlined into one function a target (a lambda in it would not inherit the
// target).
[[gnu::always_inline]] inline uint32_t sum_page(const std::byte* page) {
  Vector sums[4];
  std::memcpy(sums, kStart.data(), sizeof sums);
  for (size_t row = 0; row < kRows; ++row) {
    Vector values[4];
    std::memcpy(values, page + row * sizeof values, sizeof values);
    if (row == 0) {
      // The checksum itself counts as zero: the low half of the third word.
      values[0][kChecksumOffset / 4] &= 0xffff0000U;
    }
    for (size_t i = 0; i < 4; ++i) {
      values[i] ^= sums[i];
      sums[i] = (values[i] * kPrime) ^ (values[i] >> 17);
    }
  }
  for (int round = 0; round < 2; ++round) {
    for (Vector& sum : sums) {
      sum = (sum * kPrime) ^ (sum >> 17);
    }
  }
  const Vector folded = sums[0] ^ sums[1] ^ sums[2] ^ sums[3];
  uint32_t result = 0;
  for (size_t i = 0; i < 8; ++i) {
    result ^= folded[i];
  }
  return result;
}

uint32_t sum_portable(const std::byte* page) {
  return sum_page(page);
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) uint32_t sum_avx2(const std::byte* page) {
  return sum_page(page);
}
#endif

uint16_t load_u16(ByteView page, size_t offset) {
  uint16_t value = 0;
  std::memcpy(&value, page.data() + offset, sizeof value);
  return value;
}

bool all_digits(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

std::optional<uint32_t> number(std::string_view text) {
  uint32_t value = 0;
  if (!all_digits(text) || text.size() > 10 ||
      std::from_chars(text.data(), text.data() + text.size(), value).ec != std::errc()) {
    return std::nullopt;
  }
  return value;
}

// The component that `path` begins with, taken away together with its slash.
std::string_view take_component(std::string_view& path) {
  const size_t slash = std::min(path.find('/'), path.size());
  const std::string_view component = path.substr(0, slash);
  path.remove_prefix(std::min(slash + 1, path.size()));
  return component;
}

// "16397_fsm.2"
bool parse_file(std::string_view name, RelationFile& file) {
  if (const size_t dot = name.find('.'); dot != std::string_view::npos) {
    const auto segment = number(name.substr(dot + 1));
    if (!segment || *segment == 0 || *segment > UINT32_MAX / kSegmentPages) {
      return false;
    }
    file.segment = *segment;
    name = name.substr(0, dot);
  }
  if (const size_t underscore = name.find('_'); underscore != std::string_view::npos) {
    file.fork = name.substr(underscore + 1);
    if (file.fork != "fsm" && file.fork != "vm" && file.fork != "init") {
      return false;
    }
    name = name.substr(0, underscore);
  }
  const auto file_number = number(name);
  file.file_number = file_number.value_or(0);
  return file_number.has_value();
}

}  // namespace

uint16_t page_checksum(ByteView page, uint32_t block) {
#if defined(__x86_64__)
  const uint32_t sum = cpu_features().avx2 ? sum_avx2(page.data()) : sum_portable(page.data());
#else
  const uint32_t sum = sum_portable(page.data());
#endif
  return static_cast<uint16_t>((sum ^ block) % 65535 + 1);
}

PageVerdict judge_page(ByteView page, uint32_t block, Lsn start) {
  if (load_u16(page, kUpperOffset) == 0) {
    return PageVerdict::kNew;
  }
  const uint64_t high = load_u32le(page.data());
  const Lsn written{high << 32U | load_u32le(page.data() + 4)};
  if (written >= start) {
    return PageVerdict::kChanged;
  }
  return load_u16(page, kChecksumOffset) == page_checksum(page, block) ? PageVerdict::kGood
                                                                       : PageVerdict::kDamaged;
}

std::optional<RelationFile> parse_relation_path(std::string_view path) {
  RelationFile file;
  const std::string_view top = take_component(path);
  if (top == "pg_tblspc") {
    const auto tablespace = number(take_component(path));
    if (!tablespace || !take_component(path).starts_with("PG_")) {
      return std::nullopt;
    }
    file.tablespace = *tablespace;
  } else if (top != "base" && top != "global") {
    return std::nullopt;
  }
  if (top != "global") {
    const auto database = number(take_component(path));
    if (!database) {
      return std::nullopt;
    }
    file.database = *database;
  }
  return parse_file(path, file) ? std::optional(file) : std::nullopt;
}

}  // namespace salvor::postgres
