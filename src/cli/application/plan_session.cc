#include "cli/application/plan_session.h"

#include <algorithm>
#include <cerrno>
#include <thread>

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include "base/format.h"
#include "base/suggest.h"
#include "catalog/run_log.h"
#include "cli/repository_access.h"
#include "plan/default_plan.h"

namespace salvor::cli {
namespace {

// A line that is there now; nothing when none is. A closed input counts as "no".
std::optional<std::string> line_ready(int wait_ms) {
  pollfd polled{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0};
  if (::poll(&polled, 1, wait_ms) != 1) {
    return {};
  }
  std::array<char, 256> buffer{};
  const ssize_t got = ::read(STDIN_FILENO, buffer.data(), buffer.size());
  if (got <= 0) {
    return "";
  }
  std::string text(buffer.data(), static_cast<size_t>(got));
  return text.substr(0, text.find('\n'));
}

bool is_yes(const std::string& text) {
  return text == "yes" || text == "y" || text == "Y" || text == "YES";
}

}  // namespace

TerminalPeople::TerminalPeople(Session& session, Answered answered)
    : session_(session),
      answered_(std::move(answered)),
      who_(who_text()),
      can_ask_(::isatty(STDIN_FILENO) == 1 && ::isatty(STDERR_FILENO) == 1 &&
               !session.terminal.json()) {}

std::optional<plan::Approval> TerminalPeople::approval(const std::string& step,
                                                       const std::string& question,
                                                       const std::vector<std::string>& by) {
  // Whose answer it would be, only the command line can say.
  if (!can_ask_ || !by.empty()) {
    return {};
  }
  const std::scoped_lock lock(mutex_);
  if (asked_.empty()) {
    asked_ = step;
    session_.terminal.message(printable(question) + " (yes or no)");
  }
  if (asked_ != step) {
    return {};  // one question at a time
  }
  const auto line = line_ready(0);
  if (!line) {
    return {};
  }
  asked_.clear();
  const plan::Approval answer{.granted = is_yes(*line), .by = who_, .comment = ""};
  answered_(step, answer);
  return answer;
}

// Answered from elsewhere: the next question may be shown.
void TerminalPeople::settled(const std::string& step) {
  const std::scoped_lock lock(mutex_);
  if (asked_ == step) {
    asked_.clear();
  }
}

std::string TerminalPeople::decide(const std::string& step, const std::string& why) {
  if (!can_ask_) {
    return {};
  }
  const std::scoped_lock lock(mutex_);
  session_.terminal.message(fmt::format("step {}: {}", step, printable(why)));
  session_.terminal.message("Look at it. redo: do it again; skip: it is done; else: stop here.");
  while (!session_.context.stop.stop_requested()) {
    constexpr int kTickMs = 100;
    if (const auto line = line_ready(kTickMs)) {
      return *line == "redo" || *line == "skip" ? *line : "";
    }
  }
  return {};
}

PlanSession::PlanSession(Session& session, const ConfigurationOptions& options)
    : session_(session),
      configured_(session, options),
      secrets_([this](const SecretReference& reference) { return configured_.secret(reference); }),
      folder_(application().state_directory),
      tree_(session.terminal, session.context.clock),
      people_(session, [this](const std::string& step, const plan::Approval& answer) {
        record_decision("approval", answer.granted ? "granted" : "denied",
                        "step " + step + " by " + answer.by, "");
      }) {
  // What stores read is a secret of the run, too: it is taken out of what steps print.
  configured_.site().secrets = [this](const SecretReference& reference) {
    return secrets_.resolve(reference.text());
  };
}

std::vector<std::string> PlanSession::source_names() const {
  std::vector<std::string> names;
  for (const SourceSpec& source : application().sources) {
    names.push_back(source.name);
  }
  return names;
}

plan::PlanGraph PlanSession::plan(const std::string& name) const {
  const std::vector<PlanSpec>& plans = application().plans;
  const plan::FindPlan find = [&](const std::string& called) { return find_named(plans, called); };
  std::string wanted = name;
  if (wanted.empty()) {
    if (plans.size() > 1) {
      throw Error(ErrorCode::kUsage, "there is more than one plan",
                  "`salvor plan list` names them.");
    }
    wanted = plans.empty() ? plan::kDefaultPlan : plans.front().name;
  }
  if (const PlanSpec* spec = find(wanted)) {
    return plan::resolve_plan(*spec, find);
  }
  if (wanted == plan::kDefaultPlan) {
    return plan::resolve_plan(plan::default_plan(source_names()), find);
  }
  std::vector<std::string> names{plan::kDefaultPlan};
  for (const PlanSpec& one : plans) {
    names.push_back(one.name);
  }
  const auto near = suggestions(wanted, names);
  throw Error(
      ErrorCode::kNotFound, "there is no plan \"" + printable(wanted) + "\"",
      near.empty() ? "`salvor plan list` names them." : "Did you mean " + near.front() + "?");
}

plan::RunTools PlanSession::tools(plan::Site& site) {
  return {.site = site,
          .secrets = secrets_,
          .observer = tree_,
          .people = people_,
          .host = current_host_name()};
}

std::unique_ptr<plan::RunMirror> PlanSession::mirror(const plan::PlanGraph& graph,
                                                     const std::string& run) {
  std::string repository;
  for (const std::string& name : graph.sources()) {
    const SourceSpec* source = find_named(application().sources, name);
    if (repository.empty() && source != nullptr) {
      repository = source->repository;
    }
  }
  if (repository.empty() && !application().repositories.empty()) {
    repository = application().repositories.front().name;
  }
  if (repository.empty()) {
    return nullptr;
  }
  const std::filesystem::path file = folder_.journal_of(run);
  const auto lines =
      std::filesystem::exists(file) ? plan::journal_lines(file) : std::vector<std::string>{};
  return std::make_unique<plan::RunMirror>(
      session_.context, run, lines,
      [this, repository](const Context& context, const plan::RunMirror::Use& use) {
        // Without a lock: what is written there no maintenance touches.
        configured_.with_repository(
            context, repository, LockMode::kNone,
            [&](const OpenedRepository& opened, Session&) { use(*opened.repository); });
      },
      [this](const std::string& text) { session_.terminal.warn(secrets_.hide(text)); });
}

std::vector<PlanSession::MirroredRun> PlanSession::mirrored_runs(const std::string& prefix) {
  std::vector<MirroredRun> runs;
  for (const RepositorySpec& repository : application().repositories) {
    try {
      configured_.with_repository(
          session_.context, repository.name, LockMode::kNone,
          [&](const OpenedRepository& opened, Session&) {
            for (auto& run : plan::mirrored_runs(session_.context, *opened.repository, prefix)) {
              runs.push_back({.run = std::move(run), .repository = repository.name});
            }
          });
    } catch (const Error& error) {
      session_.context.check_stopped();
      session_.terminal.warn("repository " + repository.name + ": " + error.message(),
                             error.hint());
    }
  }
  return runs;
}

void PlanSession::record_before(const std::string& what, const std::string& plan,
                                const std::string& run) {
  configured_.record_before(session_.context, "",
                            {.action = "plan",
                             .phase = {},
                             .outcome = {},
                             .subject = plan,
                             .text = what + " of plan " + plan,
                             .run = run,
                             .details = {}});
}

void PlanSession::record_decision(const std::string& action, const std::string& outcome,
                                  const std::string& text, const std::string& run) {
  configured_.audit().note(session_.context, "",
                           {.action = action,
                            .phase = {},
                            .outcome = outcome,
                            .subject = {},
                            .text = text,
                            .run = run,
                            .details = {}});
}

void PlanSession::deliver_records(const Context& context) {
  const std::string home = configured_.audit().home();
  try {
    configured_.with_repository(context, home, LockMode::kNone,
                                [&](OpenedRepository& opened, Session&) {
                                  configured_.audit().deliver(context, home, *opened.repository);
                                });
  } catch (const Error& error) {
    session_.terminal.warn("audit records wait on this machine: " + error.message(), error.hint());
  }
}

void PlanSession::write_down(const Context& context, const RunRecord& record) {
  // All that is about plans in one place, whichever repository the data came from.
  const std::string home = configured_.audit().home();
  configured_.audit().note(context, home, audit_event_of(record));
  if (configured_.audit().on() && record.repository != home) {
    deliver_records(context);
  }
  Catalog catalog = Catalog::open_or_do_without(context, application().state_directory);
  // In the repository, too, when it can be reached now; else `sync_catalog` sends it later.
  if (find_named(application().repositories, record.repository) != nullptr) {
    try {
      with_repository(record.repository, [&](OpenedRepository& opened, Session&) {
        record_run(context, opened.repository.get(), catalog, record);
        configured_.audit().deliver(context, record.repository, *opened.repository);
      });
      return;
    } catch (const Error& error) {
      session_.terminal.warn("the run could not be written into repository " + record.repository +
                                 ": " + error.message(),
                             "It is kept in the catalog and sent later.");
    }
  }
  record_run(context, nullptr, catalog, record);
}

void PlanSession::with_repository(const std::string& name, const ConfiguredApplication::Body& use) {
  configured_.with_repository(session_.context, name, LockMode::kShared, use);
}

bool PlanSession::can_ask() const {
  return ::isatty(STDIN_FILENO) == 1 && !session_.terminal.json();
}

std::string PlanSession::read_line(const std::string& prompt) {
  session_.terminal.prompt(prompt);
  while (true) {
    session_.context.check_stopped();
    constexpr int kTickMs = 100;
    if (const auto line = line_ready(kTickMs)) {
      return *line;
    }
  }
}

}  // namespace salvor::cli
