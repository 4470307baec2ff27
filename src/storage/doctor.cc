#include "storage/doctor.h"

#include <chrono>

#include "base/format.h"
#include "crypto/sha256.h"
#include "model/utc_text.h"
#include "storage/azure/azure_doctor.h"
#include "storage/gcs/gcs_doctor.h"
#include "storage/location.h"
#include "storage/s3/s3_doctor.h"

namespace salvor {
namespace {

using Mark = StorageCheck::Mark;

ObjectName unused_pack(const Context& context) {
  Digest name;
  context.random.fill(name);
  return {ObjectKind::kPack, to_hex(name)};
}

// Directories: who may write there may remove there.
void try_files(const Context& context, Storage& storage, StorageReport& report) {
  const ObjectName probe{ObjectKind::kSalvor, "doctor/" + unused_pack(context).name.substr(0, 16)};
  StorageRights& rights = report.rights;
  try {
    storage.put(context, probe, as_bytes("written by salvor doctor, to be removed at once"));
    rights.create = Answer::kYes;
    report.add("create", Mark::kGood, "may add files", Answer::kYes);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kPermission) {
      throw;
    }
    rights.create = rights.overwrite = rights.remove = rights.remove_locks = Answer::kNo;
    report.add("create", Mark::kBad, "may not add files: " + error.message(), Answer::kNo);
    return;
  }
  try {
    storage.remove(context, probe);
    rights.overwrite = rights.remove = rights.remove_locks = Answer::kYes;
    report.add("remove", Mark::kWarning, "may remove and replace files", Answer::kYes);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kPermission) {
      throw;
    }
    rights.overwrite = rights.remove = rights.remove_locks = Answer::kNo;
    report.add("remove", Mark::kGood, "may not remove files (" + probe.name + " stays)",
               Answer::kNo);
  }
}

// Servers: one that lets nothing be removed says so of what does not exist, too. `ours`: the server
// is a program on this machine, which whoever takes it over starts without such a rule.
void try_server(const Context& context, Storage& storage, bool ours, StorageReport& report) {
  StorageRights& rights = report.rights;
  report.add("create", Mark::kNote, "adding was not tried: what was added might have to stay",
             Answer::kUnknown);
  try {
    storage.remove(context, unused_pack(context));
    rights.remove = rights.overwrite = rights.remove_locks = Answer::kYes;
    report.add("remove", Mark::kWarning, "may remove data", Answer::kYes);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kPermission) {
      throw;
    }
    if (ours) {
      report.add("remove", Mark::kNote,
                 "rclone removes nothing as it is started here, which whoever takes this machine "
                 "over can change: what the remote itself permits is not known",
                 Answer::kUnknown);
      return;
    }
    rights.remove = Answer::kNo;
    rights.overwrite = Answer::kNo;  // restic's protocol replaces nothing
    report.add("remove", Mark::kGood, "may not remove data", Answer::kNo);
  }
}

void look_around(const Context& context, Storage& storage, StorageReport& report) {
  report.repository = storage.stat(context, {ObjectKind::kConfig, ""}).has_value();
  report.add("repository", report.repository ? Mark::kGood : Mark::kBad,
             report.repository ? "there is a repository" : "there is no repository yet");
  try {
    const size_t snapshots = storage.list_all(context, ObjectKind::kSnapshot).size();
    report.add("list", Mark::kGood, "may list: " + std::to_string(snapshots) + " snapshots",
               Answer::kYes);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kPermission) {
      throw;
    }
    report.add("list", Mark::kBad, "may not list: " + error.message(), Answer::kNo);
  }
  if (report.repository) {
    (void)storage.get(context, {ObjectKind::kConfig, ""}, 1 << 20);
    report.add("read", Mark::kGood, "may read", Answer::kYes);
  }
  if (const auto space = storage.space(context)) {
    const bool low = space->free_bytes < space->total_bytes / 20;
    report.add(
        "space", low ? Mark::kWarning : Mark::kGood,
        format_bytes(space->free_bytes) + " of " + format_bytes(space->total_bytes) + " are free");
  }
}

