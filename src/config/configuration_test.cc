#include "config/configuration.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/yaml_printer.h"

namespace salvor::config {
namespace {

std::vector<StepKind> few_steps() {
  return {
      {.name = "restore",
       .summary = "restore a source",
       .fields = {{.name = "source", .help = "which", .required = true},
                  {.name = "moment", .type = FieldType::kMoment, .help = "which point"}}},
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

}  // namespace
}  // namespace salvor::config
