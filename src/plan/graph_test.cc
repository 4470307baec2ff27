#include "plan/graph.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "base/error.h"
#include "plan/plan_text.h"
#include "support/fake_site.h"
#include "support/properties.h"

namespace salvor::plan {
namespace {

using test::make_step;
using test::shell_step;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

PlanSpec plan_of(std::vector<StepSpec> steps, TextMap parameters = {}) {
  return {.name = "recover",
          .summary = {},
          .parameters = std::move(parameters),
          .steps = std::move(steps),
          .source_text = {}};
}

std::string failure_of(const PlanSpec& plan, const FindPlan& find = {}) {
  try {
    static_cast<void>(resolve_plan(plan, find));
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUsage);
    return error.message();
  }
  return {};
}

std::vector<std::string> ids(const PlanGraph& graph) {
  std::vector<std::string> list;
  for (const PlanNode& node : graph.nodes) {
    list.push_back(node.spec.id);
  }
  return list;
}

TEST(PlanGraph, KeepsTheFilesOrderWhereTheGraphAllowsIt) {
  const PlanGraph graph = resolve_plan(
      plan_of({shell_step("c", "true", {"a"}), shell_step("b", "true"), shell_step("a", "true")}),
      {});
  EXPECT_THAT(ids(graph), ElementsAre("b", "a", "c"));
  EXPECT_TRUE(graph.precedes(1, 2));
  EXPECT_FALSE(graph.precedes(0, 2));
}

TEST(PlanGraph, NamesTheStepsThatWaitForEachOther) {
  EXPECT_THAT(failure_of(plan_of({shell_step("a", "true"), shell_step("b", "true", {"d", "a"}),
                                  shell_step("c", "true", {"b"}), shell_step("d", "true", {"c"})})),
              HasSubstr("steps wait for each other: b after d after c after b"));
}

TEST(PlanGraph, ReportsAllProblemsAtOnce) {
  EXPECT_THAT(failure_of(plan_of({make_step("a", "teleport", {}), shell_step("b", "true"),
                                  shell_step("b", "true")})),
              AllOf(HasSubstr("a: there is no kind of step \"teleport\""),
                    HasSubstr("two steps with the id b")));
}

TEST(PlanGraph, KnowsWhichOutputsAreWanted) {
  StepSpec last = shell_step("last", "echo ${run.id}", {"first"});
  last.undo = ActionSpec{.kind = "command",
                         .settings = test::texts("command", {"echo", "at ${first.status}"})};
  const PlanGraph graph =
      resolve_plan(plan_of({shell_step("first", "true"),
                            shell_step("x", "echo ${first.output}", {"first"}), last}),
                   {});
  EXPECT_THAT(graph.wanted_outputs("first"), ElementsAre("output", "status"));
  EXPECT_THAT(graph.wanted_outputs("last"), ElementsAre());
}

TEST(PlanGraph, RefusesVariablesThatNobodyCanKnow) {
  EXPECT_THAT(failure_of(plan_of({shell_step("a", "echo ${pont} ${b.output} ${c.colour} ${d.x}"),
                                  shell_step("b", "true"), shell_step("c", "true")},
                                 {{"point", "latest"}})),
              AllOf(HasSubstr("${pont}; did you mean point?"),
                    HasSubstr("${b.output}: step b does not come before it"),
                    HasSubstr("there is no step d")));
  EXPECT_THAT(
      failure_of(plan_of({shell_step("c", "true"), shell_step("a", "echo ${c.outptu}", {"c"})})),
      HasSubstr("step c has no output outptu; did you mean output?"));
  EXPECT_EQ(failure_of(plan_of({shell_step("c", "true"),
                                shell_step("a", "echo ${c.output} $${HOME} ${run.id}", {"c"})})),
            "");
}

TEST(PlanGraph, PutsTheStepsOfACalledPlanInItsPlace) {
  PlanSpec inner{.name = "inner",
                 .summary = {},
                 .parameters = {{"word", "default"}, {"other", "kept"}},
                 .steps = {shell_step("one", "echo ${word} ${other}"),
                           shell_step("two", "echo ${one.output}", {"one"})},
                 .source_text = {}};
  Settings call;
  call.set("plan", std::string("inner"));
  call.set("with", TextMap{{"word", "${first.output}"}});
  const FindPlan find = [&](const std::string& name) { return name == "inner" ? &inner : nullptr; };
  const PlanGraph graph = resolve_plan(
      plan_of({shell_step("first", "echo hello"), make_step("sub", "plan", call, {"first"}),
               shell_step("last", "true", {"sub"})}),
      find);
  EXPECT_THAT(ids(graph), ElementsAre("first", "sub/one", "sub/two", "sub", "last"));
  EXPECT_THAT(graph.nodes[1].spec.action.settings.list("command"),
              ElementsAre("echo ${first.output} kept"));
  EXPECT_THAT(graph.nodes[2].spec.action.settings.list("command"),
              ElementsAre("echo ${sub/one.output}"));
  EXPECT_TRUE(graph.precedes(2, 4));
  inner.steps.push_back(make_step("deeper", "plan", call));
  EXPECT_THAT(failure_of(plan_of({make_step("sub", "plan", call)}), find),
              HasSubstr("one level deep only"));
}

TEST(PlanGraph, HashesWhatIsDoneAndNothingElse) {
  PlanSpec plan = plan_of({shell_step("a", "true"), shell_step("b", "true", {"a"})});
  const PlanGraph before = resolve_plan(plan, {});
  plan.steps[0].title = "another title";
  plan.summary = "words";
  EXPECT_EQ(resolve_plan(plan, {}).hash, before.hash);
  plan.steps[1] = shell_step("b", "false", {"a"});
  const PlanGraph after = resolve_plan(plan, {});
  EXPECT_NE(after.hash, before.hash);
  EXPECT_THAT(text_difference(before.text, after.text),
              ElementsAre("-      command: [\"true\"]", "+      command: [\"false\"]"));
}

// Any graph is either put in an order in which everything comes after what it waits for, or has a
// cycle; which of both, a slow search says.
TEST(PlanGraph, OrdersAnyGraphOrFindsItsCycle) {
  test::expect_property([] {
    const auto count = *rc::gen::inRange<size_t>(1, 12);
    std::vector<StepSpec> steps;
    std::vector<std::vector<bool>> reach(count, std::vector<bool>(count, false));
    for (size_t i = 0; i < count; ++i) {
      std::vector<std::string> after;
      const auto drawn = *rc::gen::container<std::vector<int>>(count, rc::gen::inRange(0, 60));
      for (size_t one = 0; one < count; ++one) {
        // Mostly without a cycle.
        if (one < i ? drawn[one] < 20 : drawn[one] == 59 && one != i) {
          after.push_back(std::to_string(one));
          reach[i][one] = true;
        }
      }
      steps.push_back(shell_step(std::to_string(i), "true", after));
    }
    for (size_t k = 0; k < count; ++k) {
      for (size_t i = 0; i < count; ++i) {
        for (size_t j = 0; j < count; ++j) {
          reach[i][j] = reach[i][j] || (reach[i][k] && reach[k][j]);
        }
      }
    }
    bool cyclic = false;
    for (size_t i = 0; i < count; ++i) {
      cyclic = cyclic || reach[i][i];
    }
    const PlanSpec plan = plan_of(steps);
    if (cyclic) {
      RC_ASSERT(failure_of(plan).find("wait for each other") != std::string::npos);
      return;
    }
    const PlanGraph graph = resolve_plan(plan, {});
    RC_ASSERT(graph.nodes.size() == count);
    std::map<std::string, size_t> place;
    for (size_t i = 0; i < count; ++i) {
      place[graph.nodes[i].spec.id] = i;
      for (const size_t one : graph.nodes[i].after) {
        RC_ASSERT(one < i);
      }
    }
    for (size_t i = 0; i < count; ++i) {
      for (size_t j = 0; j < count; ++j) {
        RC_ASSERT(graph.precedes(place[std::to_string(j)], place[std::to_string(i)]) ==
                  static_cast<bool>(reach[i][j]));
      }
    }
  });
}

}  // namespace
}  // namespace salvor::plan
