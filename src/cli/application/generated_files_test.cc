#include "cli/application/generated_files.h"

#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace salvor::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

const ScheduleSetting kSetting{.program = "/usr/bin/salvor", .user = "root", .image = "salvor"};

Application application() {
  Application app{.name = "shop"};
  app.file = "/srv/shop/salvor.yaml";
  app.state_directory = "/var/lib/salvor/shop";
  app.sources = {{.name = "db", .kind = "postgres"}};
  return app;
}

std::string text_of(const std::string& scheduler, const Application& app,
                    const ScheduleSetting& setting = kSetting) {
  std::string text;
  for (const GeneratedFile& file : schedule_files(scheduler, app, setting)) {
    text += file.text;
  }
  return text;
}

// systemd takes what stands behind WorkingDirectory= as it is: quotes make it no absolute path, and
// the unit is refused.
TEST(GeneratedFiles, SystemdGetsPathsWithBlanksAsItReadsThem) {
  Application app = application();
  app.name = "My \"shop\"";
  app.file = "/srv/my shop/100%/salvor.yaml";
  app.state_directory = "/var/lib/my shop";
  const std::string text = text_of("systemd", app);
  EXPECT_THAT(text, HasSubstr("\nWorkingDirectory=/srv/my shop/100%%\n"));
  EXPECT_THAT(text, HasSubstr("--config \"/srv/my shop/100%%/salvor.yaml\""));
  EXPECT_THAT(text, HasSubstr("\nReadWritePaths=\"-/var/lib/my shop\"\n"));
  EXPECT_THAT(text, HasSubstr("\nDescription=Salvor: what is due for My \"shop\"\n"));
}

TEST(GeneratedFiles, NamesAreShortEnoughForKubernetesAndStayDifferent) {
  constexpr size_t kLongestCronJob = 52;
  constexpr size_t kLongestLabel = 63;
  std::set<std::string> names;
  for (const char* environment :
       {"", "production-in-the-first-region", "production-in-the-second-one"}) {
    Application app = application();
    app.name = "the shop with a rather long name, of Europe";
    app.environment = environment;
    app.sources[0].name = "database-of-orders-and-customers";
    for (const GeneratedFile& file : schedule_files("systemd", app, kSetting)) {
      const std::string name = file.name.substr(0, file.name.rfind('.'));
      const bool log = name.find("-log-") != std::string::npos || file.name.ends_with("service");
      EXPECT_LE(name.size(), log ? kLongestLabel : kLongestCronJob) << name;
      EXPECT_NE(name.back(), '-') << name;
    }
    const std::string job = schedule_files("kubernetes", app, kSetting).front().name;
    EXPECT_LE(job.size(), kLongestCronJob + std::string(".yaml").size()) << job;
    names.insert(job);
  }
  EXPECT_EQ(names.size(), 3U);
  EXPECT_EQ(schedule_files("kubernetes", application(), kSetting).front().name, "salvor-shop.yaml");
}

// What is missing from the environment file fails on the day it is needed.
TEST(GeneratedFiles, ReferencesOfEveryPlaceAreListed) {
  Application app = application();
  Settings command;
  command.set("environment", TextMap{{"TOKEN", "env:STEP_TOKEN"}});
  Settings back;
  back.set("url", std::string("env:UNDO_URL"));
  Settings values;
  values.set("values", std::vector<std::string>{"plain", "env:LISTED_VALUE"});
  StepSpec first;
  first.action = {.kind = "command", .settings = command};
  first.undo = ActionSpec{.kind = "sql", .settings = back};
  StepSpec second;
  second.action = {.kind = "sql", .settings = values};
  app.plans = {{.name = "recover", .steps = {first, second}}};
  for (const char* scheduler : {"systemd", "cron", "github"}) {
    const std::string text = text_of(scheduler, app);
    for (const char* name : {"STEP_TOKEN", "UNDO_URL", "LISTED_VALUE"}) {
      EXPECT_THAT(text, HasSubstr(name)) << scheduler;
    }
    EXPECT_THAT(text, Not(HasSubstr("plain"))) << scheduler;
  }
}

// A timer has none of the variables that were set where the files were made: without them the
// configuration names another repository there, or none.
TEST(GeneratedFiles, VariablesOfTheConfigurationAreListed) {
  config::ConfigurationRequest request;
  request.file = "/srv/shop/salvor.yaml";
  request.variables = {{"S3_BUCKET", "bucket"},
                       {"API_HOST", "api.example.org"},
                       {"SALVOR_SOURCES_UP_SCHEDULE", "hourly"},
                       {"SALVOR_SOURCES_DOWN_SCHEDULE", "hourly"},
                       {"HOME", "/root"}};
  const config::Configuration loaded =
      config::load_configuration_text(request,
                                      "application: shop\nsources: {up: {files: /up}}\n"
                                      "services: {api: \"https://${API_HOST}/\"}\n");
  ScheduleSetting setting = kSetting;
  setting.variables = variables_of(loaded);
  EXPECT_EQ(setting.variables,
            (std::set<std::string>{"API_HOST", "S3_BUCKET", "SALVOR_SOURCES_UP_SCHEDULE"}));
  for (const char* scheduler : {"systemd", "cron", "github"}) {
    const std::string text = text_of(scheduler, loaded.application, setting);
    for (const std::string& name : setting.variables) {
      EXPECT_THAT(text, HasSubstr(name)) << scheduler;
    }
  }
  EXPECT_THAT(text_of("kubernetes", loaded.application, setting), HasSubstr("secretRef"));
}

TEST(GeneratedFiles, OptionsOfTheCallAreThoseOfTheRuns) {
  Application app = application();
  app.environment = "no";
  ScheduleSetting setting = kSetting;
  setting.settings = {"sources.db.schedule=every 6 h", "copies=[\"a\", b]"};
  EXPECT_THAT(text_of("systemd", app, setting),
              HasSubstr(" --environment no --set \"sources.db.schedule=every 6 h\" --set "
                        "\"copies=[\\\"a\\\", b]\"\n"));
  EXPECT_THAT(
      text_of("cron", app, setting),
      HasSubstr(
          " --environment no --set 'sources.db.schedule=every 6 h' --set 'copies=[\"a\", b]'\n"));
  EXPECT_THAT(
      text_of("kubernetes", app, setting),
      HasSubstr("\"--environment\", \"no\", \"--set\", \"sources.db.schedule=every 6 h\", "
                "\"--set\", \"copies=[\\\"a\\\", b]\", --set, state-directory=/var/lib/salvor]"));
}

// What only systemd has, and what lies beside the configuration, is said.
TEST(GeneratedFiles, AdviceNamesWhatIsMissingThere) {
  Application app = application();
  RepositorySpec repository;
  repository.password = SecretReference::parse("credential:key").value();
  repository.environment = {{"TOKEN", "file:/srv/shop/.salvor/token"}, {"ID", "file:/etc/id"}};
  app.repositories = {repository};
  EXPECT_THAT(schedule_advice("kubernetes", app, kSetting),
              HasSubstr("too: /etc/id /etc/salvor/.salvor/token\n"));
  EXPECT_THAT(schedule_advice("github", app, kSetting), HasSubstr("too: /etc/id .salvor/token\n"));
  for (const char* scheduler : {"cron", "kubernetes", "github"}) {
    EXPECT_THAT(schedule_advice(scheduler, app, kSetting), HasSubstr("only systemd has"));
  }
  EXPECT_THAT(schedule_advice("systemd", app, kSetting), Not(HasSubstr("only systemd has")));
}

}  // namespace
}  // namespace salvor::cli
