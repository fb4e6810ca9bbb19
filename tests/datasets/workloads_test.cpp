// Request traces: what a good file gives, which line of a bad one is named, and what the generators promise.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <numeric>

#include "datasets/user_error.h"
#include "datasets/workloads/generator.h"
#include "datasets/workloads/request_trace.h"

namespace assay::datasets {
namespace {

namespace fs = std::filesystem;

class TraceFile : public testing::Test {
 protected:
  std::string write(const std::string& text) {
    std::ofstream(path_, std::ios::binary) << text;
    return path_.string();
  }
  std::string refusal(const std::string& text) {
    const std::string path = write(text);
    try {
      read_request_trace(path);
    } catch (const UserError& wrong) {
      const std::string line = wrong.what();
      EXPECT_EQ(line.rfind(path + ":", 0), 0U) << line;
      EXPECT_EQ(line.find('\n'), std::string::npos) << line;
      return line.substr(path.size());
    }
    return "accepted";
  }
  void TearDown() override { fs::remove(path_); }
  fs::path path_ = fs::temp_directory_path() / ("assay-trace-" + std::to_string(getpid()));
};

const std::string kAzure = "TIMESTAMP,ContextTokens,GeneratedTokens\n";

TEST_F(TraceFile, AzureTimesAreRelativeToTheFirstRequestAndExact) {
  const auto trace = read_request_trace(write(
      "TIMESTAMP,ContextTokens,GeneratedTokens\r\n2023-11-16 23:59:59.6805900,374,44\r\n2023-11-17 00:00:00,396,109"));
  EXPECT_EQ(trace.format, "azure-llm-2023");
  ASSERT_EQ(trace.requests.size(), 2U);
  EXPECT_EQ(trace.requests[0], (TraceRequest{0, 374, 44}));
  EXPECT_EQ(trace.requests[1], (TraceRequest{319'410'000, 396, 109}));
}

TEST_F(TraceFile, MooncakeTimesAreMilliseconds) {
  const auto trace = read_request_trace(
      write("{\"timestamp\": 5, \"input_length\": 40, \"output_length\": 6, \"hash_ids\": [0, 1]}\n"
            "{\"timestamp\": 27482.5, \"input_length\": 41, \"output_length\": 7, \"hash_ids\": []}\n"));
  EXPECT_EQ(trace.format, "mooncake");
  ASSERT_EQ(trace.requests.size(), 2U);
  EXPECT_EQ(trace.requests[1], (TraceRequest{27'477'500'000, 41, 7}));
}

TEST_F(TraceFile, BurstGptLeavesOutFailuresAndCountsThem) {
  const auto trace = read_request_trace(write(
      "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n5,ChatGPT,472,18,490,Conversation log\n"
      "45,ChatGPT,1087,0,1087,Conversation log\n118.5,GPT-4,417,276,693,API log\n"));
  EXPECT_EQ(trace.format, "burstgpt");
  ASSERT_EQ(trace.requests.size(), 2U);
  EXPECT_EQ(trace.left_out, 1);
  EXPECT_EQ(trace.requests[1], (TraceRequest{113'500'000'000, 417, 276}));
}

TEST_F(TraceFile, LengthsHaveNoArrivalsAndNeedARate) {
  const auto trace = read_request_trace(write("num_prefill_tokens,num_decode_tokens,pd_ratio\n74,918,0.08\n"));
  EXPECT_FALSE(trace.has_arrivals);
  EXPECT_THROW(at_rate(trace, ArrivalLaw::trace, 0, 1), UserError);
  EXPECT_TRUE(at_rate(trace, ArrivalLaw::trace, 2, 1).has_arrivals);
}

TEST_F(TraceFile, ACorruptLineIsNamedByLineColumnAndWhatWasExpected) {
  const std::string good = "2023-11-16 18:15:46.6805900,374,44\n";
  EXPECT_EQ(refusal(kAzure + good + "2023-11-16 18:15:47.0,37x4,44\n"),
            ":3:23: ContextTokens: found '37x4', expected a whole number from 1 to 100000000");
  EXPECT_EQ(refusal(kAzure + "2023-11-16 18:15:47.0,374,0\n"),
            ":2:27: GeneratedTokens: found '0', expected a whole number from 1 to 100000000");
  EXPECT_EQ(
      refusal(kAzure + "2023-13-16 18:15:47,374,4\n"),
      ":2:1: TIMESTAMP: found '2023-13-16 18:15:47', expected a date and time such as 2023-11-16 18:15:46.6805900");
  EXPECT_EQ(refusal(kAzure + good + "2023-11-16 18:15:46,374\n"),
            ":3:24: line: found '2023-11-16 18:15:46,374', expected 3 values, as many as the header has");
  EXPECT_EQ(refusal(kAzure + good + "2023-11-16 18:15:45,374,4\n"),
            ":3:1: TIMESTAMP: found '2023-11-16 18:15:45', expected a time not before that of the line above");
  EXPECT_EQ(refusal(kAzure + good + "\n" + good).rfind(":3:1: line: found ''", 0), 0U);
}

TEST_F(TraceFile, ACorruptJsonLineIsNamedAtItsByte) {
  const std::string good = "{\"timestamp\": 0, \"input_length\": 40, \"output_length\": 6}\n";
  EXPECT_EQ(refusal(good + "{\"timestamp\": 1, \"input_length\": -3, \"output_length\": 6}\n"),
            ":2:34: input_length: found '-3', expected a whole number from 1 to 100000000");
  EXPECT_EQ(refusal(good + "{\"timestamp\": 1, \"input_length\": \"40\", \"output_length\": 6}\n")
                .rfind(":2:34: input_length: found '\"40\"", 0),
            0U);
  EXPECT_EQ(refusal(good + "{\"timestamp\": 1, \"input_len\n").rfind(":2:", 0), 0U);
  EXPECT_NE(refusal(good + "{\"timestamp\": 1, \"output_length\": 6}\n").find("input_length: found no such key"),
            std::string::npos);
  EXPECT_NE(refusal(good + "{\"timestamp\": 1, \"input_length\": 40, \"output_length\": 6, \"hash_ids\": [1, -2]}\n")
                .find(":2:70: hash_ids"),
            std::string::npos);
}

TEST_F(TraceFile, WhatIsNoTraceIsRefusedAtItsHeader) {
  EXPECT_EQ(refusal("a,b,c\n1,2,3\n").rfind(":1:1: header: found 'a,b,c'", 0), 0U);
  EXPECT_EQ(refusal("").rfind(":1:1: header: found ''", 0), 0U);
  EXPECT_NE(refusal(kAzure).find("found no request"), std::string::npos);
  EXPECT_THROW(read_request_trace("/nowhere/trace.csv"), UserError);
}

// Every prefix of a valid file is a valid file or is refused in one line; never anything else.
TEST_F(TraceFile, CutOffAnywhereItIsReadOrRefused) {
  const std::string whole = kAzure + "2023-11-16 18:15:46.6805900,374,44\n2023-11-16 18:15:50.9951690,396,109\n";
  std::size_t read = 0;
  for (std::size_t length = 0; length <= whole.size(); ++length) read += refusal(whole.substr(0, length)) == "accepted";
  EXPECT_GT(read, 4U);
  EXPECT_LT(read, 20U);
}

double quantile(std::vector<int> values, double q) {
  std::sort(values.begin(), values.end());
  return values[static_cast<std::size_t>(q * static_cast<double>(values.size() - 1))];
}

TEST(Generator, ConversationLengthsFollowTheQuantilesTheyWereFittedOn) {
  const auto trace = generate_trace("azure-conv", 0, 7);
  ASSERT_EQ(trace.requests.size(), 19366U);
  std::vector<int> in, out;
  for (const auto& request : trace.requests) {
    in.push_back(request.input_tokens);
    out.push_back(request.output_tokens);
  }
  const double mean_in = std::accumulate(in.begin(), in.end(), 0.0) / static_cast<double>(in.size());
  const double mean_out = std::accumulate(out.begin(), out.end(), 0.0) / static_cast<double>(out.size());
  EXPECT_NEAR(mean_in, 1154.7, 0.05 * 1154.7);  // of the trace
  EXPECT_NEAR(mean_out, 211.1, 0.05 * 211.1);
  EXPECT_NEAR(quantile(in, 0.5), 1020, 25);
  EXPECT_NEAR(quantile(in, 0.9), 2734, 120);
  EXPECT_NEAR(quantile(out, 0.5), 129, 8);
  EXPECT_NEAR(quantile(out, 0.9), 424, 10);
  EXPECT_NEAR(mean_rate(trace), 5.53, 0.1);
}

TEST(Generator, ARequestDependsOnItsNumberAndTheSeedAlone) {
  const auto few = generate_trace("openchat-sharegpt4", 100, 3), many = generate_trace("openchat-sharegpt4", 1000, 3);
  EXPECT_TRUE(std::equal(few.requests.begin(), few.requests.end(), many.requests.begin()));
  EXPECT_NE(few.requests, generate_trace("openchat-sharegpt4", 100, 4).requests);
  for (const auto& request : many.requests) EXPECT_LE(request.input_tokens + request.output_tokens, 8192);
}

TEST(Generator, ScalingKeepsOrderAndGivesTheRate) {
  const auto trace = generate_trace("azure-conv", 2000, 1);
  const auto scaled = at_rate(trace, ArrivalLaw::trace, 2.5, 1), poisson = at_rate(trace, ArrivalLaw::poisson, 2.5, 1);
  EXPECT_NEAR(mean_rate(scaled), 2.5, 1e-6);
  EXPECT_NEAR(mean_rate(poisson), 2.5, 0.2);
  EXPECT_TRUE(std::is_sorted(poisson.requests.begin(), poisson.requests.end(),
                             [](const auto& a, const auto& b) { return a.arrival_ns < b.arrival_ns; }));
  const auto twice = at_rate(trace, ArrivalLaw::poisson, 5, 1);  // common random numbers
  EXPECT_NEAR(static_cast<double>(poisson.requests[900].arrival_ns),
              2 * static_cast<double>(twice.requests[900].arrival_ns), 2);
}

TEST(Generator, SaysWhatItIsAndWhatItDoesNotKnow) {
  EXPECT_EQ(generate_trace("constant:32:8", 5, 1).requests[4].output_tokens, 8);
  EXPECT_EQ(generate_trace("azure-conv", 10, 1).origin.rfind("generated, seed 1: AzurePublicDataset", 0), 0U);
  EXPECT_THROW(load_trace("azure-cnv", 10, 1), UserError);
  EXPECT_THROW(load_trace("constant:0:8", 10, 1), UserError);
  EXPECT_THROW(load_trace("constant:8", 10, 1), UserError);
}

TEST(SharedTraces, PublishedCountsAreFound) {
  const fs::path folder = fs::path(ASSAY_SHARED_DATA) / "traces";
  if (!fs::exists(folder)) GTEST_SKIP() << "no traces at " << folder << "; the generators are tested above";
  const auto azure = read_request_trace(folder / "azure_llm_2023_conv.csv");
  EXPECT_EQ(azure.requests.size(), 19366U);
  EXPECT_NEAR(mean_rate(azure), 5.53, 0.005);
  std::int64_t in = 0, out = 0;
  for (const auto& request : azure.requests) {
    in += request.input_tokens;
    out += request.output_tokens;
  }
  EXPECT_NEAR(static_cast<double>(in) / 19366, 1154.7, 0.05);
  EXPECT_EQ(out, 4088665);
  const auto mooncake = read_request_trace(folder / "mooncake_synthetic.jsonl");
  EXPECT_EQ(mooncake.requests.size(), 3993U);
  EXPECT_EQ(mooncake.requests.back().arrival_ns, 1'022'025'000'000);
}

}  // namespace
}  // namespace assay::datasets
