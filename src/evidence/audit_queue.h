// What is to be recorded while the repository is not open: events of jobs are noted when they
// happen and delivered to the trail the next time somebody opens the repository, by this command or
// a later one (O4).
//
//   <state>/audit/queue/<repository's name>/<writer>/<number>    an unsigned record (audit_spool.h)
//
// A note is durable when `note` returns: neither a crash nor a repository that is away loses it.
// Several processes take turns.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "evidence/audit_trail.h"

namespace salvor {

// Not thread-safe.
class AuditQueue {
 public:
  // As for AuditTrail.
  explicit AuditQueue(AuditOptions options) : options_(std::move(options)) {}

  // `repository`: its name in the configuration. Does not throw: where this machine's disk takes
  // no record, it is kept in memory until `deliver`, and a Warning says so.
  void note(const Context& context, const std::string& repository, const AuditEvent& event);

  // Everything noted for `repository`, in its order, into its trail. What cannot be stored stays,
  // here or in the trail's own spool. Does not throw. Returns how many records went.
  size_t deliver(const Context& context, const std::string& repository, const Repository& open);

  // How many wait.
  [[nodiscard]] size_t waiting(const std::string& repository) const;

 private:
  [[nodiscard]] std::string directory(const std::string& repository) const;

  AuditOptions options_;
  std::map<std::string, std::vector<AuditRecord>> in_memory_;
};

}  // namespace salvor
