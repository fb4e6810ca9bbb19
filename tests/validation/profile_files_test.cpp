// Profiles as people write them: what is only unusual is read, what is wrong is one line that names file, line and
// column, what was found and what was expected.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <functional>
#include <string>

#include "datasets/machine.h"
#include "datasets/user_error.h"
#include "impls/substrate/models/attention_profile.h"
#include "impls/substrate/models/collective_profile.h"
#include "impls/substrate/models/linear_profile.h"
#include "impls/substrate/models/residuals.h"

namespace assay::substrate {
namespace {

using testing::HasSubstr;

std::string file_of(const std::string& text) {
  const std::string file =
      testing::TempDir() + "/" + testing::UnitTest::GetInstance()->current_test_info()->name() + ".csv";
  std::ofstream(file, std::ios::binary) << text;
  return file;
}

// "FILE" stands for the file's path.
std::string refusal(const std::function<void(const std::string&)>& read, const std::string& text) {
  const std::string file = file_of(text);
  try {
    read(file);
  } catch (const UserError& wrong) {
    std::string said = wrong.what();
    if (const auto at = said.find(file); at != std::string::npos) said.replace(at, file.size(), "FILE");
    EXPECT_EQ(said.find('\n'), std::string::npos) << said;
    EXPECT_EQ(wrong.exit_code(), 2);
    return said;
  }
  return "read";
}

const std::string kLinear = "model,n_head,n_kv_head,n_embd,n_ff,tensor_parallel,num_tokens,mlp_up_proj_ms\n";
const std::string kLine = "other-13b,40,8,5120,13824,2,96,0.5\n";
const auto linear = [](const std::string& file) { read_linear_profile(file); };

TEST(LinearProfile, OfAnotherModelAndMachineIsReadInAnyOrderWithAnyLineEnds) {
  const auto one = read_linear_profile(file_of(kLinear + kLine));
  ASSERT_EQ(one.size(), 1U);
  EXPECT_EQ(one[0].work.n, 2 * 13824 / 2);
  const std::string turned =
      "\xEF\xBB\xBFnum_tokens,mlp_up_proj_ms,note,n_ff,tensor_parallel,n_embd,n_kv_head,n_head,model\r\n"
      "96,0.5,a remark,13824,2,5120,8,40,other-13b\r\n\r\n";
  const auto same = read_linear_profile(file_of(turned));
  ASSERT_EQ(same.size(), 1U);
  EXPECT_EQ(same[0].work, one[0].work);
  EXPECT_EQ(same[0].seconds, one[0].seconds);
}

TEST(LinearProfile, WhatIsWrongIsOneLine) {
  EXPECT_EQ(refusal(linear, ""), "FILE:1: empty, expected a header of column names");
  EXPECT_EQ(refusal(linear, std::string("SQLite format 3\0\1\n", 18)), "FILE: not text, expected a profile in CSV");
  EXPECT_EQ(refusal(linear, kLinear), "FILE: no rows, expected at least one measurement below the header");
  EXPECT_THAT(refusal(linear, "model,n_head\nm,4\n"), HasSubstr("FILE:1: column n_kv_head is missing, expected model"));
  EXPECT_THAT(
      refusal(linear, "model,n_head,n_kv_head,n_embd,n_ff,tensor_parallel,num_tokens,attn_ms\nm,4,4,64,64,1,1,1\n"),
      HasSubstr("FILE:1: unknown operator attn_ms, expected attn_pre_proj_ms"));
  EXPECT_THAT(refusal(linear, kLinear + "m,40,8,5120,13824,2,96\n"), HasSubstr("FILE:2: 7 cells, expected 8"));
  EXPECT_EQ(refusal(linear, kLinear + kLine + "m,40,8,5120,13824,2,many,0.5\n"),
            "FILE:3:21: num_tokens: 'many', expected a number of at least 0");
  EXPECT_EQ(refusal(linear, kLinear + "m,40,8,5120,13824,2,1.5,0.5\n"),
            "FILE:2:21: num_tokens: '1.5', expected a whole number of 1 to 1e+09");
  EXPECT_THAT(refusal(linear, kLinear + "m,40,8,5120,13824,2,1e300,0.5\n"),
              HasSubstr("'1e300', expected a whole number"));
  EXPECT_THAT(refusal(linear, kLinear + "m,40,8,5120,13824,2,99999999999,0.5\n"), HasSubstr("expected a whole number"));
  EXPECT_THAT(refusal(linear, kLinear + "m,40,8,5120,13824,3,96,0.5\n"),
              HasSubstr("tensor_parallel: 3, expected a divisor"));
  for (const char* time : {"nan", "-1", "inf", "1e999", "0.5ms"})
    EXPECT_THAT(refusal(linear, kLinear + "m,40,8,5120,13824,2,96," + time + "\n"),
                HasSubstr("FILE:2:24: mlp_up_proj_ms: '" + std::string(time) + "', expected a number of at least 0"));
  EXPECT_THAT(refusal(linear, "model,model\nm,m\n"), HasSubstr("FILE:1: column model is there twice"));
  EXPECT_THAT(refusal(linear,
                      "model,n_head,n_kv_head,n_embd,n_ff,tensor_parallel,num_tokens,use_gated_mlp,add_ms\n"
                      "m,40,8,5120,13824,2,96,maybe,1\n"),
              HasSubstr("use_gated_mlp: 'maybe', expected True or False"));
}

const std::string kCollective = "collective,ranks,devices_per_node,bytes,median_ms\n";
const auto collective = [](const std::string& file) { read_collective_profile(file); };

TEST(CollectiveProfile, WhatIsWrongIsOneLine) {
  EXPECT_EQ(refusal(collective, kCollective + "all_to_all,4,4,1024,1\n"),
            "FILE:2:1: collective: unknown operator 'all_to_all', expected all_reduce or send_recv");
  EXPECT_THAT(refusal(collective, kCollective + "all_reduce,0,4,1024,1\n"), HasSubstr("FILE:2:12: ranks: '0'"));
  EXPECT_THAT(refusal(collective, kCollective + "all_reduce,4000000000,4,1024,1\n"),
              HasSubstr("expected a whole number of 1 to"));
  EXPECT_THAT(refusal(collective, kCollective + "all_reduce,4,4,1024,0\n"),
              HasSubstr("median_ms: 0, expected a time above 0"));
  EXPECT_THAT(refusal(collective, kCollective + "send_recv,3,1,1024,1\n"),
              HasSubstr("ranks: 3, expected 2 of send_recv"));
}

TEST(CollectiveProfile, ASettingTheClusterDoesNotHaveIsSaidWithItsLine) {
  const auto held = [](const std::string& file) {
    residuals(datasets::load_cluster("a100-measured", std::string(ASSAY_SOURCE_DIR) + "/datasets"),
              read_collective_profile(file));
  };
  EXPECT_THAT(refusal(held, kCollective + "all_reduce,8,8,1024,1\nall_reduce,64,8,1024,1\n"),
              testing::AllOf(HasSubstr("FILE:3:12: ranks: "), HasSubstr("64 ranks at 8 a node need 8 nodes")));
}

const std::string kAttention =
    "n_embd,n_q_head,n_kv_head,num_tensor_parallel_workers,batch_size,prefill_chunk_size,kv_cache_size,is_prefill,"
    "time_stats.attn_prefill.median,time_stats.attn_decode.median\n";
const auto attention = [](const std::string& file) { read_attention_profile(file); };

TEST(AttentionProfile, ReadsBothKindsAndNamesWhatIsWrong) {
  const auto rows = read_attention_profile(file_of(kAttention + "8192,64,8,2,1,512,1024,True,0.148,\n"
                                                                "8192,64,8,2,16,0,2048,False,,0.06\n"));
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_TRUE(rows[0].prefill);
  EXPECT_EQ(rows[0].heads.kv_heads, 4);
  EXPECT_EQ(rows[1].batch, 16);
  EXPECT_THAT(refusal(attention, kAttention + "8192,64,8,2,1,512,1024,perhaps,0.1,\n"),
              HasSubstr("is_prefill: 'perhaps', expected True or False"));
  EXPECT_THAT(refusal(attention, kAttention + "8192,64,8,3,1,512,1024,True,0.1,\n"),
              HasSubstr("num_tensor_parallel_workers: 3, expected a divisor"));
  EXPECT_THAT(refusal(attention, kAttention + "8192,64,8,2,1,512,1024,True,,\n"), HasSubstr("attn_prefill.median: ''"));
  EXPECT_THAT(refusal(attention, "is_prefill\nTrue\n"), HasSubstr("FILE:1: column n_embd is missing"));
}

}  // namespace
}  // namespace assay::substrate
