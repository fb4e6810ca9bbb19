#pragma once
// Request traces of serving systems: when each request arrived, how long its prompt was and how many tokens it got.
#include <cstdint>
#include <string>
#include <vector>

namespace assay::datasets {

struct TraceRequest {
  std::int64_t arrival_ns = 0;  // since the first request
  std::int32_t input_tokens = 0;
  std::int32_t output_tokens = 0;
  bool operator==(const TraceRequest&) const = default;
};

struct RequestTrace {
  std::string name;
  std::string format;                  // azure-llm-2023 | mooncake | burstgpt | lengths | generated
  std::string origin;                  // the file, or "generated: ..." with what it was fitted on
  std::string hash;                    // content hash of the file, or of the generator's name and seed
  bool has_arrivals = true;            // false: lengths only, arrivals must be drawn
  std::int64_t left_out = 0;           // failed requests of the file (BurstGPT: no response tokens)
  std::vector<TraceRequest> requests;  // in order of arrival
};

// Reads a file of a known format, recognised by its content:
//   Azure LLM inference 2023   CSV  TIMESTAMP,ContextTokens,GeneratedTokens; date and time with up to nine decimals
//   Mooncake FAST'25           JSON lines with timestamp (ms), input_length, output_length and, checked, hash_ids
//   BurstGPT                   CSV  Timestamp (s), Request tokens, Response tokens among its columns
//   lengths                    CSV  num_prefill_tokens, num_decode_tokens among its columns; no arrivals
// Every line must be whole: UserError with file, line, column (counted in characters from 1), what was found and what
// was expected. Requests must stand in order of arrival.
RequestTrace read_request_trace(const std::string& path);

}  // namespace assay::datasets
