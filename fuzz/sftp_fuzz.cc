// Whatever a server sends: the parser must take it or refuse it.
#include "base/error.h"
#include "net/sftp_protocol.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const salvor::ByteView packet(reinterpret_cast<const std::byte*>(data), size);
  const auto attempt = [](const auto& parse) {
    try {
      (void)parse();
    } catch (const salvor::Error&) {
    }
  };
  attempt([&] { return salvor::parse_sftp_reply(packet); });
  attempt([&] { return salvor::parse_sftp_version(packet); });
  attempt([&] { return salvor::parse_sftp_limits(packet); });
  attempt([&] { return salvor::parse_sftp_space(packet); });
  return 0;
}
