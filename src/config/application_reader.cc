#include "config/application_reader.h"

#include <algorithm>
#include <array>
#include <filesystem>

#include "config/plan_reader.h"

namespace salvor::config {
namespace {

unsigned small(const Checked& checked, std::string_view key, unsigned otherwise) {
  return static_cast<unsigned>(checked.leaves.number(key, otherwise));
}

// "manual" is said in the file, and nothing in the model.
std::string schedule_of(const Checked& checked, std::string_view key) {
  std::string text = checked.leaves.text(key);
  return text == "manual" ? "" : text;
}

RateLimits read_limits(const Checked* checked) {
  if (checked == nullptr) {
    return {};
  }
  return {.upload_bytes_per_second = checked->leaves.number("upload", 0),
          .download_bytes_per_second = checked->leaves.number("download", 0)};
}

SecretReference read_secret(const Checked& checked, std::string_view key) {
  return SecretReference::parse(checked.leaves.text(key)).value_or(SecretReference{});
}

RepositorySpec read_repository(const Checked& checked) {
  return {.name = checked.name,
          .location = checked.leaves.text("location"),
          .password = read_secret(checked, "password"),
          .options = checked.leaves.map("options"),
          .environment = checked.leaves.map("environment"),
          .limits = read_limits(checked.child("limits")),
          .region = checked.leaves.text("region")};
}

RetentionRule read_retention(const Checked& checked) {
  static constexpr std::array<std::string_view, 7> kDays{
      "Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"};
  const std::string day = checked.leaves.text("weekly-on", "Sunday");
  const std::chrono::seconds none{0};
  return {.last = small(checked, "last", 0),
          .hourly = small(checked, "hourly", 0),
          .daily = small(checked, "daily", 0),
          .weekly = small(checked, "weekly", 0),
          .monthly = small(checked, "monthly", 0),
          .yearly = small(checked, "yearly", 0),
          .weekly_on =
              static_cast<unsigned>(std::find(kDays.begin(), kDays.end(), day) - kDays.begin()) % 7,
          .monthly_on = small(checked, "monthly-on", 1),
          .within = checked.leaves.duration("within", none),
          .keep_tags = checked.leaves.list("keep-tags"),
          .journal = checked.leaves.duration("journal", none),
          .legal_hold = checked.leaves.flag("legal-hold", false)};
}

VerificationRule read_verification(const Checked& checked) {
  VerificationRule rule;
  rule.after_backup = checked.leaves.flag("after-backup", rule.after_backup);
  rule.restore = schedule_of(checked, "restore");
  rule.proven_for = checked.leaves.duration("proven-for", rule.proven_for);
  rule.check = schedule_of(checked, "check");
  rule.check_percent = small(checked, "check-percent", rule.check_percent);
  rule.older_point_percent = small(checked, "older-point-percent", rule.older_point_percent);
  return rule;
}

PolicySpec read_policy(const Checked& checked) {
  PolicySpec policy{.name = checked.name,
                    .schedule = schedule_of(checked, "schedule"),
                    .time_zone = checked.leaves.text("time-zone", "UTC"),
                    .jitter = checked.leaves.duration("jitter", std::chrono::seconds(0)),
                    .window = {},
                    .retention = {},
                    .verification = {},
                    .limits = read_limits(checked.child("limits"))};
  if (const auto window = parse_window(checked.leaves.text("window"))) {
    policy.window = TimeWindow{.from = window->from, .to = window->to};
  }
  if (const Checked* retention = checked.child("retention")) {
    policy.retention = read_retention(*retention);
  }
  if (const Checked* verification = checked.child("verification")) {
    policy.verification = read_verification(*verification);
  }
  return policy;
}

SourceSpec read_source(const Checked& checked) {
  SourceSpec source{.name = checked.name,
                    .kind = checked.variant(),
                    .settings = {},
                    .repository = checked.leaves.text("repository"),
                    .policy = checked.leaves.text("policy"),
                    .copies = {},
                    .hooks = {},
                    .assertions = checked.leaves.list("assertions")};
  if (const Checked* settings = checked.child(source.kind)) {
    source.settings = settings->leaves;
  }
  for (const Checked& copy : checked.all("copies")) {
    CopySpec spec{.to = copy.leaves.text("to"),
                  .schedule = schedule_of(copy, "schedule"),
                  .retention = {},
                  .check = {},
                  .check_percent = {}};
    if (const Checked* retention = copy.child("retention")) {
      spec.retention = read_retention(*retention);
    }
    if (copy.leaves.has("check")) {
      spec.check = schedule_of(copy, "check");
    }
    if (copy.leaves.has("check-percent")) {
      spec.check_percent = small(copy, "check-percent", 0);
    }
    source.copies.push_back(std::move(spec));
  }
  if (const Checked* hooks = checked.child("hooks")) {
    source.hooks = {.before = hooks->leaves.list("before"),
                    .after = hooks->leaves.list("after"),
                    .failure = hooks->leaves.list("failure"),
                    .quiesce = hooks->leaves.list("quiesce"),
                    .resume = hooks->leaves.list("resume")};
  }
  return source;
}

void read_objective(const Checked& checked, const std::string& scenario, const std::string& source,
                    std::vector<ObjectiveSpec>& all) {
  if (checked.leaves.has("rto") || checked.leaves.has("rpo")) {
    const std::chrono::seconds none{0};
    ObjectiveSpec objective{.scenario = scenario, .source = source, .rto = {}, .rpo = {}};
    objective.rto = checked.leaves.duration("rto", none);
    objective.rpo = checked.leaves.duration("rpo", none);
    all.push_back(std::move(objective));
  }
  for (const Checked& one : checked.all("scenarios")) {
    read_objective(one, one.name, source, all);
  }
  for (const Checked& one : checked.all("sources")) {
    read_objective(one, "any", one.name, all);
  }
}

SandboxSpec read_sandbox(const Checked& checked) {
  SandboxSpec sandbox{.name = checked.name,
                      .directory = checked.leaves.text("directory"),
                      .network = checked.leaves.flag("network", false),
                      .keep = checked.leaves.duration("keep", std::chrono::seconds(0)),
                      .settings = {}};
  for (const auto& [name, value] : checked.leaves.map("options")) {
    sandbox.settings.set(name, value);
  }
  return sandbox;
}

DrillSpec read_drill(const Checked& checked) {
  return {.name = checked.name,
          .plan = checked.leaves.text("plan"),
          .scenario = checked.leaves.text("scenario", "loss"),
          .schedule = schedule_of(checked, "schedule"),
          .sandbox = checked.leaves.text("sandbox", "default"),
          .time_zone = checked.leaves.text("time-zone", "UTC")};
}

ContactSpec read_contact(const Checked& checked) {
  return {.name = checked.name,
          .role = checked.leaves.text("role"),
          .phone = checked.leaves.text("phone"),
          .email = checked.leaves.text("email"),
          .escalate_after = checked.leaves.duration("escalate-after", std::chrono::seconds(0))};
}

ChannelSpec read_channel(const Checked& checked) {
  ChannelSpec channel{.name = checked.name,
                      .kind = checked.variant(),
                      .settings = {},
                      .severity = checked.leaves.text("severity", "warning")};
  if (const Checked* settings = checked.child(channel.kind)) {
    channel.settings = settings->leaves;
  }
  return channel;
}

template <class Spec, class Read>
std::vector<Spec> read_all(const Checked& root, std::string_view key, Read read) {
  std::vector<Spec> all;
  for (const Checked& one : root.all(key)) {
    all.push_back(read(one));
  }
  return all;
}

std::string without_scheme(const std::string& location) {
  static constexpr std::string_view kLocal = "local:";
  return location.starts_with(kLocal) ? location.substr(kLocal.size()) : location;
}

}  // namespace

std::string absolute_location(const std::string& location, const std::string& folder,
                              const std::string& home) {
  const std::string path = without_scheme(location);
  const size_t colon = path.find(':');
  const bool other =
      path.size() == location.size() && colon != std::string::npos && path.find('/') > colon;
  if (other || path.empty() || path.starts_with('/')) {
    return location;
  }
  if (path.starts_with("~/") && !home.empty()) {
    return home + path.substr(1);
  }
  return folder + "/" + (path.starts_with("./") ? path.substr(2) : path);
}

std::string place_of(const std::string& location) {
  std::string path = without_scheme(location);
  if (path.starts_with('/')) {
    path = std::filesystem::path(path).lexically_normal().string();
  }
  while (path.size() > 1 && path.ends_with('/')) {
    path.pop_back();
  }
  return path;
}

Application read_application(const Checked& root) {
  Application application;
  application.name = root.leaves.text("application");
  application.time_zone = root.leaves.text("time-zone", "UTC");
  application.state_directory = root.leaves.text("state-directory");
  application.services = root.leaves.map("services");
  application.repositories = read_all<RepositorySpec>(root, "repositories", read_repository);
  application.policies = read_all<PolicySpec>(root, "policies", read_policy);
  application.sources = read_all<SourceSpec>(root, "sources", read_source);
  application.sandboxes = read_all<SandboxSpec>(root, "sandboxes", read_sandbox);
  application.plans =
      read_all<PlanSpec>(root, "plans", [](const Checked& plan) { return read_plan(plan).plan; });
  application.drills = read_all<DrillSpec>(root, "drills", read_drill);
  application.contacts = read_all<ContactSpec>(root, "contacts", read_contact);
  application.channels = read_all<ChannelSpec>(root, "notifications", read_channel);
  if (const Checked* objectives = root.child("objectives")) {
    read_objective(*objectives, "any", "", application.objectives);
  }
  return application;
}

}  // namespace salvor::config
