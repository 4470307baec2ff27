#include "cli/stores/logical_probe.h"

#include <fmt/format.h>

#include "cli/stores/logical_store.h"
#include "cli/stores/postgres_store.h"
#include "connector/postgres/logical/client_tools.h"
#include "connector/postgres/logical/snapshot_session.h"

namespace salvor::cli {

ProbeResult probed(const std::string& name, bool fatal, const std::string& hint,
                   const std::function<std::string()>& body) {
  ProbeResult result{.name = name, .ok = false, .fatal = fatal, .found = {}, .hint = {}};
  try {
    result.found = body();
    result.ok = true;
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kCancelled) {
      throw;
    }
    result.found = error.message();
    result.hint = error.hint().empty() ? hint : error.hint();
  }
  return result;
}

std::vector<ProbeResult> probe_logical(const StoreSite& site, const Context& context,
                                       const SourceSpec& source) {
  std::vector<ProbeResult> results = probe_repository(site, context, source);
  unsigned version = 0;
  results.push_back(probed("connection", true, "Check the source's url.", [&] {
    postgres::ConnectionTarget target = source_target(site, source);
    if (const auto names = source.settings.list("databases"); !names.empty()) {
      target.database = names.front();
    }
    postgres::Connection connection(context, target, postgres::ConnectionMode::kSql);
    postgres::require_supported(connection);
    postgres::refuse_transaction_pooler(context, target, connection);
    version = static_cast<unsigned>(connection.server_version()) / 10000;
    return "PostgreSQL " + connection.show(context, "server_version") + " at " +
           connection.display();
  }));
  if (version != 0) {
    for (const char* const program : {"pg_dump", "pg_restore"}) {
      results.push_back(probed(program, std::string_view(program) == "pg_dump",
                               fmt::format("Install postgresql-client-{}.", version), [&] {
                                 return postgres::find_client_tools(client_programs_of(source),
                                                                    program, version);
                               }));
    }
  }
  return results;
}

}  // namespace salvor::cli
