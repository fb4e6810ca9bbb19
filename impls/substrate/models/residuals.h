#pragma once
// How far the models are from measured profiles: residuals of every row, and their medians and P90s by operator, by
// range and by calibrated domain.
#include <string>
#include <vector>

#include "datasets/machine.h"
#include "impls/substrate/models/attention_profile.h"
#include "impls/substrate/models/collective_profile.h"
#include "impls/substrate/models/linear_profile.h"

namespace assay::substrate {

struct Residual {
  std::string operator_name;
  std::string group;                   // gemm, pointwise, norm, copy; prefill, decode; or the setting of a collective
  double size = 0;                     // tokens (of a decode: its batch), or bytes
  double measured = 0, predicted = 0;  // seconds
  bool inside_domain = true;
  double error() const { return predicted / measured - 1; }
};

std::vector<Residual> residuals(const datasets::Device& device, const std::vector<MeasuredOperator>& rows);
std::vector<Residual> residuals(const datasets::Device& device, const std::vector<MeasuredAttention>& rows);
std::vector<Residual> residuals(const datasets::Cluster& cluster, const std::vector<MeasuredCollective>& rows);

struct ResidualGroup {
  std::string section;  // what the rows were grouped by
  std::string name;
  std::size_t n = 0;
  double median_abs_err = 0, p90_abs_err = 0, bias = 0;  // fractions; bias is the median of the signed error
  std::string note;
};

ResidualGroup summarise(std::string section, std::string name, const std::vector<const Residual*>& rows);

// Summaries in the order they are printed. Empty groups are left out.
std::vector<ResidualGroup> linear_groups(const std::vector<Residual>& rows);
std::vector<ResidualGroup> attention_groups(const std::vector<Residual>& rows);
std::vector<ResidualGroup> collective_groups(const std::vector<Residual>& rows);

// A scatter of predicted over measured against size as an SVG document, one panel a group.
std::string residual_plot(const std::vector<Residual>& rows, const std::string& title, const std::string& size_name);

}  // namespace assay::substrate
