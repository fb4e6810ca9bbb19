#pragma once
// Token generation on the PIM package: the instruction stream of every token, in order, each instruction a command
// stream a channel or a function of the arithmetic chip. An instruction starts when the one before it has retired.
#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "impls/hardware/pim/asic.h"
#include "impls/hardware/pim/mapping.h"

namespace assay::hardware {

enum class Step : std::uint8_t {
  embedding,
  qkv,
  key_value_write,
  scores,
  values,
  projection,
  ffn_up,
  ffn_down,
  output,  // channels
  norm,
  softmax,
  gelu,
  residual,
  partial_sums,
  choice,  // arithmetic chip
};
constexpr std::size_t kSteps = 15;
std::string_view to_string(Step step);
constexpr bool multiplies(Step step) {
  return step != Step::embedding && step != Step::key_value_write && step < Step::norm;
}

struct DecodePlan {
  std::int64_t prompt = 0;     // tokens read before the first is generated; 0: one start token
  std::int64_t generated = 1;  // tokens
  std::int64_t from = 0;       // first position that is processed; keys and values before it are there already
  bool reuse = true;           // simulate equal blocks once; the result is the same
  bool keep_trace = false;     // every command with its time (only without reuse)

  std::int64_t first_step() const { return prompt > 1 ? prompt : 1; }  // steps until the first token
  std::int64_t steps() const { return first_step() + generated - 1; }
};

// When an instruction of the last token was under way.
struct InstructionTime {
  Step step = Step::qkv;
  int layer = 0;
  Picoseconds start = 0, end = 0;
};

struct PimRun {
  Picoseconds total = 0, first_token = 0;
  std::array<Picoseconds, kSteps> time{};
  std::vector<ChannelCounts> channels;
  AsicCount asic;
  std::int64_t commands_simulated = 0;      // commands whose timing was worked out
  std::int64_t blocks = 0;                  // blocks executed
  std::vector<std::vector<Command>> trace;  // a channel
  std::vector<InstructionTime> last_token;

  ChannelCounts counts() const;
  Picoseconds outside_multiplication() const;
  bool same_result(const PimRun& other) const {
    return total == other.total && first_token == other.first_token && time == other.time &&
           channels == other.channels && asic == other.asic;
  }
};

// UserError where the tokens exceed the model's positions.
PimRun decode(const Mapping& mapping, const DecodePlan& plan);

// The streams of an instruction: one a channel.
struct Instruction {
  Step step = Step::qkv;
  int layer = 0;
  std::int64_t position = 0;  // of the token that is processed; position + 1 keys
};
std::vector<Stream> streams_of(const Mapping& mapping, const Instruction& instruction);

struct EnergyParts {  // joules
  double activate = 0, mac = 0, pins = 0, refresh = 0, standby = 0, asic = 0;
  double total() const { return activate + mac + pins + refresh + standby + asic; }
};
EnergyParts energy_of(const PimRun& run, const PimDevice& device);

}  // namespace assay::hardware
