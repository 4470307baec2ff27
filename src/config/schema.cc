#include "config/schema.h"

#include <algorithm>

#include "engine/store_kinds.h"

namespace salvor::config {
namespace {

KeySchema leaf(FieldSpec field, Rule rule = Rule::kNone) {
  return {.field = std::move(field), .rule = rule};
}

KeySchema nested(std::string name, std::string help, Shape shape, const MappingSchema& mapping,
                 bool required = false) {
  return {.field = {.name = std::move(name), .help = std::move(help), .required = required},
          .shape = shape,
          .mapping = &mapping};
}

FieldSpec flag(std::string name, std::string help, std::string default_text) {
  return {.name = std::move(name),
          .type = FieldType::kFlag,
          .help = std::move(help),
          .default_text = std::move(default_text)};
}

FieldSpec number(std::string name, std::string help, std::string default_text = {}) {
  return {.name = std::move(name),
          .type = FieldType::kNumber,
          .help = std::move(help),
          .default_text = std::move(default_text)};
}

FieldSpec duration(std::string name, std::string help, std::string default_text = {},
                   std::string example = "15m") {
  return {.name = std::move(name),
          .type = FieldType::kDuration,
          .help = std::move(help),
          .default_text = std::move(default_text),
          .example = std::move(example)};
}

FieldSpec text(std::string name, std::string help, std::string example = {},
               std::string default_text = {}) {
  return {.name = std::move(name),
          .help = std::move(help),
          .default_text = std::move(default_text),
          .example = std::move(example)};
}

FieldSpec typed(FieldType type, std::string name, std::string help, std::string example = {},
                std::string default_text = {}) {
  return {.name = std::move(name),
          .type = type,
          .help = std::move(help),
          .default_text = std::move(default_text),
          .example = std::move(example)};
}

FieldSpec one_of(std::string name, std::string help, std::vector<std::string> choices,
                 std::string default_text) {
  return {.name = std::move(name),
          .help = std::move(help),
          .default_text = std::move(default_text),
          .choices = std::move(choices)};
}

FieldSpec needed(FieldSpec field) {
  field.required = true;
  return field;
}

std::vector<KeySchema> leaves(const std::vector<FieldSpec>& fields) {
  std::vector<KeySchema> keys;
  keys.reserve(fields.size());
  for (const FieldSpec& field : fields) {
    keys.push_back(leaf(field));
  }
  return keys;
}

const std::vector<std::string> kWeekdays{"Sunday",   "Monday", "Tuesday", "Wednesday",
                                         "Thursday", "Friday", "Saturday"};

// How messages are delivered: what each kind of channel may be told.
struct ChannelKind {
  std::string name;
  std::string summary;
  std::vector<FieldSpec> fields;
};

std::vector<ChannelKind> channel_kinds() {
  const FieldType secret = FieldType::kSecret;
  return {
      {.name = "slack",
       .summary = "a message to a Slack channel",
       .fields = {needed(typed(secret, "url", "the incoming webhook", "env:SLACK_WEBHOOK_URL"))}},
      {.name = "webhook",
       .summary = "a POST with JSON to any address",
       .fields = {needed(typed(secret, "url", "where it is sent", "env:WEBHOOK_URL")),
                  typed(FieldType::kSecretMap, "headers", "headers of the request",
                        "{Authorization: \"env:HOOK_AUTH\"}")}},
      {.name = "email",
       .summary = "a message by SMTP",
       .fields = {needed(typed(FieldType::kTextList, "to", "who gets it", "ops@example.org")),
                  text("from", "the sender", "salvor@example.org"),
                  text("server", "host and port of the SMTP server", "mail.example.org:587",
                       "localhost:25"),
                  text("user", "name at the server"),
                  typed(secret, "password", "of that user", "env:SMTP_PASSWORD")}},
      {.name = "sns",
       .summary = "a message to an Amazon SNS topic",
       .fields = {needed(text("topic", "its ARN", "arn:aws:sns:eu-central-1:123456789012:alerts")),
                  text("region", "if it is another one than the ARN's", "eu-central-1")}},
      {.name = "pagerduty",
       .summary = "an event for PagerDuty",
       .fields = {needed(
           typed(secret, "routing-key", "of the service's integration", "env:PAGERDUTY_KEY"))}},
  };
}

// What every step may say besides what it does.
std::vector<KeySchema> step_properties() {
  return {
      leaf(text("name", "what a person reads; other steps refer to it", "Restore the database")),
      leaf(typed(FieldType::kTextList, "after",
                 "names of the steps that it waits for, instead of all above it", "[db, uploads]")),
      leaf(duration("timeout", "after which it counts as failed", "1h")),
      leaf(number("retries", "how often it is tried again", "0")),
      leaf(duration("retry-delay", "between two tries", "5s", "5s")),
      leaf(one_of("on-failure", "what a failure means for the plan", {"stop", "continue", "undo"},
                  "stop")),
      leaf(one_of("only", "where it runs", {"always", "drill", "production"}, "always")),
  };
}

}  // namespace

const std::vector<std::string>& drill_scenarios() {
  static const std::vector<std::string> scenarios{"corruption", "deletion", "migration",
                                                  "loss",       "region",   "ransomware"};
  return scenarios;
}

const std::vector<std::string>& objective_scenarios() {
  static const std::vector<std::string> scenarios{"corruption", "deletion",     "migration",
                                                  "loss",       "region",       "ransomware",
                                                  "pod",        "configuration"};
  return scenarios;
}

const KeySchema* MappingSchema::find(std::string_view name) const {
  const auto found =
      std::find_if(keys.begin(), keys.end(), [&](const auto& k) { return k.field.name == name; });
  return found == keys.end() ? nullptr : &*found;
}

bool MappingSchema::has_variants() const {
  return std::any_of(keys.begin(), keys.end(), [](const auto& k) { return k.variant; });
}

std::vector<std::string> MappingSchema::names() const {
  std::vector<std::string> result;
  result.reserve(keys.size());
  for (const KeySchema& key : keys) {
    result.push_back(key.field.name);
  }
  return result;
}

MappingSchema& Schema::make(std::string id, std::string title, std::string summary) {
  return mappings_.emplace_back(MappingSchema{.id = std::move(id),
                                              .title = std::move(title),
                                              .summary = std::move(summary),
                                              .keys = {},
                                              .shorthand = {}});
}

const MappingSchema& Schema::get(std::string_view id) const {
  return *std::find_if(mappings_.begin(), mappings_.end(),
                       [&](const MappingSchema& m) { return m.id == id; });
}

Schema::Schema(const std::vector<StepKind>& steps) {
  make("root", "the configuration", "The keys at the top.");
  MappingSchema& limits =
      make("limits", "limits", "How much of the network a repository may take.");
  limits.keys = {
      leaf(typed(FieldType::kSize, "upload", "bytes a second to the repository", "10M")),
      leaf(typed(FieldType::kSize, "download", "bytes a second from the repository", "50M"))};
  MappingSchema& repository = make(
      "repository", "repository",
      "Where backups are kept. A text alone is the location. `repository:` at the top is the one "
      "named `main`; more of them, for copies, stand below `repositories:`.");
  repository.shorthand = "location";
  repository.keys = {
      leaf(needed(
          text("location", "where it is, as `-r` takes it", "s3:s3.amazonaws.com/my-backups"))),
      leaf(typed(FieldType::kSecret, "password", "of the repository's key",
                 "credential:salvor-password", "the usual variables, then env:SALVOR_PASSWORD")),
      leaf(typed(FieldType::kTextMap, "options", "as `-o` takes them", "{s3.connections: 5}")),
      leaf(typed(FieldType::kSecretMap, "environment",
                 "credentials for the storage; secrets as references",
                 "{AWS_PROFILE: backup, AWS_SECRET_ACCESS_KEY: \"env:BACKUP_SECRET\"}")),
      nested("limits", "of the network", Shape::kMapping, limits),
      leaf(text("region",
                "region, provider or site: what counts as one place when copies are "
                "counted",
                "eu-central-1"))};
  make_policy();
  make_sources();
  make_plans(steps);
  make_notifications();
  make_root();
}

void Schema::make_policy() {
  MappingSchema& retention = make(
      "retention", "retention",
      "Which recovery points stay: the newest of each hour, day, week, month and year, as many of "
      "them as said. Only points that were verified fill a place, and the last proven one never "
      "goes. A retention that is written replaces the default as a whole.");
  retention.keys = {leaf(number("last", "the newest ones")),
                    leaf(number("hourly", "hours")),
                    leaf(number("daily", "days", "30 when nothing is said")),
                    leaf(number("weekly", "weeks", "12 when nothing is said")),
                    leaf(number("monthly", "months", "12 when nothing is said")),
                    leaf(number("yearly", "years", "7 when nothing is said")),
                    leaf(one_of("weekly-on", "the preferred day of a week", kWeekdays, "Sunday")),
                    leaf(number("monthly-on", "the preferred day of a month", "1")),
                    leaf(duration("within", "everything as young as this", "", "7d")),
                    leaf(typed(FieldType::kTextList, "keep-tags",
                               "points with these tags stay for ever", "pre-migration")),
                    leaf(duration("journal", "how long logs are kept for every moment",
                                  "as long as the points that need them", "7d")),
                    leaf(flag("legal-hold", "nothing goes", "false"))};
  MappingSchema& verification =
      make("verification", "verification", "How it is proven that backups can be restored.");
  verification.keys = {
      leaf(flag("after-backup", "check each backup right after it was made", "true")),
      leaf(typed(FieldType::kSchedule, "restore",
                 "when a point is restored into a sandbox, started and checked", "Sun 05:00",
                 "Sun 05:00"),
           Rule::kManualSchedule),
      leaf(duration("proven-for", "how long such a proof stands",
                    "twice the longest time between two of them", "14d")),
      leaf(typed(FieldType::kSchedule, "check", "when the repository's own data is checked",
                 "Sat 05:00", "Sat 05:00"),
           Rule::kManualSchedule),
      leaf(number("check-percent", "how much of the data such a check reads, in turn", "5")),
      leaf(number("older-point-percent", "how often an older point is proven instead of the newest",
                  "20"))};
  MappingSchema& policy = make(
      "policy", "policy",
      "When sources are backed up and how long that is kept. What a policy does not say is as in "
      "`default`. The same keys may stand in a source, for that source alone, and at the top, for "
      "all: there they are the policy `default`.");
  policy.keys = {
      leaf(typed(FieldType::kSchedule, "schedule", "when a backup is made; `manual`: only by hand",
                 "daily 02:00 Europe/Berlin",
                 "daily 02:00; where an objective asks for less loss and the source has no log, as "
                 "often as that"),
           Rule::kManualSchedule),
      leaf(text("time-zone", "of the schedules", "Europe/Berlin", "the application's"),
           Rule::kZone),
      leaf(duration("jitter", "spread the start over this time", "0s", "10m")),
      leaf(text("window", "backups only run between these times of the day", "22:00-06:00"),
           Rule::kWindow),
      nested("retention", "how long backups are kept", Shape::kMapping, retention),
      nested("verification", "how they are proven", Shape::kMapping, verification),
      nested("limits", "of the network, while such a backup runs", Shape::kMapping, get("limits"))};
}

void Schema::make_sources() {
  MappingSchema& hooks = make("hooks", "hooks", "Commands around a backup, each a line for sh.");
  const FieldType list = FieldType::kTextList;
  hooks.keys = {
      leaf(typed(list, "before", "before it; when one fails there is no backup")),
      leaf(typed(list, "after", "after it, also when it failed")),
      leaf(typed(list, "failure", "when it failed")),
      leaf(typed(list, "quiesce", "stop writes, before the first store of a common point",
                 "systemctl stop shop")),
      leaf(typed(list, "resume", "let writes go on, always run after it", "systemctl start shop"))};
  MappingSchema& copy = make("copy", "copy",
                             "Another repository that gets each backup. A text alone is the "
                             "repository's name.");
  copy.shorthand = "to";
  copy.keys = {
      leaf(needed(text("to", "name of the repository", "offsite"))),
      leaf(typed(FieldType::kSchedule, "schedule", "when it is brought up to date", "daily 04:00",
                 "after each backup")),
      nested("retention", "of the copy, if not the policy's", Shape::kMapping, get("retention")),
      leaf(typed(FieldType::kSchedule, "check",
                 "when that repository's own data is checked; `manual`: never by itself",
                 "monthly on 1 06:00", "the policy's")),
      leaf(number("check-percent", "how much of the data such a check reads, in turn",
                  "the policy's"))};
  MappingSchema& source = make("source", "source",
                               "What is protected: one of the kinds below, and how. A text or list "
                               "as the kind's value is the kind's first key.");
  for (const StoreKind& kind : store_kinds()) {
    MappingSchema& fields = make("source." + kind.name, "source of kind " + kind.name,
                                 "A source `" + kind.name + "`: " + kind.summary + ".");
    fields.keys = leaves(kind.fields);
    fields.shorthand = kind.fields.empty() ? "" : kind.fields.front().name;
    KeySchema key = nested(kind.name, kind.summary, Shape::kMapping, fields);
    key.variant = true;
    source.keys.push_back(std::move(key));
  }
  source.keys.push_back(
      leaf(text("repository", "name of the repository it is kept in", "main", "main")));
  source.keys.push_back(leaf(text("policy", "name of its policy", "critical", "default")));
  source.keys.push_back(nested("copies", "further repositories", Shape::kList, copy));
  source.keys.push_back(nested("hooks", "commands around its backups", Shape::kMapping, hooks));
  source.keys.push_back(leaf(typed(
      list, "assertions", "what must hold after a restore: for PostgreSQL SQL that yields true",
      "select count(*) > 0 from users")));
  for (const KeySchema& key : get("policy").keys) {
    source.keys.push_back(key);
  }
}

void Schema::make_plans(const std::vector<StepKind>& steps) {
  MappingSchema& approval = make("approval", "approval", "Somebody must agree before a step runs.");
  approval.shorthand = "question";
  approval.keys = {leaf(needed(text("question", "what is asked", "Switch the DNS over?"))),
                   leaf(typed(FieldType::kTextList, "by", "contacts who may answer", "alice"))};
  MappingSchema& undo = make("undo", "undo", "What takes a step back: one kind of step.");
  MappingSchema& inner = make("step", "step",
                              "One kind with its settings, and when and how it runs. Steps run one "
                              "after the other, those below `together` at once. A text or list as "
                              "the kind's value is the kind's first key.");
  MappingSchema& outer = make("plan-step", "step", "A step, or several `together`.");
  for (const StepKind& kind : steps) {
    MappingSchema& fields = make("step." + kind.name, "step " + kind.name,
                                 "A step `" + kind.name + "`: " + kind.summary + ".");
    fields.keys = leaves(kind.fields);
    for (KeySchema& field : fields.keys) {
      field.in_plan = true;
    }
    fields.shorthand = kind.fields.empty() ? "" : kind.fields.front().name;
    KeySchema key = nested(kind.name, kind.summary, Shape::kMapping, fields);
    key.variant = true;
    inner.keys.push_back(key);
    undo.keys.push_back(std::move(key));
  }
  for (KeySchema& key : step_properties()) {
    inner.keys.push_back(std::move(key));
  }
  if (inner.find("approve") == nullptr) {
    inner.keys.push_back(nested("approve", "ask somebody first", Shape::kMapping, approval));
  }
  inner.keys.push_back(nested("undo", "what takes it back", Shape::kMapping, undo));
  outer.keys = inner.keys;
  KeySchema together = nested("together", "steps that run at once", Shape::kList, inner);
  together.variant = true;
  outer.keys.push_back(std::move(together));
  MappingSchema& plan =
      make("plan", "plan",
           "A recovery procedure. The same plan runs in production and in drills; only the target "
           "differs.");
  plan.shorthand = "steps";
  plan.keys = {leaf(text("summary", "what it is for")),
               leaf(typed(FieldType::kTextMap, "parameters", "names with their defaults",
                          "{moment: latest}")),
               nested("steps", "what is done", Shape::kList, outer, true)};
}

void Schema::make_notifications() {
  MappingSchema& channel = make("channel", "notification",
                                "Where messages go: one of the kinds below. A text as the kind's "
                                "value is the kind's first key.");
  for (const ChannelKind& kind : channel_kinds()) {
    MappingSchema& fields = make("channel." + kind.name, "notification by " + kind.name,
                                 "A notification `" + kind.name + "`: " + kind.summary + ".");
    fields.keys = leaves(kind.fields);
    fields.shorthand = kind.fields.front().name;
    KeySchema key = nested(kind.name, kind.summary, Shape::kMapping, fields);
    key.variant = true;
    channel.keys.push_back(std::move(key));
  }
  channel.keys.push_back(leaf(one_of("severity", "messages of this weight and above",
                                     {"info", "warning", "critical"}, "warning")));
  MappingSchema& contact =
      make("contact", "contact", "A person. A text alone is the e-mail address.");
  contact.shorthand = "email";
  contact.keys = {leaf(text("email", "address", "alice@example.org")),
                  leaf(text("role", "what they decide", "database owner")),
                  leaf(text("phone", "number, in quotes", "\"+49 30 1234567\"")),
                  leaf(duration("escalate-after", "no answer: the next one is asked", "", "30m"))};
  MappingSchema& objective = make("objective", "objective", "What is promised.");
  objective.keys = {leaf(duration("rto", "the application is back after at most this", "", "2h")),
                    leaf(duration("rpo", "at most the data of this time is lost", "", "15m"))};
  MappingSchema& per_source =
      make("source-objective", "objective of source", "What is promised for one source.");
  per_source.keys = objective.keys;
  per_source.keys.push_back(
      nested("scenarios", "for one kind of disaster", Shape::kNamed, objective));
  MappingSchema& objectives =
      make("objectives", "objectives",
           "What is promised: for the application, for one kind of disaster, for one source.");
  objectives.keys = objective.keys;
  objectives.keys.push_back(
      nested("scenarios", "for one kind of disaster", Shape::kNamed, objective));
  objectives.keys.push_back(nested("sources", "for one source", Shape::kNamed, per_source));
  MappingSchema& sandbox = make("sandbox", "sandbox", "Where drills and proofs restore to.");
  sandbox.shorthand = "directory";
  sandbox.keys = {leaf(typed(FieldType::kPath, "directory", "where throw-away data goes",
                             "/srv/sandbox", "below the state directory")),
                  leaf(flag("network", "what runs in it may talk to the outside", "false")),
                  leaf(duration("keep", "keep it for a look after the drill", "0s", "2h")),
                  leaf(typed(FieldType::kTextMap, "options", "for the stores in it"))};
  MappingSchema& drill = make("drill", "drill", "A rehearsal on a calendar.");
  drill.keys = {
      leaf(text("plan", "which plan is rehearsed", "recover",
                "restore, start and check every source")),
      leaf(one_of("scenario", "what is made to happen first", drill_scenarios(), "loss")),
      leaf(typed(FieldType::kSchedule, "schedule", "when; `manual`: only by hand",
                 "first Monday 09:00", "manual"),
           Rule::kManualSchedule),
      leaf(text("time-zone", "of the schedule", "Europe/Berlin", "the application's"), Rule::kZone),
      leaf(text("sandbox", "where", "default", "default"))};
}

void Schema::make_root() {
  auto& root = mappings_.front();
  root_ = &root;
  root.keys = {
      leaf(needed(text("application", "its name", "shop"))),
      leaf(text("time-zone", "of all schedules that do not say another", "Europe/Berlin", "UTC"),
           Rule::kZone),
      nested("repository", "the main repository", Shape::kMapping, get("repository")),
      leaf(typed(FieldType::kSecret, "password", "of all repositories that do not say another",
                 "env:SALVOR_PASSWORD", "the usual variables")),
      nested("repositories", "more repositories", Shape::kNamed, get("repository")),
      nested("sources", "what is protected", Shape::kNamed, get("source")),
      nested("copies", "repositories that get a copy of every source", Shape::kList, get("copy")),
      nested("objectives", "what is promised", Shape::kMapping, get("objectives")),
  };
  for (const KeySchema& key : get("policy").keys) {
    if (key.field.name != "time-zone") {
      root.keys.push_back(key);
    }
  }
  const std::vector<KeySchema> more{
      nested("policies", "more policies", Shape::kNamed, get("policy")),
      nested("plans", "recovery procedures", Shape::kNamed, get("plan")),
      nested("drills", "rehearsals", Shape::kNamed, get("drill")),
      nested("sandboxes", "places to restore to", Shape::kNamed, get("sandbox")),
      nested("contacts", "people", Shape::kNamed, get("contact")),
      nested("notifications", "where messages go", Shape::kNamed, get("channel")),
      leaf(typed(FieldType::kTextMap, "services",
                 "names with addresses; `${NAME}` of the environment and `${environment}` are "
                 "filled in, and plans say `${services.NAME}`",
                 "{api: \"https://api.${environment}.example.org\"}"),
           Rule::kAddresses),
      leaf(typed(FieldType::kPath, "state-directory", "the catalog and the journals of runs",
                 "/var/lib/salvor/shop", "below /var/lib/salvor, or the user's state directory")),
      nested("environments", "what differs in one environment: any of the keys above",
             Shape::kNamed, root)};
  root.keys.insert(root.keys.end(), more.begin(), more.end());
}

}  // namespace salvor::config
