#include "cli/application/discovery.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <filesystem>
#include <optional>

#include <arpa/inet.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>

#include "base/error.h"
#include "base/fd.h"
#include "config/yaml_document.h"

namespace salvor::cli {

namespace {

namespace fs = std::filesystem;

constexpr uint16_t kPostgresPort = 5432;
constexpr int kConnectMs = 300;
constexpr uint64_t kComposeLimit = uint64_t{1} << 20;

bool is_there(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

bool listens(uint16_t port) {
  const UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (!fd) {
    return false;
  }
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
    return true;
  }
  pollfd ready{fd.get(), POLLOUT, 0};
  int error = 0;
  socklen_t size = sizeof error;
  return errno == EINPROGRESS && ::poll(&ready, 1, kConnectMs) == 1 &&
         ::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0;
}

std::string name_for(std::string_view text, std::string_view otherwise) {
  std::string name;
  for (const unsigned char c : text) {
    if (std::isalnum(c) != 0) {
      name += static_cast<char>(std::tolower(c));
    } else if (!name.empty() && name.back() != '-') {
      name += '-';
    }
  }
  while (!name.empty() && name.back() == '-') {
    name.pop_back();
  }
  if (name.empty() || std::isalpha(static_cast<unsigned char>(name[0])) == 0) {
    name = std::string(otherwise);
  }
  return name.substr(0, 40);
}

class Discoverer {
 public:
  Discoverer(const std::string& folder, const Environment& environment)
      : folder_(folder), environment_(environment) {}

  Discovery run() {
    result_.application = name_for(fs::path(folder_).filename().string(), "application");
    find_postgres();
    find_compose();
    find_folders();
    find_kubernetes();
    return std::move(result_);
  }

 private:
  void add(FoundSource source) {
    const auto same = [&](const FoundSource& one) { return one.name == source.name; };
    const std::string name = source.name;
    for (int i = 2; std::any_of(result_.sources.begin(), result_.sources.end(), same); ++i) {
      source.name = fmt::format("{}-{}", name, i);
    }
    result_.sources.push_back(std::move(source));
  }

  void find_postgres() {
    if (environment_.get("DATABASE_URL")) {
      add({.name = "db",
           .kind = "postgres",
           .value = "env:DATABASE_URL",
           .why = "PostgreSQL, named by DATABASE_URL",
           .url = {}});
      return;
    }
    // PGHOST says where to look, as it does for PostgreSQL's own programs.
    const auto host = environment_.get("PGHOST");
    const std::vector<std::string> folders =
        host ? std::vector<std::string>{*host}
             : std::vector<std::string>{"/var/run/postgresql", "/tmp"};
    for (const std::string& folder : folders) {
      find_sockets(folder);
    }
    if (!host && result_.sources.empty() && listens(kPostgresPort)) {
      add({.name = "db",
           .kind = "postgres",
           .value = "env:DATABASE_URL",
           .why = "something that listens where PostgreSQL does, on port 5432 (set DATABASE_URL "
                  "to its connection URL)",
           .url = {}});
    }
  }

  void find_sockets(const std::string& folder) {
    static constexpr std::string_view kSocket = ".s.PGSQL.";
    std::error_code ignored;
    std::vector<std::string> ports;
    for (const auto& entry : fs::directory_iterator(folder, ignored)) {
      const std::string file = entry.path().filename().string();
      if (file.starts_with(kSocket) &&
          file.find_first_not_of("0123456789", kSocket.size()) == std::string::npos) {
        ports.push_back(file.substr(kSocket.size()));
      }
    }
    std::sort(ports.begin(), ports.end());
    const std::string absolute = fs::absolute(folder, ignored).lexically_normal().string();
    for (const std::string& port : ports) {
      add({.name = "db",
           .kind = "postgres",
           .value = {},
           .why = fmt::format("PostgreSQL on the socket in {}, port {}", absolute, port),
           .url = fmt::format("postgresql:///postgres?host={}&port={}", absolute, port),
           .socket_folder = absolute,
           .socket_port = port});
    }
  }

  // Databases and folders of a compose project.
  void find_compose() {
    for (const char* name :
         {"compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"}) {
      const fs::path path = fs::path(folder_) / name;
      if (is_there(path)) {
        read_compose(path.string(), name);
        return;
      }
    }
  }

