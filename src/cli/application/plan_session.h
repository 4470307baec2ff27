// What `plan` and `drill` share: the configuration, its stores, where runs are kept, who is asked.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/application/configured_application.h"
#include "cli/application/plan_tree.h"
#include "plan/plan_run.h"

namespace salvor::cli {

// Answers from the terminal, where there is one.
class TerminalPeople final : public plan::People {
 public:
  // `answered` is told of each approval that was given or denied.
  using Answered = std::function<void(const std::string& step, const plan::Approval& answer)>;
  TerminalPeople(Session& session, Answered answered);
  [[nodiscard]] std::optional<plan::Approval> approval(const std::string& step,
                                                       const std::string& question,
                                                       const std::vector<std::string>& by) override;
  void settled(const std::string& step) override;
  [[nodiscard]] std::string decide(const std::string& step, const std::string& why) override;
  [[nodiscard]] std::string who() const override { return who_; }

 private:
  Session& session_;
  Answered answered_;
  std::string who_;
  bool can_ask_ = false;
  std::mutex mutex_;
  std::string asked_;  // the step whose question was shown
};

// Everything a command works with; made once. Not movable.
class PlanSession {
 public:
  PlanSession(Session& session, const ConfigurationOptions& options);
  PlanSession(const PlanSession&) = delete;
  PlanSession& operator=(const PlanSession&) = delete;

  [[nodiscard]] const Application& application() const { return configured_.application(); }
  [[nodiscard]] Stores& stores() { return configured_.stores(); }
  [[nodiscard]] plan::Secrets& secrets() { return secrets_; }
  [[nodiscard]] const plan::RunFolder& folder() const { return folder_; }
  [[nodiscard]] PlanTree& tree() { return tree_; }
  [[nodiscard]] TerminalPeople& people() { return people_; }
  [[nodiscard]] std::vector<std::string> source_names() const;

  // Of that name; empty: the only one, or the default plan where none is configured.
  [[nodiscard]] plan::PlanGraph plan(const std::string& name) const;
  [[nodiscard]] plan::RunTools tools(plan::Site& site);
  // Before a run of `plan` begins to act; see ConfiguredApplication::record_before.
  void record_before(const std::string& what, const std::string& plan, const std::string& run);
  // For the audit trail: an approval, or what else a person decided.
  void record_decision(const std::string& action, const std::string& outcome,
                       const std::string& text, const std::string& run);
  // Into the catalog and the audit trail; what fails is a warning.
  void write_down(const Context& context, const RunRecord& record);
  // What waits for the audit trail's home; what cannot be delivered is a warning.
  void deliver_records(const Context& context);
  // A repository of the configuration, opened; `use` gets it. Throws Error.
  void with_repository(const std::string& name, const ConfiguredApplication::Body& use);

  // The copy of a run's journal in the repository of the plan's first source, fed with what the
  // journal holds already; null where no repository is configured. Must go before this object.
  [[nodiscard]] std::unique_ptr<plan::RunMirror> mirror(const plan::PlanGraph& graph,
                                                        const std::string& run);
  struct MirroredRun {
    plan::MirroredRun run;
    std::string repository;
  };
  // The runs whose journals are in the repositories; one that does not answer is a warning.
  [[nodiscard]] std::vector<MirroredRun> mirrored_runs(const std::string& prefix);

  // Asks on the terminal; false when there is none. Throws Error{kCancelled} on its end.
  [[nodiscard]] bool can_ask() const;
  [[nodiscard]] std::string read_line(const std::string& prompt);

 private:
  Session& session_;
  ConfiguredApplication configured_;
  plan::Secrets secrets_;
  plan::RunFolder folder_;
  PlanTree tree_;
  TerminalPeople people_;
};

}  // namespace salvor::cli
