// The run is killed (SIGKILL, a process of its own) right after each entry of its journal in turn,
// resumed by another process, and every effect must be there exactly once.
#include <csignal>
#include <cstdio>
#include <functional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "plan/plan_run.h"
#include "support/fake_site.h"
#include "support/temp_directory.h"
#include "support/test_context.h"

namespace salvor::plan {
namespace {

using test::read_text;
using test::restore_of;
using test::shell_step;
using test::texts;

constexpr const char* kId = "0123456789abcdef0123456789abcdef";

struct World {
  explicit World(std::filesystem::path at) : root(std::move(at)) {
    std::filesystem::create_directories(root);
    test::write_text(root / "db", "the old data");
    test::write_text(root / "log", "");
  }
  [[nodiscard]] std::string line(const std::string& what) const {
    return "echo " + what + " >> " + (root / "log").string();
  }
  [[nodiscard]] std::map<std::string, int> counts() const {
    std::map<std::string, int> counts;
    std::istringstream in(read_text(root / "log"));
    for (std::string one; std::getline(in, one);) {
      ++counts[one];
    }
    return counts;
  }
  std::filesystem::path root;
};

PlanGraph plan_of(const World& world, bool fails) {
  StepSpec stop =
      test::make_step("stop", "stop", texts("run", {"rm " + (world.root / "up").string()}));
  stop.action.settings.set("service", std::string("app"));
  stop.action.settings.set("run",
                           std::vector<std::string>{"rm -f " + (world.root / "up").string()});
  stop.action.settings.set("undo-run",
                           std::vector<std::string>{"touch " + (world.root / "up").string()});
  stop.action.settings.set("status",
                           std::vector<std::string>{"test -e " + (world.root / "up").string()});
  StepSpec migrate = shell_step("migrate", world.line("migrate"), {"restore"});
  migrate.undo =
      ActionSpec{.kind = "command", .settings = texts("command", {world.line("unmigrate")})};
  StepSpec last = shell_step("last", fails ? "exit 1" : world.line("last"), {"left", "right"});
  if (fails) {
    last.on_failure = OnFailure::kUndo;
  }
  return resolve_plan({.name = "recover",
                       .summary = {},
                       .parameters = {},
                       .steps = {stop, restore_of("restore", "db", {"stop"}), migrate,
                                 shell_step("left", world.line("left"), {"migrate"}),
                                 shell_step("right", world.line("right"), {"migrate"}), last},
                       .source_text = {}},
                      {});
}

// What the body returns, in a process of its own; 2 when it throws, a signal's number when that
// ends it.
int in_fork(const std::function<int()>& body) {
  const pid_t child = ::fork();
  if (child == 0) {
    try {
      ::_exit(body());
    } catch (const Error& error) {
      std::fprintf(stderr, "%s\n", error.what());
      ::_exit(2);
    }
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
}

// 0: it came to its end as asked; 9: killed. Otherwise 100 + RunEnd.
int in_child(const std::filesystem::path& state, const World& world, bool fails, bool resume,
             uint64_t kill_at) {
  return in_fork([&] {
    test::TestContext context;
    const Context here = *context;
    test::FakeSite site(world.root);
    const WallTime captured = here.clock.now() - std::chrono::hours(1);
    site.add("db", {{.snapshot = "aaaa", .captured = captured, .until = captured, .bytes = 3}});
    Secrets secrets([](const SecretReference&) { return Secret("x"); });
    test::EventList events;
    test::FakePeople people;
    RunTools tools{.site = site,
                   .secrets = secrets,
                   .observer = events,
                   .people = people,
                   .on_append = [kill_at](const JournalEntry& entry) {
                     if (entry.number == kill_at) {
                       ::kill(::getpid(), SIGKILL);
                     }
                   }};
    const RunFolder folder(state);
    PlanGraph graph = plan_of(world, fails);
    std::unique_ptr<PlanRun> run;
    if (resume && std::filesystem::exists(folder.journal_of(kId)) &&
        !read_journal(folder.journal_of(kId)).entries.empty()) {
      run = PlanRun::resume(here, folder, tools, std::move(graph), kId, false);
    } else {
      const Preflight preflight = look_ahead(here, graph, site, secrets, {.run = kId});
      run = PlanRun::start(here, folder, tools, std::move(graph), preflight,
                           {.id = kId, .mode = "production", .who = "me"});
    }
    const RunEnd end = run->execute();
    if (end != (fails ? RunEnd::kUndone : RunEnd::kSucceeded)) {
      std::fprintf(stderr, "ended as %s: %s\n", std::string(name_of(end)).c_str(),
                   run->error().c_str());
      return 1;
    }
    return 0;
  });
}

uint64_t entries_of(const std::filesystem::path& state) {
  return read_journal(state / "runs" / kId / "journal.jsonl").entries.size();
}

class PlanCrash : public testing::TestWithParam<bool> {};

TEST_P(PlanCrash, EveryEffectOnceWhereverItWasKilled) {
  const bool fails = GetParam();
  uint64_t all = 0;
  {
    const test::TempDirectory directory;
    const World world(directory / "world");
    test::write_text(world.root / "up", "");
    ASSERT_EQ(in_child(directory / "state", world, fails, false, 0), 0);
    all = entries_of(directory / "state");
  }
  ASSERT_GT(all, 15U);
  for (uint64_t at = 1; at <= all; ++at) {
    SCOPED_TRACE("killed after entry " + std::to_string(at));
    const test::TempDirectory directory;
    const World world(directory / "world");
    test::write_text(world.root / "up", "");
    ASSERT_EQ(in_child(directory / "state", world, fails, false, at), SIGKILL);
    // A second time, two entries on, and then for good. What an interrupted end leaves is settled.
    const int again = in_child(directory / "state", world, fails, true, at + 3);
    ASSERT_TRUE(again == SIGKILL || again == 0) << again;
    ASSERT_EQ(in_child(directory / "state", world, fails, true, 0), 0);
    const auto counts = world.counts();
    for (const std::string step : {"migrate", "left", "right"}) {
      EXPECT_EQ(counts.at(step), 1) << step;
    }
    if (fails) {
      // An undo may be told twice to do what it did, and must bear it.
      EXPECT_GE(counts.at("unmigrate"), 1);
      EXPECT_EQ(read_text(world.root / "db"), "the old data");
      EXPECT_TRUE(std::filesystem::exists(world.root / "up"));
    } else {
      EXPECT_EQ(counts.at("last"), 1);
      EXPECT_EQ(read_text(world.root / "db"), "restored snapshot:aaaa from aaaa");
      EXPECT_FALSE(std::filesystem::exists(world.root / "up"));
      const auto state =
          RunState::of(read_journal(directory / "state/runs" / kId / "journal.jsonl"));
      EXPECT_EQ(read_text(state.steps.at("restore").result.facts.at(0).second), "the old data");
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Ends, PlanCrash, testing::Bool(),
                         [](const auto& test_case) { return test_case.param ? "Undone" : "Done"; });

// The number of this process, for commands that kill it.
std::filesystem::path pid_file(const World& world) {
  return world.root / "pid";
}

// SIGKILL: killed. Otherwise 100 + RunEnd.
int run_in_child(const std::filesystem::path& state, const World& world, const PlanGraph& graph,
                 bool resume, const std::string& decision = {}) {
  return in_fork([&] {
    test::write_text(pid_file(world), std::to_string(::getpid()));
    test::TestContext context;
    const Context here = *context;
    test::FakeSite site(world.root);
    Secrets secrets([](const SecretReference&) { return Secret("x"); });
    test::EventList events;
    test::FakePeople people;
    people.decision = decision;
    const RunTools tools{.site = site, .secrets = secrets, .observer = events, .people = people};
    const RunFolder folder(state);
    const auto run = resume ? PlanRun::resume(here, folder, tools, graph, kId, false)
                            : PlanRun::start(here, folder, tools, graph, {},
                                             {.id = kId, .mode = "production", .who = "me"});
    return 100 + static_cast<int>(run->execute());
  });
}

int code_of(RunEnd end) {
  return 100 + static_cast<int>(end);
}

// Killed by the command itself, while it runs: the effect is there, the journal does not know it.
TEST(PlanCrash, LearnsTheEndOfACommandThatOutlivedUs) {
  const test::TempDirectory directory;
  const World world(directory / "world");
  const PlanGraph graph =
      resolve_plan({.name = "recover",
                    .summary = {},
                    .parameters = {},
                    .steps = {shell_step("killer", "kill -9 $(cat " + pid_file(world).string() +
                                                       "); sleep 0.5; " + world.line("effect")),
                              shell_step("next", world.line("next"), {"killer"})},
                    .source_text = {}},
                   {});
  EXPECT_EQ(run_in_child(directory / "state", world, graph, false), SIGKILL);
  EXPECT_EQ(run_in_child(directory / "state", world, graph, true), code_of(RunEnd::kSucceeded));
  EXPECT_EQ(world.counts(), (std::map<std::string, int>{{"effect", 1}, {"next", 1}}));
}

// What it printed meanwhile nobody read: `rm -r /releases/${old.output}` must not get nothing.
TEST(PlanCrash, MakesUpNoOutputOfACommandThatOutlivedUs) {
  const test::TempDirectory directory;
  const World world(directory / "world");
  const std::string once = (world.root / "once").string();
  const PlanGraph graph = resolve_plan(
      {.name = "recover",
       .summary = {},
       .parameters = {},
       .steps = {shell_step("old", "echo release; test -e " + once + " || { touch " + once +
                                       "; kill -9 $(cat " + pid_file(world).string() + "); }"),
                 shell_step("remove", world.line("/${old.output}"), {"old"})},
       .source_text = {}},
      {});
  EXPECT_EQ(run_in_child(directory / "state", world, graph, false), SIGKILL);
  EXPECT_EQ(run_in_child(directory / "state", world, graph, true), code_of(RunEnd::kInterrupted));
  EXPECT_EQ(world.counts(), (std::map<std::string, int>{}));
  // A person who says that it is done cannot say what it printed.
  const std::filesystem::path other = directory / "other";
  std::filesystem::copy(directory / "state", other, std::filesystem::copy_options::recursive);
  EXPECT_EQ(run_in_child(other, world, graph, true, "skip"), code_of(RunEnd::kFailed));
  EXPECT_EQ(world.counts(), (std::map<std::string, int>{}));
  EXPECT_EQ(run_in_child(directory / "state", world, graph, true, "redo"),
            code_of(RunEnd::kSucceeded));
  EXPECT_EQ(world.counts(), (std::map<std::string, int>{{"/release", 1}}));
}

}  // namespace
}  // namespace salvor::plan