StorageReport examine_other(const Context& context, const std::string& location,
                            const StorageOptions& options) {
  const auto storage = open_storage(location, options);
  StorageReport report{.description = storage->traits().description};
  if (location.find("http://") != std::string::npos) {
    report.add("tls", Mark::kWarning, "plain HTTP: passwords and names can be read on the way");
  } else if (location.find("https://") != std::string::npos) {
    report.add("tls", Mark::kGood, "TLS");
  }
  look_around(context, *storage, report);
  if (storage->traits().read_only) {
    report.rights = {.create = Answer::kNo, .overwrite = Answer::kYes, .remove = Answer::kYes};
    report.add("create", Mark::kNote, "is only read, but a file can be removed", Answer::kNo);
  } else if (!storage->traits().remote || location.starts_with("sftp:")) {
    if (report.repository) {
      try_files(context, *storage, report);
    }
  } else {
    try_server(context, *storage, location.starts_with("rclone:"), report);
  }
  return report;
}

}  // namespace

std::string_view answer_name(Answer answer) {
  return answer == Answer::kYes ? "yes" : answer == Answer::kNo ? "no" : "unknown";
}

void StorageReport::add(std::string id, StorageCheck::Mark mark, std::string text,
                        std::optional<Answer> answer) {
  checks.push_back({std::move(id), mark, answer, std::move(text)});
}

bool StorageReport::enough_for_backups() const {
  for (const StorageCheck& check : checks) {
    if (check.mark == StorageCheck::Mark::kBad) {
      return false;
    }
  }
  return true;
}

namespace {

// What follows as long as it does not give itself other rights without our knowing.
Verdict judge_as_it_is(const StorageRights& rights) {
  const std::string extend_advice =
      "Run `salvor retention extend` regularly, and watch `salvor retention show`.";
  const std::string no = "Ransomware with this credential could not destroy the backups: ";
  const std::string yes = "Ransomware with this credential could destroy the backups: ";
  const std::string versions_advice =
      "Take the right to remove and replace away from it (backups need neither), or use a bucket "
      "with versioning or object lock: see docs/immutability.md.";
  const bool harms = rights.remove == Answer::kYes || rights.overwrite == Answer::kYes;
  const bool harmless = rights.remove == Answer::kNo && rights.overwrite == Answer::kNo;
  const bool may_grant = rights.change_bucket == Answer::kYes;
  if (rights.all_locked && rights.compliance) {
    return {Answer::kNo,
            no + "what the samples show is locked until " +
                utc_date(rights.locked_until.value_or(WallTime{})) + ", for everybody.",
            extend_advice};
  }
  if (may_grant) {
    return {Answer::kYes,
            yes + "it may change the bucket's policy or lifecycle, and so give itself every right.",
            "Take " + rights.granting + " away from it, or use object lock in compliance mode."};
  }
  if (rights.all_locked && rights.bypass == Answer::kNo) {
    return {Answer::kNo,
            no + "what the samples show is locked" +
                (rights.locked_until ? " until " + utc_date(*rights.locked_until)
                                     : " by a legal hold") +
                ", and it may not bypass that (governance mode).",
            extend_advice};
  }
  if (rights.all_locked && rights.bypass != Answer::kYes) {
    return {Answer::kUnknown,
            "Ransomware with this credential could destroy the backups if it may bypass governance "
            "mode, which cannot be tried without harm.",
            "See that its policy does not have " + rights.bypassing + ", or use compliance mode."};
  }
  if (harmless && rights.remove_versions != Answer::kYes) {
    return {Answer::kNo, no + "it may neither remove nor replace what is there.", ""};
  }
  if (rights.versioned == Answer::kYes && rights.remove_versions == Answer::kNo) {
    return {Answer::kNo,
            no + "what it removes or replaces stays in the bucket as an older version.",
            (rights.past_option.empty()
                 ? std::string()
                 : "After an attack, read the past with -o " + rights.past_option + "=TIME. ") +
                "Without object lock, see to it that no lifecycle rule removes older versions too "
                "early."};
  }
  if (harms && rights.versioned == Answer::kYes && rights.remove_versions == Answer::kUnknown) {
    return {Answer::kUnknown,
            "Ransomware with this credential could destroy the backups if it may remove versions, "
            "which could not be found out.",
            versions_advice};
  }
  if (harms && rights.versioned == Answer::kUnknown && rights.remove_versions == Answer::kNo) {
    return {Answer::kUnknown,
            "Ransomware with this credential could destroy the backups unless the storage keeps "
            "what is removed as a version, which could not be found out.",
            versions_advice};
  }
  if (harms || rights.remove_versions == Answer::kYes) {
    return {Answer::kYes,
            yes + (rights.versioned == Answer::kYes
                       ? "it may remove objects with all their versions, and they are not locked."
                       : "it may remove or replace them, and nothing keeps the old content."),
            versions_advice};
  }
  return {Answer::kUnknown,
          "Whether ransomware with this credential could destroy the backups could not be found "
          "out.",
          ""};
}

}  // namespace

