#include "config/configuration.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/yaml_printer.h"
#include "support/properties.h"
#include "support/temp_directory.h"
#include "support/test_data.h"

namespace salvor::config {
namespace {

std::filesystem::path golden_folder() {
  return std::filesystem::path(test::test_data("../config")).lexically_normal();
}

std::string read_text(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<StepKind> few_steps() {
  return {
      {.name = "restore",
       .summary = "restore a source",
       .fields = {{.name = "source", .help = "which", .required = true},
                  {.name = "moment", .type = FieldType::kMoment, .help = "which point"},
                  {.name = "target", .type = FieldType::kTextMap, .help = "where to"}}},
      {.name = "sql",
       .summary = "run SQL",
       .fields = {{.name = "query", .help = "what is run", .required = true},
                  {.name = "source", .help = "where"}}},
      {.name = "command",
       .summary = "run a command",
       .fields = {{.name = "run", .help = "a line for sh", .required = true}}},
      {.name = "http",
       .summary = "ask an address",
       .fields = {{.name = "url", .type = FieldType::kUrl, .help = "which", .required = true},
                  {.name = "status", .type = FieldType::kNumber, .help = "expected"}}},
      {.name = "approve",
       .summary = "ask somebody",
       .fields = {{.name = "question", .help = "what is asked", .required = true},
                  {.name = "by", .type = FieldType::kTextList, .help = "who"}}},
      {.name = "plan",
       .summary = "run another plan",
       .fields = {{.name = "plan", .help = "which", .required = true}}},
  };
}

ConfigurationRequest request(Variables variables = {}) {
  using namespace std::chrono;
  return {.file = "/etc/shop/salvor.yaml",
          .environment = {},
          .variables = std::move(variables),
          .not_ours = {"SALVOR_COMPRESSION"},
          .passwords_set = {},
          .settings = {},
          .home = "/home/me",
          .state_root = "/var/lib/salvor",
          .steps = few_steps(),
          .now = sys_days{2026y / 11 / 21}};
}

constexpr const char* kShort = R"(application: shop
repository: /srv/backups/shop
password: env:SHOP_PASSWORD
sources:
  db:
    postgres: env:DATABASE_URL
  uploads:
    files: /srv/shop/uploads
objectives: {rto: 15m, rpo: 5m}
)";

Configuration load(const std::string& text, const ConfigurationRequest& with = request()) {
  try {
    return load_configuration_text(with, text);
  } catch (const ConfigurationError& error) {
    ADD_FAILURE() << error.report();
    throw;
  }
}

TEST(Configuration, TenLinesAreEnough) {
  const Application shop = load(kShort).application;
  EXPECT_EQ(shop.name, "shop");
  ASSERT_EQ(shop.repositories.size(), 1U);
  EXPECT_EQ(shop.repositories[0].name, "main");
  EXPECT_EQ(shop.repositories[0].password.text(), "env:SHOP_PASSWORD");
  ASSERT_EQ(shop.sources.size(), 2U);
  EXPECT_EQ(shop.sources[0].kind, "postgres");
  EXPECT_EQ(shop.sources[0].settings.text("url"), "env:DATABASE_URL");
  EXPECT_EQ(shop.sources[0].policy, "default");
  EXPECT_EQ(shop.sources[1].settings.list("paths"), std::vector<std::string>{"/srv/shop/uploads"});
  const PolicySpec* policy = find_named(shop.policies, "default");
  ASSERT_NE(policy, nullptr);
  EXPECT_EQ(policy->schedule, "daily 02:00");
  EXPECT_EQ(policy->retention.daily, 30U);
  EXPECT_EQ(policy->retention.yearly, 7U);
  EXPECT_EQ(policy->verification.restore, "Sun 05:00");
  // Without a log only backups as often as the objective asks for can keep it.
  EXPECT_EQ(find_named(shop.policies, shop.sources[1].policy)->schedule, "every 5 min");
  ASSERT_EQ(shop.objectives.size(), 1U);
  EXPECT_EQ(shop.objectives[0].rpo.count(), 300);
  ASSERT_EQ(shop.drills.size(), 1U);
  EXPECT_EQ(shop.drills[0].schedule, "first Monday 09:00");
  EXPECT_EQ(shop.state_directory, "/var/lib/salvor/shop");
}

// What is shown reads back as the same configuration.
TEST(Configuration, PrintsWhatItRead) {
  const std::string shown = write_yaml(load(kShort).tree);
  EXPECT_EQ(write_yaml(load(shown).tree), shown);
}

TEST(Configuration, ReportsAllMistakesAtOnce) {
  try {
    (void)load_configuration_text(request(), R"(application: shop
repository: /srv/backups/shop
password: hunter2secret
sources:
  db:
    postgress: env:DATABASE_URL
  uploads:
    files: /srv/shop/uploads
    retension: 7d
    schedule: dayly 2:00
    policy: nope
objectives: {rto: 15m, rpo: 5}
)");
    FAIL();
  } catch (const ConfigurationError& error) {
    EXPECT_EQ(error.problems().size(), 6U) << error.report();
    EXPECT_THAT(error.report(), testing::Not(testing::HasSubstr("hunter2")));
  }
}

TEST(Configuration, LaterLayersWin) {
  ConfigurationRequest with = request({{"SALVOR_SOURCES_DB_SCHEDULE", "every 2 h"},
                                       {"SALVOR_SOURCES_DB_POSTGRES_WAL", "archive"},
                                       {"SALVOR_SOURCES_UPLOADS_FILES_EXCLUDE", "[a, \"no\"]"},
                                       {"SALVOR_REPOSITORY", "/mnt/other"}});
  with.environment = "production";
  with.settings = {"sources.db.postgres.slot=mine"};
  const Application shop = load(std::string(kShort) + R"(
schedule: daily 04:00
environments:
  production:
    schedule: daily 05:00
    objectives: {rpo: 24h}
    sources:
      uploads: {files: [/srv/a, relative]}
  staging:
    repository: {location: /srv/staging}
)",
                                with)
                               .application;
  EXPECT_EQ(shop.repositories[0].location, "/mnt/other");
  EXPECT_EQ(shop.environment, "production");
  EXPECT_EQ(shop.state_directory, "/var/lib/salvor/shop-production");
  EXPECT_EQ(find_named(shop.policies, "default")->schedule, "daily 05:00");
  EXPECT_EQ(find_named(shop.policies, shop.sources[0].policy)->schedule, "every 2 h");
  EXPECT_EQ(shop.sources[0].settings.text("url"), "env:DATABASE_URL");
  EXPECT_EQ(shop.sources[0].settings.text("wal"), "archive");
  EXPECT_EQ(shop.sources[0].settings.text("slot"), "mine");
  EXPECT_EQ(shop.sources[1].settings.list("paths"),
            (std::vector<std::string>{"/srv/a", "/etc/shop/relative"}));
  EXPECT_EQ(shop.sources[1].settings.list("exclude"), (std::vector<std::string>{"a", "no"}));
  EXPECT_EQ(shop.objectives[0].rto.count(), 900);  // of the base layer
  EXPECT_EQ(shop.objectives[0].rpo.count(), 86400);
}

TEST(Configuration, ALayerReplacesTheKindOfASource) {
  ConfigurationRequest with = request();
  with.environment = "test";
  const Application shop =
      load(
          "application: shop\nrepository: /a\nsources: {db: {postgres: \"env:X\"}}\n"
          "environments: {test: {sources: {db: {files: /srv/db}}}}\n",
          with)
          .application;
  EXPECT_EQ(shop.sources[0].kind, "files");
}

TEST(Configuration, KnowsTheUsualVariables) {
  ConfigurationRequest with = request({{"DATABASE_URL", "postgres://u:p@h/d"},
                                       {"S3_BUCKET", "bucket"},
                                       {"AWS_ACCESS_KEY_ID", "id"},
                                       {"AWS_SECRET_ACCESS_KEY", "secret"},
                                       {"SLACK_WEBHOOK_URL", "https://hooks"}});
  with.passwords_set = {"RESTIC_PASSWORD"};
  const Configuration loaded = load("application: shop\n", with);
  const Application& shop = loaded.application;
  ASSERT_EQ(shop.sources.size(), 1U);
  EXPECT_EQ(shop.sources[0].settings.text("url"), "env:DATABASE_URL");
  EXPECT_EQ(shop.repositories[0].location, "s3:s3.amazonaws.com/bucket");
  EXPECT_EQ(shop.repositories[0].password.text(), "env:RESTIC_PASSWORD");
  EXPECT_EQ(shop.repositories[0].environment,
            (TextMap{{"AWS_ACCESS_KEY_ID", "env:AWS_ACCESS_KEY_ID"},
                     {"AWS_SECRET_ACCESS_KEY", "env:AWS_SECRET_ACCESS_KEY"}}));
  ASSERT_EQ(shop.channels.size(), 1U);
  EXPECT_EQ(shop.channels[0].settings.text("url"), "env:SLACK_WEBHOOK_URL");
  EXPECT_EQ(loaded.sources->origin(loaded.tree.find("repositories")->find("main")->place),
            "S3_BUCKET");
}

TEST(Configuration, PoliciesHaveWhatTheyDoNotSayFromTheDefault) {
  const Application shop = load(R"(application: shop
repository: /a
schedule: hourly
time-zone: Europe/Berlin
retention: {daily: 3}
verification: {restore: manual}
policies:
  slow: {schedule: daily 01:00, verification: {check-percent: 7}}
  own: {retention: {last: 2}}
sources:
  a: {files: /a, policy: slow}
  b: {files: /b, policy: own, jitter: 5m}
)")
                               .application;
  const PolicySpec& slow = *find_named(shop.policies, shop.sources[0].policy);
  EXPECT_EQ(slow.schedule, "daily 01:00");
  EXPECT_EQ(slow.time_zone, "Europe/Berlin");
  EXPECT_EQ(slow.retention.daily, 3U);
  EXPECT_EQ(slow.retention.yearly, 0U);  // the default was replaced as a whole
  EXPECT_EQ(slow.verification.check_percent, 7U);
  EXPECT_EQ(slow.verification.restore, "");
  const PolicySpec& own = *find_named(shop.policies, shop.sources[1].policy);
  EXPECT_EQ(own.name, "own-b");
  EXPECT_EQ(own.schedule, "hourly");
  EXPECT_EQ(own.retention.last, 2U);
  EXPECT_EQ(own.retention.daily, 0U);
  EXPECT_EQ(own.jitter.count(), 300);
}

std::string mistakes_in(const std::string& text, const ConfigurationRequest& with = request()) {
  try {
    (void)load_configuration_text(with, text);
    return "";
  } catch (const ConfigurationError& error) {
    return error.report();
  }
}

constexpr const char* kFolder = "application: s\nrepository: /a\nsources: {up: {files: /up}}\n";

// "every 15 min" backs nothing up for the sixteen hours in which the window is closed.
TEST(Promises, AClosedWindowLosesWhatWasWrittenMeanwhile) {
  const std::string window = std::string(kFolder) + "window: 22:00-06:00\nobjectives: {rpo: ";
  EXPECT_THAT(mistakes_in(window + "15m}\n"),
              testing::HasSubstr("its window is closed for 16h of the day"));
  EXPECT_EQ(mistakes_in(window + "16h}\n"), "");
  EXPECT_EQ(mistakes_in(window + "1d}\n"), "");
}

TEST(Promises, AnObjectiveForTheTimeLeavesTheLossAsItWas) {
  const std::string own =
      std::string(kFolder) + "objectives: {rpo: 15m, sources: {up: {rto: 1h}}}\n";
  const Application shop = load(own).application;
  EXPECT_EQ(find_named(shop.policies, shop.sources[0].policy)->schedule, "every 15 min");
  EXPECT_THAT(mistakes_in(own + "schedule: daily 02:00\n"),
              testing::HasSubstr("an RPO of 15m cannot be kept for \"up\""));
}

// The two days of a weekend come after more runs than anybody looks at one by one.
TEST(Promises, RareGapsOfADenseScheduleCount) {
  EXPECT_THAT(
      mistakes_in(std::string(kFolder) + "schedule: \"* * * * 1-5\"\nobjectives: {rpo: 15m}\n"),
      testing::HasSubstr("leaves up to 2d1m between two backups"));
}

TEST(Configuration, ACopyInTheSamePlaceIsNoCopy) {
  for (const char* place : {"/a", "/a/", "local:/a", "/x/../a", "/./a"}) {
    EXPECT_THAT(
        mistakes_in(std::string(kFolder) + "repositories: {far: " + place + "}\ncopies: [far]\n"),
        testing::HasSubstr("are the same place"))
        << place;
  }
}

TEST(Configuration, AHomeIsFilledInOrAskedFor) {
  const std::string text =
      "application: s\nrepository: ~/backups\npassword: file:~/key\nsources: {a: {files: ~/a}}\n";
  const Application shop = load(text).application;
  EXPECT_EQ(shop.repositories[0].location, "/home/me/backups");
  EXPECT_EQ(shop.repositories[0].password.text(), "file:/home/me/key");
  EXPECT_EQ(shop.sources[0].settings.list("paths"), std::vector<std::string>{"/home/me/a"});
  ConfigurationRequest homeless = request();
  homeless.home.clear();
  for (const char* what : {"repository \"main\"", "\"password\"", "\"paths\""}) {
    EXPECT_THAT(mistakes_in(text, homeless), testing::HasSubstr(what));
  }
}

// Else it would be read and thrown away.
TEST(Configuration, TheFileOfAnEnvironmentHasNoEnvironments) {
  const test::TempDirectory folder;
  ConfigurationRequest with = request();
  with.file = folder.path().string() + "/salvor.yaml";
  with.environment = "production";
  std::ofstream(with.file) << kFolder;
  std::ofstream(environment_file(with.file, with.environment))
      << "environments: {production: {schedule: hourly}}\n";
  try {
    (void)load_configuration(with);
    FAIL();
  } catch (const ConfigurationError& error) {
    EXPECT_THAT(error.report(), testing::HasSubstr("has no environments of its own"));
  }
}

std::map<std::string, std::vector<std::string>> graph_of(const std::string& steps) {
  const Application shop = load(
                               "application: s\nrepository: /a\nsources: {db: {files: /a}}\n"
                               "plans:\n  p:\n    steps:\n" +
                               steps)
                               .application;
  std::map<std::string, std::vector<std::string>> graph;
  for (const StepSpec& step : shop.plans.at(0).steps) {
    graph[step.id] = step.after;
  }
  return graph;
}

using Graph = std::map<std::string, std::vector<std::string>>;

TEST(Plans, StepsWaitForAllAboveThem) {
  EXPECT_EQ(graph_of("      - {command: x, name: a}\n"
                     "      - together: [{command: x, name: b}, {command: x, name: c}]\n"
                     "      - {command: x, name: d}\n"),
            (Graph{{"a", {}}, {"b", {"a"}}, {"c", {"a"}}, {"d", {"b", "c"}}}));
}

// What nobody waits for yet is waited for by the next step without `after`.
TEST(Plans, AfterReplacesTheOrder) {
  EXPECT_EQ(graph_of("      - {command: x, name: a}\n"
                     "      - {command: x, name: b, after: []}\n"
                     "      - {command: x, name: c, after: a}\n"
                     "      - {command: x, name: d}\n"),
            (Graph{{"a", {}}, {"b", {}}, {"c", {"a"}}, {"d", {"b", "c"}}}));
}

TEST(Plans, AskingIsAStepOrBelongsToOne) {
  const Application shop = load(R"(application: s
repository: /a
sources: {db: {files: /a}}
contacts: {alice: a@example.org}
services: {api: "https://${environment_name}.example.org"}
plans:
  p:
    summary: all of it
    steps:
      - approve: Go?
      - restore: db
        approve: {question: "Sure?", by: alice}
        undo: {command: back}
        timeout: 5m
        retries: 2
        on-failure: undo
        only: drill
      - http: "${services.api}/health?${x}"
)",
                                request({{"environment_name", "prod"}}))
                               .application;
  const std::vector<StepSpec>& steps = shop.plans[0].steps;
  EXPECT_EQ(steps[0].action.kind, "approve");
  EXPECT_EQ(steps[0].action.settings.text("question"), "Go?");
  EXPECT_FALSE(steps[0].approval.has_value());
  EXPECT_EQ(steps[1].id, "restore-db");
  EXPECT_EQ(steps[1].approval->question, "Sure?");
  EXPECT_EQ(steps[1].approval->by, std::vector<std::string>{"alice"});
  EXPECT_EQ(steps[1].undo->settings.text("run"), "back");
  EXPECT_EQ(steps[1].timeout.count(), 300);
  EXPECT_EQ(steps[1].on_failure, OnFailure::kUndo);
  EXPECT_EQ(steps[1].only, StepScope::kDrill);
  EXPECT_EQ(steps[2].action.settings.text("url"), "https://prod.example.org/health?${x}");
  EXPECT_THAT(shop.plans[0].source_text, testing::HasSubstr("https://prod.example.org"));
}

