#include "cli/stores/postgres_probe.h"

#include <cmath>
#include <filesystem>

#include <fmt/format.h>

#include "base/format.h"
#include "cli/stores/logical_probe.h"
#include "cli/stores/postgres_store.h"
#include "connector/postgres/local_server.h"

namespace salvor::cli {
namespace {

using postgres::Connection;
using postgres::ConnectionMode;

void probe_settings(const Context& context, Connection& connection, const SourceSpec& source,
                    std::vector<ProbeResult>& results) {
  results.push_back(probed(
      "clock", false, "Moments to recover to are the server's: keep both clocks right.", [&] {
        const std::string seconds =
            connection.run(context, "SELECT extract(epoch FROM clock_timestamp())").text(0, 0);
        const double apart =
            std::stod(seconds) -
            std::chrono::duration<double>(context.clock.now().time_since_epoch()).count();
        constexpr double kMostApart = 5;
        const std::string text = fmt::format("{:+.1f} s from this machine's", apart);
        if (std::abs(apart) > kMostApart) {
          throw Error(ErrorCode::kFailed, text);
        }
        return text;
      }));
  const auto show = [&](const char* setting) { return connection.show(context, setting); };
  results.push_back(probed("page checksums", false,
                           "Damaged pages cannot be found without them: pg_checksums --enable.",
                           [&] {
                             if (show("data_checksums") != "on") {
                               throw Error(ErrorCode::kFailed, "off");
                             }
                             return std::string("on");
                           }));
  results.push_back(
      probed("wal_level", true, "Set wal_level = replica and restart the server.", [&] {
        const std::string level = show("wal_level");
        if (level == "minimal") {
          throw Error(ErrorCode::kFailed, level);
        }
        return level;
      }));
  results.push_back(
      probed("max_wal_senders", true,
             "A backup needs two beside those in use: raise max_wal_senders.", [&] {
               const std::string most = show("max_wal_senders");
               const std::string used =
                   connection.run(context, "SELECT count(*) FROM pg_stat_replication").text(0, 0);
               if (std::stoi(most) - std::stoi(used) < 2) {
                 throw Error(ErrorCode::kFailed, used + " of " + most + " in use");
               }
               return used + " of " + most + " in use";
             }));
  const std::string wal = source.settings.text("wal", "stream");
  if (wal == "archive") {
    results.push_back(probed(
        "archive_command", false,
        "Set archive_mode = on and archive_command = 'salvor ... wal push %p' (docs/postgres.md).",
        [&] {
          const std::string mode = show("archive_mode");
          const std::string command = show("archive_command");
          if (mode == "off" || command.find("wal push") == std::string::npos) {
            throw Error(ErrorCode::kFailed, "archive_mode " + mode + ", not to Salvor");
          }
          return "archive_mode " + mode;
        }));
  } else if (wal == "stream") {
    const std::string slot = source.settings.text("slot", "salvor");
    results.push_back(
        probed("replication slot " + slot, false,
               "`salvor wal stream` follows the log; --create-slot makes its slot.", [&] {
                 const auto found = connection.run(context,
                                                   "SELECT active FROM pg_replication_slots WHERE "
                                                   "slot_name = " +
                                                       connection.quote_literal(slot));
                 if (found.rows.empty()) {
                   throw Error(ErrorCode::kNotFound, "it is not there");
                 }
                 if (found.text(0, 0) != "t") {
                   throw Error(ErrorCode::kFailed, "nobody follows it");
                 }
                 return std::string("followed");
               }));
  }
}

}  // namespace

std::vector<ProbeResult> probe_postgres(const StoreSite& site, const Context& context,
                                        const SourceSpec& source) {
  std::vector<ProbeResult> results = probe_repository(site, context, source);
  int version = 0;
  results.push_back(probed("connection", true, "Check the source's url.", [&] {
    const postgres::ConnectionTarget target = source_target(site, source);
    Connection connection(context, target, ConnectionMode::kSql);
    postgres::require_supported(connection);
    version = connection.server_version();
    probe_settings(context, connection, source, results);
    return "PostgreSQL " + connection.show(context, "server_version") + " at " +
           connection.display();
  }));
  results.push_back(probed(
      "replication right", true,
      "The role needs REPLICATION, and pg_hba.conf a line for the database \"replication\".", [&] {
        Connection connection(context, source_target(site, source), ConnectionMode::kReplication);
        return fmt::format("cluster {}",
                           postgres::identify_system(context, connection).system_identifier);
      }));
  if (version != 0) {
    results.push_back(probed("server programs", false, "", [&] {
      return postgres::find_binaries(source.settings.text("binaries"),
                                     static_cast<unsigned>(version / 10000));
    }));
  }
  if (const std::string data = source.settings.text("data-directory"); !data.empty()) {
    results.push_back(probed("data directory", false,
                             "A restore makes it; until then it shows a wrong path.", [&] {
                               if (!std::filesystem::exists(data + "/PG_VERSION")) {
                                 throw Error(ErrorCode::kNotFound, "no cluster is in " + data);
                               }
                               return data;
                             }));
  }
  return results;
}

}  // namespace salvor::cli
