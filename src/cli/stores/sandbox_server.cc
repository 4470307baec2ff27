#include "cli/stores/sandbox_server.h"

#include <algorithm>
#include <array>
#include <filesystem>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/format.h"
#include "connector/postgres/control_file.h"
#include "model/count_text.h"
#include "plan/shell.h"

namespace salvor::cli {
namespace {

namespace fs = std::filesystem;
using postgres::Connection;
using postgres::ConnectionMode;
using postgres::ResultSet;

constexpr size_t kPage = 8192;
constexpr std::chrono::seconds kStartLimit{120};
// Of each file that ransomware takes: enough to make it worthless, and quick with large ones.
constexpr uint64_t kEncrypted = uint64_t{1} << 20;

void write_noise(const Context& context, const std::string& path, uint64_t at, uint64_t bytes) {
  const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!file) {
    throw Error::from_errno(errno, "cannot damage " + path);
  }
  Buffer noise;
  noise.resize(bytes);
  context.random.fill({noise.data(), noise.size()});
  pwrite_full(file.get(), noise.view(), at, path);
}

void flip_bit(const std::string& path, uint64_t at) {
  const UniqueFd file(::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
  std::array<std::byte, 1> byte{};
  if (!file || ::pread(file.get(), byte.data(), 1, static_cast<off_t>(at)) != 1) {
    throw Error::from_errno(errno, "cannot damage " + path);
  }
  byte[0] ^= std::byte{1};
  pwrite_full(file.get(), byte, at, path);
}

std::string value_of(const TextMap& map, std::string_view name) {
  for (const auto& [key, value] : map) {
    if (key == name) {
      return value;
    }
  }
  return {};
}

// A host in a connection URL's query.
std::string url_encoded(const std::string& text) {
  std::string out;
  for (const char c : text) {
    const bool plain = std::isalnum(static_cast<unsigned char>(c)) != 0 ||
                       std::string_view("-._~").find(c) != std::string_view::npos;
    out += plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return out;
}

}  // namespace

std::pair<uid_t, gid_t> owner_of(const std::string& path) {
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0) {
    throw Error::from_errno(errno, "cannot look at " + path);
  }
  return {status.st_uid, status.st_gid};
}

struct SandboxServer::VictimTable {
  std::string database;
  std::string schema;
  std::string name;
  std::string file;    // below the data directory
  std::string column;  // the last one

  [[nodiscard]] std::string quoted() const {
    return Connection::quote_identifier(schema) + "." + Connection::quote_identifier(name);
  }
  [[nodiscard]] std::string display() const {
    return printable(schema + "." + name) + " of " + printable(database);
  }
};

void SandboxServer::start(const Context& context) {
  const postgres::ControlFile control = postgres::parse_control_file(
      read_file(options_.data + "/global/pg_control", 1U << 20).view());
  const auto owner = owner_of(options_.data + "/PG_VERSION");
  binaries_ = postgres::find_binaries(source_.settings.text("binaries"), control.major_version);
  folder_ = std::make_unique<postgres::RuntimeFolder>(owner);
  postgres::ServerSettings settings = postgres::nothing_preloaded();
  settings.emplace_back("archive_mode", "off");
  server_ = std::make_unique<postgres::LocalServer>(
      postgres::LocalServerOptions{.binaries = binaries_,
                                   .data = options_.data,
                                   .folder = folder_->path(),
                                   .owner = ::geteuid() == 0 ? std::optional(owner) : std::nullopt,
                                   .superuser = options_.superuser,
                                   .settings = std::move(settings),
                                   .no_network = options_.isolated});
  server_->wait_until_ready(context, kStartLimit);
}

void SandboxServer::stop() {
  if (server_) {
    server_->stop();
    server_.reset();
  }
}

void SandboxServer::drop() {
  server_.reset();
}

TextMap SandboxServer::outputs() const {
  if (!folder_) {
    return {{"directory", options_.data}};
  }
  return {{"url", "postgresql://" + url_encoded(options_.superuser) + "@/" +
                      url_encoded(options_.database()) + "?host=" + url_encoded(folder_->path()) +
                      "&port=5432"},
          {"directory", options_.data},
          {"socket", folder_->path()},
          {"port", "5432"}};
}

std::vector<CheckResult> SandboxServer::check(const Context& context) {
  if (!server_ || !server_->running()) {
    return {{.name = "server runs", .passed = false, .value = "it does not"}};
  }
  InspectOptions options{.binaries = binaries_, .superuser = options_.superuser};
  for (const std::string& statement : source_.assertions) {
    options.assertions.push_back({options_.database(), statement});
  }
  std::vector<CheckResult> checks;
  try {
    for (ProofCheck& found : inspect_server(context, *server_, options)) {
      checks.push_back(
          {.name = std::move(found.name), .passed = found.passed, .value = std::move(found.value)});
    }
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kCancelled) {
      throw;
    }
    return {{.name = "server runs", .passed = false, .value = one_line(error.message())}};
  }
  checks.push_back(checked(context, "rows and columns as restored", [&] {
    const ServerContent now = content_of(context, *server_);
    const std::string difference = now.difference(*content_);
    if (!difference.empty()) {
      throw Error(ErrorCode::kDamaged, difference);
    }
    return counted(now.rows.size(), "table") + " compared";
  }));
  return checks;
}