// A plan's hash is made of this text: it must not depend on comments and layout.
TEST(Plans, TheCanonicalTextDependsOnWhatIsSaidOnly) {
  const auto text = [](const std::string& plan) {
    return load("application: s\nrepository: /a\nsources: {db: {files: /a}}\nplans:\n" + plan)
        .application.plans[0]
        .source_text;
  };
  EXPECT_EQ(text("  p: {steps: [{restore: db}]}\n"),
            text("  p:\n    # why\n    steps:\n      - restore: {source: 'db'}\n"));
  EXPECT_NE(text("  p: {steps: [{restore: db}]}\n"),
            text("  p: {steps: [{restore: db, retries: 1}]}\n"));
}

TEST(Schema, EveryKeyHasHelpAndNamesAreSpelledAlike) {
  const Schema schema(few_steps());
  for (const MappingSchema& mapping : schema.mappings()) {
    std::set<std::string> names;
    for (const KeySchema& key : mapping.keys) {
      EXPECT_FALSE(key.field.help.empty()) << mapping.id << "." << key.field.name;
      EXPECT_FALSE(key.field.help.ends_with(".")) << mapping.id << "." << key.field.name;
      EXPECT_EQ(key.field.name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-"),
                std::string::npos)
          << mapping.id << "." << key.field.name;
      EXPECT_TRUE(names.insert(key.field.name).second) << mapping.id << "." << key.field.name;
    }
  }
}

