// The XML that object stores answer with. Whatever a server sends is taken or refused; text
// survives being escaped and read again.
#include "codec/xml_reader.h"
#include "fuzz_support.h"

using namespace salvor;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text = as_text(fuzz::input(data, size));
  static_cast<void>(fuzz::decoded([&] { return parse_xml(text); }));
  const std::string escaped = "<a>" + xml_escape(text) + "</a>";
  const auto again = fuzz::decoded([&] { return parse_xml(escaped); });
  fuzz::require(!again || again->text == text);
  return 0;
}
