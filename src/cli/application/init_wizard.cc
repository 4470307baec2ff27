#include "cli/application/init_wizard.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/format.h"
#include "cli/application/configuration_access.h"
#include "cli/application/discovery.h"
#include "cli/application/postgres_probe.h"
#include "cli/repository_access.h"
#include "config/yaml_printer.h"
#include "storage/location.h"

namespace salvor::cli {

namespace {

namespace fs = std::filesystem;

constexpr const char* kFile = "salvor.yaml";
constexpr const char* kSecrets = ".salvor";
constexpr const char* kPasswordFile = ".salvor/password";
constexpr const char* kUrlFile = ".salvor/database-url";
constexpr int kPollMs = 100;
constexpr size_t kAnswerLimit = 4096;
constexpr size_t kPasswordBytes = 24;

// What the questions are about.
struct Answers {
  std::string application;
  std::string repository;
  std::vector<FoundSource> sources;
  bool make_password = true;
  bool create = true;
};

// One line from the terminal, without its end.
std::string read_answer(const std::stop_token& stop) {
  std::string line;
  for (;;) {
    pollfd ready{STDIN_FILENO, POLLIN, 0};
    const int events = ::poll(&ready, 1, kPollMs);
    if (stop.stop_requested()) {
      throw cancelled();
    }
    if (events <= 0) {
      continue;
    }
    char byte = 0;
    const ssize_t got = ::read(STDIN_FILENO, &byte, 1);
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got <= 0) {
      throw Error(ErrorCode::kCancelled, "the questions were not answered",
                  "Nothing was written. \"salvor init --yes\" takes the defaults.");
    }
    if (byte == '\n' || line.size() == kAnswerLimit) {
      return line;
    }
    line += byte;
  }
}

std::string trimmed(const std::string& text) {
  const size_t first = text.find_first_not_of(" \t\r");
  return first == std::string::npos
             ? ""
             : text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

class Questions {
 public:
  Questions(Session& session, bool yes) : session_(session), yes_(yes) {}

  std::string text(const std::string& question, const std::string& otherwise) {
    if (yes_) {
      return otherwise;
    }
    session_.terminal.prompt(
        fmt::format("{}{}: ", question, otherwise.empty() ? "" : " [" + otherwise + "]"));
    const std::string answer = trimmed(read_answer(session_.context.stop));
    return answer.empty() ? otherwise : answer;
  }

  bool agree(const std::string& question) {
    if (yes_) {
      return true;
    }
    for (;;) {
      session_.terminal.prompt(question + " [Y/n]: ");
      const std::string answer = trimmed(read_answer(session_.context.stop));
      if (answer.empty() || answer == "y" || answer == "Y" || answer == "yes") {
        return true;
      }
      if (answer == "n" || answer == "N" || answer == "no") {
        return false;
      }
    }
  }

 private:
  Session& session_;
  bool yes_;
};

std::string usual_repository(const Session& session, const std::string& application) {
  if (::geteuid() == 0) {
    return "/var/backups/" + application;
  }
  return session.environment.get("HOME").value_or("/var/tmp") + "/backups/" + application;
}

bool has_password(const Session& session) {
  const PasswordSources sources = password_sources(session.global);
  return has_password_source(sources, session.environment);
}

// Never over what is there; durable before anything refers to it.
void write_new(const std::string& path, const std::string& content, mode_t mode) {
  const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode));
  if (!file) {
    throw Error::from_errno(errno, "cannot make " + path);
  }
  write_full(file.get(), as_bytes(content), path);
  if (::fsync(file.get()) != 0) {
    throw Error::from_errno(errno, "cannot write " + path);
  }
}

std::string random_password(Session& session) {
  std::array<std::byte, kPasswordBytes> bytes{};
  session.context.random.fill(bytes);
  std::string text;
  text.reserve(2 * kPasswordBytes + 1);
  for (const std::byte byte : bytes) {
    text += fmt::format("{:02x}", static_cast<unsigned>(byte));
  }
  wipe(bytes.data(), bytes.size());
  return text;
}

Answers ask(Session& session, const Discovery& found, const WizardOptions& options) {
  Questions questions(session, options.yes);
  Answers answers;
  answers.application = questions.text("Name of the application", found.application);
  for (const FoundSource& source : found.sources) {
    if (questions.agree("Protect " + printable(source.why) + "?")) {
      answers.sources.push_back(source);
    }
  }
  if (answers.sources.empty()) {
    const std::string folder = questions.text("Folder with files to protect", "");
    if (folder.empty()) {
      throw Error(ErrorCode::kUsage, "nothing to protect was found here",
                  "Run \"salvor init\" in the application's folder (with uploads or a compose "
                  "file), set DATABASE_URL, or write salvor.yaml by hand: docs/configuration.md.");
    }
    answers.sources.push_back(
        {.name = "files", .kind = "files", .value = folder, .why = folder, .url = {}});
  }
  answers.repository =
      options.location
          ? *options.location
          : questions.text(
                "Repository (a folder on another disk, s3:..., gs:..., azure:..., sftp:...)",
                usual_repository(session, answers.application));
  answers.make_password =
      !has_password(session) &&
      questions.agree(std::string("Make a password for it, in the file ") + kPasswordFile + "?");
  answers.create = questions.agree("Make the repository now?");
  return answers;
}

