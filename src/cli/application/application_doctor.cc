#include "cli/application/application_doctor.h"

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <set>

#include <fmt/format.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <unistd.h>

#include "base/format.h"
#include "protect/due.h"
#include "protect/patience.h"
#include "protect/time_text.h"
#include "storage/location.h"

namespace salvor::cli {
namespace {

using Mark = StorageCheck::Mark;

constexpr uint64_t kLittleSpace = uint64_t{100} << 20;
constexpr std::chrono::hours kOverdue{2};

// What a right or a property that is missing asks for; by the id of storage/doctor.h.
std::string next_step(const StorageCheck& check) {
  if (check.id == "repository") {
    return "`salvor init` makes it.";
  }
  if (check.mark == Mark::kBad) {
    return "Give the credentials this right (docs/immutability.md lists them), or use others.";
  }
  return "";
}

class Examiner {
 public:
  Examiner(Session& session, ProtectedApplication& application, std::chrono::seconds patience,
           DoctorObserver& observer)
      : context_(session.context),
        application_(application),
        spec_(application.application()),
        patience_(patience),
        observer_(observer) {}

  DoctorReport run() {
    for (const RepositorySpec& repository : spec_.repositories) {
      add(examine(repository));
    }
    for (const SourceSpec& source : spec_.sources) {
      add(examine(source));
    }
    add(examine_machine());
    for (const SourceSpec& source : spec_.sources) {
      if (!is_safe(source)) {
        report_.unsafe.push_back(source.name);
      }
    }
    return std::move(report_);
  }

 private:
  void add(DoctorSection section) {
    observer_.examined(section);
    report_.sections.push_back(std::move(section));
  }

  static void find(DoctorSection& section, Mark mark, std::string name, std::string text,
                   std::string next = {}) {
    section.findings.push_back({mark, std::move(name), std::move(text), std::move(next)});
  }

  // --- repositories

  DoctorSection examine(const RepositorySpec& repository) {
    DoctorSection section{.kind = "repository",
                          .name = repository.name,
                          .place = display_location(repository.location),
                          .findings = {},
                          .verdict = {}};
    std::optional<StorageReport> found;
    const Failure failure = tried([&](const Context& context) {
      found = application_.examine_storage_of(context, repository.name);
    });
    if (!found) {
      find(section, Mark::kBad, "storage", failure.message,
           failure.hint.empty() ? "Check its location and credentials." : failure.hint);
      return section;
    }
    for (const StorageCheck& check : found->checks) {
      find(section, check.mark, check.id, check.text,
           check.mark == Mark::kGood ? "" : next_step(check));
    }
    section.verdict = found->verdict;
    find(section, found->verdict.destroyable == Answer::kNo ? Mark::kGood : Mark::kWarning,
         "ransomware", found->verdict.sentence, found->verdict.advice);
    remember(repository.name, found->verdict);
    if (found->repository) {
      examine_key(repository, section);
    }
    return section;
  }

  void examine_key(const RepositorySpec& repository, DoctorSection& section) {
    const Failure failure = tried([&](const Context& context) {
      application_.with_repository(
          context, repository.name, LockMode::kNone, [&](OpenedRepository& opened, Session&) {
            find(
                section, Mark::kGood, "password",
                fmt::format("the password ({}) opens it: {}, version {}",
                            repository.password.text(), opened.repository->config().id.substr(0, 8),
                            opened.repository->config().version));
          });
    });
    if (!failure.message.empty()) {
      find(section, Mark::kBad, "password", failure.message, failure.hint);
    }
  }

  void remember(const std::string& name, const Verdict& verdict) {
    try {
      application_.catalog().see_storage(
          name, {.at = context_.clock.now(),
                 .immutable = verdict.destroyable == Answer::kUnknown
                                  ? std::nullopt
                                  : std::optional(verdict.destroyable == Answer::kNo),
                 .sentence = verdict.sentence});
    } catch (const Error& error) {
      context_.events.on(Warning{error.message(), error.hint()});
    }
  }

