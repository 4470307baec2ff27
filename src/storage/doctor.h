// What a credential may really do at a storage, found out by trying, and what that means for the
// backups if somebody stole it.
//
// Nothing is left behind, and nothing that is there is touched: rights are tried on requests that a
// server has to refuse or that change nothing (a put that must not replace, the removal of what
// does not exist).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/context.h"
#include "storage/storage.h"
#include "storage/storage_options.h"

namespace salvor {

enum class Answer : uint8_t { kYes, kNo, kUnknown };
[[nodiscard]] std::string_view answer_name(Answer answer);  // "yes", "no", "unknown"

struct StorageCheck {
  enum class Mark : uint8_t { kGood, kNote, kWarning, kBad };
  std::string id;  // "overwrite"; for scripts, does not change
  Mark mark = Mark::kNote;
  std::optional<Answer> answer;  // of a right: whether the credential has it
  std::string text;              // "may not replace what is there"
};

// What the verdict rests on.
struct StorageRights {
  Answer create = Answer::kUnknown;
  Answer overwrite = Answer::kUnknown;
  Answer remove = Answer::kUnknown;           // anything but locks
  Answer remove_locks = Answer::kUnknown;     // locks/, which backups need
  Answer versioned = Answer::kNo;             // what is removed or replaced stays as a version
  Answer remove_versions = Answer::kUnknown;  // for good
  Answer change_bucket = Answer::kNo;  // policy or lifecycle: can give itself the other rights
  // Object lock, judged by the config, all keys and some of the others but locks.
  bool all_locked = false;               // each of them is held
  bool compliance = false;               // each in compliance mode
  Answer bypass = Answer::kUnknown;      // governance mode
  std::optional<WallTime> locked_until;  // the first that ends; nothing: legal hold
  // The storage's own words, for advice.
  std::string past_option = "s3.as-of";  // empty: the past cannot be read
  std::string granting = "s3:PutBucketPolicy and s3:PutLifecycleConfiguration";
  std::string bypassing = "s3:BypassGovernanceRetention";
};

struct Verdict {
  Answer destroyable = Answer::kUnknown;  // could ransomware with this credential destroy them?
  std::string sentence;
  std::string advice;  // what to do about it; may be empty
};
[[nodiscard]] Verdict judge(const StorageRights& rights);

struct StorageReport {
  std::string description;
  bool repository = false;  // there is a config
  std::vector<StorageCheck> checks;
  StorageRights rights;
  Verdict verdict;
  // Whether all that a backup needs is permitted (as far as it could be tried).
  [[nodiscard]] bool enough_for_backups() const;

  void add(std::string id, StorageCheck::Mark mark, std::string text,
           std::optional<Answer> answer = std::nullopt);
};

// Looks how the config, all keys and some of the other objects are kept: the rights `all_locked`,
// `compliance`, `locked_until`, and a finding. Five requests and one a sample.
void sample_retention(const Context& context, Storage& storage, StorageReport& report);

// Throws what opening and reaching the storage throws; a right that is missing is a finding. A
// dozen requests.
[[nodiscard]] StorageReport examine_storage(const Context& context, const std::string& location,
                                            const StorageOptions& options);

}  // namespace salvor