// Whatever is changed in a good file: it loads, or every mistake has a place. Never a crash.
TEST(Configuration, AnyChangeIsUnderstoodOrExplained) {
  const std::string good =
      read_text(golden_folder().parent_path().parent_path() / "examples/short.yaml") +
      "plans: {p: {steps: [{restore: db}, {together: [{command: x}]}]}}\n";
  static const std::vector<std::string> kPieces{
      "",    "\n",    "  ", ":",    ": ", "- ", "[",  "]",   "{",     "}",    "&a ",   "*a",
      "|\n", "'",     "\"", "#",    "\t", "~",  "no", "010", "12:30", "<<: ", "!!x ",  "${x}",
      "\\",  "---\n", "é",  "\x01", "%",  "@",  "? ", ">",   ",",     "db",   "files", "0"};
  test::expect_property(
      [&] {
        std::string text = good;
        const int changes = *rc::gen::inRange(1, 4);
        for (int i = 0; i < changes; ++i) {
          const size_t at = *rc::gen::inRange<size_t>(0, text.size());
          const size_t length = *rc::gen::inRange<size_t>(0, 6);
          text.replace(at, length, *rc::gen::elementOf(kPieces));
        }
        try {
          const Configuration loaded = load_configuration_text(request(), text);
          const std::string shown = write_yaml(loaded.tree);
          RC_ASSERT(write_yaml(load_configuration_text(request(), shown).tree) == shown);
        } catch (const ConfigurationError& error) {
          RC_ASSERT(!error.problems().empty());
          for (const Problem& problem : error.problems()) {
            RC_ASSERT(error.sources().at(problem.place.source).kind == SourceText::kFile);
          }
        }
      },
      60);
}

