// What salvor.yaml says, as values: the application, where its data is kept, and what is promised.
// Made by `config`, which has checked that names refer to something and values are possible.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "model/plan_spec.h"
#include "model/settings.h"

namespace salvor {

struct RateLimits {
  uint64_t upload_bytes_per_second = 0;  // 0: none
  uint64_t download_bytes_per_second = 0;
};

struct RepositorySpec {
  std::string name;
  std::string location;      // as -r takes it; no password in it
  SecretReference password;  // of the repository's key
  TextMap options;           // as -o takes them
  TextMap environment;       // credentials for the storage: name -> reference or text
  RateLimits limits;
  std::string region;  // or provider, or site: what 3-2-1-1-0 counts as a place
};

// Calendar buckets (T3). Slots are filled by verified points; the newest of a bucket is kept.
struct RetentionRule {
  unsigned last = 0;
  unsigned hourly = 0;
  unsigned daily = 0;
  unsigned weekly = 0;
  unsigned monthly = 0;
  unsigned yearly = 0;
  unsigned weekly_on = 0;          // 0: Sunday; preferred, else the nearest later one of the week
  unsigned monthly_on = 1;         // day of the month, preferred likewise
  std::chrono::seconds within{0};  // everything as young as this
  std::vector<std::string> keep_tags;  // for ever
  std::chrono::seconds journal{0};  // how long logs are kept for every moment; 0: with the points
  bool legal_hold = false;          // nothing goes
};

struct TimeWindow {
  std::chrono::minutes from{0};  // of the day, in the policy's zone; to < from: over midnight
  std::chrono::minutes to{0};
};

struct VerificationRule {
  bool after_backup = true;  // the cheap proof
  std::string restore;       // schedule of the real one; empty: never
  std::chrono::seconds proven_for{
      0};                      // how long a proof stands; 0: twice the schedule's longest gap
  std::string check;           // schedule of the repository's own check
  unsigned check_percent = 5;  // of the data that each check reads
  unsigned older_point_percent = 20;  // how often an older point is proven instead of the newest
};

struct PolicySpec {
  std::string name;
  std::string schedule;  // model/schedule.h; empty: only by hand
  std::string time_zone;
  std::chrono::seconds jitter{0};
  std::optional<TimeWindow> window;
  RetentionRule retention;
  VerificationRule verification;
  RateLimits limits;
};

struct CopySpec {
  std::string to;                          // repository
  std::string schedule;                    // empty: right after each backup
  std::optional<RetentionRule> retention;  // else the policy's
  std::optional<std::string> check;  // schedule of that repository's own check; else the policy's
  std::optional<unsigned> check_percent;  // of the data that each check reads; else the policy's
};

// Commands around a backup, P16. Each is one line for /bin/sh.
struct HookSpec {
  std::vector<std::string> before;   // a failure stops the backup
  std::vector<std::string> after;    // always
  std::vector<std::string> failure;  // when it failed
  std::vector<std::string> quiesce;  // writes stop: run before the first store of a common point
  std::vector<std::string> resume;   // always run after it
};

struct SourceSpec {
  std::string name;
  std::string kind;   // of the table of stores
  Settings settings;  // against the kind's table
  std::string repository;
  std::string policy;
  std::vector<CopySpec> copies;
  HookSpec hooks;
  std::vector<std::string> assertions;  // checks after a restore, in the store's language
};

// O7. `scenario` "any" is what holds where no other does.
struct ObjectiveSpec {
  std::string scenario = "any";
  std::string source;  // empty: the application as a whole
  std::chrono::seconds rto{0};
  std::chrono::seconds rpo{0};
};

struct SandboxSpec {
  std::string name;
  std::string directory;         // where throw-away data goes
  bool network = false;          // whether what runs in it may talk to the outside
  std::chrono::seconds keep{0};  // after the drill, for a look
  Settings settings;
};

struct DrillSpec {
  std::string name;
  std::string plan;      // empty: restore, start and check every source
  std::string scenario;  // "corruption", "deletion", "migration", "loss", "region", "ransomware"
  std::string schedule;
  std::string sandbox;
  std::string time_zone;
};

struct ContactSpec {
  std::string name;
  std::string role;
  std::string phone;
  std::string email;
  std::chrono::seconds escalate_after{0};
};

struct ChannelSpec {
  std::string name;
  std::string kind;  // "slack", "webhook", "email", "sns", "pagerduty"
  Settings settings;
  std::string severity = "warning";  // and above
};

struct Application {
  std::string name;
  std::string environment;  // "production"; empty: none was chosen
  std::string time_zone = "UTC";
  std::string state_directory;  // catalog, run journals
  std::string file;             // of the configuration; for messages
  std::vector<RepositorySpec> repositories;
  std::vector<PolicySpec> policies;
  std::vector<SourceSpec> sources;
  std::vector<ObjectiveSpec> objectives;
  std::vector<SandboxSpec> sandboxes;
  std::vector<PlanSpec> plans;
  std::vector<DrillSpec> drills;
  std::vector<ContactSpec> contacts;
  std::vector<ChannelSpec> channels;
  TextMap services;  // names with addresses, of this environment; plans have them filled in
};

// Null when there is none of that name.
template <class Named>
[[nodiscard]] const Named* find_named(const std::vector<Named>& all, const std::string& name) {
  for (const Named& one : all) {
    if (one.name == name) {
      return &one;
    }
  }
  return nullptr;
}

}  // namespace salvor
