#include "connector/postgres/local_server.h"

#include <csignal>
#include <filesystem>
#include <thread>

#include <fcntl.h>
#include <unistd.h>

#include "base/fd.h"
#include "net/subprocess.h"

namespace salvor::postgres {
namespace {

constexpr uint64_t kLogLimit = uint64_t{64} << 20;
constexpr size_t kTailBytes = 2000;
constexpr std::chrono::milliseconds kStep{10};
// Its own processes get five seconds from it; after that they are killed by it.
constexpr int kImmediateSteps = 800;

void write_private(const std::string& path, std::string_view content,
                   const std::optional<std::pair<uid_t, gid_t>>& owner) {
  const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!file) {
    throw Error::from_errno(errno, "cannot write " + path);
  }
  write_full(file.get(), as_bytes(content), path);
  if (owner && ::fchown(file.get(), owner->first, owner->second) != 0) {
    throw Error::from_errno(errno, "cannot give away " + path);
  }
}

bool executable(const std::string& path) {
  return ::access(path.c_str(), X_OK) == 0;
}

// `command` as the user whom the server runs as.
std::vector<std::string> as_owner(const LocalServerOptions& options,
                                  std::vector<std::string> command) {
  if (options.owner && ::geteuid() == 0) {
    const std::vector<std::string> prefix{
        "setpriv", "--reuid=" + std::to_string(options.owner->first),
        "--regid=" + std::to_string(options.owner->second), "--clear-groups", "--"};
    command.insert(command.begin(), prefix.begin(), prefix.end());
  }
  return command;
}

}  // namespace

std::string find_binaries(const std::string& given, unsigned major_version) {
  const std::string major = std::to_string(major_version);
  std::vector<std::string> places;
  if (!given.empty()) {
    places = {given};
  } else {
    places = {"/usr/lib/postgresql/" + major + "/bin", "/usr/pgsql-" + major + "/bin",
              "/usr/local/pgsql/bin", "/usr/local/bin", "/usr/bin"};
  }
  for (const std::string& place : places) {
    if (!executable(place + "/postgres") || !executable(place + "/pg_ctl")) {
      continue;
    }
    Subprocess version({.arguments = {place + "/postgres", "--version"}});
    std::string text(100, '\0');
    text.resize(version.read(std::as_writable_bytes(std::span(text))));
    if (version.wait().success() && text.find(") " + major + ".") != std::string::npos) {
      return place;
    }
  }
  throw Error(ErrorCode::kNotFound, "there is no PostgreSQL " + major + " server on this machine",
              "Install postgresql-" + major +
                  ", name its folder with --bin, or restore without starting it "
                  "(--action none).");
}

std::vector<std::string> network_isolation() {
  // A user namespace where only root may make one of the network.
  for (const std::vector<std::string>& words :
       {std::vector<std::string>{"unshare", "--net", "--"},
        std::vector<std::string>{"unshare", "--map-current-user", "--net", "--"}}) {
    std::vector<std::string> trial{"sh", "-c", "exec \"$@\" 2>/dev/null", "sh"};
    trial.insert(trial.end(), words.begin(), words.end());
    trial.emplace_back("true");
    Subprocess attempt({.arguments = trial});
    if (attempt.wait().success()) {
      return words;
    }
  }
  return {};
}

ServerSettings nothing_preloaded() {
  return {{"shared_preload_libraries", ""},
          {"session_preload_libraries", ""},
          {"local_preload_libraries", ""}};
}

RuntimeFolder::RuntimeFolder(const std::pair<uid_t, gid_t>& owner) {
  // Root's own TMPDIR may be closed to the user whom the server runs as.
  const std::string parent =
      ::geteuid() == 0 ? "/tmp" : std::filesystem::temp_directory_path().string();
  std::string name = parent + "/salvor-XXXXXX";
  if (::mkdtemp(name.data()) == nullptr) {
    throw Error::from_errno(errno, "cannot make a temporary folder");
  }
  path_ = name;
  if (::geteuid() == 0 && ::lchown(path_.c_str(), owner.first, owner.second) != 0) {
    throw Error::from_errno(errno, "cannot give away " + path_);
  }
}

