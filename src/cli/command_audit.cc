#include "cli/command_audit.h"

#include <algorithm>
#include <array>

#include <unistd.h>

#include "cli/application/configured_repository.h"
#include "cli/application/evidence_commands.h"
#include "cli/parser.h"
#include "cli/secret_reader.h"
#include "evidence/audit_queue.h"
#include "repo/run_records.h"

namespace salvor::cli {
namespace {

struct Kind {
  std::string_view command;  // "key add", or the beginning of such
  std::string_view action;   // empty: not recorded
  bool before;               // recorded before it begins
};

// The first that fits. What is not here reads: "access".
constexpr std::array<Kind, 29> kKinds{{
    {"backup", "backup", false},
    {"postgres backup", "backup", false},
    {"postgres dump", "backup", false},
    {"postgres export", "access", false},
    {"postgres restore", "restore", true},
    {"postgres load", "restore", true},
    {"postgres undelete", "restore", true},
    {"postgres verify", "verification", false},
    {"restore", "restore", true},
    {"check", "verification", false},
    {"copy", "copy", false},
    {"import", "copy", true},
    {"forget", "retention", true},
    {"prune", "retention", true},
    {"retention", "retention", true},
    {"wal prune", "retention", true},
    {"wal verify", "verification", false},
    {"wal", "", false},  // a record for each segment would be a second archive
    {"rewrite", "retention", true},
    {"tag", "retention", true},
    {"key list", "access", false},
    {"key", "key", true},
    {"evidence key new", "key", true},
    {"audit", "", false},
    {"repair", "repair", true},
    {"rebuild-index", "repair", true},
    {"recover", "repair", true},
    {"migrate", "configuration", true},
    {"unlock", "repair", true},
}};

// Options whose values say what was done and cannot hold a secret.
constexpr std::array<std::string_view, 13> kTold{"target", "host",     "tag",    "path", "label",
                                                 "to",     "to-time",  "to-lsn", "keep", "user",
                                                 "from",   "snapshot", "reason"};

void append(std::string& text, const std::string& value) {
  if (!value.empty()) {
    text += " " + without_passwords(value);
  }
}

template <class Target>
std::vector<std::string> values_of(const Target& target) {
  return std::visit(
      [](const auto* value) -> std::vector<std::string> {
        using Type = std::remove_cvref_t<decltype(*value)>;
        if constexpr (std::is_same_v<Type, std::string>) {
          return {*value};
        } else if constexpr (std::is_same_v<Type, std::optional<std::string>>) {
          return {value->value_or("")};
        } else if constexpr (std::is_same_v<Type, std::vector<std::string>>) {
          return *value;
        } else {
          return {};
        }
      },
      target);
}

std::string option_of(const GlobalOptions& global, std::string_view name) {
  std::string value;
  for (const std::string& option : global.extended) {
    if (option.starts_with(std::string(name) + "=")) {
      value = option.substr(name.size() + 1);
    }
  }
  return value;
}

std::string outcome_of(int status) {
  return status == 0 ? "succeeded"
         : status == exit_status(ErrorCode::kIncomplete)
             ? "incomplete"
             : (status == exit_status(ErrorCode::kCancelled) ? "interrupted" : "failed");
}

}  // namespace

std::string without_passwords(std::string text) {
  const size_t scheme = text.find("://");
  // The last one: a password may hold others that nobody has escaped.
  const size_t at = scheme == std::string::npos
                        ? scheme
                        : text.substr(0, text.find_first_of(" '\"\n", scheme)).rfind('@');
  if (at != std::string::npos && at > scheme) {
    const size_t colon = text.find(':', scheme + 3);
    if (colon < at) {
      text.replace(colon + 1, at - colon - 1, "***");
    }
  }
  for (const char* name : {"password", "passwd", "secret", "token"}) {
    if (const size_t found = text.find(std::string(name) + "="); found != std::string::npos) {
      text.resize(text.find('=', found) + 1);
      text += "***";
    }
  }
  return text;
}

std::optional<bool> audit_wanted(const GlobalOptions& global, const Environment& environment) {
  std::string value = option_of(global, "audit.trail");
  if (value.empty()) {
    value = environment.get("SALVOR_AUDIT").value_or("");
  }
  if (value.empty()) {
    return {};
  }
  if (value != "on" && value != "off") {
    throw Error(ErrorCode::kUsage, "audit.trail is neither on nor off: \"" + value + "\"");
  }
  return value == "on";
}

std::string audit_state_directory(const Session& session) {
  const Environment& environment = session.environment;
  if (std::string chosen = option_of(session.global, "audit.state"); !chosen.empty()) {
    return chosen;
  }
  if (configured_session(session) != nullptr) {
    return session.configured->application().state_directory;
  }
  if (const auto systemd = environment.get("STATE_DIRECTORY")) {
    return systemd->substr(0, systemd->find(':'));
  }
  if (const auto state = environment.get("XDG_STATE_HOME")) {
    return *state + "/salvor";
  }
  if (::geteuid() == 0) {
    return "/var/lib/salvor";
  }
  return environment.get("HOME").value_or("/tmp") + "/.local/state/salvor";
}

std::string audit_writer(const Session& session) {
  const std::string chosen = option_of(session.global, "audit.writer");
  return audit_writer_name(chosen.empty() ? current_host_name() : chosen);
}

AuditTrail make_audit_trail(Session& session, const Repository& repository,
                            const std::string& state_directory) {
  return {repository, audit_options(session, state_directory)};
}

AuditOptions audit_options(Session& session, const std::string& state_directory) {
  return {
      .state_directory = state_directory.empty() ? audit_state_directory(session) : state_directory,
      .writer = audit_writer(session),
      .who = who(session),
      .program = "salvor " SALVOR_VERSION,
      .reader = secret_reader(session)};
}

std::unique_ptr<CommandAudit> CommandAudit::of_command(
    const GlobalOptions& global, const Environment& environment,
    const std::vector<const CommandSpec*>& path) {
  const std::optional<bool> wanted = audit_wanted(global, environment);
  if (wanted == false) {
    return nullptr;
  }
  std::string command = command_path_text({path.begin() + 1, path.end()});
  const Kind* kind = std::find_if(kKinds.begin(), kKinds.end(), [&](const Kind& one) {
    return command == one.command || command.starts_with(std::string(one.command) + " ");
  });
  const Kind found = kind == kKinds.end() ? Kind{command, "access", false} : *kind;
  if (found.action.empty()) {
    return nullptr;
  }
  const CommandSpec& spec = *path.back();
  std::string subject;
  for (const PositionalSpec& positional : spec.positionals) {
    for (const std::string& value : values_of(positional.target)) {
      append(subject, value);
    }
  }
  subject.erase(0, 1);
  std::string text = command + (subject.empty() ? "" : " " + subject);
  for (const OptionSpec& option : spec.options) {
    if (std::find(kTold.begin(), kTold.end(), option.long_name) != kTold.end()) {
      for (const std::string& value : values_of(option.target)) {
        append(text, value.empty() ? "" : "--" + option.long_name + " " + value);
      }
    }
  }
  return std::unique_ptr<CommandAudit>(new CommandAudit(wanted.value_or(false),
                                                        std::string(found.action), found.before,
                                                        std::move(subject), std::move(text)));
}

void CommandAudit::of_configuration(const std::string& repository_name,
                                    const std::string& state_directory,
                                    const std::string& configuration_hash) {
  wanted_ = true;
  configuration_ = configuration_hash;
  repository_name_ = repository_name;
  state_directory_ = state_directory;
}

AuditEvent CommandAudit::event(std::string phase) const {
  AuditEvent event{.action = action_,
                   .phase = std::move(phase),
                   .outcome = {},
                   .subject = subject_,
                   .text = text_,
                   .run = run_,
                   .details = {}};
  if (!configuration_.empty()) {
    event.details.emplace_back("configuration", configuration_);
  }
  return event;
}

void CommandAudit::opened(Session& session, std::shared_ptr<Repository> repository) {
  // Nobody reads what nothing can be written to; and the second repository of one command.
  if (!wanted_ || repository_ || (!before_ && repository->storage().traits().read_only)) {
    return;
  }
  repository_ = std::move(repository);
  run_ = make_run_id(session.context.random);
  trail_.emplace(make_audit_trail(session, *repository_, state_directory_));
  if (before_) {
    (void)trail_->record_before(session.context, event("begun"));
  }
}

void CommandAudit::ended(Session& session, int status, const Error* error) {
  if (!trail_) {
    return;
  }
  AuditEvent end = event(before_ ? "ended" : "");
  end.outcome = outcome_of(status);
  end.details.emplace_back("status", std::to_string(status));
  if (error != nullptr) {
    end.details.emplace_back("error", without_passwords(error->message()));
  }
  if (!repository_name_.empty()) {
    AuditQueue queue(audit_options(session, state_directory_));
    static_cast<void>(queue.deliver(session.context.with_stop({}), repository_name_, *repository_));
  }
  // Also what was interrupted is recorded.
  (void)trail_->record(session.context.with_stop({}), end);
  trail_.reset();
  repository_.reset();
}

}  // namespace salvor::cli
