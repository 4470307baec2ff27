#include "cli/commands.h"
#include "cli/session.h"

#ifndef SALVOR_VERSION
#define SALVOR_VERSION "unknown"
#endif

namespace salvor::cli {

namespace {

constexpr std::string_view architecture() {
#if defined(__x86_64__)
  return "amd64";
#elif defined(__aarch64__)
  return "arm64";
#else
  return "other";
#endif
}

int run(Session& session) {
  if (session.terminal.json()) {
    JsonWriter json;
    json.begin_message("version").field("version", SALVOR_VERSION);
    json.field("compiler", __VERSION__).field("os", "linux").field("arch", architecture());
    json.key("repository_versions").begin_array().value(1).value(2).end_array();
    session.terminal.print_json(json.end_object());
    return 0;
  }
  session.terminal.print_line("salvor " SALVOR_VERSION " compiled with gcc-compatible " __VERSION__
                              " on linux/" +
                              std::string(architecture()));
  return 0;
}

}  // namespace

CommandSpec version_command() {
  return {
      .name = "version",
      .summary = "Print version information",
      .description =
          "Prints the version of this program, what it was built with, and with --json also the "
          "repository format versions it reads and writes.",
      .examples = {{"salvor version --json", "For scripts"}},
      .heading = "Additional Commands",
      .run = run,
  };
}

}  // namespace salvor::cli
