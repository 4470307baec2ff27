#include "base/random.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <mutex>
#include <random>

#include <sys/random.h>

#include "base/error.h"

namespace salvor {
namespace {

void fill_from_kernel(MutableBytes out) {
  while (!out.empty()) {
    const ssize_t got = getrandom(out.data(), out.size(), 0);
    if (got < 0) {
      if (errno == EINTR) {
        continue;
      }
      throw Error::from_errno(errno, "cannot get random bytes from the kernel");
    }
    out = out.subspan(static_cast<size_t>(got));
  }
}

struct ReadAhead {
  std::array<std::byte, 4096> bytes;
  size_t used = sizeof bytes;
};

}  // namespace

void SystemRandom::fill(MutableBytes out) {
  thread_local ReadAhead ahead;
  if (out.size() > ahead.bytes.size() / 4) {
    fill_from_kernel(out);
    return;
  }
  if (ahead.bytes.size() - ahead.used < out.size()) {
    fill_from_kernel(ahead.bytes);
    ahead.used = 0;
  }
  std::memcpy(out.data(), ahead.bytes.data() + ahead.used, out.size());
  std::memset(ahead.bytes.data() + ahead.used, 0, out.size());
  ahead.used += out.size();
}

struct SeededRandom::State {
  std::mutex mutex;
  std::mt19937_64 engine;
};

SeededRandom::SeededRandom(uint64_t seed) : state_(std::make_unique<State>()) {
  state_->engine.seed(seed);
}

SeededRandom::~SeededRandom() = default;

void SeededRandom::fill(MutableBytes out) {
  const std::scoped_lock lock(state_->mutex);
  while (!out.empty()) {
    const uint64_t value = state_->engine();
    const size_t count = std::min(out.size(), sizeof value);
    std::memcpy(out.data(), &value, count);
    out = out.subspan(count);
  }
}

}  // namespace salvor
