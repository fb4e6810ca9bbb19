#pragma once
// How an entry as written becomes one that says everything: which implementation it means and the values of every axis.
#include <string>

#include "harness/suite.h"

namespace assay::harness {

// Fills technique (a bare name becomes the id), backend, fabric, timer and cache where empty, and checks the rest.
// `where` begins every refusal; the key that is wrong is added to it.
const Implementation& choose_implementation(SuiteEntry& entry, const std::string& where);

// Adds the axes that the entry does not name, with their defaults, behind those it names.
void fill_axes(SuiteEntry& entry, const Implementation& implementation);

// The values of one axis as an override gives them.
std::vector<Value> values_of(const Axis& axis, const AxisOverride& given, const std::string& where);

// The implementation of a complete entry.
const Implementation& implementation_of(const SuiteEntry& entry);

}  // namespace assay::harness
