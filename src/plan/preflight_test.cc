#include "plan/preflight.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/statvfs.h>

#include "base/error.h"
#include "support/plan_runs.h"

namespace salvor::plan {
namespace {

using test::make_step;
using test::PlanRuns;
using test::range;
using test::restore_of;
using test::shell_step;
using test::texts;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class Preflights : public PlanRuns {
 protected:
  std::vector<std::string> problems(std::vector<StepSpec> steps) {
    return look_ahead(*context_, graph(std::move(steps)), site_, secrets_, {.run = "0"}).problems;
  }
};

// Each would fit, both do not.
TEST_F(Preflights, AddUpWhatIsRestoredOntoOneFileSystem) {
  struct statvfs space{};
  ASSERT_EQ(::statvfs(root().c_str(), &space), 0);
  const uint64_t most = uint64_t{space.f_bavail} * space.f_frsize / 10 * 6;
  for (const std::string source : {"db", "files"}) {
    RecoveryRange here = range("aaaa1111", clock_.now() - std::chrono::hours(1));
    here.bytes = most;
    site_.add(source, {here});
    EXPECT_THAT(problems({restore_of("restore", source)}), IsEmpty());
  }
  EXPECT_THAT(problems({restore_of("restore-db", "db"), restore_of("restore-files", "files")}),
              ElementsAre(AllOf(HasSubstr("restore-db: "), HasSubstr(" free at "),
                                HasSubstr(", together with restore-files"))));
}

// A drill's target has the address itself: it would pass, and the recovery fail on the day.
TEST_F(Preflights, RefuseAReferenceWhereNothingResolvesIt) {
  site_.more_outputs = {{"url", "env:DATABASE_URL"}};
  const std::string url = "${target.url}";
  const std::string why =
      "in `command`, ${target.url} is the reference env:DATABASE_URL and no value: only "
      "`environment` resolves it, where it stands alone";
  EXPECT_THAT(problems({make_step("list", "command", texts("command", {"true", url})),
                        shell_step("line", "true \"" + url + "\"")}),
              ElementsAre("list: " + why, "line: " + why));
  StepSpec glued = shell_step("glued", "true");
  glued.action.settings.set("environment", TextMap{{"URL", url + "?sslmode=disable"}});
  StepSpec undone = shell_step("undone", "true");
  undone.undo = ActionSpec{.kind = "command", .settings = texts("command", {"true", url})};
  Settings request;
  request.set("url", "http://shop/?at=" + url);
  Settings query = texts("query", {"select $1"});
  query.set("values", std::vector<std::string>{url});
  EXPECT_THAT(problems({glued, undone, make_step("ask", "http", request),
                        make_step("query", "sql", query)}),
              ElementsAre(HasSubstr("glued: in `environment`"), "undone: its undo: " + why,
                          AllOf(HasSubstr("ask: in `url`"), HasSubstr("only `headers`")),
                          AllOf(HasSubstr("query: in `values`"), HasSubstr("only `url`"))));
}

TEST_F(Preflights, TakeAReferenceWhereItIsResolved) {
  site_.more_outputs = {{"url", "env:DATABASE_URL"}};
  StepSpec step = shell_step("step", "test \"$URL\" && test -e ${target.directory}");
  step.action.settings.set("environment", TextMap{{"URL", "${target.url}"}});
  EXPECT_THAT(problems({step, make_step("query", "sql", texts("query", {"select 1"}))}), IsEmpty());
  site_.more_outputs = {{"url", "postgresql://db/shop"}};
  EXPECT_THAT(problems({shell_step("line", "true ${target.url}")}), IsEmpty());
}

}  // namespace
}  // namespace salvor::plan
