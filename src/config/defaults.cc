#include "config/defaults.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <deque>
#include <map>

#include <fmt/format.h>

#include "base/slug.h"
#include "engine/store_kinds.h"

namespace salvor::config {
namespace {

using std::chrono::seconds;

constexpr std::string_view kMain = "main";
constexpr std::string_view kDefault = "default";
constexpr std::string_view kSchedule = "daily 02:00";

std::string directory_name(std::string_view name) {
  const std::string result = slug(name);
  return result.empty() ? "application" : result;
}

class Filler {
 public:
  Filler(YamlNode& tree, const Schema& schema, const DefaultsRequest& request)
      : tree_(tree), schema_(schema), request_(request) {
    default_.source =
        request.sources.add({.kind = SourceText::kDefault, .name = "default", .text = {}});
  }

  void run() {
    if (!tree_.is_map()) {
      tree_ = YamlNode::map(tree_.place);
    }
    set(tree_, "time-zone", "UTC");
    fill_state_directory();
    fill_repositories();
    fill_sources();
    fill_policies();
    fill_drills();
    fill_notifications();
  }

 private:
  // Unless it is there.
  void set(YamlNode& map, const std::string& key, const std::string& text) {
    set(map, key, text, default_);
  }
  static void set(YamlNode& map, const std::string& key, const std::string& text,
                  const Place& place) {
    if (map.find(key) == nullptr) {
      map.put(key, place, YamlNode::scalar(text, place));
    }
  }

  YamlNode& map_of(YamlNode& parent, const std::string& key) {
    YamlNode* found = parent.find(key);
    if (found != nullptr && found->is_map()) {
      return *found;
    }
    return found != nullptr ? scratch_.emplace_back(YamlNode::map(found->place))
                            : parent.put(key, default_, YamlNode::map(default_));
  }

  // The place of a variable that everybody knows, when it is set.
  std::optional<Place> usual(const std::string& name) {
    if (!request_.variable(name)) {
      return {};
    }
    auto [found, added] = usual_.try_emplace(name);
    if (added) {
      found->second.source =
          request_.sources.add({.kind = SourceText::kUsual, .name = name, .text = {}});
    }
    return found->second;
  }

  void fill_state_directory() {
    const YamlNode* name = tree_.find("application");
    std::string folder = directory_name(name != nullptr ? name->text : "");
    if (!request_.environment.empty()) {
      folder += "-" + directory_name(request_.environment);
    }
    set(tree_, "state-directory", request_.state_root + "/" + folder);
  }

  // --- repositories

  void fill_repositories() {
    if (YamlEntry* main = tree_.entry("repository")) {
      YamlNode value = std::move(main->value);
      const Place place = main->place;
      tree_.remove("repository");
      YamlNode& all = map_of(tree_, "repositories");
      if (const YamlEntry* twice = all.entry(kMain)) {
        request_.problems.add(twice->place,
                              "the repository \"main\" is the one of \"repository:\" already",
                              "Give this one another name, or remove \"repository:\".");
      } else {
        all.entries.insert(all.entries.begin(), {.key = std::string(kMain),
                                                 .place = place,
                                                 .quoted = false,
                                                 .value = std::move(value)});
      }
    }
    YamlNode& all = map_of(tree_, "repositories");
    if (all.entries.empty()) {
      usual_repository(all);
    }
    if (all.entries.empty()) {
      request_.problems.add(
          tree_.place, "no repository is named: \"repository\" is missing",
          "Say where backups are kept, for example \"repository: /srv/backups/shop\" or "
          "\"repository: s3:s3.amazonaws.com/my-bucket\".");
    }
    const YamlNode* password = tree_.find("password");
    for (YamlEntry& entry : all.entries) {
      if (entry.value.is_map()) {
        fill_password(entry.value, password);
        usual_credentials(entry.value);
      }
    }
    tree_.remove("password");
  }

  void usual_repository(YamlNode& all) {
    const auto put = [&](const std::string& location, const Place& place) {
      YamlNode repository = YamlNode::map(place);
      set(repository, "location", location, place);
      all.put(std::string(kMain), place, std::move(repository));
    };
    for (const char* name : {"RESTIC_REPOSITORY", "BACKUP_BUCKET", "S3_BUCKET", "GCS_BUCKET"}) {
      const auto place = usual(name);
      if (!place) {
        continue;
      }
      const std::string value = *request_.variable(name);
      const std::string variable = name;
      put(variable == "RESTIC_REPOSITORY" ? value
          : variable == "GCS_BUCKET"      ? "gs:" + value + ":/"
                                          : "s3:s3.amazonaws.com/" + value,
          *place);
      return;
    }
    if (const auto place = usual("SSH_HOST"); place && request_.variable("SSH_PATH")) {
      put("sftp:", *place);  // the storage reads SSH_HOST, SSH_USER, SSH_PATH and SSH_KEY
    }
  }

