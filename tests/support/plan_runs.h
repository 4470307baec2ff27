// Runs of plans against a fake site, for tests.
#pragma once

#include <sstream>

#include <gtest/gtest.h>

#include "plan/plan_run.h"
#include "support/fake_site.h"
#include "support/temp_directory.h"
#include "support/test_context.h"

namespace salvor::test {

inline RecoveryRange range(const std::string& snapshot, WallTime captured) {
  return {.snapshot = snapshot,
          .captured = captured,
          .until = captured,
          .durable = captured,
          .bytes = 11};
}

class PlanRuns : public testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::create_directory(root());
    write_text(root() / "db", "the old data");
    site_.add("db", {range("aaaa1111", clock_.now() - std::chrono::hours(1))});
  }
  [[nodiscard]] std::filesystem::path root() const { return directory_.path() / "world"; }
  [[nodiscard]] std::string line(const std::string& what) const {
    return "echo " + what + " >> " + (root() / "log").string();
  }
  [[nodiscard]] std::vector<std::string> log() const {
    std::vector<std::string> lines;
    std::istringstream in(read_text(root() / "log"));
    for (std::string one; std::getline(in, one);) {
      lines.push_back(one);
    }
    return lines;
  }
  [[nodiscard]] plan::PlanGraph graph(std::vector<StepSpec> steps, TextMap parameters = {}) const {
    return plan::resolve_plan({.name = "recover",
                               .summary = {},
                               .parameters = std::move(parameters),
                               .steps = std::move(steps),
                               .source_text = {}},
                              {});
  }
  [[nodiscard]] plan::RunTools tools() {
    return {.site = site_, .secrets = secrets_, .observer = events_, .people = people_};
  }
  std::unique_ptr<plan::PlanRun> start(plan::PlanGraph resolved) {
    id_ = plan::RunFolder::new_id(random_);
    const plan::Preflight preflight =
        plan::look_ahead(*context_, resolved, site_, secrets_, {.run = id_});
    plan::throw_problems(resolved, preflight);
    return plan::PlanRun::start(
        context_now_, folder_, tools(), std::move(resolved), preflight,
        {.id = id_, .mode = std::string(plan::name_of(site_.mode())), .who = "me"});
  }
  plan::RunEnd run(std::vector<StepSpec> steps) {
    const auto run = start(graph(std::move(steps)));
    const plan::RunEnd end = run->execute();
    error_ = run->error();
    hint_ = run->hint();
    state_ = run->state();
    return end;
  }
  plan::RunEnd resume(std::vector<StepSpec> steps, bool accept = false) {
    const auto run =
        plan::PlanRun::resume(context_now_, folder_, tools(), graph(std::move(steps)), id_, accept);
    const plan::RunEnd end = run->execute();
    error_ = run->error();
    state_ = run->state();
    return end;
  }

  TempDirectory directory_;
  TestContext context_;
  Context context_now_ = *context_;
  SystemClock clock_;
  SystemRandom random_;
  FakeSite site_{root()};
  plan::Secrets secrets_{[](const SecretReference& reference) {
    if (reference.name == "MISSING") {
      throw Error(ErrorCode::kNotFound, "variable MISSING is not set");
    }
    return Secret("hunter22");
  }};
  EventList events_;
  FakePeople people_;
  plan::RunFolder folder_{directory_.path() / "state"};
  std::string id_;
  std::string error_;
  std::string hint_;
  plan::RunState state_;
};

}  // namespace salvor::test
