#include "storage/gcs/gcs_doctor.h"

#include <set>

#include <nlohmann/json.hpp>

#include "base/format.h"
#include "storage/gcs/gcs_errors.h"
#include "storage/gcs/gcs_storage.h"

namespace salvor {
namespace {

using Mark = StorageCheck::Mark;

constexpr uint64_t kReply = uint64_t{1} << 20;

class Examination {
 public:
  Examination(const Context& context, const GcsSettings& settings, const StorageOptions& options)
      : context_(context),
        client_(settings, options),
        storage_(open_gcs_storage(settings, options)) {
    report_.description = settings.description();
    report_.rights.past_option = "gs.as-of";
    report_.rights.granting = "storage.buckets.update and storage.buckets.setIamPolicy";
    report_.rights.bypassing = "storage.objects.overrideUnlockedRetention";
  }

  StorageReport run() {
    ask_permissions();
    look_at_contents();
    tell_rights();
    look_at_bucket();
    sample_retention(context_, *storage_, report_);
    return std::move(report_);
  }

 private:
  nlohmann::json ask(const std::string& path, std::initializer_list<int> expected, int& status);
  void ask_permissions();
  void look_at_contents();
  void tell_rights();
  void look_at_bucket();
  [[nodiscard]] Answer has(const std::string& permission) const {
    return !known_                             ? Answer::kUnknown
           : permissions_.contains(permission) ? Answer::kYes
                                               : Answer::kNo;
  }

  const Context& context_;
  GcsClient client_;
  const std::unique_ptr<Storage> storage_;
  StorageReport report_;
  bool known_ = false;
  std::set<std::string> permissions_;
};

// Null for a status of `expected`.
nlohmann::json Examination::ask(const std::string& path, std::initializer_list<int> expected,
                                int& status) {
  const GcsCall call{.method = "GET",
                     .path = "/storage/v1/b/" + client_.settings().bucket + path,
                     .limit_bytes = kReply,
                     .what = "cannot examine " + report_.description,
                     .permission = "storage.buckets.get"};
  const HttpResponse response = client_.execute(context_, call, expected);
  status = response.status;
  return response.success() ? nlohmann::json::parse(as_text(response.body.view()), nullptr, false)
                            : nlohmann::json();
}

void Examination::ask_permissions() {
  static constexpr const char* kAsked[] = {
      "storage.objects.create",       "storage.objects.delete",
      "storage.objects.get",          "storage.objects.list",
      "storage.objects.setRetention", "storage.objects.overrideUnlockedRetention",
      "storage.buckets.update",       "storage.buckets.setIamPolicy"};
  std::string query;
  for (const char* permission : kAsked) {
    query += std::string(query.empty() ? "?" : "&") + "permissions=" + permission;
  }
  int status = 0;
  // Emulators do not know the question.
  const auto reply = ask("/iam/testPermissions" + query, {400, 401, 403, 404, 405, 501}, status);
  known_ = reply.is_object() && reply.value("kind", "") == "storage#testIamPermissionsResponse";
  if (known_ && reply.contains("permissions") && reply["permissions"].is_array()) {
    for (const auto& permission : reply["permissions"]) {
      permissions_.insert(permission.is_string() ? permission.get<std::string>() : "");
    }
  }
}

void Examination::look_at_contents() {
  report_.add("tls",
              client_.settings().endpoint.starts_with("https://") ? Mark::kGood : Mark::kWarning,
              client_.settings().endpoint.starts_with("https://")
                  ? "TLS"
                  : "plain HTTP: names and sizes can be read on the way");
  report_.repository = storage_->stat(context_, {ObjectKind::kConfig, ""}).has_value();
  report_.add("repository", report_.repository ? Mark::kGood : Mark::kBad,
              report_.repository ? "there is a repository" : "there is no repository yet");
}

void Examination::tell_rights() {
  StorageRights& rights = report_.rights;
  const auto tell = [&](const char* id, Answer answer, Mark yes, Mark no, const char* may,
                        const char* may_not) {
    report_.add(id,
                answer == Answer::kYes  ? yes
                : answer == Answer::kNo ? no
                                        : Mark::kNote,
                answer == Answer::kYes ? std::string("may ") + may
                : answer == Answer::kNo
                    ? std::string("may not ") + may_not
                    : std::string("the server does not say whether it may ") + may,
                answer);
  };
  rights.create = has("storage.objects.create");
  rights.remove = rights.overwrite = rights.remove_versions = has("storage.objects.delete");
  tell("list", has("storage.objects.list"), Mark::kGood, Mark::kBad, "list",
       "list (storage.objects.list)");
  tell("read", has("storage.objects.get"), Mark::kGood, Mark::kBad, "read",
       "read (storage.objects.get)");
  tell("create", rights.create, Mark::kGood, Mark::kBad, "add objects",
       "add objects (storage.objects.create)");
  tell("remove", rights.remove, Mark::kWarning, Mark::kGood,
       "remove and replace objects in all of the bucket",
       "remove or replace objects in all of the bucket; below locks/ it has to");
  tell("extend-retention", has("storage.objects.setRetention"), Mark::kNote, Mark::kNote,
       "extend the protection of objects", "extend the protection of objects");
  rights.bypass = has("storage.objects.overrideUnlockedRetention");
  const Answer update = has("storage.buckets.update");
  const Answer policy = has("storage.buckets.setIamPolicy");
  rights.change_bucket = update == Answer::kYes || policy == Answer::kYes ? Answer::kYes
                         : known_                                         ? Answer::kNo
                                                                          : Answer::kUnknown;
  tell("change-bucket", rights.change_bucket, Mark::kWarning, Mark::kGood,
       "change the bucket's lifecycle or who may do what",
       "change the bucket's lifecycle or who may do what");
}

void Examination::look_at_bucket() {
  int status = 0;
  const auto bucket =
      ask("?fields=versioning,softDeletePolicy,objectRetention", {401, 403, 404}, status);
  if (!bucket.is_object()) {
    report_.rights.versioned = Answer::kUnknown;
    report_.add("versioning", Mark::kNote,
                "may not ask whether the bucket keeps versions (storage.buckets.get)");
    return;
  }
  const auto versioning = bucket.value("versioning", nlohmann::json::object());
  const bool kept = versioning.is_object() && versioning.value("enabled", false);
  report_.rights.versioned = kept ? Answer::kYes : Answer::kNo;
  report_.add("versioning", kept ? Mark::kGood : Mark::kNote,
              kept ? "the bucket keeps older versions" : "the bucket keeps no versions");
  const auto soft = bucket.value("softDeletePolicy", nlohmann::json::object());
  const std::string seconds = soft.is_object() && soft.contains("retentionDurationSeconds") &&
                                      soft["retentionDurationSeconds"].is_string()
                                  ? soft["retentionDurationSeconds"].get<std::string>()
                                  : "0";
  report_.add("soft-delete", Mark::kNote,
              seconds == "0"
                  ? "what is removed is gone at once"
                  : "what is removed can be restored for " +
                        std::to_string(std::strtoull(seconds.c_str(), nullptr, 10) / 86400) +
                        " days (soft delete)");
}

}  // namespace

StorageReport examine_gcs(const Context& context, const GcsSettings& settings,
                          const StorageOptions& options) {
  return Examination(context, settings, options).run();
}

}  // namespace salvor
