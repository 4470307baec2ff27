// The audit trail of the command line: one place that records every command which opens a
// repository (O4).
//
// With a repository that is named: off unless `-o audit.trail=on` or SALVOR_AUDIT=on says so; plain
// use as with restic costs nothing more. With one of salvor.yaml: on unless they say off. Commands
// that work on the application as a whole record by themselves what they do
// (application_audit.h). Each command is one record when it ends; what restores, removes or changes
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
[[nodiscard]] AuditOptions audit_options(Session& session, const std::string& state_directory);
// What -o audit.trail and SALVOR_AUDIT say; nothing when they say nothing. Throws Error{kUsage}.
[[nodiscard]] std::optional<bool> audit_wanted(const GlobalOptions& global,
                                               const Environment& environment);
// "postgresql://user:secret@host" -> "postgresql://user:***@host"; also "password=...".
[[nodiscard]] std::string without_passwords(std::string text);
// Where the trail of this machine keeps its own state, and under which name it writes.
[[nodiscard]] std::string audit_state_directory(const Session& session);
[[nodiscard]] std::string audit_writer(const Session& session);

// One run of one command.
class CommandAudit {
 public:
  // Null when the trail is off or the command is none that is recorded. Where nobody said whether
  // it is on, nothing is recorded until `of_configuration`. `path`: from the root on.
  [[nodiscard]] static std::unique_ptr<CommandAudit> of_command(
      const GlobalOptions& global, const Environment& environment,
      const std::vector<const CommandSpec*>& path);

  // The repository is one of a configuration: the command is recorded, in the chain that the
  // application's other commands write, with the hash of that configuration.
  void of_configuration(const std::string& repository_name, const std::string& state_directory,
                        const std::string& configuration_hash);
  // The command has opened its repository, which is kept open until the end has been recorded.
  // Throws what AuditTrail::record_before throws.
  void opened(Session& session, std::shared_ptr<Repository> repository);
  // Nothing is thrown.
  void ended(Session& session, int status, const Error* error = nullptr);

 private:
  CommandAudit(bool wanted, std::string action, bool before, std::string subject, std::string text)
      : wanted_(wanted),
        action_(std::move(action)),
        before_(before),
        subject_(std::move(subject)),
        text_(std::move(text)) {}
  [[nodiscard]] AuditEvent event(std::string phase) const;

  bool wanted_;
  std::string repository_name_;  // of a configuration
  std::string state_directory_;  // empty: this user's
  std::string configuration_;    // its hash
  const std::string action_;
  const bool before_;
  const std::string subject_;
  const std::string text_;
  std::string run_;
  std::shared_ptr<Repository> repository_;
  std::optional<AuditTrail> trail_;
};

}  // namespace salvor::cli