  [[nodiscard]] bool is_safe(const SourceSpec& source) const {
    std::set<std::string> places{source.repository};
    for (const CopySpec& copy : source.copies) {
      places.insert(copy.to);
    }
    return std::any_of(report_.sections.begin(), report_.sections.end(), [&](const auto& section) {
      return section.kind == "repository" && places.contains(section.name) && section.verdict &&
             section.verdict->destroyable == Answer::kNo;
    });
  }

  // --- sources

  DoctorSection examine(const SourceSpec& source) {
    DoctorSection section{
        .kind = "source", .name = source.name, .place = source.kind, .findings = {}, .verdict = {}};
    const Failure failure = tried([&](const Context& context) {
      for (const ProbeResult& probe : application_.stores().open(source.name)->probe(context)) {
        if (probe.name.starts_with("repository")) {
          continue;  // looked at by itself
        }
        find(section, probe.ok ? Mark::kGood : (probe.fatal ? Mark::kBad : Mark::kWarning),
             probe.name, probe.name + ": " + probe.found, probe.ok ? "" : probe.hint);
      }
    });
    if (!failure.message.empty()) {
      find(section, Mark::kBad, "source", failure.message, failure.hint);
    }
    return section;
  }

  // --- this machine

  DoctorSection examine_machine() {
    DoctorSection section{
        .kind = "machine", .name = {}, .place = {}, .findings = {}, .verdict = {}};
    examine_directory(section, "state-directory", spec_.state_directory, 0);
    std::set<std::string> looked_at;
    for (const SandboxSpec& sandbox : spec_.sandboxes) {
      if (looked_at.insert(sandbox.directory).second) {
        examine_directory(section, "sandbox", sandbox_place(sandbox), largest_source());
      }
    }
    if (spec_.sandboxes.empty()) {
      examine_directory(section, "sandbox", sandbox_place({}), largest_source());
    }
    examine_clock(section);
    examine_secrets(section);
    examine_calendar(section);
    return section;
  }

  static std::string sandbox_place(const SandboxSpec& sandbox) {
    return sandbox.directory.empty() ? "/var/tmp" : sandbox.directory;
  }

  // What the newest backup of the largest source takes, as this machine last saw it.
  uint64_t largest_source() {
    uint64_t largest = 0;
    for (const SourceSpec& source : spec_.sources) {
      try {
        const auto seen = application_.catalog().seen_ranges(source.name);
        largest = std::max(largest, seen && !seen->ranges.empty() ? seen->ranges[0].bytes : 0);
      } catch (const Error&) {
        continue;  // the catalog has warned by itself
      }
    }
    return largest;
  }

  // A directory that may not be there yet: then the nearest one above it counts.
  void examine_directory(DoctorSection& section, const std::string& what,
                         const std::string& directory, uint64_t needed) {
    namespace fs = std::filesystem;
    const std::string title = what + " " + directory;
    fs::path place = directory;
    std::error_code error;
    while (!fs::exists(place, error) && place.has_parent_path() && place != place.parent_path()) {
      place = place.parent_path();
    }
    if (!fs::is_directory(place, error)) {
      find(section, Mark::kBad, what,
           title + " cannot be made: " + place.string() + " is no directory",
           "Say another one in the configuration.");
      return;
    }
    std::string name = (place / ".salvor-doctor-XXXXXX").string();
    if (const int fd = ::mkstemp(name.data()); fd >= 0) {
      ::close(fd);
      ::unlink(name.c_str());
    } else {
      find(section, Mark::kBad, what,
           title + " cannot be written: " + Error::from_errno(errno, place.string()).message(),
           "Give this user the right, or say another directory in the configuration.");
      return;
    }
    struct statvfs space{};
    if (::statvfs(place.c_str(), &space) != 0) {
      return;
    }
    const uint64_t free = static_cast<uint64_t>(space.f_bavail) * space.f_frsize;
    const std::string text = title + ": " + format_bytes(free) + " free";
    if (free < kLittleSpace) {
      find(section, Mark::kBad, what, text, "Make room there.");
    } else if (needed > free) {
      find(section, Mark::kWarning, what,
           text + ", the largest source takes " + format_bytes(needed),
           "A restore test will not fit. Make room, or say another directory below `sandboxes`.");
    } else {
      find(section, Mark::kGood, what, text);
    }
  }

