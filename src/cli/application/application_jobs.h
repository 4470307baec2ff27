// The jobs of a configured application: how each is done with its stores, and where its record is
// written down.
#pragma once

#include <set>

#include "cli/application/protected_application.h"
#include "protect/check_shares.h"
#include "protect/point_retention.h"
#include "protect/runner.h"

namespace salvor::cli {

struct VerifyChoice {
  Moment moment;
  std::string base;     // full id; empty: the best
  std::string sandbox;  // of the configuration; empty: its first, else /var/tmp
};

// What stays and what goes of a source in one repository.
struct RetentionOfPlace {
  std::string repository;  // its name
  RetentionRule rule;
  PointRetentionPlan plan;
};

// Not movable: its parts refer to each other and to the session.
class ApplicationJobs final : public JobWorker, public RunSink {
 public:
  // Throws what the constructor of ProtectedApplication throws.
  ApplicationJobs(Session& session, const ConfigurationOptions& options);
  ApplicationJobs(const ApplicationJobs&) = delete;
  ApplicationJobs& operator=(const ApplicationJobs&) = delete;

  [[nodiscard]] const Application& application() const { return protected_.application(); }
  [[nodiscard]] Stores& stores() { return protected_.stores(); }
  [[nodiscard]] StoreSite& site() { return protected_.site(); }
  [[nodiscard]] Catalog& catalog() { return protected_.catalog(); }
  [[nodiscard]] ApplicationAudit& audit() { return protected_.audit(); }
  // For the audit trail, with the records of this run.
  void note(const Context& context, const std::string& repository, AuditEvent event) {
    audit().note(context, repository, std::move(event));
    touched_.insert(repository);
  }
  // ConfiguredApplication::record_before for a source's repository.
  void record_before(const Context& context, const SourceSpec& source, const AuditEvent& event) {
    protected_.record_before(context, source.repository, event);
  }

  // What the next backup is called and how it is made.
  void set_order(const BackupOrder& order) { order_ = order; }

  [[nodiscard]] RunRecord back_up(const Context& context, const Job& job) override;
  [[nodiscard]] RunRecord copy(const Context& context, const Job& job) override;
  [[nodiscard]] RunRecord retain(const Context& context, const Job& job) override;
  [[nodiscard]] RunRecord verify(const Context& context, const Job& job) override;
  [[nodiscard]] RunRecord check(const Context& context, const Job& job) override;
  [[nodiscard]] RunRecord drill(const Context& context, const Job& job) override;

  // Restores a point into a sandbox, starts it and looks into it.
  [[nodiscard]] RunRecord verify_source(const Context& context, const std::string& source,
                                        const VerifyChoice& choice);

  // Of a source, its own repository first, then those of its copies. Changes nothing.
  [[nodiscard]] std::vector<RetentionOfPlace> plan_retention(const Context& context,
                                                             const std::string& source);

  void add(const Context& context, RunRecord record) override;
  [[nodiscard]] FormerRuns former(const Job& job) override;
  // Brings the records of this run into their repositories; what cannot be sent now is sent by a
  // later run. Does not throw.
  void send_records(const Context& context);

 private:
  // Under an exclusive lock: removes the snapshots, the log that nothing needs, and prunes.
  void apply_retention(const Context& context, const std::string& source,
                       const RetentionOfPlace& place, RunRecord& record);
  // While somebody with the right to write is here: puts old records of runs together
  // (bundle_records) and removes copies of plans' journals that nobody needs (remove_old_copies).
  void tidy(const Context& context, const std::string& repository, RunRecord& record);
  [[nodiscard]] std::set<std::string> recorded_plan_runs();
  [[nodiscard]] CheckShare share_to_check(const std::string& repository);
  [[nodiscard]] std::vector<RunRecord> runs_of(const SourceSpec& from);
  // Snapshots of the source's own repository that the copy's retention would keep.
  [[nodiscard]] std::set<std::string> worth_copying(const Context& context, const SourceSpec& from,
                                                    const std::string& repository);

  Session& session_;
  const ConfigurationOptions options_;
  ProtectedApplication protected_;
  BackupOrder order_;
  std::set<std::string> touched_;  // repositories with new records
};

}  // namespace salvor::cli
