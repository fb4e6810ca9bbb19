#include "harness/signals.h"

namespace assay::harness {
namespace {

volatile sig_atomic_t requested = 0;
void on_signal(int) { requested = 1; }

}  // namespace

SignalScope::SignalScope() {
  requested = 0;
  struct sigaction action {};
  action.sa_handler = on_signal;
  sigaction(SIGINT, &action, &old_int_);
  sigaction(SIGTERM, &action, &old_term_);
}

SignalScope::~SignalScope() {
  sigaction(SIGINT, &old_int_, nullptr);
  sigaction(SIGTERM, &old_term_, nullptr);
}

bool stop_requested() { return requested != 0; }

}  // namespace assay::harness
