#pragma once

#include <functional>
#include <stdexcept>

namespace perdure {

// What may take long asks this now and then, on its own thread: true ends it with Stopped. Empty:
// it goes on to its end.
using StopCheck = std::function<bool()>;

// Who asked for it does not want it any more.
class Stopped : public std::runtime_error {
 public:
  Stopped() : std::runtime_error("It was stopped before its end.") {}
};

inline void throw_if_stopped(const StopCheck& stopped) {
  if (stopped && stopped()) throw Stopped();
}

}  // namespace perdure
