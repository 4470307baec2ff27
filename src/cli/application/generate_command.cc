#include <cerrno>

#include <fcntl.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "cli/application/configuration_access.h"
#include "cli/application/generated_files.h"
#include "cli/commands.h"
#include "cli/completion.h"
#include "cli/help.h"
#include "cli/session.h"

namespace salvor::cli {

namespace {

struct Options {
  std::optional<std::string> man;
  std::optional<std::string> markdown;
  std::optional<std::string> bash;
  std::optional<std::string> fish;
  std::optional<std::string> powershell;
  std::optional<std::string> zsh;
  std::optional<std::string> scheduler;
  std::string folder = ".";
  std::string image = "salvor:" SALVOR_VERSION;
  ConfigurationOptions configuration;
};

constexpr mode_t kFileMode = 0644;
constexpr mode_t kDirectoryMode = 0755;

void write_file(const std::string& path, const std::string& text) {
  const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, kFileMode));
  if (!file) {
    throw Error::from_errno(errno, "cannot create " + path);
  }
  write_full(file.get(), as_bytes(text), path);
}

// "-" is standard output.
void write_to(Session& session, const std::optional<std::string>& path, const std::string& what,
              const std::string& text) {
  if (!path) {
    return;
  }
  if (*path == "-") {
    session.terminal.print(text);
    return;
  }
  write_file(*path, text);
  session.terminal.message("wrote " + what + " to " + *path);
}

void write_man_pages(Session& session, const std::string& directory) {
  if (::mkdir(directory.c_str(), kDirectoryMode) != 0 && errno != EEXIST) {
    throw Error::from_errno(errno, "cannot create directory " + directory);
  }
  const std::vector<ManPage> pages = render_man_pages(session.root);
  for (const ManPage& page : pages) {
    write_file(directory + "/" + page.file_name, page.text);
  }
  session.terminal.message("wrote " + std::to_string(pages.size()) + " man pages to " + directory);
}

// What makes a scheduler call `salvor run`. Files that are there are not written over.
int write_schedule(const Options& options, Session& session) {
  const config::Configuration loaded = load_configuration_for(session, options.configuration);
  std::set<std::string> variables = variables_of(loaded);
  if (variables.contains("SSH_HOST")) {  // the storage reads the others itself
    for (const char* name : {"SSH_KEY", "SSH_PATH", "SSH_USER"}) {
      if (session.environment.get(name)) {
        variables.insert(name);
      }
    }
  }
  const ScheduleSetting setting{.program = program_path(),
                                .user = current_user_name(),
                                .image = options.image,
                                .variables = std::move(variables),
                                .settings = options.configuration.settings};
  const std::vector<GeneratedFile> files =
      schedule_files(*options.scheduler, loaded.application, setting);
  if (options.folder == "-") {
    for (const GeneratedFile& file : files) {
      session.terminal.print((files.size() > 1 ? "# " + file.name + "\n" : "") + file.text);
    }
    return 0;
  }
  for (const GeneratedFile& file : files) {
    const std::string path = options.folder + "/" + file.name;
    const UniqueFd made(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, kFileMode));
    if (!made) {
      Error error = Error::from_errno(errno, "cannot make " + path);
      throw errno != EEXIST ? error
                            : Error(ErrorCode::kFailed, error.message(),
                                    "Remove it, or write to another folder with --output.");
    }
    write_full(made.get(), as_bytes(file.text), path);
    session.terminal.print_summary("wrote " + path);
  }
  session.terminal.print_summary("\n" +
                                 schedule_advice(*options.scheduler, loaded.application, setting));
  return 0;
}

int run(const Options& options, Session& session) {
  if (options.scheduler) {
    return write_schedule(options, session);
  }
  if (!options.man && !options.markdown && !options.bash && !options.fish && !options.powershell &&
      !options.zsh) {
    throw Error(ErrorCode::kUsage, "nothing to do",
                "Say what to generate, for example --man DIRECTORY, or systemd.");
  }
  if (options.man) {
    write_man_pages(session, *options.man);
  }
  const CommandSpec& root = session.root;
  write_to(session, options.markdown, "the command reference", render_markdown(root));
  write_to(session, options.bash, "bash completion", render_bash_completion(root));
  write_to(session, options.fish, "fish completion", render_fish_completion(root));
  write_to(session, options.powershell, "powershell completion",
           render_powershell_completion(root));
  write_to(session, options.zsh, "zsh completion", render_zsh_completion(root));
  return 0;
}

OptionSpec file_option(const std::string& name, const std::string& what,
                       std::optional<std::string>* target) {
  return {.long_name = name,
          .value_name = "file",
          .help = "write " + what + " to file ('-' for stdout)",
          .target = target,
          .hint = ValueHint::kFile};
}

}  // namespace

CommandSpec generate_command() {
  auto options = std::make_shared<Options>();
  CommandSpec command{
      .name = "generate",
      .summary = "Generate files for schedulers, manual pages and shell completion",
      .description =
          "With the name of a scheduler, writes the files that make it call \"salvor run\" for "
          "the application of salvor.yaml, which then does whatever is due: a service and a timer "
          "for systemd, a line for cron, a CronJob for Kubernetes, a workflow for GitHub Actions. "
          "A "
          "source whose log is followed by a command gets what runs that, too. "
          "Secrets are handed over by reference: the files hold none.\n\n"
          "With options, writes files that packagers install: the manual pages, one a command, the "
          "shell completion scripts, and the command reference as Markdown.",
      .positionals = {{.name = "scheduler",
                       .target = &options->scheduler,
                       .help = "what calls \"salvor run\"",
                       .choices = {"systemd", "cron", "kubernetes", "github"}}},
      .options = {file_option("bash-completion", "bash completion file", &options->bash),
                  file_option("fish-completion", "fish completion file", &options->fish),
                  {.long_name = "image",
                   .value_name = "name",
                   .help = "container image with salvor, for kubernetes",
                   .target = &options->image},
                  {.long_name = "man",
                   .value_name = "directory",
                   .help = "write man pages to directory",
                   .target = &options->man,
                   .hint = ValueHint::kDirectory},
                  file_option("markdown", "the command reference", &options->markdown),
                  {.long_name = "output",
                   .value_name = "directory",
                   .help = "where a scheduler's files go ('-' for stdout)",
                   .target = &options->folder,
                   .hint = ValueHint::kDirectory},
                  file_option("powershell-completion", "powershell completion file",
                              &options->powershell),
                  file_option("zsh-completion", "zsh completion file", &options->zsh)},
      .examples = {{"salvor generate systemd --output /etc/systemd/system",
                    "Let systemd do what is due"},
                   {"salvor generate --man /usr/share/man/man1", "Install the manual pages"}},
      .heading = "Additional Commands",
      .run = [options](Session& session) { return run(*options, session); },
  };
  add_options(command.options, configuration_option_table(options->configuration));
  return command;
}

}  // namespace salvor::cli
