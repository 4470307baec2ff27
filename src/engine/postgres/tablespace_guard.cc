#include "engine/postgres/tablespace_guard.h"

#include <algorithm>
#include <filesystem>

#include "base/error.h"
#include "base/fd.h"
#include "base/format.h"
#include "connector/postgres/control_file.h"

namespace salvor {
namespace {

namespace fs = std::filesystem;

constexpr const char* kElsewhere =
    "--tablespaces-in puts the restored cluster's tablespaces into another directory, "
    "--tablespace-mapping a single one.";

bool links_to(const std::string& data, const std::string& path) {
  std::error_code ignored;
  for (const fs::directory_entry& entry : fs::directory_iterator(data + "/pg_tblspc", ignored)) {
    if (entry.is_symlink(ignored) && fs::equivalent(entry.path(), path, ignored)) {
      return true;
    }
  }
  return false;
}

// The cluster's own directory in each of its tablespaces; "" when it cannot be told.
std::string version_directory(const std::string& data) {
  try {
    const postgres::ControlFile control =
        postgres::parse_control_file(read_file(data + "/global/pg_control", 1U << 20).view());
    return "PG_" + std::to_string(control.major_version) + "_" +
           std::to_string(control.catalog_version);
  } catch (const Error&) {
    return "";
  }
}

}  // namespace

void require_own_tablespace(const TablespaceClaim& claim) {
  const bool own = std::any_of(claim.clusters.begin(), claim.clusters.end(),
                               [&](const std::string& data) { return links_to(data, claim.path); });
  if (!own) {
    throw Error(ErrorCode::kUsage,
                "the tablespace directory " + printable(claim.path) +
                    " is not empty, and it is not one of the cluster that is replaced",
                "Another cluster may be using it, such as the original of this copy. " +
                    std::string(kElsewhere));
  }
  if (!claim.moves) {
    return;
  }
  std::vector<std::string> names = claim.names;
  for (const std::string& data : claim.clusters) {
    names.push_back(version_directory(data));
  }
  for (const fs::directory_entry& entry : fs::directory_iterator(claim.path)) {
    const std::string name = entry.path().filename();
    if (name.starts_with("PG_") && std::find(names.begin(), names.end(), name) == names.end()) {
      throw Error(ErrorCode::kUsage,
                  "the tablespace directory " + printable(claim.path) + " holds " +
                      printable(name) + ", too, which is another cluster's",
                  "It would be moved along. " + std::string(kElsewhere) +
                      " --existing overwrite leaves it alone.");
    }
  }
}

}  // namespace salvor
