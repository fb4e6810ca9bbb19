#pragma once
// How long the sequences of a training set are: published histograms as data files, and batches drawn from them. A
// histogram is all that is public of most sets; inside a bin lengths are drawn log-uniformly.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace assay::datasets {

// datasets/workloads/lengths/<id>.toml
struct LengthDistribution {
  std::string id;
  std::string source;
  std::vector<std::string> reconstructed;  // what no source states, in words
  std::vector<std::int64_t> edges;         // bin k holds lengths of [edges[k], edges[k + 1])
  std::vector<double> shares;              // of the sequences in each bin; their sum is 1
  std::string file, hash;

  double mean() const;  // tokens
  // Shares of sequences and of tokens that are in sequences of at least `length` tokens.
  double sequences_from(std::int64_t length) const;
  double tokens_from(std::int64_t length) const;
};

// Reads and checks <root>/workloads/lengths/<id>.toml; an id that ends in .toml is the path of a file elsewhere. `of`
// says what the file's shares count, "sequences" or "tokens"; shares of tokens are divided by the mean length of their
// bin. An unknown id is a UserError with those that are known, a bad file one with file, line, key, found and expected.
LengthDistribution load_length_distribution(std::string_view id, std::string_view root);
std::vector<std::string> length_distribution_ids(std::string_view root);

// What becomes of a sequence that is longer than a batch allows: left out, and the next one taken, or cut to that
// length.
enum class Overlong : std::uint8_t { drop, cut };

// Sequence k depends on (id, seed, k) alone, so that asking for more keeps the first ones. UserError where no sequence
// is short enough.
std::vector<std::int64_t> draw_lengths(const LengthDistribution& distribution, std::int64_t count, std::int64_t longest,
                                       Overlong overlong, std::uint64_t seed);
// As many as hold `tokens`; the last one is cut so that they hold no more.
std::vector<std::int64_t> draw_tokens(const LengthDistribution& distribution, std::int64_t tokens, std::int64_t longest,
                                      Overlong overlong, std::uint64_t seed);

}  // namespace assay::datasets
