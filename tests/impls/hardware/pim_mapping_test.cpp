// The mapping computes what it is said to compute: values pushed through the banks by the very streams that are timed
// equal plain products, every weight is used once, and the counts are what the formulae give.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "datasets/user_error.h"
#include "impls/hardware/pim/bank_memory.h"
#include "impls/substrate/random.h"
#include "tests/impls/hardware/pim_for_tests.h"

namespace assay::hardware {
namespace {

// Whole numbers from -1 to 1: sums up to 256 are exact in bf16, so that equal means equal.
std::vector<float> drawn(std::size_t count, std::uint64_t seed, double zeros = 0.5) {
  substrate::Random random(seed);
  std::vector<float> values(count);
  for (float& each : values) each = random.uniform() < zeros ? 0.0F : random.uniform() < 0.5 ? -1.0F : 1.0F;
  return values;
}

std::vector<float> plain_product(const std::vector<float>& w, const std::vector<float>& x) {
  std::vector<float> y(w.size() / x.size());
  for (std::size_t o = 0; o < y.size(); ++o)
    for (std::size_t i = 0; i < x.size(); ++i) y[o] += w[o * x.size() + i] * x[i];
  return y;
}

struct Shapes {
  GptShape gpt;
  PimDevice device;
};

// The small package, and the published one with a model whose heads have no whole width.
std::vector<Shapes> shapes() {
  GptShape uneven = small_gpt();
  uneven.hidden = 130;
  uneven.heads = 4;
  uneven.head_dim = 33;
  uneven.ffn = 2100;
  return {{small_gpt(), small_pim()}, {uneven, pim_device(pim_descriptor())}, {uneven, small_pim()}};
}

constexpr Matrix kMatrices[] = {Matrix::qkv, Matrix::projection, Matrix::ffn_up, Matrix::ffn_down, Matrix::output};

TEST(PimMapping, ProductsThroughTheBanksAreProducts) {
  for (const auto& [gpt, device] : shapes()) {
    const Mapping mapping(gpt, device);
    BankMemory memory(mapping);
    for (const Matrix matrix : kMatrices)
      for (int layer = 0; layer < (matrix == Matrix::output ? 1 : gpt.layers); ++layer) {
        const auto outputs = static_cast<std::size_t>(mapping.place(matrix).outputs);
        const auto inputs = static_cast<std::size_t>(matrix == Matrix::ffn_down ? gpt.ffn : gpt.hidden);
        const auto seed = static_cast<std::uint64_t>(matrix) * 10 + static_cast<std::uint64_t>(layer);
        memory.load(matrix, layer, drawn(outputs * inputs, seed, 0.9));
      }
    // Loaded all first: a region that overlaps another would show.
    for (const Matrix matrix : kMatrices)
      for (int layer = 0; layer < (matrix == Matrix::output ? 1 : gpt.layers); ++layer) {
        const auto outputs = static_cast<std::size_t>(mapping.place(matrix).outputs);
        const auto inputs = static_cast<std::size_t>(matrix == Matrix::ffn_down ? gpt.ffn : gpt.hidden);
        const auto seed = static_cast<std::uint64_t>(matrix) * 10 + static_cast<std::uint64_t>(layer);
        const auto x = drawn(inputs, 77 + seed);
        EXPECT_EQ(memory.multiply(matrix, layer, x), plain_product(drawn(outputs * inputs, seed, 0.9), x));
      }
  }
}

TEST(PimMapping, EveryWeightIsMultipliedOnce) {
  const Mapping mapping(small_gpt(), small_pim());
  BankMemory memory(mapping);
  std::vector<float> ones(std::size_t{576} * 144, 1.0F);
  memory.load(Matrix::ffn_up, 1, ones);
  memory.multiply(Matrix::ffn_up, 1, std::vector<float>(144, 1.0F));
  std::int64_t used = 0;
  for (int c = 0; c < mapping.device().channels; ++c)
    for (int b = 0; b < mapping.device().banks; ++b)
      for (const std::uint8_t uses : memory.uses(c, b)) {
        EXPECT_LE(uses, 1);
        used += uses;
      }
  // 576 outputs are 12 in each of 48 banks; 144 inputs are 128 and 16, both whole columns: nothing is padded.
  EXPECT_EQ(used, 576 * 144);
}

TEST(PimMapping, AttentionThroughTheBanksIsAttention) {
  for (const auto& [gpt, device] : shapes()) {
    const Mapping mapping(gpt, device);
    BankMemory memory(mapping);
    const auto h = static_cast<std::size_t>(gpt.hidden);
    std::vector<std::vector<float>> keys, values;
    for (std::int64_t t = 0; t < gpt.max_positions; ++t) {
      keys.push_back(drawn(h, 100 + static_cast<std::uint64_t>(t)));
      values.push_back(drawn(h, 300 + static_cast<std::uint64_t>(t)));
      memory.write_key_value(1, t, keys.back(), values.back());
      memory.write_key_value(0, t, drawn(h, 900), drawn(h, 901));  // another layer in between
      const std::int64_t count = t + 1;
      if (count % 13 != 0 && count != 1 && count != gpt.max_positions) continue;
      const auto q = drawn(h, 500);
      const auto p = drawn(static_cast<std::size_t>(gpt.heads * count), 501);
      std::vector<float> want_s(p.size()), want_o(h);
      for (int head = 0; head < gpt.heads; ++head)
        for (auto e = static_cast<std::size_t>(gpt.head_begin(head));
             e < static_cast<std::size_t>(gpt.head_begin(head + 1)); ++e)
          for (std::int64_t k = 0; k < count; ++k) {
            const auto at = static_cast<std::size_t>(head * count + k);
            want_s[at] += q[e] * keys[static_cast<std::size_t>(k)][e];
            want_o[e] += p[at] * values[static_cast<std::size_t>(k)][e];
          }
      EXPECT_EQ(memory.scores(1, count, q), want_s) << gpt.hidden << " at " << count;
      EXPECT_EQ(memory.weighted_values(1, count, p), want_o) << gpt.hidden << " at " << count;
    }
  }
}

TEST(PimMapping, EmbeddingsAreReadFromWhereTheyAre) {
  const Mapping mapping(small_gpt(), small_pim());
  BankMemory memory(mapping);
  const auto tokens = drawn(std::size_t{300} * 144, 1), positions = drawn(std::size_t{40} * 144, 2);
  memory.load(Matrix::output, 0, tokens);
  memory.load_positions(positions);
  for (const auto& [token, position] : {std::pair{0, 0}, {299, 39}, {131, 17}}) {
    const auto x = memory.embed(token, position);
    for (std::size_t e = 0; e < 144; ++e)
      EXPECT_EQ(x[e], tokens[static_cast<std::size_t>(token) * 144 + e] +
                          positions[static_cast<std::size_t>(position) * 144 + e]);
  }
}

TEST(PimMapping, ADroppedCommandChangesTheResult) {
  const Mapping mapping(small_gpt(), small_pim());
  BankMemory memory(mapping);
  const std::vector<float> w(std::size_t{144} * 144, 1.0F), x(144, 1.0F);
  memory.load(Matrix::projection, 0, w);
  const auto right = memory.multiply(Matrix::projection, 0, x);
  memory.filter = [](int channel, const Command& command) {  // one column of one channel
    return channel != 1 || command.op != Op::mac || command.slot != 3;
  };
  EXPECT_NE(memory.multiply(Matrix::projection, 0, x), right);
  memory.filter = [](int channel, const Command& command) {  // the sums of the first chunk
    static int results = 0;
    return channel != 0 || command.op != Op::result || results++ != 0;
  };
  EXPECT_NE(memory.multiply(Matrix::projection, 0, x), right);
}

// -- counts

struct Tally {
  std::int64_t activations = 0, macs = 0, results = 0, vectors = 0, writes = 0;
};

Tally tally(const std::vector<Stream>& streams, const PimDevice& device) {
  Tally sum;
  for (const Stream& stream : streams)
    for (const auto& [block, repeat] : stream)
      for (int round = 0; round < repeat; ++round)
        for (const Command& command : commands_of(block, round, device)) {
          sum.activations += command.op == Op::activate ? 1 : command.op == Op::activate_group ? device.group_banks : 0;
          sum.macs += command.op == Op::mac ? 1 : 0;
          sum.results += command.op == Op::result ? 1 : 0;
          sum.vectors += command.op == Op::vector ? 1 : 0;
          sum.writes += command.op == Op::write ? 1 : 0;
        }
  return sum;
}

TEST(PimCounts, AreThoseOfTheFormulae) {
  // GPT-2 XL on the published package: h = 1600 inputs are chunks of 1024 and 576 elements, 64 and 36 columns.
  const PimDevice device = pim_device(pim_descriptor());
  const Mapping mapping(gpt_shape(datasets::load_model("gpt2-xl", datasets::data_root())), device);
  const Tally qkv = tally(mapping.multiply(Matrix::qkv, 7), device);
  // 4800 outputs over 128 banks: 38 in the banks of channels 0 to 3 (37.5 x 128), 37 in the others.
  EXPECT_EQ(qkv.macs, 4 * (38 + 37) * (64 + 36));
  EXPECT_EQ(qkv.results, 4 * (38 + 37) * 2);
  EXPECT_EQ(qkv.vectors, 8 * (64 + 36));
  EXPECT_EQ(qkv.activations, 16 * 4 * ((38 + 37) + (22 + 21)));  // ceil(38 x 36 / 64) = 22, ceil(37 x 36 / 64) = 21
  EXPECT_EQ(qkv.macs * 16 * 16, 4 * (38 + 37) * 16 * 1600);      // every weight, and no padding but whole banks

  // 600 keys: banks of channels 0 to 4 hold 5 (512 + 88 = 5.5 channels' worth), the last of them half, the rest 4.
  const Tally scores = tally(mapping.scores(0, 600), device);
  EXPECT_EQ(scores.macs, (6 * 5 + 2 * 4) * 100);
  EXPECT_EQ(scores.results, (6 * 5 + 2 * 4) * 25);  // a head of 64 elements is four columns

  // 1600 dimensions in 8 channels of 200: heads of 64 are cut into 64s and what is left over.
  const Tally values = tally(mapping.weighted_values(0, 600), device);
  std::int64_t rows = 0;
  for (int c = 0; c < 8; ++c) {
    int dimensions = 0;
    for (const ValueSegment& segment : mapping.segments(c)) {
      rows += (segment.count + 15) / 16;
      dimensions += segment.count;
    }
    EXPECT_EQ(dimensions, 200);
  }
  EXPECT_EQ(values.macs, rows * 38);  // ceil(600 / 16) columns a row
  EXPECT_EQ(values.activations, rows * 16);
  EXPECT_EQ(values.results, rows);

  const Tally written = tally(mapping.write_key_value(0, 599), device);
  EXPECT_EQ(written.writes, 100 + 1600);  // one row of K, one element into each row of V
}

TEST(PimCounts, OfAWholeGenerationAreTheModels) {
  // Multiply-accumulates that the banks perform are the model's, but for outputs that do not fill all banks.
  for (const char* name : {"gpt2-small", "gpt2-medium", "gpt3-small"}) {
    const PimDevice device = pim_device(pim_descriptor());
    const GptShape gpt = gpt_shape(datasets::load_model(name, datasets::data_root()));
    const Mapping mapping(gpt, device);
    const PimRun run = decode(mapping, {.generated = 1024});
    double macs = 0;
    for (std::int64_t t = 1; t <= 1024; ++t) macs += gpt.step_macs(t, true);
    const double performed = static_cast<double>(run.counts().macs) * device.banks * device.lanes;
    EXPECT_GE(performed, macs) << name;
    EXPECT_LT(performed, 1.06 * macs) << name;
  }
}

TEST(PimMapping, RefusesWhatDoesNotFit) {
  const PimDevice device = pim_device(pim_descriptor());
  GptShape large = gpt_shape(datasets::load_model("gpt3-xl", datasets::data_root()));
  EXPECT_NO_THROW(Mapping(large, device));
  large.layers = 48;
  try {
    const Mapping mapping(large, device);
    FAIL() << "48 layers of GPT-3 XL fit 4 GiB";
  } catch (const UserError& wrong) {
    EXPECT_NE(std::string(wrong.what()).find("model gpt3-xl does not fit pim-gpt"), std::string::npos) << wrong.what();
  }
}

TEST(PimMapping, FillsRowsWhateverTheWidthOfTheMatrix) {
  // Row hits are 1 - 1/64 for weights: 64 columns of a row for one activation.
  const PimDevice device = pim_device(pim_descriptor());
  for (const char* name : {"gpt2-small", "gpt2-large", "gpt2-xl", "gpt3-large", "gpt3-xl"}) {
    const Mapping mapping(gpt_shape(datasets::load_model(name, datasets::data_root())), device);
    const Tally product = tally(mapping.multiply(Matrix::ffn_up, 0), device);
    const double hits = 1 - static_cast<double>(product.activations) / static_cast<double>(product.macs * device.banks);
    EXPECT_GT(hits, 0.983) << name;
    EXPECT_LE(hits, 1 - 1.0 / 64) << name;
  }
}

}  // namespace
}  // namespace assay::hardware
