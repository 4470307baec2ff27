#include "cli/commands.h"
#include "cli/completion.h"
#include "cli/session.h"

namespace salvor::cli {

namespace {

struct Options {
  std::string shell;
};

int run(const Options& options, Session& session) {
  session.terminal.print(options.shell == "bash"   ? render_bash_completion(session.root)
                         : options.shell == "zsh"  ? render_zsh_completion(session.root)
                         : options.shell == "fish" ? render_fish_completion(session.root)
                                                   : render_powershell_completion(session.root));
  return 0;
}

}  // namespace

CommandSpec completion_command() {
  auto options = std::make_shared<Options>();
  return {
      .name = "completion",
      .summary = "Print a shell completion script (bash, zsh, fish, PowerShell)",
      .description =
          "Prints a script that teaches the shell to complete commands, options and their values. "
          "Where to put "
          "it:\n\n"
          "  bash  salvor completion bash > /etc/bash_completion.d/salvor\n"
          "  zsh   salvor completion zsh > \"${fpath[1]}/_salvor\"\n"
          "  fish  salvor completion fish > ~/.config/fish/completions/salvor.fish\n\n"
          "In PowerShell, in the profile: salvor completion powershell | Out-String | "
          "Invoke-Expression",
      .positionals = {{.name = "shell",
                       .target = &options->shell,
                       .help = "bash, zsh, fish or powershell",
                       .minimum = 1,
                       .choices = {"bash", "zsh", "fish", "powershell"}}},
      .examples = {{"source <(salvor completion bash)", "For this bash only"}},
      .heading = "Additional Commands",
      .run = [options](Session& session) { return run(*options, session); },
  };
}

}  // namespace salvor::cli
