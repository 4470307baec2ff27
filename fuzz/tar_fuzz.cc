// Whatever file is given to import: read as an archive or refused, never read beyond its end.
#include <algorithm>

#include "codec/tar_format.h"
#include "fuzz_support.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace salvor;
  const ByteView archive = fuzz::input(data, size);
  const auto contents = fuzz::decoded([&] {
    return read_tar_contents(
        [&](uint64_t offset, MutableBytes out) {
          fuzz::require(offset <= size && out.size() <= size - offset);
          std::ranges::copy(archive.subspan(offset, out.size()), out.begin());
        },
        size);
  });
  if (contents) {
    for (const TarMember& member : contents->members) {
      fuzz::require(member.offset <= size && member.size_bytes <= size - member.offset);
      fuzz::require(!member.name.starts_with('/') && !member.name.starts_with("../") &&
                    member.name.find("/../") == std::string::npos);
    }
  }
  return 0;
}
