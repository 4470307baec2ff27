#include "engine/postgres/earlier_backup.h"

namespace salvor {
namespace {

// What has not changed for so many backups is cold.
constexpr size_t kColdBackups = 5;

}  // namespace

postgres::EarlierBackup EarlierPhysicalBackup::describe() const {
  return {.facts = backup.facts,
          .name = backup.snapshot.id.short_hex(),
          .files = files.get(),
          .hot_since = hot_since};
}

std::optional<EarlierPhysicalBackup> find_earlier_backup(const Context& context,
                                                         const Repository& repository,
                                                         uint64_t system_identifier) {
  std::vector<PhysicalBackup> backups =
      physical_backups(context, repository, system_identifier, DamagedSnapshots::kLeftOut);
  if (backups.empty()) {
    return std::nullopt;
  }
  EarlierPhysicalBackup earlier;
  if (backups.size() >= kColdBackups) {
    earlier.hot_since = backups[backups.size() - kColdBackups].facts.start;
  }
  earlier.backup = std::move(backups.back());
  earlier.files =
      std::make_unique<EarlierSnapshot>(context, repository, earlier.backup.snapshot.snapshot.tree);
  return earlier;
}

}  // namespace salvor
