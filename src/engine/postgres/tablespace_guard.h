// A tablespace lies outside of the data directory, and its path is all that a backup knows about
// it: on the machine where the original lives on, that is the directory which the original uses.
#pragma once

#include <string>
#include <vector>

namespace salvor {

// A directory that holds something and that a restore wants for a tablespace.
struct TablespaceClaim {
  std::string path;
  std::vector<std::string> names;  // what the backup has there: "PG_15_202209061"
  // Data directories of the cluster that is replaced: where it is, or was moved to.
  std::vector<std::string> clusters;
  bool moves = false;  // all that is there is to be renamed, not only changed below `names`
};

// Throws Error{kUsage} unless one of the clusters has a tablespace there (pg_tblspc links to it),
// or when another cluster's would be moved along with it.
void require_own_tablespace(const TablespaceClaim& claim);

}  // namespace salvor
