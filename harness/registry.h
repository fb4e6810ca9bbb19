#pragma once
// The registry of techniques. A technique file defines functions of State and one or more static Registration objects;
// no central list exists.
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "datasets/quantity.h"
#include "harness/claims/projection.h"
#include "harness/params.h"

namespace assay::harness {

class State;

// A parameter of a case. Suites choose values; `defaults` is what a bare `assay run TECHNIQUE` uses.
struct Axis {
  std::string name;
  std::vector<Value> defaults;
  std::string help;                          // one line: meaning and unit
  std::vector<Value> allowed = {};           // closed set, or empty
  double minimum = 1;                        // for numbers
  std::optional<Value> legacy_default = {};  // left out of the case identity when equal (axes added later)
  datasets::Dimension dimension = datasets::Dimension::count;  // how its numbers are written: 4k, 16MiB, 10ms, 2%
};

struct Implementation {
  std::string backend = "cpu";            // cpu | cuda
  std::vector<std::string> fabrics = {};  // of a program over ranks: threads, cluster ...; empty otherwise
  std::vector<Axis> axes;
  void (*run)(State&) = nullptr;
  std::string source_file;  // __FILE__: the implementation's code hash and the id-to-file test
  // Works in virtual time without being a program over ranks (an event model): its timer is `virtual`, it is gated, and
  // it calls State::project.
  bool projects = false;
  bool verified = true;    // false: has not yet run on its hardware; `assay list` says `unverified`
  std::string needs = {};  // what of the backend's machines and libraries, where not every one will do
};

struct Technique {
  std::string id;       // family/name, e.g. attention/flash-attention-2
  std::string title;    // as the paper calls it
  std::string paper;    // "arXiv 2307.08691" or "baseline"
  std::string summary;  // one line
  std::vector<Implementation> implementations;
  claims::Projector project = nullptr;  // maps a paper's configuration to a projected value; null: not mapped yet
  std::string
      own_device;  // the device its projector answers for, whatever the configuration's; "": the configuration's
};

// A static object of a technique file. Two registrations of one id are joined (another family may add an
// implementation); the texts come from the one that has a title.
struct Registration {
  explicit Registration(Technique technique);
};

const std::vector<Technique>& techniques();            // sorted by id
const Technique* find_technique(std::string_view id);  // full id only
// Full id or unique bare name; else a UserError that lists the candidates or the nearest names.
const Technique& resolve_technique(std::string_view name);

// Up to `count` names nearest to `wanted` by edit distance, for "did you mean".
std::vector<std::string> nearest_names(std::string_view wanted, const std::vector<std::string>& names,
                                       std::size_t count = 3);

}  // namespace assay::harness
