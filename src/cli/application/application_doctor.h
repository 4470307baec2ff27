// Everything that a configured application needs in order to be backed up and recovered, tried out:
// repositories and copies, sources, secrets, directories, clock, programs, and whether anything
// calls `salvor run` (S3, O9).
//
// Nothing is left behind and nothing that is there is touched. What cannot be reached keeps nothing
// else from being looked at.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "cli/application/protected_application.h"
#include "storage/doctor.h"

namespace salvor::cli {

struct DoctorFinding {
  StorageCheck::Mark mark = StorageCheck::Mark::kGood;  // kBad: backups or recoveries need it
  std::string name;                                     // "connection"; for scripts
  std::string text;                                     // what was found
  std::string next;                                     // a sentence; may be empty
};

struct DoctorSection {
  std::string kind;   // "repository", "source", "machine"
  std::string name;   // of the configuration; empty for the machine
  std::string place;  // location of a repository, kind of a source
  std::vector<DoctorFinding> findings;
  std::optional<Verdict> verdict;  // of a repository that could be looked at
};

struct DoctorReport {
  std::vector<DoctorSection> sections;
  std::vector<std::string> unsafe;  // sources without a place that ransomware could not destroy
  [[nodiscard]] size_t count(StorageCheck::Mark mark) const;
};

class DoctorObserver {
 public:
  virtual ~DoctorObserver() = default;
  virtual void examined(const DoctorSection& section) = 0;
};

// Keeps in the catalog what was found of each storage. `patience`: for each repository and source.
// Throws Error{kCancelled} only.
[[nodiscard]] DoctorReport examine_application(Session& session, ProtectedApplication& application,
                                               std::chrono::seconds patience,
                                               DoctorObserver& observer);

}  // namespace salvor::cli
