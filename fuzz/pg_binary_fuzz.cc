// What a PostgreSQL server sends and stores in binary form: archives, pg_control, WAL headers.
#include "connector/postgres/control_file.h"
#include "connector/postgres/tar_parser.h"
#include "connector/postgres/wal_segment.h"
#include "fuzz_support.h"

using namespace salvor;
using namespace salvor::postgres;

namespace {
struct Counter final : TarReceiver {
  uint64_t announced = 0;
  uint64_t got = 0;
  void entry(const TarEntry& entry) override {
    fuzz::require(!entry.path.starts_with('/') && entry.path.find("..") != 0);
    announced = entry.size;
    got = 0;
  }
  void content(ByteView bytes) override {
    fuzz::require(!bytes.empty());
    got += bytes.size();
    fuzz::require(got <= announced);
  }
  void file_end() override { fuzz::require(got == announced); }
};
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const ByteView input = fuzz::input(data, size);
  static_cast<void>(fuzz::decoded([&] {
    Counter counter;
    TarParser parser(counter);
    parser.feed(input);
    parser.finish();
    return 0;
  }));
  static_cast<void>(fuzz::decoded([&] { return parse_control_file(input); }));
  static_cast<void>(fuzz::decoded([&] { return check_wal_segment({.timeline = {1}}, input); }));
  return 0;
}
