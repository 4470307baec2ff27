// The last physical backup of a cluster, as the base of the next one.
#pragma once

#include <memory>
#include <optional>

#include "connector/postgres/incremental_plan.h"
#include "engine/backup/earlier_snapshot.h"
#include "engine/postgres/wal_archive.h"

namespace salvor {

struct EarlierPhysicalBackup {
  PhysicalBackup backup;
  std::unique_ptr<EarlierSnapshot> files;
  postgres::Lsn hot_since;

  // Refers to this object.
  [[nodiscard]] postgres::EarlierBackup describe() const;
};

// Nothing when there is none. The index must be loaded and a lock held for as long as it is used.
[[nodiscard]] std::optional<EarlierPhysicalBackup> find_earlier_backup(const Context& context,
                                                                       const Repository& repository,
                                                                       uint64_t system_identifier);

}  // namespace salvor
