#pragma once
// The one exception for what a user can mend: a single line that names the file, line and key, what was found and what
// was expected. `assay` prints it after "assay: " and exits with code 2 (3 where asked-for hardware is absent).
#include <stdexcept>
#include <string>

namespace assay {

class UserError : public std::runtime_error {
 public:
  explicit UserError(const std::string& line, int exit_code = 2) : std::runtime_error(line), exit_code_(exit_code) {}
  int exit_code() const { return exit_code_; }

 private:
  int exit_code_;
};

}  // namespace assay
