#include "connector/postgres/damage_report.h"

#include <algorithm>

#include <fmt/format.h>

namespace salvor::postgres {
namespace {

constexpr size_t kBlocksInMessage = 8;

// "17, 18, 23 and 4 more"
std::string block_list(const DamagedPages& pages) {
  std::string list;
  const size_t shown = std::min(pages.blocks.size(), kBlocksInMessage);
  for (size_t i = 0; i < shown; ++i) {
    list += (i == 0 ? "" : ", ") + std::to_string(pages.blocks[i]);
  }
  return pages.count > shown ? list + fmt::format(" and {} more", pages.count - shown) : list;
}

// "public.accounts" if it can be found out, else "".
std::string relation_name(const Context& context, const RelationFile& file, ConnectionTarget target,
                          Connection& helper) {
  try {
    std::string database;
    if (file.database != 0) {
      database = helper
                     .run(context, "SELECT datname FROM pg_database WHERE oid = " +
                                       std::to_string(file.database))
                     .text(0, 0);
    }
    target.database = database;
    Connection sql(context, target, ConnectionMode::kSql);
    constexpr uint32_t kGlobalTablespace = 1664;
    const uint32_t tablespace = file.database == 0 ? kGlobalTablespace : file.tablespace;
    const ResultSet answer =
        sql.run(context, fmt::format("SELECT pg_filenode_relation({}, {})::regclass::text",
                                     tablespace, file.file_number));
    std::string name = answer.text(0, 0);
    return database.empty() ? name : name.append(" in database ").append(database);
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kCancelled) {
      throw;
    }
    return "";  // the path says the same, less kindly
  }
}

}  // namespace

void report_damage(const Context& context, TreeSink& sink, const BackupResults& results,
                   bool server_found, const ConnectionTarget& target, Connection* sql) {
  const std::vector<DamagedPages> damaged = results.damaged();
  for (const DamagedPages& pages : damaged) {
    const std::string name =
        sql != nullptr ? relation_name(context, pages.relation, target, *sql) : "";
    sink.report_unreadable(
        "/" + pages.path,
        Error(ErrorCode::kDamaged,
              fmt::format("{} with a wrong checksum: block {}{}",
                          pages.count == 1 ? "a page" : std::to_string(pages.count) + " pages",
                          block_list(pages), name.empty() ? "" : " of " + name),
              "The disk or memory of the database server damaged it. The backup holds the page as "
              "it is "
              "and is marked pg:damaged. Look into the table, and keep older backups."));
  }
  if (server_found && damaged.empty()) {
    sink.report_unreadable(
        "/", Error(ErrorCode::kDamaged, "the server found pages with wrong checksums",
                   "Its log names them. The backup is marked pg:damaged; keep older backups."));
  }
}

}  // namespace salvor::postgres
