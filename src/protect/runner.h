// Does what is due: `salvor run`. What the jobs are made of comes through interfaces, so that it
// can be tested without servers.
#pragma once

#include <string>
#include <vector>

#include "base/context.h"
#include "protect/due.h"

namespace salvor {

// Does one job. Each returns its record, or throws Error (the runner makes the record then).
class JobWorker {
 public:
  virtual ~JobWorker() = default;
  [[nodiscard]] virtual RunRecord back_up(const Context& context, const Job& job) = 0;
  [[nodiscard]] virtual RunRecord copy(const Context& context, const Job& job) = 0;
  [[nodiscard]] virtual RunRecord retain(const Context& context, const Job& job) = 0;
  [[nodiscard]] virtual RunRecord verify(const Context& context, const Job& job) = 0;
  [[nodiscard]] virtual RunRecord check(const Context& context, const Job& job) = 0;
  [[nodiscard]] virtual RunRecord drill(const Context& context, const Job& job) = 0;
};

// Where records are written down.
class RunSink {
 public:
  virtual ~RunSink() = default;
  // Does not throw: what cannot be written down is told as a warning.
  virtual void add(const Context& context, RunRecord record) = 0;
  // Of what was added so far by anybody.
  [[nodiscard]] virtual FormerRuns former(const Job& job) = 0;
};

struct RunnerOptions {
  std::string only;  // a source's, repository's or drill's name; empty: all
  std::string who;   // user@host
};

struct JobResult {
  DueJob due;
  RunRecord record;
  bool skipped = false;  // another process is at it, or has done it meanwhile
};

class RunObserver {
 public:
  virtual ~RunObserver() = default;
  virtual void begins(const DueJob& due) = 0;
  virtual void ended(const JobResult& result) = 0;
};

// Throws Error{kUsage} when no source, repository or drill has that name.
void require_name(const Application& application, const std::string& name);

// Everything that is due, backups first; what the backups make due (copies, retention) follows in
// the same run. Sources with quiesce hooks whose backups are due together are backed up as one
// group while their writes are stopped. A job that fails does not keep others from being done.
// Throws Error{kCancelled} when stopped, after the record of what was interrupted was written, and
// Error{kUsage} when `only` names nothing.
[[nodiscard]] std::vector<JobResult> run_due(const Context& context, const Application& application,
                                             JobWorker& worker, RunSink& sink,
                                             RunObserver& observer, const RunnerOptions& options);

// One job with its hooks, whether it is due or not, and its record written down: what `salvor
// backup SOURCE` does. Throws what the job throws, after its record was written.
RunRecord run_job(const Context& context, const Application& application, JobWorker& worker,
                  RunSink& sink, const DueJob& due, const std::string& who);

}  // namespace salvor
