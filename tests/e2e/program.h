#pragma once
// Starts the built `assay` as a user would and keeps what it says.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

namespace assay::e2e {

struct Outcome {
  int code = -1;
  std::string out;
  std::string err;
};

inline std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// A folder of its own for a test: database, lock, files.
class Scratch {
 public:
  explicit Scratch(const std::string& name)
      : folder_(std::filesystem::temp_directory_path() / ("assay-e2e-" + name + "-" + std::to_string(getpid()))) {
    std::filesystem::create_directories(folder_);
    setenv("ASSAY_LOCK", (folder_ / "lock").c_str(), 1);
  }
  ~Scratch() { std::filesystem::remove_all(folder_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  std::filesystem::path path(const std::string& name) const { return folder_ / name; }
  std::filesystem::path write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name) << text;
    return folder_ / name;
  }
  std::string database() const { return (folder_ / "test.db").string(); }

  // `arguments` goes through the shell; --db points at this folder's database.
  Outcome assay(const std::string& arguments) const { return assay_on("test.db", arguments); }
  // With another database of this folder.
  Outcome assay_on(const std::string& name, const std::string& arguments) const {
    return shell(std::string(ASSAY_BINARY) + " --db " + path(name).string() + " " + arguments);
  }
  // Any line of the shell.
  Outcome shell(const std::string& line) const {
    const std::string out = path("out.txt");
    const std::string err = path("err.txt");
    const int status = std::system(("{ " + line + "; } > " + out + " 2> " + err).c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, read_file(out), read_file(err)};
  }

 private:
  std::filesystem::path folder_;
};

}  // namespace assay::e2e
