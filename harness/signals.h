#pragma once
// Ctrl-C and termination requests while something is measured: the work ends in order and keeps what it has.

#include <signal.h>

namespace assay::harness {

// While one lives, SIGINT and SIGTERM only make stop_requested() true. The handlers from before come back with its end.
class SignalScope {
 public:
  SignalScope();  // forgets earlier requests
  ~SignalScope();
  SignalScope(const SignalScope&) = delete;
  SignalScope& operator=(const SignalScope&) = delete;

 private:
  struct sigaction old_int_ {};
  struct sigaction old_term_ {};
};

// Whether a request came since the last scope began.
bool stop_requested();

}  // namespace assay::harness
