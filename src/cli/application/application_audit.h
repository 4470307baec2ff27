// The audit trail of commands that work on the application of a configuration: on, unless
// `-o audit.trail=off` or SALVOR_AUDIT=off says otherwise (O4).
//
// What happens is noted on this machine's disk (evidence/audit_queue.h) and reaches the trail of
// the repository that it happened to as soon as a command has it open. What destroys something is
// in the trail before it begins. The first command that sees another configuration than the last
// one saw records that, with both hashes and the keys that changed, in the main repository.
#pragma once

#include <optional>
#include <string>

#include "cli/session.h"
#include "config/configuration.h"
#include "evidence/audit_queue.h"
#include "model/run_record.h"

namespace salvor::cli {

// Not thread-safe. The session and the configuration must outlive it.
class ApplicationAudit {
 public:
  // Records a change of the configuration. Throws Error{kUsage} for a wrong audit.trail.
  ApplicationAudit(Session& session, const config::Configuration& configuration);

  [[nodiscard]] bool on() const { return on_; }

  // Nothing of these throws but `begin`; what goes wrong is a warning.
  // `repository`: its name in the configuration.
  void note(const Context& context, const std::string& repository, AuditEvent event);
  // The end of a run; nothing for one that was only missed.
  void note_run(const Context& context, const RunRecord& record);
  // The repository is open: what waits for it goes into its trail.
  void deliver(const Context& context, const std::string& repository, const Repository& open);

  // Before something is destroyed. Throws Error when no record can be made durable.
  void begin(const Context& context, const Repository& open, AuditEvent event);

  // Of the configuration in effect; empty when it is off.
  [[nodiscard]] const std::string& configuration_hash() const { return hash_; }
  // Where changes of the configuration are recorded: `main`, else the first repository.
  [[nodiscard]] std::string home() const;

 private:
  void see_configuration();
  void complete(AuditEvent& event) const;

  Session& session_;
  const config::Configuration& configuration_;
  const bool on_;
  std::string hash_;  // of the configuration
  std::optional<AuditOptions> options_;
  std::optional<AuditQueue> queue_;
};

// The event that the end of a run is.
[[nodiscard]] AuditEvent audit_event_of(const RunRecord& record);

}  // namespace salvor::cli