Verdict judge(const StorageRights& rights) {
  Verdict verdict = judge_as_it_is(rights);
  const bool for_everybody = rights.all_locked && rights.compliance;
  if (verdict.destroyable == Answer::kNo && !for_everybody &&
      rights.change_bucket == Answer::kUnknown) {
    return {Answer::kUnknown,
            "Ransomware with this credential could destroy the backups if it may change the "
            "bucket's policy or lifecycle, which could not be found out.",
            "See that its policy does not have " + rights.granting +
                ", or use object lock in compliance mode."};
  }
  return verdict;
}

void sample_retention(const Context& context, Storage& storage, StorageReport& report) {
  constexpr size_t kSamples = 10;  // of each kind; of the keys all, as one opens the repository
  std::vector<ObjectName> samples;
  if (report.repository) {
    samples.push_back({ObjectKind::kConfig, ""});
  }
  for (const ObjectKind kind : {ObjectKind::kKey, ObjectKind::kSnapshot, ObjectKind::kIndex,
                                ObjectKind::kPack, ObjectKind::kSalvor}) {
    struct Enough {};
    try {
      storage.list(context, kind, [&, first = samples.size()](const ObjectInfo& object) {
        samples.push_back({kind, object.name});
        if (kind != ObjectKind::kKey && samples.size() == first + kSamples) {
          throw Enough{};
        }
      });
    } catch (const Enough&) {
    }
  }
  StorageRights& rights = report.rights;
  const WallTime now = storage.server_time(context);
  size_t held = 0;
  size_t strict = 0;
  for (const ObjectName& object : samples) {
    const auto retention = storage.retention(context, object);
    if (!retention || !retention->holds(now)) {
      continue;
    }
    ++held;
    strict += retention->compliance && retention->until && *retention->until > now ? 1 : 0;
    if (retention->until && (!rights.locked_until || *retention->until < *rights.locked_until)) {
      rights.locked_until = retention->until;
    }
  }
  rights.all_locked = !samples.empty() && held == samples.size();
  rights.compliance = !samples.empty() && strict == samples.size();
  report.add("locked", rights.all_locked ? Mark::kGood : Mark::kNote,
             std::to_string(held) + " of " + std::to_string(samples.size()) +
                 " sampled objects are kept by a retention");
}

StorageReport examine_storage(const Context& context, const std::string& location,
                              const StorageOptions& options) {
  StorageReport report;
  if (location.starts_with("s3:")) {
    S3Client client(s3_settings(std::string_view(location).substr(3), options), options);
    report = examine_s3(context, client);
  } else if (location.starts_with("gs:")) {
    report =
        examine_gcs(context, gcs_settings(std::string_view(location).substr(3), options), options);
  } else if (location.starts_with("azure:")) {
    report = examine_azure(context, azure_settings(std::string_view(location).substr(6), options),
                           options);
  } else {
    report = examine_other(context, location, options);
  }
  report.verdict = judge(report.rights);
  return report;
}

}  // namespace salvor
