// The audit trail of the command line: one place that records every command which opens a
// repository (O4).
//
// Off unless `-o audit.trail=on` or SALVOR_AUDIT=on says so: plain use as with restic costs nothing
// more. Commands that work on the application of a configuration record by themselves what they do
// (`make_audit_trail`). Each command is one record when it ends; what restores, removes or changes
// keys is recorded before it begins as well, and does not begin when that is impossible.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/command.h"
#include "cli/session.h"
#include "evidence/audit_trail.h"
#include "repo/repository.h"

namespace salvor::cli {

// `state_directory`: of the configuration; empty: -o audit.state, else where this user's state is.
// The session and the repository must outlive it.
[[nodiscard]] AuditTrail make_audit_trail(Session& session, const Repository& repository,
                                          const std::string& state_directory = {});
// Where the trail of this machine keeps its own state, and under which name it writes.
[[nodiscard]] std::string audit_state_directory(const Session& session);
[[nodiscard]] std::string audit_writer(const Session& session);

// One run of one command.
class CommandAudit {
 public:
  // Null when the trail is off or the command is none that is recorded. `path`: from the root on.
  [[nodiscard]] static std::unique_ptr<CommandAudit> of_command(
      const GlobalOptions& global, const Environment& environment,
      const std::vector<const CommandSpec*>& path);

  // The command has opened its repository, which is kept open until the end has been recorded.
  // Throws what AuditTrail::record_before throws.
  void opened(Session& session, std::shared_ptr<Repository> repository);
  // Nothing is thrown.
  void ended(Session& session, int status, const Error* error = nullptr);

 private:
  CommandAudit(std::string action, bool before, std::string subject, std::string text)
      : action_(std::move(action)),
        before_(before),
        subject_(std::move(subject)),
        text_(std::move(text)) {}
  [[nodiscard]] AuditEvent event(std::string phase) const;

  const std::string action_;
  const bool before_;
  const std::string subject_;
  const std::string text_;
  std::string run_;
  std::shared_ptr<Repository> repository_;
  std::optional<AuditTrail> trail_;
};

}  // namespace salvor::cli
