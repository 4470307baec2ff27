#include "base/suggest.h"
#include "cli/commands.h"
#include "cli/help.h"
#include "cli/output/text.h"
#include "cli/parser.h"
#include "cli/session.h"

namespace salvor::cli {

namespace {

struct Options {
  std::vector<std::string> topic;
};

int run(const Options& options, Session& session) {
  const size_t columns = session.terminal.columns();
  if (options.topic.size() == 1 && options.topic[0] == "exit-codes") {
    session.terminal.print(render_exit_codes(columns));
    return 0;
  }
  std::vector<const CommandSpec*> path{&session.root};
  for (const std::string& word : options.topic) {
    const CommandSpec* next = find_command(*path.back(), word);
    if (next == nullptr) {
      std::vector<std::string> names{"exit-codes"};
      for (const CommandSpec& command : path.back()->commands) {
        names.push_back(command.name);
      }
      const auto near = suggestions(word, names);
      throw Error(ErrorCode::kUsage, "there is no help on \"" + word + "\"",
                  (near.empty() ? std::string() : "Did you mean \"" + near[0] + "\"? ") +
                      "Run \"salvor --help\" for the list of commands.");
    }
    path.push_back(next);
  }
  session.terminal.print(render_help(path, columns));
  return 0;
}

}  // namespace

CommandSpec help_command() {
  auto options = std::make_shared<Options>();
  return {
      .name = "help",
      .summary = "Help about any command",
      .description =
          "Prints the same text as \"salvor <command> --help\", or the help topic named: "
          "\"exit-codes\" lists every exit status and what it means.",
      .positionals = {{.name = "command", .target = &options->topic, .maximum = 3}},
      .examples = {{"salvor help key add", "What \"key add\" does and which options it has"},
                   {"salvor help exit-codes", "What a script can tell from the exit status"}},
      .heading = "Additional Commands",
      .run = [options](Session& session) { return run(*options, session); },
  };
}

}  // namespace salvor::cli