  static void examine_clock(DoctorSection& section) {
    timex state{};
    const int result = ::adjtimex(&state);
    if (result < 0) {
      return;
    }
    if (result == TIME_ERROR || (static_cast<unsigned>(state.status) & STA_UNSYNC) != 0) {
      find(section, Mark::kNote, "clock", "nothing on this machine keeps its clock right",
           "Unless the host does that: install chrony, or switch systemd-timesyncd on.");
    } else {
      find(section, Mark::kGood, "clock", "the clock is kept right");
    }
  }

  // Everything that is only a reference, with where it stands.
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> references() const {
    std::vector<std::pair<std::string, std::string>> all;
    for (const RepositorySpec& repository : spec_.repositories) {
      all.emplace_back("the password of repository " + repository.name, repository.password.text());
      for (const auto& [name, value] : repository.environment) {
        all.emplace_back(name + " of repository " + repository.name, value);
      }
    }
    for (const SourceSpec& source : spec_.sources) {
      all.emplace_back("the url of source " + source.name, source.settings.text("url"));
    }
    for (const ChannelSpec& channel : spec_.channels) {
      for (const char* key : {"url", "password", "routing-key"}) {
        all.emplace_back(std::string(key) + " of notification " + channel.name,
                         channel.settings.text(key));
      }
    }
    return all;
  }

  void examine_secrets(DoctorSection& section) {
    size_t there = 0;
    for (const auto& [where, text] : references()) {
      const auto reference = SecretReference::parse(text);
      if (!reference) {
        continue;
      }
      const Failure failure =
          tried([&](const Context&) { static_cast<void>(application_.secret(*reference)); });
      if (failure.message.empty()) {
        ++there;
      } else {
        find(section, Mark::kBad, "secret", where + ": " + failure.message, failure.hint);
      }
    }
    if (there > 0) {
      find(section, Mark::kGood, "secrets",
           fmt::format("{} secret{} there", there, there == 1 ? " is" : "s are"));
    }
  }

  // Whether something calls `salvor run`.
  void examine_calendar(DoctorSection& section) {
    const WallTime now = context_.clock.now();
    size_t never = 0;
    std::vector<DueJob> late;
    for (const DueJob& due : application_.due(now)) {
      if (due.why == kNeverDone) {
        ++never;
      } else if (now - due.due > kOverdue) {
        late.push_back(due);
      }
    }
    const char* next =
        "`salvor generate systemd` (or cron, kubernetes, github) writes what calls it.";
    if (!late.empty()) {
      find(section, Mark::kWarning, "calendar",
           fmt::format("{} was due {}: nothing has called `salvor run`", late.front().job.display(),
                       ago_text(now - late.front().due)),
           next);
    } else if (never > 0) {
      find(section, Mark::kNote, "calendar",
           fmt::format("{} job{} never ran: `salvor run` does {}", never, never == 1 ? "" : "s",
                       never == 1 ? "it" : "them"),
           next);
    } else {
      find(section, Mark::kGood, "calendar", "nothing is overdue");
    }
  }

  Failure tried(const std::function<void(const Context&)>& body) {
    return within(context_, patience_,
                  "Look at the network, a firewall, or a command that waits for input.", body);
  }

  const Context& context_;
  ProtectedApplication& application_;
  const Application& spec_;
  const std::chrono::seconds patience_;
  DoctorObserver& observer_;
  DoctorReport report_;
};

}  // namespace

size_t DoctorReport::count(StorageCheck::Mark mark) const {
  size_t count = 0;
  for (const DoctorSection& section : sections) {
    count += static_cast<size_t>(
        std::count_if(section.findings.begin(), section.findings.end(),
                      [&](const DoctorFinding& finding) { return finding.mark == mark; }));
  }
  return count;
}

DoctorReport examine_application(Session& session, ProtectedApplication& application,
                                 std::chrono::seconds patience, DoctorObserver& observer) {
  return Examiner(session, application, patience, observer).run();
}

}  // namespace salvor::cli
