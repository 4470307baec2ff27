// Both readers of tar archives: what a PostgreSQL server streams, whatever the pieces it comes in,
// and an exported repository. No name may lead out of the archive.
#include <algorithm>
#include <cstring>

#include "codec/tar_format.h"
#include "connector/postgres/tar_parser.h"
#include "fuzz_support.h"

using namespace salvor;

namespace {

void require_inside(const std::string& path) {
  fuzz::require(!path.starts_with('/') && ("/" + path + "/").find("/../") == std::string::npos);
}

class Collector final : public postgres::TarReceiver {
 public:
  void entry(const postgres::TarEntry& entry) override {
    require_inside(entry.path);
    log += "entry " + entry.path + " " + std::to_string(entry.size) + "\n";
  }
  void content(ByteView bytes) override {
    fuzz::require(!bytes.empty());
    log += as_text(bytes);
  }
  void file_end() override { log += "end\n"; }

  std::string log;
};

// What is received when the archive comes in pieces of so many bytes; and whether it was refused.
std::string received(ByteView archive, size_t piece) {
  Collector collector;
  postgres::TarParser parser(collector);
  const auto done = fuzz::decoded([&] {
    for (size_t at = 0; at < archive.size(); at += piece) {
      parser.feed(archive.subspan(at, std::min(piece, archive.size() - at)));
    }
    parser.finish();
    return true;
  });
  return collector.log + (done ? "done" : "refused");
}

// Sets the checksum of each block that could be a header: no fuzzer guesses those.
void mend_checksums(Buffer& archive) {
  constexpr size_t kField = 148;
  for (size_t at = 0; at + kTarBlock <= archive.size(); at += kTarBlock) {
    std::byte* const block = archive.data() + at;
    if (std::memcmp(block + 257, "ustar", 5) != 0) {
      continue;
    }
    std::memset(block + kField, ' ', 8);
    unsigned sum = 0;
    for (size_t i = 0; i < kTarBlock; ++i) {
      sum += std::to_integer<unsigned>(block[i]);
    }
    for (size_t digit = 6; digit-- > 0; sum /= 8) {
      block[kField + digit] = static_cast<std::byte>('0' + sum % 8);
    }
    block[kField + 6] = std::byte{0};
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Buffer archive;
  archive.append(fuzz::input(data, size));
  mend_checksums(archive);
  fuzz::require(received(archive.view(), archive.size() + 1) == received(archive.view(), 100));
  const auto contents = fuzz::decoded([&] {
    return read_tar_contents(
        [&](uint64_t offset, MutableBytes out) {
          fuzz::require(offset <= archive.size() && out.size() <= archive.size() - offset);
          std::memcpy(out.data(), archive.data() + offset, out.size());
        },
        archive.size());
  });
  if (contents) {
    for (const TarMember& member : contents->members) {
      require_inside(member.name);
      fuzz::require(member.offset <= archive.size() &&
                    member.size_bytes <= archive.size() - member.offset);
    }
  }
  return 0;
}
