// salvor.yaml: whatever stands in it is taken, or refused with a place for every mistake; what is
// taken is written and read again as the same.
#include "config/configuration.h"
#include "config/yaml_printer.h"
#include "fuzz_support.h"

using namespace salvor;

namespace {

const config::ConfigurationRequest& request() {
  static const config::ConfigurationRequest made = [] {
    config::ConfigurationRequest result;
    result.file = "/etc/salvor/salvor.yaml";
    result.environment = "";
    result.state_root = "/var/lib/salvor";
    result.steps = {
        {.name = "restore",
         .summary = "restores",
         .fields = {{.name = "source", .help = "which", .required = true}}},
        {.name = "command",
         .summary = "runs",
         .fields = {{.name = "run", .type = FieldType::kTextList, .help = "what"}}},
        {.name = "plan", .summary = "runs a plan", .fields = {{.name = "plan", .help = "which"}}}};
    result.now = std::chrono::sys_seconds(std::chrono::seconds(1795000000));
    return result;
  }();
  return made;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(as_text(fuzz::input(data, size)));
  try {
    const config::Configuration loaded = config::load_configuration_text(request(), text);
    const std::string shown = write_yaml(loaded.tree);
    const config::Configuration again = config::load_configuration_text(request(), shown);
    fuzz::require(write_yaml(again.tree) == shown);
  } catch (const config::ConfigurationError& error) {
    fuzz::require(!error.problems().empty());
    fuzz::require(!error.report().empty());
  } catch (const Error&) {
    fuzz::require(false);  // a mistake without a place
  }
  return 0;
}