  void fill_password(YamlNode& repository, const YamlNode* common) {
    if (repository.find("password") != nullptr) {
      return;
    }
    if (common != nullptr) {
      repository.put("password", common->place, *common);
      return;
    }
    for (const char* prefix : {"SALVOR_", "RESTIC_"}) {
      const std::string name = std::string(prefix) + "PASSWORD";
      if (request_.has_password(name)) {
        const Place place{
            .source = request_.sources.add({.kind = SourceText::kUsual, .name = name, .text = {}})};
        set(repository, "password", "env:" + name, place);
        return;
      }
      if (const auto place = usual(name + "_FILE")) {
        set(repository, "password", "file:" + *request_.variable(name + "_FILE"), *place);
        return;
      }
      if (const auto place = usual(name + "_COMMAND")) {
        set(repository, "password", "cmd:" + *request_.variable(name + "_COMMAND"), *place);
        return;
      }
    }
    set(repository, "password", "env:SALVOR_PASSWORD");
  }

  void usual_credentials(YamlNode& repository) {
    const YamlNode* location = repository.find("location");
    if (location == nullptr || repository.find("environment") != nullptr) {
      return;
    }
    const auto reference = [&](const std::string& name, const std::string& variable) {
      if (const auto place = usual(variable)) {
        set(map_of(repository, "environment"), name, "env:" + variable, *place);
      }
    };
    if (location->text.starts_with("s3:")) {
      for (const char* name : {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
                               "AWS_REGION", "AWS_PROFILE"}) {
        reference(name, name);
      }
    } else if (location->text.starts_with("gs:")) {
      reference("GOOGLE_APPLICATION_CREDENTIALS", "GCS_CREDENTIALS");
    }
  }

  // --- sources

  void fill_sources() {
    const YamlNode repositories = map_of(tree_, "repositories");
    YamlNode& sources = map_of(tree_, "sources");
    const auto url = usual("DATABASE_URL");
    if (sources.entries.empty() && url) {
      YamlNode source = YamlNode::map(*url);
      source.put("postgres", *url, YamlNode::map(*url));
      sources.put("database", *url, std::move(source));
    }
    if (sources.entries.empty()) {
      request_.problems.add(tree_.place, "nothing is protected: \"sources\" is missing",
                            "For example: sources: {db: {postgres: \"env:DATABASE_URL\"}, uploads: "
                            "{files: /srv/uploads}}");
    }
    for (YamlEntry& entry : sources.entries) {
      YamlNode& source = entry.value;
      if (!source.is_map()) {
        continue;
      }
      if (YamlNode* postgres = source.find("postgres"); postgres != nullptr && url) {
        if (postgres->is_map()) {
          set(*postgres, "url", "env:DATABASE_URL", *url);
        }
      }
      if (source.find("repository") == nullptr && !repositories.entries.empty()) {
        if (repositories.find(kMain) != nullptr || repositories.entries.size() == 1) {
          set(source, "repository",
              repositories.entries.front().key == kMain ? std::string(kMain)
                                                        : main_or_first(repositories));
        } else {
          request_.problems.add(
              entry.place, fmt::format("\"repository\" is missing in source {}", shown(entry.key)),
              "There are several and none is named \"main\": say which one.");
        }
      }
      const YamlEntry* copies = tree_.entry("copies");
      if (copies != nullptr && source.find("copies") == nullptr) {
        source.put("copies", copies->place, copies->value);
      }
    }
    tree_.remove("copies");
  }

  static std::string main_or_first(const YamlNode& repositories) {
    return repositories.find(kMain) != nullptr ? std::string(kMain)
                                               : repositories.entries.front().key;
  }

  // --- policies

  [[nodiscard]] std::vector<std::string> policy_keys() const {
    for (const MappingSchema& mapping : schema_.mappings()) {
      if (mapping.id == "policy") {
        return mapping.names();
      }
    }
    return {};
  }