// Every tests/config/*.yaml is a configuration with mistakes; what is said about it stands beside
// it. SALVOR_UPDATE_GOLDENS=1 writes that anew, to be read before it is committed.
class Goldens : public testing::TestWithParam<std::string> {};

std::vector<std::string> golden_names() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(golden_folder())) {
    if (entry.path().extension() == ".yaml") {
      names.push_back(entry.path().stem().string());
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

// "# environment: x", "# variable: A=B" and "# set: a.b=c" at the top of a file.
ConfigurationRequest request_of(const std::string& text) {
  ConfigurationRequest result = request({{"DATABASE_URL", "x"}});
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line) && line.starts_with("# ");) {
    const auto after = [&](const std::string& word) {
      return line.starts_with("# " + word + ": ") ? line.substr(word.size() + 4) : "";
    };
    if (const std::string variable = after("variable"); !variable.empty()) {
      result.variables[variable.substr(0, variable.find('='))] =
          variable.substr(variable.find('=') + 1);
    }
    if (const std::string setting = after("set"); !setting.empty()) {
      result.settings.push_back(setting);
    }
    if (const std::string environment = after("environment"); !environment.empty()) {
      result.environment = environment;
    }
  }
  result.file = "salvor.yaml";
  return result;
}

std::vector<Problem> problems_of(const std::string& text, std::string& report) {
  try {
    const Configuration loaded = load_configuration_text(request_of(text), text);
    report = "no mistakes\n";
    return {};
  } catch (const ConfigurationError& error) {
    report = error.report();
    return error.problems();
  }
}

TEST_P(Goldens, SayWhatIsWrong) {
  std::string report;
  (void)problems_of(read_text(golden_folder() / (GetParam() + ".yaml")), report);
  EXPECT_THAT(report, testing::Not(testing::HasSubstr("hunter2")));
  const std::filesystem::path expected = golden_folder() / (GetParam() + ".txt");
  if (std::getenv("SALVOR_UPDATE_GOLDENS") != nullptr) {
    std::ofstream(expected, std::ios::binary) << report;
  }
  EXPECT_EQ(report, read_text(expected));
}

TEST(Configuration, GoldensCoverManyMistakes) {
  std::set<std::string> said;
  for (const std::string& name : golden_names()) {
    std::string report;
    for (const Problem& problem :
         problems_of(read_text(golden_folder() / (name + ".yaml")), report)) {
      said.insert(problem.what);
    }
  }
  EXPECT_GE(said.size(), 120U);
}

INSTANTIATE_TEST_SUITE_P(Configuration, Goldens, testing::ValuesIn(golden_names()),
                         [](const auto& name) {
                           std::string text = name.param;
                           std::replace(text.begin(), text.end(), '-', '_');
                           return text;
                         });

}  // namespace
}  // namespace salvor::config
