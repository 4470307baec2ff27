#include <algorithm>

#include "cli/application/configured_repository.h"
#include "cli/application/init_wizard.h"
#include "cli/commands.h"
#include "cli/repository_access.h"
#include "storage/location.h"

namespace salvor::cli {

namespace {

struct Options {
  std::string version = "stable";
  bool copy_chunker_params = false;
  WizardOptions wizard;
  FromOptions from;
};

unsigned repository_version(const std::string& text) {
  if (text == "1") {
    return 1;
  }
  if (text == "2" || text == "stable" || text == "latest") {
    return 2;
  }
  throw Error(ErrorCode::kUsage, "unsupported repository version \"" + text + "\"",
              "Possible are 1, 2, stable and latest.");
}

bool names_source(const FromOptions& from) {
  return from.repository || from.repository_file;
}

int run(const Options& options, Session& session) {
  if (!names_repository(session.global) && !options.copy_chunker_params &&
      !names_source(options.from)) {
    return run_init_wizard(session, options.wizard);
  }
  CreateOptions create{.version = repository_version(options.version),
                       .username = current_user_name(),
                       .hostname = current_host_name()};
  const std::string location = repository_location(session);
  auto storage = open_limited_storage(session, location);
  if (storage->stat(session.context, {ObjectKind::kConfig, ""})) {
    throw Error(ErrorCode::kFailed,
                "there is a repository at " + display_location(location) + " already",
                "Nothing was changed. To use it, just run the other commands; for a new one choose "
                "another place.");
  }
  if (options.copy_chunker_params) {
    if (!names_source(options.from)) {
      throw Error(ErrorCode::kUsage, "--copy-chunker-params needs a source repository",
                  "Name it with --from-repo.");
    }
    const OpenedRepository source = open_from_repository(session, options.from);
    create.polynomial = Polynomial(source.repository->config().chunker_polynomial);
  } else if (options.from.repository) {
    throw Error(ErrorCode::kUsage, "--from-repo is only used with --copy-chunker-params",
                "Add --copy-chunker-params, or leave --from-repo out.");
  }
  PasswordSources sources = password_sources(session.global);
  sources.prompt = "enter password for new repository: ";
  sources.confirm_prompt = "enter password again: ";
  const FoundPassword found =
      find_password(sources, session.environment, session.terminal, session.context.stop);
  const auto repository =
      Repository::create(session.context, std::move(storage), found.password, create);
  if (session.terminal.json()) {
    JsonWriter json;
    json.begin_message("initialized").field("id", repository->config().id);
    json.field("repository", display_location(location));
    session.terminal.print_json(json.end_object());
    return 0;
  }
  session.terminal.print_summary("created repository " + repository->config().id.substr(0, 10) +
                                 " at " + display_location(location));
  session.terminal.print_summary(
      "\nPlease note that knowledge of your password is required to access\n"
      "the repository. Losing your password means that your data is\n"
      "irrecoverably lost.");
  return 0;
}

}  // namespace

CommandSpec init_command() {
  auto options = std::make_shared<Options>();
  CommandSpec command{
      .name = "init",
      .summary = "Initialize a new repository",
      .description =
          "Makes a new, empty repository and its first key. The password is asked for twice unless "
          "it comes "
          "from a file, a command or the environment. It cannot be recovered: without it (or "
          "another key "
          "made with \"salvor key add\") nothing in the repository can be read.\n\n"
          "An existing repository is never overwritten.\n\n"
          "Where no repository is named, salvor.yaml is what is begun with: its repositories are "
          "made, those that do not exist. Where there is no salvor.yaml yet, a few questions are "
          "asked, and one is written for what is found: PostgreSQL, a compose file, folders with "
          "uploads.",
      .options =
          {{.long_name = "copy-chunker-params",
            .help =
                "copy chunker parameters from the source repository, so that data copied between "
                "the two deduplicates (see \"salvor copy\")",
            .target = &options->copy_chunker_params},
           {.long_name = "repository-version",
            .value_name = "version",
            .help =
                "repository format version to use: 1 (restic before 0.14, without compression), 2, "
                "'latest' or 'stable'",
            .target = &options->version,
            .default_text = "stable"},
           {.long_name = "location",
            .value_name = "location",
            .help = "of the repository that is written into a new salvor.yaml",
            .target = &options->wizard.location},
           {.long_name = "yes",
            .short_name = 'y',
            .help = "ask nothing: write salvor.yaml with the defaults for what is found here",
            .target = &options->wizard.yes}},
      .examples = {{"salvor init -r /srv/backup", "A repository in a local directory"},
                   {"salvor init -r /srv/second --from-repo /srv/backup --copy-chunker-params",
                    "A second repository, to copy snapshots into"}},
      .exit_codes = {{0, "success"},
                     {1, "an error; also when there is a repository already"},
                     {64, "wrong usage"}},
      .run = [options](Session& session) { return run(*options, session); },
  };
  add_options(command.options, from_option_table(options->from, "to copy chunker parameters from"));
  return command;
}

}  // namespace salvor::cli
