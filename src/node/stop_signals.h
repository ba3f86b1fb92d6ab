#pragma once

namespace perdure::node {

// While it is there, SIGINT and SIGTERM are seen at once also when the thread that handles them is
// busy: Node.js hands signals to JavaScript in the main thread's loop. Who handles them still gets
// them; one that nobody handles does what it always does. One at a time in the process, on the main
// thread.
class StopSignals {
 public:
  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  // Since the construction of the one that is there.
  [[nodiscard]] static bool seen() noexcept;
};

}  // namespace perdure::node
