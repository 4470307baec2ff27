#include "cli/commands.h"
#include "cli/session.h"

namespace salvor::cli {

CommandSpec options_command() {
  return {
      .name = "options",
      .summary = "Print list of extended options",
      .description =
          "Lists what can be set with -o key=value. Options of storages that are not in use are "
          "left alone, so that one command line serves several.",
      .heading = "Additional Commands",
      .run =
          [](Session& session) {
            session.terminal.print(
                "All Extended Options:\n"
                "  local.connections  accepted for restic's sake, without effect: as many as the "
                "work needs\n"
                "  local.layout       only \"default\" is known\n"
                "  sftp.args          more arguments for ssh, before ours\n"
                "  sftp.command       the program to run instead of ssh\n"
                "  sftp.connections   at most so many at a time (default: 5)\n");
            return 0;
          },
  };
}

}  // namespace salvor::cli
