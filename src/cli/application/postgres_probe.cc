#include "cli/application/postgres_probe.h"

#include <array>
#include <filesystem>

#include <fmt/format.h>

#include "connector/postgres/connection.h"
#include "protect/patience.h"

namespace salvor::cli {
namespace {

using postgres::Connection;
using postgres::ConnectionMode;
using postgres::ResultSet;

constexpr std::chrono::seconds kPatience{5};
constexpr const char* kLate = "It did not answer in time.";
constexpr const char* kAlways = "postgres";  // a database that every cluster has, and a role

std::string url_of(const std::string& user, const std::string& database, const std::string& folder,
                   const std::string& port) {
  return fmt::format("postgresql://{}/{}?host={}&port={}", user.empty() ? "" : user + "@", database,
                     folder, port);
}

// Letters, digits and what a URL needs no escapes for.
bool is_plain(const std::string& name) {
  return !name.empty() && name.find_first_not_of(
                              "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVW"
                              "XYZ0123456789_-.") == std::string::npos;
}

std::string only_database(const Context& context, Connection& connection) {
  const ResultSet made = connection.run(
      context, "SELECT datname FROM pg_database WHERE NOT datistemplate AND datname <> 'postgres'");
  return made.rows.size() == 1 && is_plain(made.text(0, 0)) ? made.text(0, 0) : kAlways;
}

// A server in a container may have its socket here, but not its data.
std::string local_data_directory(const Context& context, Connection& connection) {
  const ResultSet shown =
      connection.run(context, "SELECT setting FROM pg_settings WHERE name = 'data_directory'");
  std::error_code ignored;
  const std::string directory = shown.rows.empty() ? "" : shown.text(0, 0);
  return !directory.empty() &&
                 std::filesystem::exists(std::filesystem::path(directory) / "PG_VERSION", ignored)
             ? directory
             : "";
}

}  // namespace

ProbedServer probe_postgres(const Context& context, const std::string& folder,
                            const std::string& port) {
  ProbedServer found{.url = url_of("", kAlways, folder, port)};
  for (const std::string& user : std::array<std::string, 2>{"", kAlways}) {
    const Failure failure = within(context, kPatience, kLate, [&](const Context& patient) {
      Connection connection(patient, {.target = url_of(user, kAlways, folder, port)},
                            ConnectionMode::kSql);
      found.url = url_of(user, only_database(patient, connection), folder, port);
      found.data_directory = local_data_directory(patient, connection);
    });
    if (failure.message.empty()) {
      found.problem.clear();
      found.hint.clear();
      return found;
    }
    if (found.problem.empty()) {
      found.problem = failure.message;
      found.hint = failure.hint;
    }
  }
  return found;
}

}  // namespace salvor::cli
