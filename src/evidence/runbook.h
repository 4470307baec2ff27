// The recovery procedure as a document, from the configuration (O8): for somebody who has never
// done it, on an empty machine, at night; with Salvor, and with restic and PostgreSQL alone. Every
// command in it is run by a test (tests/protect/test_runbook.py).
#pragma once

#include <string>
#include <vector>

#include "evidence/document.h"
#include "model/application.h"
#include "model/run_record.h"

namespace salvor {

struct RunbookInput {
  const Application& application;
  std::vector<RunRecord> measured;  // restores, verifications, drills and plans, any order
  WallTime now;
  std::string program;  // "salvor 0.1.0"
};

// Holds no secret: references only.
[[nodiscard]] Document make_runbook(const RunbookInput& input);

// The tag of a source's snapshots (as the stores give it): "salvor:source=shop:production/db".
[[nodiscard]] std::string runbook_source_tag(const Application& application,
                                             const SourceSpec& source);

}  // namespace salvor
