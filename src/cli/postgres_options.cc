#include "cli/postgres_options.h"

namespace salvor::cli {

OptionSpec dbname_option(PostgresServerOptions& options) {
  return {
      .long_name = "dbname",
      .short_name = 'd',
      .value_name = "connection",
      .help =
          "the server: a URI (postgresql://user@host/db) or key=value pairs; put passwords into "
          "~/.pgpass or $PGPASSWORD, where `ps` does not show them",
      .target = &options.dbname,
      .default_text = "$DATABASE_URL, else libpq's variables such as $PGHOST"};
}

postgres::ConnectionTarget connection_target(const PostgresServerOptions& options,
                                             const Environment& environment) {
  if (!options.dbname.empty()) {
    return {options.dbname};
  }
  return {environment.get("DATABASE_URL").value_or("")};
}

}  // namespace salvor::cli
