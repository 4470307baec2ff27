// What every blocking operation gets first: how it is told to stop, whom it tells, and what time it
// is.
#pragma once

#include <stop_token>

#include "base/clock.h"
#include "base/error.h"
#include "base/events.h"
#include "base/profile.h"
#include "base/random.h"

namespace salvor {

// A bundle of references; cheap to copy. Everything it refers to must outlive the call it is passed
// to.
struct Context {
  std::stop_token stop;
  EventSink& events;
  const Clock& clock;
  Random& random;
  Profile* profile = nullptr;  // where stages book their time; may be absent

  // Throws Error{kCancelled} once the stop token has fired.
  void check_stopped() const {
    if (stop.stop_requested()) {
      throw cancelled();
    }
  }
  // The same surroundings under another (inner) token.
  [[nodiscard]] Context with_stop(std::stop_token token) const {
    return {std::move(token), events, clock, random, profile};
  }
};

}  // namespace salvor
