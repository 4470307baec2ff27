#include "support/test_data.h"

namespace salvor::test {

std::string test_data(std::string_view name) {
  return std::string(SALVOR_TEST_DATA "/").append(name);
}

}  // namespace salvor::test
