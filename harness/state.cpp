#include "harness/state.h"

#include <stdexcept>

namespace assay::harness {

gpu::Device& State::device() { throw std::logic_error("only cases of backend cuda have a device"); }

void State::device_output(std::string name, void*, std::size_t) {
  name = "output '" + name + "' is on a device, but only cases of backend cuda have one";
  throw std::logic_error(name);
}

}  // namespace assay::harness
