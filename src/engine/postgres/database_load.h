// Restores a whole logical backup.
//
// Into a database of its own, beside the one that is there: loaded by several connections, checked,
// and only then given the name, in one transaction with the renaming of the old one, which is kept
// (R11). Whatever fails before that leaves the old database as it was. Where databases cannot be
// made (some managed servers), everything is one transaction in the existing, empty database.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "engine/restore/dump_view.h"

namespace salvor {

struct DatabaseLoadOptions {
  postgres::ConnectionTarget server;
  std::string database;  // the name in the end
  unsigned jobs = 2;
  std::string client_programs;  // folder of pg_restore; empty: looked for
  bool in_place = false;
  bool no_owner = false;       // everything belongs to whoever restores
  bool no_privileges = false;  // no GRANTs
  std::function<void(const std::string&)> on_step;
};

// What is in the way, shown before anything is done.
struct DatabaseImpact {
  std::string server;
  std::string database;
  bool exists = false;
  uint64_t tables = 0;
  uint64_t rows = 0;  // as the server estimates them
  uint64_t bytes = 0;
  uint64_t connections = 0;  // that will be ended
};

struct DatabaseLoadResult {
  std::string kept_as;  // the old database's name now; empty: there was none
  uint64_t tables = 0;
  uint64_t rows = 0;
  std::vector<std::string> warnings;
};

class DatabaseLoader {
 public:
  DatabaseLoader(const DumpView& dump, DatabaseLoadOptions options)
      : dump_(dump), options_(std::move(options)) {}

  // Reads only. Throws when the restore cannot work (no schema in the backup, programs missing,
  // roles missing).
  [[nodiscard]] DatabaseImpact examine(const Context& context);
  // Throws Error when the database is not there as it was in the backup; what was there before is
  // then untouched.
  [[nodiscard]] DatabaseLoadResult run(const Context& context);

 private:
  void step(const std::string& text) const;
  void require_roles(const Context& context, postgres::Connection& server) const;
  [[nodiscard]] postgres::ConnectionTarget maintenance() const;
  [[nodiscard]] std::string side_name(const Context& context) const;
  [[nodiscard]] std::string create_command(const postgres::Connection& server,
                                           const std::string& name) const;
  [[nodiscard]] std::string section(const Context& context, const std::string& name) const;
  [[nodiscard]] std::vector<std::string> restore_arguments(const std::string& section) const;
  void run_section(const Context& context, postgres::Connection& connection,
                   const std::string& name) const;
  void load(const Context& context, const postgres::ConnectionTarget& target,
            DatabaseLoadResult& result);
  void load_rows(const Context& context, const postgres::ConnectionTarget& target) const;
  void load_large_objects(const Context& context, postgres::Connection& connection) const;
  void build_indexes(const Context& context, postgres::Connection& connection) const;
  void run_script(const Context& context, postgres::Connection& connection,
                  const std::string& path) const;
  void apply_settings(const Context& context, postgres::Connection& server, const std::string& name,
                      DatabaseLoadResult& result) const;
  void verify(const Context& context, const postgres::ConnectionTarget& target,
              DatabaseLoadResult& result) const;
  void take_over(const Context& context, postgres::Connection& server, const std::string& side,
                 DatabaseLoadResult& result) const;
  void load_in_place(const Context& context, DatabaseLoadResult& result);

  const DumpView& dump_;
  const DatabaseLoadOptions options_;
  std::string archive_;  // of the schema
  std::string tools_;
  bool exists_ = false;
};

// After a restore that has kept the old database as `kept`: it gets its name again, and what has
// the name now is dropped. Can be repeated after a failure. Throws Error.
void exchange_databases(const Context& context, const postgres::ConnectionTarget& target,
                        const std::string& name, const std::string& kept);
// Drops `kept`, the old database of `name`, if it is there. Throws Error.
void drop_database(const Context& context, const postgres::ConnectionTarget& target,
                   const std::string& name, const std::string& kept);

// Ends all other sessions of a database. Throws Error{kPermission} when that is not allowed.
void end_connections(const Context& context, postgres::Connection& server,
                     const std::string& database);

}  // namespace salvor