  void fill_policies() {
    YamlNode own = YamlNode::map(default_);
    for (const std::string& key : policy_keys()) {
      YamlEntry* at_top = key == "time-zone" ? nullptr : tree_.entry(key);
      if (at_top != nullptr) {
        own.put(key, at_top->place, std::move(at_top->value));
        tree_.remove(key);
      }
    }
    YamlNode& policies = map_of(tree_, "policies");  // from here on nothing leaves the tree
    if (YamlNode* written = policies.find(kDefault)) {
      for (YamlEntry& entry : own.entries) {
        if (const YamlEntry* twice = written->entry(entry.key)) {
          request_.problems.add(
              twice->place,
              fmt::format("{} of the policy \"default\" is said twice", shown(entry.key)),
              fmt::format("It stands at the top, too ({}): keep one of the two.",
                          request_.sources.origin(entry.place)));
        } else {
          written->entries.push_back(std::move(entry));
        }
      }
    } else {
      policies.entries.insert(policies.entries.begin(), {.key = std::string(kDefault),
                                                         .place = own.place,
                                                         .quoted = false,
                                                         .value = std::move(own)});
    }
    YamlNode common = *policies.find(kDefault);
    for (YamlEntry& entry : policies.entries) {
      if (entry.value.is_map() && entry.key != kDefault) {
        inherit(entry.value, common);
      }
    }
    own_policies(policies);
    for (YamlEntry& entry : policies.entries) {
      if (entry.value.is_map()) {
        built_in(entry.value);
      }
    }
  }

  // Of verification the single keys, of all else the whole.
  static void inherit(YamlNode& policy, const YamlNode& from) {
    for (const YamlEntry& entry : from.entries) {
      YamlNode* mine = policy.find(entry.key);
      if (mine == nullptr) {
        policy.entries.push_back(entry);
      } else if (entry.key == "verification" && mine->is_map()) {
        inherit(*mine, entry.value);
      }
    }
  }

  void built_in(YamlNode& policy) {
    const YamlNode* zone = tree_.find("time-zone");
    set(policy, "schedule", std::string(kSchedule));
    if (policy.find("time-zone") == nullptr) {
      policy.put("time-zone", zone->place, *zone);
    }
    if (policy.find("retention") == nullptr) {
      YamlNode& retention = map_of(policy, "retention");
      set(retention, "daily", "30");
      set(retention, "weekly", "12");
      set(retention, "monthly", "12");
      set(retention, "yearly", "7");
    }
    YamlNode& verification = map_of(policy, "verification");
    set(verification, "after-backup", "true");
    set(verification, "restore", "Sun 05:00");
    set(verification, "check", "Sat 05:00");
    set(verification, "check-percent", "5");
    set(verification, "older-point-percent", "20");
  }

  // What a source says of its own, or what its objective asks for.
  void own_policies(YamlNode& policies) {
    for (YamlEntry& entry : map_of(tree_, "sources").entries) {
      YamlNode& source = entry.value;
      if (!source.is_map()) {
        continue;
      }
      set(source, "policy", std::string(kDefault));
      const std::string name = source.find("policy")->text;
      const YamlNode* chosen = policies.find(name);
      YamlNode own = YamlNode::map(entry.place);
      for (const std::string& key : policy_keys()) {
        if (YamlEntry* said = source.entry(key)) {
          own.put(key, said->place, std::move(said->value));
          source.remove(key);
        }
      }
      if (chosen == nullptr || !chosen->is_map()) {
        continue;  // reported where references are looked at
      }
      const bool scheduled = own.find("schedule") != nullptr || chosen->find("schedule") != nullptr;
      if (const auto period = scheduled ? std::nullopt : needed_period(entry.key, source)) {
        set(own, "schedule", "every " + *period);
      }
      if (own.entries.empty()) {
        continue;
      }
      inherit(own, *chosen);
      std::string own_name = name + "-" + entry.key;
      while (policies.find(own_name) != nullptr) {
        own_name += "-own";
      }
      source.find("policy")->text = own_name;
      const Place place = own.place;
      policies.put(own_name, place, std::move(own));
    }
  }

  [[nodiscard]] static bool has_log(const YamlNode& source) {
    for (const YamlEntry& entry : source.entries) {
      const StoreKind* kind = find_store_kind(entry.key);
      if (kind == nullptr) {
        continue;
      }
      Settings settings;
      for (const YamlEntry& field : entry.value.entries) {
        if (field.value.is_scalar()) {
          settings.set(field.key, field.value.text);
        }
      }
      return kind->with_log(settings);
    }
    return false;
  }