  void read_compose(const std::string& path, const std::string& name) {
    config::SourceTexts sources;
    config::Problems problems;
    try {
      const Buffer content = read_file(path, kComposeLimit);
      config::PreparedText text = config::prepare_text(as_text(content.view()));
      sources.add({.kind = config::SourceText::kFile, .name = name, .text = std::move(text.text)});
    } catch (const Error&) {
      return;
    }
    const config::YamlNode project = config::read_yaml(0, sources, problems);
    const config::YamlNode* services = project.find("services");
    for (const config::YamlEntry& entry :
         services == nullptr ? std::vector<config::YamlEntry>() : services->entries) {
      read_service(entry, name);
    }
  }

  void read_service(const config::YamlEntry& service, const std::string& file) {
    const config::YamlNode* image = service.value.find("image");
    const std::string what = image == nullptr ? "" : image->text;
    const auto is = [&](std::string_view word) { return what.find(word) != std::string::npos; };
    const bool postgres = is("postgres") || is("postgis") || is("timescale");
    if (postgres) {
      const bool have = std::any_of(result_.sources.begin(), result_.sources.end(),
                                    [](const FoundSource& one) { return one.kind == "postgres"; });
      if (!have) {
        add({.name = name_for(service.key, "db"),
             .kind = "postgres",
             .value = "env:DATABASE_URL",
             .why = fmt::format("service {} of {}, {} (set DATABASE_URL to its connection URL)",
                                service.key, file, what),
             .url = {}});
      }
      return;
    }
    for (const char* other : {"mongo", "redis", "mysql", "mariadb", "kafka"}) {
      if (is(other)) {
        result_.notes.push_back(
            fmt::format("Service {} of {} ({}) is not covered.", service.key, file, what));
        return;
      }
    }
    const config::YamlNode* volumes = service.value.find("volumes");
    for (const config::YamlNode& volume :
         volumes == nullptr ? std::vector<config::YamlNode>() : volumes->items) {
      read_volume(volume, service.key, file);
    }
  }

  // "./uploads:/app/uploads": a folder of this machine.
  void read_volume(const config::YamlNode& volume, const std::string& service,
                   const std::string& file) {
    const config::YamlNode* source = volume.find("source");
    const std::string place = volume.is_scalar()  ? volume.text.substr(0, volume.text.find(':'))
                              : source != nullptr ? source->text
                                                  : "";
    std::error_code ignored;
    const fs::path path = fs::path(folder_) / place;
    if (place.empty() || (place[0] != '.' && place[0] != '/') || !fs::is_directory(path, ignored) ||
        place == "." || place == "./") {
      return;
    }
    add_folder(path, fmt::format("a folder of service {} in {}", service, file));
  }

  void find_folders() {
    static constexpr std::array<std::string_view, 8> kUsual{
        "uploads",     "media",          "public/uploads", "public/system",
        "storage/app", "static/uploads", "data/uploads",   "attachments"};
    for (const std::string_view name : kUsual) {
      const fs::path path = fs::path(folder_) / name;
      std::error_code ignored;
      if (fs::is_directory(path, ignored)) {
        add_folder(path, "a folder here");
      }
    }
  }

  void add_folder(const fs::path& path, const std::string& why) {
    std::error_code ignored;
    const std::string relative =
        path.lexically_normal().lexically_relative(fs::path(folder_).lexically_normal()).string();
    const bool inside = !relative.empty() && !relative.starts_with("..");
    std::string value = inside ? relative : path.lexically_normal().string();
    while (value.size() > 1 && value.back() == '/') {
      value.pop_back();
    }
    if (std::any_of(result_.sources.begin(), result_.sources.end(),
                    [&](const FoundSource& one) { return one.value == value; })) {
      return;
    }
    add({.name = name_for(fs::path(value).filename().string(), "files"),
         .kind = "files",
         .value = value,
         .why = fmt::format("{}, {}", value, why),
         .url = {}});
  }

  void find_kubernetes() {
    const auto named = environment_.get("KUBECONFIG");
    const std::string usual = environment_.get("HOME").value_or("") + "/.kube/config";
    if (named || is_there(usual)) {
      result_.notes.push_back(fmt::format(
          "There is a kubeconfig ({}): \"salvor generate kubernetes\" writes a CronJob.",
          named.value_or("~/.kube/config")));
    }
  }

  const std::string& folder_;
  const Environment& environment_;
  Discovery result_;
};

}  // namespace

Discovery discover(const std::string& folder, const Environment& environment) {
  return Discoverer(folder, environment).run();
}

}  // namespace salvor::cli