RuntimeFolder::~RuntimeFolder() {
  if (kept_) {
    return;
  }
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

struct LocalServer::State {
  LocalServerOptions options;
  std::string log;
  std::vector<std::string> command;  // the server's own
  std::unique_ptr<Subprocess> process;

  // The words that start it: as its user, without network. `prefix`: right before the command.
  [[nodiscard]] std::vector<std::string> words(const std::vector<std::string>& prefix) const {
    std::vector<std::string> all = prefix;
    all.insert(all.end(), command.begin(), command.end());
    all = as_owner(options, std::move(all));
    if (options.no_network) {
      const std::vector<std::string> apart = network_isolation();
      all.insert(all.begin(), apart.begin(), apart.end());
    }
    return all;
  }
};

LocalServer::LocalServer(LocalServerOptions options) : state_(std::make_unique<State>()) {
  state_->options = std::move(options);
  const LocalServerOptions& chosen = state_->options;
  state_->log = chosen.folder + "/server.log";
  write_private(state_->log, "", chosen.owner);
  write_private(chosen.folder + "/pg_hba.conf", "local all all trust\n", chosen.owner);
  std::vector<std::string> command{chosen.binaries + "/postgres", "-D", chosen.data};
  const auto set = [&command](const std::string& name, const std::string& value) {
    command.emplace_back("-c");
    command.push_back(name + "=" + value);
  };
  if (!executable(chosen.data) || ::access((chosen.data + "/postgresql.conf").c_str(), F_OK) != 0) {
    // Debian keeps it in /etc: everything at its default will do for recovery.
    write_private(chosen.folder + "/postgresql.conf", "", chosen.owner);
    set("config_file", chosen.folder + "/postgresql.conf");
    set("data_directory", chosen.data);
  }
  set("hba_file", chosen.folder + "/pg_hba.conf");
  set("unix_socket_directories", chosen.folder);
  for (const char* const nothing :
       {"listen_addresses", "external_pid_file", "primary_conninfo", "primary_slot_name",
        "synchronous_standby_names", "unix_socket_group"}) {
    set(nothing, "");
  }
  for (const char* const off : {"ssl", "logging_collector"}) {
    set(off, "off");
  }
  set("port", "5432");
  set("unix_socket_permissions", "0700");
  set("log_destination", "stderr");
  set("log_min_messages", "warning");
  set("lc_messages", "C");
  set("max_logical_replication_workers", "0");  // no subscription may reach out to production
  for (const auto& [name, value] : chosen.settings) {
    set(name, value);
  }
  std::vector<std::string> shell{"sh", "-c", "umask 077; exec \"$@\" >>\"$SALVOR_SERVER_LOG\" 2>&1",
                                 "sh"};
  state_->command = std::move(command);
  // Whatever ends us ends it: nobody else knows that it is there.
  for (std::string& word : state_->words({"setpriv", "--pdeathsig=QUIT", "--"})) {
    shell.push_back(std::move(word));
  }
  state_->process = std::make_unique<Subprocess>(SubprocessOptions{
      .arguments = std::move(shell), .environment = {"SALVOR_SERVER_LOG=" + state_->log}});
}

LocalServer::~LocalServer() {
  // As "pg_ctl stop -m immediate" does. What we started has become the server (each program before
  // it ends with exec).
  if (running()) {
    state_->process->signal(SIGQUIT);
    for (int i = 0; i < kImmediateSteps && running(); ++i) {
      std::this_thread::sleep_for(kStep);
    }
  }
}

bool LocalServer::running() {
  return state_->process && !state_->process->poll();
}

void LocalServer::wait_until_ready(const Context& context, std::chrono::seconds limit) {
  const MonotonicTime until = context.clock.monotonic() + limit;
  for (;;) {
    context.check_stopped();
    try {
      const Connection connection(context, target(), ConnectionMode::kSql);
      return;
    } catch (const Error& error) {
      if (error.code() == ErrorCode::kCancelled) {
        throw;
      }
      if (!running() || context.clock.monotonic() > until) {
        throw Error(ErrorCode::kFailed, "the server does not start: " + error.message(),
                    "Its log ends with:\n" + log_tail());
      }
    }
    std::this_thread::sleep_for(kStep);
  }
}

ConnectionTarget LocalServer::target(const std::string& database) const {
  return {"host='" + state_->options.folder +
              "' port=5432 connect_timeout=10 sslmode=disable user='" + state_->options.superuser +
              "'",
          database};
}

std::string LocalServer::log_tail() const {
  const Buffer content = read_file(state_->log, kLogLimit);
  const std::string_view text = as_text(content.view());
  return std::string(text.substr(text.size() - std::min(text.size(), kTailBytes)));
}

std::string LocalServer::log_line(std::string_view word, std::string_view unless) const {
  const Buffer content = read_file(state_->log, kLogLimit);
  std::string_view text = as_text(content.view());
  while (!text.empty()) {
    while (text.ends_with('\n')) {
      text.remove_suffix(1);
    }
    const size_t before = text.rfind('\n');
    const std::string_view line = text.substr(before == std::string_view::npos ? 0 : before + 1);
    if (line.find(word) != std::string_view::npos &&
        (unless.empty() || line.find(unless) == std::string_view::npos)) {
      return std::string(line);
    }
    text.remove_suffix(line.size());
  }
  return "";
}

void LocalServer::leave(const Context& context, std::chrono::seconds limit) {
  stop();
  state_->process.reset();
  std::vector<std::string> shell{
      "sh", "-c", "umask 077; setsid \"$@\" >>\"$SALVOR_SERVER_LOG\" 2>&1 </dev/null & exec true",
      "sh"};
  for (std::string& word : state_->words({})) {
    shell.push_back(std::move(word));
  }
  Subprocess starter(
      {.arguments = std::move(shell), .environment = {"SALVOR_SERVER_LOG=" + state_->log}});
  static_cast<void>(starter.wait());
  const MonotonicTime until = context.clock.monotonic() + limit;
  while (true) {
    try {
      const Connection connection(context, target(), ConnectionMode::kSql);
      return;
    } catch (const Error&) {
      context.check_stopped();
      if (context.clock.monotonic() > until) {
        throw;
      }
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
}

void LocalServer::stop() {
  state_->process->signal(SIGINT);
  const ExitState ended = state_->process->wait();
  if (!ended.success()) {
    throw Error(ErrorCode::kFailed, "the server did not stop properly: " + ended.text(),
                "Its log ends with: " + log_tail());
  }
}

}  // namespace salvor::postgres