std::string configuration_text(const Answers& answers) {
  using config::yaml_text;
  std::string text = fmt::format(
      "# What Salvor protects, where it is kept, and what is promised. \"salvor config check\"\n"
      "# looks for mistakes, \"salvor config show --origin\" shows everything that is in effect.\n"
      "application: {}\n\n"
      "# A folder, or s3:..., gs:..., azure:..., sftp:..., rest:... Best in another place than "
      "the\n"
      "# data: a second one is added with \"repositories:\" and \"copies:\".\n"
      "repository: {}\n",
      yaml_text(answers.application, true), yaml_text(answers.repository));
  if (answers.make_password) {
    text += fmt::format(
        "# Whoever has this password can read the backups; without it nobody can. Keep a copy of\n"
        "# it elsewhere.\n"
        "password: file:{}\n",
        kPasswordFile);
  }
  text += "\nsources:\n";
  for (const FoundSource& source : answers.sources) {
    const std::string value = source.url.empty() ? source.value : fmt::format("file:{}", kUrlFile);
    text += fmt::format("  # {}\n  {}:\n    {}:", printable(source.why), source.name, source.kind);
    text += source.data_directory.empty()
                ? " " + yaml_text(value) + "\n"
                : fmt::format(
                      "\n      url: {}\n      # Where a recovery puts it.\n      "
                      "data-directory: {}\n",
                      yaml_text(value), yaml_text(source.data_directory));
  }
  text +=
      "\n# Back within `rto`, with at most the data of `rpo` lost: a day between backups, and an "
      "hour\n# for making one.\n"
      "objectives: {rto: 4h, rpo: 25h}\n\n"
      "# What is not said is as follows; remove the \"#\" to change it.\n"
      "# schedule: daily 02:00\n"
      "# time-zone: UTC\n"
      "# retention: {daily: 30, weekly: 12, monthly: 12, yearly: 7}\n"
      "# verification: {after-backup: true, restore: \"Sun 05:00\", check: \"Sat 05:00\"}\n"
      "# drills: {monthly: {scenario: loss, schedule: first Monday 09:00}}\n"
      "# notifications: {ops: {slack: \"env:SLACK_WEBHOOK_URL\"}}\n";
  return text;
}

// One URL file: more clusters than one are told apart by hand.
void keep_one_url(Answers& answers, std::vector<std::string>& notes) {
  bool have = false;
  std::erase_if(answers.sources, [&](const FoundSource& source) {
    if (source.url.empty()) {
      return false;
    }
    if (have) {
      notes.push_back("Add by hand: " + source.why + ".");
      return true;
    }
    have = true;
    return false;
  });
}

// How the servers that were chosen can be reached, and where their data is.
void probe_servers(Session& session, Answers& answers, std::vector<std::string>& notes) {
  for (FoundSource& source : answers.sources) {
    if (source.socket_port.empty()) {
      continue;
    }
    const ProbedServer found =
        probe_postgres(session.context, source.socket_folder, source.socket_port);
    source.url = found.url;
    source.data_directory = found.data_directory;
    if (found.problem.empty()) {
      session.terminal.print_summary(
          "PostgreSQL answers: " + found.url +
          (found.data_directory.empty() ? "" : ", its data is in " + found.data_directory));
    } else {
      notes.push_back(fmt::format("{}. {} Its URL is in {}; \"salvor doctor\" tries it again.",
                                  found.problem, found.hint, kUrlFile));
    }
  }
}

