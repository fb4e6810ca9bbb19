#include "harness/cli/case_words.h"

#include <algorithm>
#include <sstream>

namespace assay::cli {
namespace {

std::vector<std::string> words_of(const std::string& key) {
  std::vector<std::string> words;
  std::istringstream stream(key);
  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

bool has(const std::vector<std::string>& words, const std::string& word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

}  // namespace

std::string technique_of(const std::string& key) { return key.substr(0, key.find(' ')); }

std::string short_technique(const std::string& key) {
  const std::string id = technique_of(key);
  return id.substr(id.rfind('/') + 1);
}

std::vector<std::string> shared_words(const std::vector<std::string>& keys) {
  if (keys.empty()) return {};
  std::vector<std::string> shared = words_of(keys.front());
  for (const std::string& key : keys) {
    const std::vector<std::string> words = words_of(key);
    std::erase_if(shared, [&](const std::string& word) { return !has(words, word); });
  }
  return shared;
}

std::string own_words(const std::string& key, const std::vector<std::string>& shared) {
  std::string own;
  const std::vector<std::string> words = words_of(key);
  for (std::size_t at = 1; at < words.size(); ++at)
    if (!has(shared, words[at])) own += (own.empty() ? "" : " ") + words[at];
  return own;
}

}  // namespace assay::cli
