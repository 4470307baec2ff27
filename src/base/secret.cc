#include "base/secret.h"

#include <cstring>

namespace salvor {

void wipe(void* data, size_t size) {
  if (size > 0) {
    explicit_bzero(data, size);
  }
}

}  // namespace salvor
