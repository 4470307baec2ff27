// RapidCheck inside GoogleTest: TEST(Suite, Case) { expect_property([](...) { RC_ASSERT(...); }); }
//
// A failure prints the smallest input found and the RC_PARAMS that bring it back, for example
// RC_PARAMS="reproduce=..." build/dev/engine_test. The seed is new in every run.
#pragma once

#include <sstream>

#include <gtest/gtest.h>
#include <rapidcheck.h>

namespace salvor::test {

// `runs`: how many inputs, 0 for RapidCheck's own number (100).
template <class Property>
void expect_property(Property&& property, int runs = 0) {
  rc::detail::TestMetadata metadata;
  const auto* info = ::testing::UnitTest::GetInstance()->current_test_info();
  metadata.id = std::string(info->test_suite_name()) + "." + info->name();
  metadata.description = metadata.id;
  rc::detail::TestParams parameters = rc::detail::configuration().testParams;
  if (runs != 0) {
    parameters.maxSuccess = runs;
  }
  const rc::detail::TestResult result =
      rc::detail::checkTestable(std::forward<Property>(property), metadata, parameters);
  if (!result.template is<rc::detail::SuccessResult>()) {
    std::ostringstream text;
    rc::detail::printResultMessage(result, text);
    ADD_FAILURE() << text.str();
  }
}

}  // namespace salvor::test
