#include "cli/application/application_audit.h"

#include <fmt/format.h>

#include "cli/application/configuration_access.h"
#include "cli/command_audit.h"
#include "config/fingerprint.h"
#include "model/utc_text.h"

namespace salvor::cli {
namespace {

constexpr size_t kKeysNamed = 20;
constexpr size_t kHashShown = 12;

std::string_view action_of(RunKind kind) {
  switch (kind) {
    case RunKind::kBackup:
      return "backup";
    case RunKind::kRestore:
      return "restore";
    case RunKind::kDrill:
      return "drill";
    case RunKind::kPlan:
      return "plan";
    case RunKind::kRetention:
      return "retention";
    case RunKind::kCopy:
      return "copy";
    case RunKind::kVerify:
    case RunKind::kCheck:
      break;
  }
  return "verification";
}

// "restore test of db": what a person calls it.
std::string title_of(const RunRecord& record) {
  const std::string what = record.kind == RunKind::kVerify  ? "restore test"
                           : record.kind == RunKind::kCheck ? "check"
                                                            : std::string(name_of(record.kind));
  std::string text = what + (record.subject.empty() ? "" : " of " + record.subject);
  if (record.kind == RunKind::kCopy) {
    text += " to " + record.repository;
  }
  return text;
}

void add(AuditEvent& event, const char* name, const std::string& value) {
  if (!value.empty()) {
    event.details.emplace_back(name, value);
  }
}

std::string keys_text(const std::vector<std::string>& keys) {
  std::string text;
  for (size_t i = 0; i < std::min(keys.size(), kKeysNamed); ++i) {
    text += (i == 0 ? "" : ", ") + keys[i];
  }
  return keys.size() > kKeysNamed ? text + fmt::format(" and {} more", keys.size() - kKeysNamed)
                                  : text;
}

AuditEvent event_of(const config::ConfigurationChange& change, const Application& application) {
  AuditEvent event{.action = "configuration",
                   .phase = {},
                   .outcome = change.before.empty() ? "first seen" : "changed",
                   .subject = application.file,
                   .text = {},
                   .run = {},
                   .details = {}};
  event.text = change.before.empty()
                   ? fmt::format("{} is {}", application.file, change.after.substr(0, kHashShown))
                   : fmt::format("{} was {}, is {}: {}", application.file,
                                 change.before.substr(0, kHashShown),
                                 change.after.substr(0, kHashShown), keys_text(change.keys));
  add(event, "before", change.before);
  add(event, "after", change.after);
  add(event, "keys", keys_text(change.keys));
  add(event, "environment", application.environment);
  return event;
}

}  // namespace

AuditEvent audit_event_of(const RunRecord& record) {
  AuditEvent event{.action = std::string(action_of(record.kind)),
                   .phase = {},
                   .outcome = std::string(name_of(record.outcome)),
                   .subject = record.subject,
                   .text = title_of(record),
                   .run = record.id,
                   .details = {}};
  add(event, "repository", record.repository);
  add(event, "snapshot", record.snapshot);
  add(event, "captured", record.captured ? utc_text(*record.captured) : "");
  add(event, "reached", record.reached ? utc_text(*record.reached) : "");
  add(event, "scenario", record.scenario);
  add(event, "plan-hash", record.plan_hash);
  for (const auto& [name, value] : record.facts) {
    if (name.starts_with("kept") || name.starts_with("removed") || name == "end" || name == "run") {
      add(event, name.c_str(), value);
    }
  }
  add(event, "error", without_passwords(record.error));
  return event;
}

ApplicationAudit::ApplicationAudit(Session& session, const config::Configuration& configuration)
    : session_(session),
      configuration_(configuration),
      on_(audit_wanted(session.global, session.environment).value_or(true)) {
  if (!on_) {
    return;
  }
  make_state_directory(configuration.application);
  options_ = audit_options(session, configuration.application.state_directory);
  queue_.emplace(*options_);
  see_configuration();
}

void ApplicationAudit::see_configuration() {
  const config::Fingerprint print = config::fingerprint_of(configuration_.tree);
  hash_ = print.hash;
  const Application& application = configuration_.application;
  try {
    config::note_configuration(application.state_directory + "/audit/configuration", print,
                               [&](const config::ConfigurationChange& change) {
                                 note(session_.context, home(), event_of(change, application));
                               });
  } catch (const Error& error) {
    // Who may only look (another user, `status` on a dashboard) cannot be the first to see it.
    if (error.code() != ErrorCode::kPermission) {
      session_.terminal.warn(
          "whether the configuration has changed cannot be recorded: " + error.message(),
          error.hint());
    }
  }
}

std::string ApplicationAudit::home() const {
  const Application& application = configuration_.application;
  const RepositorySpec* main = find_named(application.repositories, "main");
  return main != nullptr                    ? main->name
         : application.repositories.empty() ? std::string()
                                            : application.repositories.front().name;
}

void ApplicationAudit::complete(AuditEvent& event) const {
  add(event, "configuration", hash_);
}

void ApplicationAudit::note(const Context& context, const std::string& repository,
                            AuditEvent event) {
  if (!on_) {
    return;
  }
  complete(event);
  queue_->note(context.with_stop({}), repository.empty() ? home() : repository, event);
}

void ApplicationAudit::note_run(const Context& context, const RunRecord& record) {
  if (record.outcome != RunOutcome::kMissed) {
    note(context, record.repository, audit_event_of(record));
  }
}

void ApplicationAudit::deliver(const Context& context, const std::string& repository,
                               const Repository& open) {
  if (on_) {
    static_cast<void>(queue_->deliver(context.with_stop({}), repository, open));
  }
}

void ApplicationAudit::begin(const Context& context, const Repository& open, AuditEvent event) {
  if (!on_) {
    return;
  }
  complete(event);
  event.phase = "begun";
  static_cast<void>(AuditTrail(open, *options_).record_before(context, event));
}

}  // namespace salvor::cli
