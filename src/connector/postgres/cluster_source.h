// What the two ways to a physical backup (over the protocol, from the data directory) have in
// common for those who run them.
#pragma once

#include <functional>
#include <string>

#include "connector/postgres/backup_facts.h"
#include "connector/postgres/incremental_plan.h"
#include "connector/source.h"

namespace salvor::postgres {

class ClusterSource : public Source {
 public:
  // The cluster's last backup, for what has not changed since; before stream_into. `tell` is called
  // from there with what became of it, for people.
  virtual void build_upon(EarlierBackup earlier, std::function<void(const std::string&)> tell) = 0;
  [[nodiscard]] virtual uint64_t system_identifier() const = 0;
  [[nodiscard]] virtual const std::string& server_version() const = 0;  // "15.18"
  [[nodiscard]] virtual std::string display() const = 0;
  [[nodiscard]] virtual bool page_checksums() const = 0;
  // How much there is to read; 0 until it is known. Thread-safe.
  [[nodiscard]] virtual uint64_t estimated_bytes() const = 0;
  // After finish.
  [[nodiscard]] virtual const BackupFacts& facts() const = 0;
};

}  // namespace salvor::postgres