void write_files(const Answers& answers, const std::string& text, Session& session) {
  const bool url = std::any_of(answers.sources.begin(), answers.sources.end(),
                               [](const FoundSource& source) { return !source.url.empty(); });
  if ((answers.make_password || url) && ::mkdir(kSecrets, S_IRWXU) != 0 && errno != EEXIST) {
    throw Error::from_errno(errno, std::string("cannot make ") + kSecrets);
  }
  constexpr mode_t kPrivate = S_IRUSR | S_IWUSR;
  if (answers.make_password) {
    std::string password = random_password(session) + "\n";
    write_new(kPasswordFile, password, kPrivate);
    wipe(password.data(), password.size());
    session.terminal.print_summary(std::string("wrote ") + kPasswordFile +
                                   " (keep a copy of it elsewhere)");
  }
  for (const FoundSource& source : answers.sources) {
    if (!source.url.empty()) {
      write_new(kUrlFile, source.url + "\n", kPrivate);
      session.terminal.print_summary(std::string("wrote ") + kUrlFile);
    }
  }
  write_new(kFile, text, kPrivate | S_IRGRP | S_IROTH);
  session.terminal.print_summary(std::string("wrote ") + kFile);
}

// Returns false when it was there already.
bool create_repository(Session& session, const RepositorySpec& spec,
                       const config::SecretResolver& resolver) {
  StorageOptions options = storage_options(session);
  for (const auto& [name, value] : spec.options) {
    options.extended[name] = value;
  }
  std::map<std::string, std::string> own;
  for (const auto& [name, value] : spec.environment) {
    own[name] = resolver.resolve_text(value, session.context.stop).reveal();
  }
  const auto process = options.environment;
  options.environment = [own, process](const std::string& name) {
    const auto found = own.find(name);
    return found == own.end() ? process(name) : std::optional(found->second);
  };
  auto storage = open_storage(spec.location, options);
  if (storage->stat(session.context, {ObjectKind::kConfig, ""})) {
    return false;
  }
  const Secret password = resolver.resolve(spec.password, session.context.stop);
  const auto repository = Repository::create(
      session.context, std::move(storage), password,
      {.version = 2, .username = current_user_name(), .hostname = current_host_name()});
  if (session.terminal.json()) {
    JsonWriter json;
    json.begin_message("initialized").field("id", repository->config().id);
    json.field("repository", display_location(spec.location)).field("name", spec.name);
    session.terminal.print_json(json.end_object());
  }
  session.terminal.print_summary("created repository " + repository->config().id.substr(0, 10) +
                                 " at " + display_location(spec.location));
  return true;
}

int create_all(Session& session) {
  const config::Configuration loaded =
      load_configuration_for(session, {.file = session.environment.get_either("CONFIG")});
  const config::SecretResolver resolver = secret_resolver(session);
  for (const RepositorySpec& spec : loaded.application.repositories) {
    try {
      if (!create_repository(session, spec, resolver)) {
        session.terminal.print_summary("there is a repository at " +
                                       display_location(spec.location) + " already");
      }
    } catch (Error& error) {
      throw error.within("repository \"" + spec.name + "\"");
    }
  }
  return 0;
}

void show_next_steps(Session& session, const Answers& answers,
                     const std::vector<std::string>& notes) {
  for (const std::string& note : notes) {
    session.terminal.print_summary(printable(note));
  }
  std::string steps = "\nNext:\n";
  if (!answers.create) {
    steps += "  salvor init              make the repository\n";
  }
  steps +=
      "  salvor config check      after changes in salvor.yaml\n"
      "  salvor doctor            try connections, rights and keys\n"
      "  salvor run               make what is due: now, the first backups\n"
      "  salvor generate systemd  have that done by itself (or cron, kubernetes, github)";
  session.terminal.print_summary(steps);
}

}  // namespace

int run_init_wizard(Session& session, const WizardOptions& options) {
  const bool yes = options.yes;
  if (find_configuration({}) || session.environment.get_either("CONFIG")) {
    return create_all(session);
  }
  if (!yes && (::isatty(STDIN_FILENO) != 1 || session.terminal.json())) {
    throw Error(ErrorCode::kUsage, "no repository is named",
                "Give its location with -r, or set the environment variable SALVOR_REPOSITORY "
                "(RESTIC_* works too). Or \"salvor init --yes\": it writes a configuration "
                "(salvor.yaml) for what runs here.");
  }
  const std::string folder = fs::current_path().string();
  Discovery found = discover(folder, session.environment);
  Answers answers = ask(session, found, options);
  keep_one_url(answers, found.notes);
  probe_servers(session, answers, found.notes);
  const std::string text = configuration_text(answers);
  // What is written must be understood.
  auto request = configuration_request(session, {}, kFile);
  try {
    (void)config::load_configuration_text(request, text);
  } catch (const config::ConfigurationError& error) {
    for (const config::Problem& problem : error.problems()) {
      show_problem(session, problem, error.sources());
    }
    throw Error(ErrorCode::kUsage, "these answers make no configuration",
                "Nothing was written. Run \"salvor init\" again.");
  }
  write_files(answers, text, session);
  const int status = answers.create ? create_all(session) : 0;
  show_next_steps(session, answers, found.notes);
  return status;
}

}  // namespace salvor::cli