  // How often a source without a log must be backed up for the least loss that is promised, as the
  // schedule says it; nothing when daily is often enough.
  std::optional<std::string> needed_period(const std::string& name, const YamlNode& source) {
    static constexpr std::array<std::pair<int64_t, std::string_view>, 13> kPeriods{
        {{12 * 3600, "12 h"},
         {8 * 3600, "8 h"},
         {6 * 3600, "6 h"},
         {4 * 3600, "4 h"},
         {3 * 3600, "3 h"},
         {2 * 3600, "2 h"},
         {3600, "1 h"},
         {1800, "30 min"},
         {1200, "20 min"},
         {900, "15 min"},
         {600, "10 min"},
         {300, "5 min"},
         {60, "1 min"}}};
    const std::optional<seconds> least = least_loss(name);
    if (!least || least->count() >= 86400 || has_log(source)) {
      return {};
    }
    for (const auto& [length, text] : kPeriods) {
      if (length <= least->count()) {
        return std::string(text);
      }
    }
    return {};
  }

  std::optional<seconds> least_loss(const std::string& source) const {
    std::optional<seconds> least;
    const auto take = [&](const YamlNode* objective) {
      const YamlNode* rpo = objective == nullptr ? nullptr : objective->find("rpo");
      const auto period = rpo == nullptr ? std::nullopt : parse_period(rpo->text);
      if (period && (!least || *period < *least)) {
        least = period;
      }
      const YamlNode* scenarios = objective == nullptr ? nullptr : objective->find("scenarios");
      for (const YamlEntry& one :
           scenarios == nullptr ? std::vector<YamlEntry>() : scenarios->entries) {
        const YamlNode* inner = one.value.find("rpo");
        const auto other = inner == nullptr ? std::nullopt : parse_period(inner->text);
        if (other && one.key != "pod" && one.key != "configuration" &&
            (!least || *other < *least)) {
          least = other;
        }
      }
    };
    const YamlNode* objectives = tree_.find("objectives");
    const YamlNode* sources = objectives == nullptr ? nullptr : objectives->find("sources");
    const YamlNode* own = sources == nullptr ? nullptr : sources->find(source);
    take(own);
    if (own == nullptr || own->find("rpo") == nullptr) {
      take(objectives);
    }
    return least;
  }

  // --- the rest

  void fill_drills() {
    YamlNode& sandboxes = map_of(tree_, "sandboxes");
    if (sandboxes.find(kDefault) == nullptr) {
      YamlNode sandbox = YamlNode::map(default_);
      set(sandbox, "directory", tree_.find("state-directory")->text + "/sandbox");
      sandboxes.put(std::string(kDefault), default_, std::move(sandbox));
    }
    for (YamlEntry& entry : sandboxes.entries) {
      if (entry.value.is_map()) {
        set(entry.value, "directory",
            tree_.find("state-directory")->text + "/sandbox-" + entry.key);
      }
    }
    YamlNode& drills = map_of(tree_, "drills");
    if (tree_.find("drills")->is_map() && drills.entries.empty() &&
        drills.place.source == default_.source) {
      YamlNode drill = YamlNode::map(default_);
      set(drill, "schedule", "first Monday 09:00");
      drills.put("monthly", default_, std::move(drill));
    }
    const YamlNode* zone = tree_.find("time-zone");
    for (YamlEntry& entry : drills.entries) {
      if (entry.value.is_map()) {
        set(entry.value, "scenario", "loss");
        set(entry.value, "schedule", "manual");
        set(entry.value, "sandbox", std::string(kDefault));
        if (entry.value.find("time-zone") == nullptr) {
          entry.value.put("time-zone", zone->place, *zone);
        }
      }
    }
  }

  void fill_notifications() {
    if (tree_.find("notifications") != nullptr) {
      return;
    }
    static constexpr std::array<std::pair<const char*, const char*>, 2> kKnown{
        {{"slack", "SLACK_WEBHOOK_URL"}, {"webhook", "WEBHOOK_URL"}}};
    for (const auto& [kind, variable] : kKnown) {
      if (const auto place = usual(variable)) {
        YamlNode settings = YamlNode::map(*place);
        set(settings, "url", std::string("env:") + variable, *place);
        YamlNode channel = YamlNode::map(*place);
        channel.put(kind, *place, std::move(settings));
        map_of(tree_, "notifications").put(kind, *place, std::move(channel));
      }
    }
  }

  YamlNode& tree_;
  const Schema& schema_;
  const DefaultsRequest& request_;
  Place default_;
  std::map<std::string, Place> usual_;
  std::deque<YamlNode> scratch_;  // in the place of what is no mapping, and reported as that
};

}  // namespace

void fill_in(YamlNode& tree, const Schema& schema, const DefaultsRequest& request) {
  Filler(tree, schema, request).run();
}

}  // namespace salvor::config
