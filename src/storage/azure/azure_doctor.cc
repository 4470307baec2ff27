#include "storage/azure/azure_doctor.h"

#include "base/format.h"
#include "crypto/sha256.h"
#include "net/http_client.h"
#include "storage/azure/azure_storage.h"

namespace salvor {
namespace {

using Mark = StorageCheck::Mark;

// A parameter of the signature, decoded; "" when it has none of that name.
std::string parameter(std::string_view signature, std::string_view name) {
  while (!signature.empty()) {
    const std::string_view one = signature.substr(0, signature.find('&'));
    signature.remove_prefix(std::min(one.size() + 1, signature.size()));
    if (one.size() > name.size() && one.starts_with(name) && one[name.size()] == '=') {
      return percent_decode(one.substr(name.size() + 1)).value_or("");
    }
  }
  return "";
}

class Examination {
 public:
  Examination(const Context& context, AzureSettings settings, const StorageOptions& options)
      : context_(context),
        settings_(settings),
        storage_(open_azure_storage(std::move(settings), options)) {
    report_.description = settings_.description();
    report_.rights.past_option = "";  // versions are read with Azure's own tools
    report_.rights.granting = "rights to manage the account and its container";
    report_.rights.bypassing = "Microsoft.Storage/.../immutabilityPolicies/write";
  }

  StorageReport run() {
    const bool tls = settings_.endpoint.starts_with("https://");
    report_.add("tls", tls ? Mark::kGood : Mark::kWarning,
                tls ? "TLS" : "plain HTTP: names and sizes can be read on the way");
    report_.repository = storage_->stat(context_, {ObjectKind::kConfig, ""}).has_value();
    report_.add("repository", report_.repository ? Mark::kGood : Mark::kBad,
                report_.repository ? "there is a repository" : "there is no repository yet");
    StorageRights& rights = report_.rights;
    // Whether versions are kept is a setting of the account, which its data do not show.
    rights.versioned = Answer::kUnknown;
    if (!settings_.key.empty()) {
      rights.create = rights.overwrite = rights.remove = rights.remove_versions = Answer::kYes;
      rights.change_bucket = Answer::kYes;
      report_.add("key", Mark::kWarning,
                  "an account's key may do everything, in all containers of the account");
    } else if (!settings_.sas.empty()) {
      read_signature();
    } else {
      try_removing();
    }
    tell();
    sample_retention(context_, *storage_, report_);
    return std::move(report_);
  }

 private:
  void read_signature();
  void try_removing();
  void tell();

  const Context& context_;
  const AzureSettings settings_;
  const std::unique_ptr<Storage> storage_;
  StorageReport report_;
};

void Examination::read_signature() {
  const std::string letters = parameter(settings_.sas.reveal(), "sp");
  const auto may = [&](char letter) {
    return letters.find(letter) != std::string::npos ? Answer::kYes : Answer::kNo;
  };
  StorageRights& rights = report_.rights;
  rights.overwrite = may('w');
  rights.create = may('w') == Answer::kYes ? Answer::kYes : may('c');
  rights.remove = may('d');
  rights.remove_versions = may('x');
  report_.add("list", may('l') == Answer::kYes ? Mark::kGood : Mark::kBad,
              may('l') == Answer::kYes ? "may list" : "may not list (sp=l)", may('l'));
  report_.add("read", may('r') == Answer::kYes ? Mark::kGood : Mark::kBad,
              may('r') == Answer::kYes ? "may read" : "may not read (sp=r)", may('r'));
  report_.add("expiry", Mark::kNote,
              "the signature ends at " + printable(parameter(settings_.sas.reveal(), "se")));
}

void Examination::try_removing() {
  Digest name;
  context_.random.fill(name);
  try {
    storage_->remove(context_, {ObjectKind::kPack, to_hex(name)});
    report_.rights.remove = Answer::kYes;
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kPermission) {
      throw;
    }
    report_.rights.remove = Answer::kNo;
  }
}

void Examination::tell() {
  const StorageRights& rights = report_.rights;
  const auto text = [](Answer answer, const char* what) {
    return answer == Answer::kYes  ? std::string("may ") + what
           : answer == Answer::kNo ? std::string("may not ") + what
                                   : std::string("whether it may ") + what + " is not known";
  };
  const auto mark = [](Answer answer, Mark yes, Mark no) {
    return answer == Answer::kYes ? yes : answer == Answer::kNo ? no : Mark::kNote;
  };
  report_.add("create", mark(rights.create, Mark::kGood, Mark::kBad),
              text(rights.create, "add objects"), rights.create);
  report_.add("overwrite", mark(rights.overwrite, Mark::kWarning, Mark::kGood),
              text(rights.overwrite, "replace what is there"), rights.overwrite);
  report_.add("remove", mark(rights.remove, Mark::kWarning, Mark::kGood),
              text(rights.remove, "remove objects (backups remove their own locks)"),
              rights.remove);
  report_.add("remove-versions", mark(rights.remove_versions, Mark::kWarning, Mark::kGood),
              text(rights.remove_versions, "remove older versions for good"),
              rights.remove_versions);
}

}  // namespace

StorageReport examine_azure(const Context& context, AzureSettings settings,
                            const StorageOptions& options) {
  return Examination(context, std::move(settings), options).run();
}

}  // namespace salvor