SandboxServer::VictimTable SandboxServer::largest_table(const Context& context) {
  VictimTable largest;
  uint64_t most = 0;
  for (const std::string& database : databases_of(context, *server_)) {
    Connection connection(context, server_->target(database), ConnectionMode::kSql);
    const ResultSet found = connection.run(
        context,
        "SELECT n.nspname, c.relname, pg_relation_size(c.oid), pg_relation_filepath(c.oid), "
        "(SELECT attname FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT "
        "attisdropped ORDER BY attnum DESC LIMIT 1) FROM pg_class c JOIN pg_namespace n ON n.oid = "
        "c.relnamespace WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname <> "
        "'information_schema' AND pg_relation_size(c.oid) > 0 ORDER BY 3 DESC LIMIT 1");
    if (found.rows.empty()) {
      continue;
    }
    const uint64_t size = std::stoull(found.text(0, 2));
    if (size > most) {
      most = size;
      largest = {database, found.text(0, 0), found.text(0, 1), found.text(0, 3),
                 found.rows[0][4].value_or("")};
    }
  }
  if (most == 0) {
    throw Error(ErrorCode::kUsage, "there is no table with rows in the sandbox to be broken");
  }
  return largest;
}

// With checksums a single bit, as failing disks do it; without, what nobody could overlook.
std::string SandboxServer::corrupt(const Context& context) {
  const VictimTable table = largest_table(context);
  const bool checksums = Connection(context, server_->target(table.database), ConnectionMode::kSql)
                             .show(context, "data_checksums") == "on";
  stop();
  const std::string path = options_.data + "/" + table.file;
  const uint64_t pages = fs::file_size(path) / kPage;
  const uint64_t page = pages / 2;
  if (checksums) {
    flip_bit(path, page * kPage + kPage - 1);  // in a row, not in the page's own header
  } else {
    write_noise(context, path, page * kPage, kPage);
  }
  start(context);
  return fmt::format("{} page {} of {}",
                     checksums ? "a bit was flipped in" : "noise was written over", page,
                     table.display());
}

// A migration that went wrong: a column emptied, where there is one of text, another one gone.
std::string SandboxServer::migrate(const Context& context) {
  const VictimTable table = largest_table(context);
  Connection connection(context, server_->target(table.database), ConnectionMode::kSql);
  // Whatever else refers to it.
  static_cast<void>(connection.run(context, "SET session_replication_role = replica"));
  const ResultSet texts = connection.run(
      context,
      "SELECT attname FROM pg_attribute a WHERE attrelid = " +
          connection.quote_literal(table.quoted()) +
          "::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = '' AND atttypid IN "
          "('text'::regtype, 'varchar'::regtype) AND attname <> " +
          connection.quote_literal(table.column) +
          " AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = a.attrelid AND a.attnum = "
          "ANY (i.indkey)) ORDER BY attnum LIMIT 1");
  std::string done;
  if (!texts.rows.empty()) {
    static_cast<void>(connection.run(context, "UPDATE " + table.quoted() + " SET " +
                                                  Connection::quote_identifier(texts.text(0, 0)) +
                                                  " = ''"));
    done = "column " + printable(texts.text(0, 0)) + " of " + table.display() +
           " was emptied in every row, ";
  }
  static_cast<void>(connection.run(context, "ALTER TABLE " + table.quoted() + " DROP COLUMN " +
                                                Connection::quote_identifier(table.column) +
                                                " CASCADE"));
  return done + "column " + printable(table.column) + " of " + table.display() + " was dropped";
}

KeptStore SandboxServer::leave(const Context& context) {
  KeptStore kept{.enter = {"cd " + plan::shell_quoted(options_.data)}, .outside = {}};
  if (server_ && server_->running()) {
    server_->leave(context, kStartLimit);
    kept.enter = {"psql " + plan::shell_quoted(value_of(outputs(), "url"))};
    kept.outside = {folder_->path()};
    folder_->keep();
  }
  server_.reset();
  return kept;
}

std::string SandboxServer::encrypt(const Context& context) {
  stop();
  uint64_t files = 0;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(options_.data)) {
    if (entry.is_regular_file() && !entry.is_symlink() && entry.file_size() > 0) {
      write_noise(context, entry.path(), 0, std::min<uint64_t>(entry.file_size(), kEncrypted));
      ++files;
    }
  }
  return fmt::format("{} files of the data directory were overwritten", files);
}

std::string SandboxServer::break_it(const Context& context, const std::string& scenario) {
  if (!server_) {
    throw Error(ErrorCode::kFailed, "the sandbox is broken already");
  }
  const auto run = [&](const VictimTable& table, const std::string& statement) {
    Connection connection(context, server_->target(table.database), ConnectionMode::kSql);
    // Whatever else refers to it.
    static_cast<void>(connection.run(context, "SET session_replication_role = replica"));
    static_cast<void>(connection.run(context, statement));
  };
  if (scenario == "deletion") {
    const VictimTable table = largest_table(context);
    run(table, "DELETE FROM " + table.quoted());
    return "all rows of " + table.display() + " were deleted";
  }
  if (scenario == "migration") {
    return migrate(context);
  }
  if (scenario == "corruption") {
    return corrupt(context);
  }
  if (scenario == "ransomware") {
    return encrypt(context);
  }
  if (scenario == "loss") {
    server_.reset();
    for (const fs::directory_entry& entry : fs::directory_iterator(options_.data)) {
      fs::remove_all(entry.path());
    }
    return "the data directory was emptied";
  }
  throw Error(ErrorCode::kUsage, "PostgreSQL knows no scenario \"" + printable(scenario) + "\"",
              "It knows corruption, deletion, migration, loss and ransomware.");
}

}  // namespace salvor::cli
