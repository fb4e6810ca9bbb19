#include "harness/suite.h"

#include <gtest/gtest.h>

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>

#include "datasets/quantity.h"
#include "datasets/user_error.h"

namespace assay::harness {
namespace {

using datasets::Dimension;

void nothing(State&) {}

// A family of its own: these techniques share the process with those of other test files.
Technique lion() {
  Implementation cpu;
  cpu.axes = {
      {.name = "tokens", .defaults = {std::int64_t{1024}}, .help = "sequence length"},
      {.name = "causal", .defaults = {std::int64_t{0}}, .help = "mask", .allowed = {std::int64_t{0}, std::int64_t{1}}},
      {.name = "dtype",
       .defaults = {std::string("fp32")},
       .help = "element type",
       .allowed = {std::string("fp32"), std::string("bf16")}},
      {.name = "window",
       .defaults = {std::int64_t{0}},
       .help = "0: none",
       .minimum = 0,
       .legacy_default = std::int64_t{0}},
  };
  cpu.run = nothing;
  Implementation cuda = cpu;
  cuda.backend = "cuda";
  return {.id = "zoo/lion", .title = "Lion", .paper = "baseline", .summary = "roars", .implementations = {cpu, cuda}};
}

Technique bee() {
  Implementation ranks;
  ranks.fabrics = {"cluster", "threads"};
  ranks.axes = {
      {.name = "ranks", .defaults = {std::int64_t{2}}, .help = "devices"},
      {.name = "buffer", .defaults = {std::int64_t{1} << 20}, .help = "bytes a message", .dimension = Dimension::bytes},
      {.name = "delay", .defaults = {0.001}, .help = "seconds a hop", .minimum = 0, .dimension = Dimension::seconds},
      {.name = "share", .defaults = {0.5}, .help = "of the link", .minimum = 0, .dimension = Dimension::fraction},
      {.name = "machine", .defaults = {std::string("dgx-a100")}, .help = "cluster id"},
  };
  ranks.run = nothing;
  return {
      .id = "zoo/insects/bee", .title = "Bee", .paper = "baseline", .summary = "swarms", .implementations = {ranks}};
}

const Registration register_lion(lion());
const Registration register_bee(bee());

Suite parse(const std::string& text) { return parse_suite(text, "s.toml"); }

std::vector<std::string> keys_of(const std::vector<Case>& cases) {
  std::vector<std::string> keys;
  for (const Case& held : cases) keys.push_back(held.record().key);
  return keys;
}

std::vector<std::string> keys(const std::string& text) { return keys_of(expand(parse(text))); }

template <class Act>
std::string refusal(Act act, int exit_code = 2) {
  try {
    act();
  } catch (const UserError& wrong) {
    EXPECT_EQ(wrong.exit_code(), exit_code);
    EXPECT_EQ(std::string(wrong.what()).find('\n'), std::string::npos) << "an error is one line";
    return wrong.what();
  }
  return "accepted";
}

std::string refusal_of(const std::string& text) {
  return refusal([&] { parse(text); });
}

const std::string lion_case = "[[case]]\ntechnique = \"zoo/lion\"\n";
const std::string bee_case = "[[case]]\ntechnique = \"bee\"\n";

// -- expansion

TEST(Suite, AxesMultiplyAndTheLastWrittenVariesFastest) {
  EXPECT_EQ(keys(lion_case + "axes = { tokens = [1024, \"2k\"], causal = [0, 1], dtype = \"bf16\" }"),
            (std::vector<std::string>{
                "zoo/lion cpu causal=0 dtype=bf16 tokens=1024", "zoo/lion cpu causal=1 dtype=bf16 tokens=1024",
                "zoo/lion cpu causal=0 dtype=bf16 tokens=2048", "zoo/lion cpu causal=1 dtype=bf16 tokens=2048"}));
  EXPECT_EQ(keys(lion_case + "axes = { causal = [1, 0], tokens = [1024, 2048] }"),
            (std::vector<std::string>{
                "zoo/lion cpu causal=1 dtype=fp32 tokens=1024", "zoo/lion cpu causal=1 dtype=fp32 tokens=2048",
                "zoo/lion cpu causal=0 dtype=fp32 tokens=1024", "zoo/lion cpu causal=0 dtype=fp32 tokens=2048"}));
}

TEST(Suite, AxesNotNamedTakeTheTechniquesDefaults) {
  const auto cases = expand(parse(lion_case));
  ASSERT_EQ(cases.size(), 1U);
  EXPECT_EQ(cases[0].params.integer("tokens"), 1024);
  EXPECT_EQ(cases[0].params.integer("window"), 0);
  EXPECT_EQ(cases[0].technique->id, "zoo/lion");
  EXPECT_EQ(cases[0].implementation->backend, "cpu");
}

TEST(Suite, RangesGrowByFactorOrByDistance) {
  EXPECT_EQ(keys(lion_case + "axes = { tokens = { from = \"1k\", to = \"9k\", step = \"x2\" } }").size(), 4U);
  const auto by_distance =
      expand(parse(lion_case + "axes = { tokens = { from = 512, to = \"2k\", step = \"+512\" } }"));
  ASSERT_EQ(by_distance.size(), 4U);
  EXPECT_EQ(by_distance[1].params.integer("tokens"), 1024);
  EXPECT_EQ(by_distance[3].params.integer("tokens"), 2048);
  const auto delays = expand(parse(bee_case + "axes = { delay = { from = \"1ms\", to = \"5ms\", step = \"+2ms\" } }"));
  ASSERT_EQ(delays.size(), 3U);
  EXPECT_DOUBLE_EQ(delays[2].params.real("delay"), 0.005);
}

TEST(Suite, UnitsFollowTheAxis) {
  const auto cases = expand(
      parse(bee_case + "axes = { buffer = \"16MiB\", delay = \"20us\", share = \"25%\", machine = \"dgx-h100\" }"));
  ASSERT_EQ(cases.size(), 1U);
  EXPECT_EQ(cases[0].params.integer("buffer"), 16777216);
  EXPECT_EQ(cases[0].params.real("delay"), 20e-6);
  EXPECT_EQ(cases[0].params.real("share"), 0.25);
  EXPECT_EQ(cases[0].params.text("machine"), "dgx-h100");
}

TEST(Suite, ExclusionsRemoveThePointsThatEqualAllOfThem) {
  const std::string text = lion_case +
                           "axes = { tokens = [\"1k\", \"2k\"], causal = [0, 1] }\n"
                           "[[case.exclude]]\ntokens = \"2k\"\ncausal = 0\n";
  EXPECT_EQ(keys(text), (std::vector<std::string>{"zoo/lion cpu causal=0 dtype=fp32 tokens=1024",
                                                  "zoo/lion cpu causal=1 dtype=fp32 tokens=1024",
                                                  "zoo/lion cpu causal=1 dtype=fp32 tokens=2048"}));
}

TEST(Suite, ListsOfTechniquesBackendsAndFabricsAreEveryCombination) {
  EXPECT_EQ(keys("[[case]]\ntechnique = \"zoo/lion\"\nbackend = [\"cpu\", \"cuda\"]\n"),
            (std::vector<std::string>{"zoo/lion cpu causal=0 dtype=fp32 tokens=1024",
                                      "zoo/lion cuda causal=0 dtype=fp32 tokens=1024 event"}));
  const auto cases = expand(parse(bee_case + "fabric = [\"threads\", \"cluster\"]\n"));
  ASSERT_EQ(cases.size(), 2U);
  EXPECT_EQ(cases[0].timer, "host");
  EXPECT_EQ(cases[1].timer, "virtual");
}

TEST(Suite, ThreadsIsTheFabricWhenNoneIsNamed) { EXPECT_EQ(expand(parse(bee_case))[0].fabric, "threads"); }

TEST(Suite, EntrySettingsOverrideTheSuites) {
  const auto cases = expand(parse(
      "tags = [\"a\"]\nlaunches = 5\nnoise_target = \"3%\"\ntime_budget = \"250ms\"\npin = [0, 1]\n" + lion_case +
      "launches = 7\ncache = \"cold\"\ntags = [\"b\", \"a\"]\n" + bee_case + "pin = \"none\"\nmin_samples = 9\n"));
  ASSERT_EQ(cases.size(), 2U);
  EXPECT_EQ(cases[0].settings.launches, 7);
  EXPECT_EQ(cases[0].settings.noise_target, 0.03);
  EXPECT_EQ(cases[0].settings.time_budget_seconds, 0.25);
  EXPECT_EQ(cases[0].settings.tags, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(cases[0].settings.pin, (Pin{Pin::Mode::listed, {0, 1}}));
  EXPECT_EQ(cases[0].cache, "cold");
  EXPECT_EQ(cases[1].settings.launches, 5);
  EXPECT_EQ(cases[1].settings.min_samples, 9);
  EXPECT_EQ(cases[1].settings.pin.mode, Pin::Mode::none);
}

// -- identity

TEST(Suite, ALegacyDefaultIsLeftOutOfTheIdentity) {
  const auto cases = expand(parse(lion_case + "axes = { window = [0, 64] }"));
  ASSERT_EQ(cases.size(), 2U);
  EXPECT_EQ(cases[0].record().parameters_json, R"({"causal":0,"dtype":"fp32","tokens":1024})");
  EXPECT_EQ(cases[1].record().parameters_json, R"({"causal":0,"dtype":"fp32","tokens":1024,"window":64})");
  EXPECT_NE(cases[0].record().key, cases[1].record().key);
}

TEST(Suite, TimerAndCacheArePartOfTheIdentity) {
  const auto hot = expand(parse(lion_case))[0].record();
  const auto cold = expand(parse(lion_case + "cache = \"cold\""))[0].record();
  EXPECT_EQ(hot.key + " cold", cold.key);
  EXPECT_EQ(cold.cache, "cold");
  EXPECT_EQ(expand(parse(bee_case + "fabric = \"cluster\""))[0].record().timer, "virtual");
}

TEST(Suite, AStoredRowBecomesTheSameCaseAgain) {
  for (const Case& held :
       expand(parse("cache = \"cold\"\n" + lion_case + "axes = { window = [0, 64], dtype = [\"fp32\", \"bf16\"] }\n" +
                    bee_case + "fabric = \"cluster\"\naxes = { delay = [\"1us\", \"70ns\"], buffer = \"3KB\" }"))) {
    const auto again = expand(suite_of_record(held.record()));
    ASSERT_EQ(again.size(), 1U);
    EXPECT_EQ(again[0].record().key, held.record().key);
    EXPECT_EQ(again[0].params, held.params);
  }
}

// -- refusals: each one line with file, line and key

TEST(SuiteRefusal, UnknownKeysNameTheNearest) {
  EXPECT_EQ(refusal_of("launchs = 3\n" + lion_case).substr(0, 48), "s.toml:1: launchs: unknown key; nearest: launche");
  EXPECT_EQ(
      refusal_of(lion_case + "\nfabrics = \"threads\"\n").find("s.toml:4: case.fabrics: unknown key; nearest: fabric"),
      0U);
  EXPECT_EQ(refusal_of(lion_case + "axes = { tokens = { from = 1, to = 4, stp = \"x2\" } }")
                .find("s.toml:3: case.axes.tokens.stp: unknown key; nearest: step"),
            0U);
}

TEST(SuiteRefusal, BadTomlNamesLineAndColumn) {
  EXPECT_EQ(refusal_of("launches = 3\ntitle = \"open\n").find("s.toml:2:"), 0U);
  EXPECT_NE(refusal_of("launches = 3\ntitle = \"open\n").find("not TOML"), std::string::npos);
  EXPECT_NE(refusal_of("a = 1\na = 2\n").find("s.toml:2:"), std::string::npos);
}

TEST(SuiteRefusal, UnknownTechniqueNamesTheNearest) {
  EXPECT_EQ(refusal_of("[[case]]\ntechnique = \"zoo/lyon\"\n")
                .find("s.toml:1: case: technique: unknown technique 'zoo/lyon'; nearest: zoo/lion"),
            0U);
  EXPECT_EQ(refusal_of("[[case]]\nbackend = \"cpu\"\n"), "s.toml:1: case: technique is missing");
}

TEST(SuiteRefusal, AnAxisTheTechniqueDoesNotHaveNamesTheNearest) {
  EXPECT_EQ(refusal_of(lion_case + "axes = { token = 4 }"),
            "s.toml:3: case.axes.token: zoo/lion has no axis 'token'; nearest: tokens");
  EXPECT_NE(refusal_of(lion_case + "[[case.exclude]]\ntoken = 4\n")
                .find("s.toml:4: case.exclude.token: zoo/lion has no axis"),
            std::string::npos);
}

TEST(SuiteRefusal, ValuesMustBeAllowedAndLargeEnough) {
  EXPECT_EQ(refusal_of(lion_case + "axes = { dtype = \"bf17\" }"),
            "s.toml:3: case.axes.dtype: found 'bf17', expected one of fp32, bf16");
  EXPECT_EQ(refusal_of(lion_case + "axes = { causal = 2 }"),
            "s.toml:3: case.axes.causal: found '2', expected one of 0, 1");
  EXPECT_EQ(refusal_of(lion_case + "axes = { tokens = 0 }"),
            "s.toml:3: case.axes.tokens: found '0', expected at least 1");
  EXPECT_EQ(refusal_of(lion_case + "axes = { dtype = 16 }"),
            "s.toml:3: case.axes.dtype: found a number, expected text in quotes");
}

TEST(SuiteRefusal, WrongUnitsAndNegativeSizes) {
  EXPECT_EQ(refusal_of(bee_case + "[case.axes]\nranks = 2\nbuffer = [4096, \"16 Mib\"]\n")
                .find("s.toml:5: case.axes.buffer: found '16 Mib', expected bytes such as"),
            0U);
  EXPECT_EQ(refusal_of(lion_case + "axes = { tokens = -4 }")
                .find("s.toml:3: case.axes.tokens: found '-4', expected nothing negative"),
            0U);
  EXPECT_EQ(refusal_of(lion_case + "axes = { tokens = \"4MiB\" }")
                .find("s.toml:3: case.axes.tokens: found '4MiB', expected a count"),
            0U);
  EXPECT_EQ(refusal_of(lion_case + "axes = { tokens = 2.5 }"),
            "s.toml:3: case.axes.tokens: found '2.5', expected a whole number");
  EXPECT_EQ(refusal_of("time_budget = 300\n" + lion_case)
                .find("s.toml:1: time_budget: found '300', expected a time with its unit"),
            0U);
  EXPECT_NE(refusal_of("time_budget = \"0s\"\n" + lion_case).find("expected more than 0"), std::string::npos);
}

TEST(SuiteRefusal, SettingsOutsideTheirChoices) {
  EXPECT_EQ(refusal_of("order = \"shuffled\"\n" + lion_case),
            "s.toml:1: order: found 'shuffled', expected one of interleaved, random, listed");
  EXPECT_EQ(refusal_of("launches = 0\n" + lion_case), "s.toml:1: launches: found '0', expected 1 to 1000000000");
  EXPECT_NE(refusal_of("pin = \"all\"\n" + lion_case).find("s.toml:1: pin: found 'all'"), std::string::npos);
  EXPECT_NE(refusal_of("pin = [0, -1]\n" + lion_case).find("found '-1', expected a CPU number"), std::string::npos);
  EXPECT_NE(refusal_of("roofs = 1\n" + lion_case).find("found a number, expected true or false"), std::string::npos);
  EXPECT_NE(refusal_of("max_samples = 3\n" + lion_case).find("found max_samples 3, expected at least min_samples 5"),
            std::string::npos);
  EXPECT_NE(
      refusal_of(lion_case + "cache = \"warm\"").find("s.toml:3: case.cache: found 'warm', expected one of hot, cold"),
      std::string::npos);
  EXPECT_NE(refusal_of("case = 3\n").find("s.toml:1: case: found a number, expected [[case]] tables"),
            std::string::npos);
}

TEST(SuiteRefusal, BackendsFabricsAndTimersTheTechniqueDoesNotHave) {
  EXPECT_NE(refusal_of(bee_case + "backend = \"cuda\"")
                .find("s.toml:1: case: backend: found 'cuda', expected one that zoo/insects/bee has: cpu"),
            std::string::npos);
  EXPECT_NE(
      refusal_of(bee_case + "fabric = \"mpi\"").find("expected one that zoo/insects/bee on cpu has: cluster, threads"),
      std::string::npos);
  EXPECT_NE(refusal_of(lion_case + "fabric = \"threads\"").find("is no program over ranks"), std::string::npos);
  EXPECT_NE(refusal_of(lion_case + "timer = \"event\"").find("timer: found 'event', expected one of host for cpu"),
            std::string::npos);
}

TEST(SuiteRefusal, WhatSelectsNothing) {
  EXPECT_EQ(refusal_of("title = \"empty\"\n"), "suite s selects nothing: it has no [[case]]");
  EXPECT_EQ(refusal_of(lion_case + "[[case.exclude]]\ncausal = 0\n"),
            "suite s selects nothing: s.toml:1: case excludes every point");
  EXPECT_NE(refusal_of(lion_case + "axes = { tokens = [] }").find("found an empty list"), std::string::npos);
  EXPECT_NE(refusal_of(lion_case + "[[case.exclude]]\ncausal = 1\n").find("s.toml:4: case.exclude.causal: found '1'"),
            std::string::npos);
}

TEST(SuiteRefusal, RepeatsOfValuesAndCases) {
  EXPECT_EQ(refusal_of(lion_case + "axes = { tokens = [1024, \"1k\"] }"),
            "s.toml:3: case.axes.tokens: found '1k' twice");
  EXPECT_EQ(refusal_of(lion_case + lion_case),
            "s.toml:3: case: found 'zoo/lion cpu causal=0 dtype=fp32 tokens=1024', which s.toml:1: case names already");
}

TEST(SuiteRefusal, RangesThatDoNotGrow) {
  const auto range = [&](const std::string& body) {
    return refusal_of(lion_case + "axes = { tokens = { " + body + " } }");
  };
  EXPECT_NE(range("from = 4, to = 2, step = \"x2\"").find("expected from <= to"), std::string::npos);
  EXPECT_NE(range("from = 1, to = 2, step = \"x1\"").find("expected one that grows"), std::string::npos);
  EXPECT_NE(range("from = 1, to = 2, step = \"+0\"").find("expected one that grows"), std::string::npos);
  EXPECT_NE(range("from = 1, to = 2, step = \"2\"").find("expected a factor such as x2"), std::string::npos);
  EXPECT_NE(range("from = 1, to = 2").find("found a range without step"), std::string::npos);
  EXPECT_NE(range("from = 1, to = 9, step = \"x1.5\"").find("expected whole values"), std::string::npos);
  EXPECT_NE(range("from = 1, to = \"1T\", step = \"+1\"").find("more than 4096 values"), std::string::npos);
}

TEST(SuiteRefusal, TooManyCasesInsteadOfAllTheMemory) {
  EXPECT_NE(
      refusal_of(
          lion_case +
          "axes = { tokens = { from = 1, to = 2000, step = \"+1\" }, window = { from = 1, to = 2000, step = \"+1\" } }")
          .find("expected at most 100000"),
      std::string::npos);
}

TEST(SuiteRefusal, AnotherNumberOfCasesThanExpected) {
  EXPECT_NE(refusal([] { parse("expected_cases = 2\n" + lion_case); }, 3).find("found 1 cases, expected 2"),
            std::string::npos);
  EXPECT_NE(refusal([] { parse("expected_cases = 1\n" + lion_case + "axes = { causal = [0, 1] }"); }, 2)
                .find("found 2 cases, expected 1"),
            std::string::npos);
}

// -- techniques and overrides from the command line

TEST(SuiteOfTechnique, RunsDefaultsWithOverrides) {
  const Technique& technique = resolve_technique("zoo/lion");
  EXPECT_EQ(expand(suite_of_technique(technique)).size(), 1U);
  const auto cases =
      expand(suite_of_technique(technique, {parse_axis_override("tokens=1k,4k"), parse_axis_override("causal=0,1")}));
  ASSERT_EQ(cases.size(), 4U);
  EXPECT_EQ(cases[1].record().key, "zoo/lion cpu causal=1 dtype=fp32 tokens=1024");
  EXPECT_EQ(expand(suite_of_technique(technique, {parse_axis_override("tokens=1k..16k")})).size(), 5U);
  EXPECT_EQ(expand(suite_of_technique(technique, {parse_axis_override("tokens=1k..16k:x4")})).size(), 3U);
  EXPECT_EQ(expand(suite_of_technique(technique, {parse_axis_override("tokens=1k..2k:+512")})).size(), 3U);
}

TEST(SuiteOfTechnique, RefusesBadOverrides) {
  const auto with = [](const std::string& text) {
    return refusal([&] { suite_of_technique(resolve_technique("zoo/lion"), {parse_axis_override(text)}); });
  };
  EXPECT_EQ(with("tokns=4"), "--axis tokns=4: zoo/lion has no axis 'tokns'; nearest: tokens");
  EXPECT_EQ(with("tokens=4x").find("--axis tokens=4x: found '4x', expected a count"), 0U);
  EXPECT_EQ(with("dtype=fp8"), "--axis dtype=fp8: found 'fp8', expected one of fp32, bf16");
  for (const char* text :
       {"tokens", "=4", "tokens=", "tokens=1,,2", "tokens=1,", "tokens=1..", "tokens=..4", "tokens=1..4:"})
    EXPECT_NE(with(text).find("expected NAME=VALUE,VALUE"), std::string::npos) << text;
  EXPECT_NE(refusal([] {
              suite_of_technique(resolve_technique("zoo/lion"),
                                 {parse_axis_override("tokens=1"), parse_axis_override("tokens=2")});
            }).find("given twice"),
            std::string::npos);
}

// -- selection

const std::string zoo = lion_case + "tags = [\"big\"]\naxes = { tokens = [\"1k\", \"2k\"] }\n" + bee_case +
                        "fabric = [\"threads\", \"cluster\"]\n";

TEST(SuiteSelection, NarrowsByTechniqueFamilyBackendFabricAndTag) {
  const Suite suite = parse(zoo);
  EXPECT_EQ(expand(suite).size(), 4U);
  EXPECT_EQ(expand(suite, {.techniques = {"bee"}}).size(), 2U);
  EXPECT_EQ(expand(suite, {.families = {"insects"}}).size(), 2U);
  EXPECT_EQ(expand(suite, {.families = {"zoo/insects"}}).size(), 2U);
  EXPECT_EQ(expand(suite, {.families = {"zoo"}}).size(), 4U);
  EXPECT_EQ(expand(suite, {.fabrics = {"cluster"}}).size(), 1U);
  EXPECT_EQ(expand(suite, {.backends = {"cpu"}, .tags = {"big"}}).size(), 2U);
}

TEST(SuiteSelection, AnEmptySelectionSaysWhatThereIs) {
  const Suite suite = parse(zoo);
  EXPECT_EQ(refusal([&] { select(suite, {.fabrics = {"mpi"}}); }),
            "suite s selects nothing: no case of fabric mpi; it has threads, cluster");
  EXPECT_EQ(refusal([&] { select(suite, {.families = {"insect"}}); }),
            "suite s selects nothing: no case of family insect; it has zoo, zoo/insects");
  EXPECT_NE(refusal([&] { select(suite, {.techniques = {"beee"}}); }).find("nearest: zoo/insects/bee"),
            std::string::npos);
}

TEST(SuiteSelection, OverridesReplaceTheValuesOfCasesThatHaveTheAxis) {
  const Suite suite = select(parse(zoo), {.axes = {parse_axis_override("tokens=8k")}});
  EXPECT_EQ(expand(suite).size(), 3U);
  EXPECT_EQ(expand(suite)[0].params.integer("tokens"), 8192);
  EXPECT_EQ(refusal([&] { select(parse(zoo), {.axes = {parse_axis_override("rank=8")}}); }),
            "--axis rank=8: no case of s has axis 'rank'; nearest: ranks");
}

TEST(SuiteSelection, CasesThatAnOverrideMakesEqualAreRunOnce) {
  const Suite suite =
      parse(lion_case + "axes = { tokens = \"1k\" }\n" + lion_case + "axes = { tokens = [\"2k\", \"4k\"] }\n");
  EXPECT_EQ(keys_of(expand(suite, {.axes = {parse_axis_override("tokens=2k,8k")}})),
            (std::vector<std::string>{"zoo/lion cpu causal=0 dtype=fp32 tokens=2048",
                                      "zoo/lion cpu causal=0 dtype=fp32 tokens=8192"}));
}

TEST(SuiteSelection, AnOverriddenExclusionStillLoads) {
  const Suite suite =
      parse(lion_case +
            "axes = { tokens = [\"1k\", \"2k\"], causal = [0, 1] }\n[[case.exclude]]\ntokens = \"2k\"\ncausal = 0\n");
  const Suite chosen = select(suite, {.axes = {parse_axis_override("tokens=4k")}});
  EXPECT_EQ(expand(chosen).size(), 2U);
  EXPECT_EQ(keys_of(expand(parse_suite(to_toml(chosen), "run"))), keys_of(expand(chosen)));
}

TEST(SuiteSelection, FamilyIsTheFolderOrItsLastPart) {
  EXPECT_TRUE(in_family("parallelism/sequence/ring-attention", "sequence"));
  EXPECT_TRUE(in_family("parallelism/sequence/ring-attention", "parallelism/sequence"));
  EXPECT_TRUE(in_family("parallelism/sequence/ring-attention", "parallelism"));
  EXPECT_FALSE(in_family("parallelism/sequence/ring-attention", "quence"));
  EXPECT_FALSE(in_family("parallelism/sequence/ring-attention", "ring-attention"));
  EXPECT_FALSE(in_family("attention/naive", "astronomy")) << "as long as the folder";
  EXPECT_FALSE(in_family("attention/naive", ""));
}

// -- order of launches

std::vector<Case> three_cases() {
  return expand(parse("launches = 3\n" + lion_case + "axes = { tokens = [1, 2, 3] }"));
}

TEST(LaunchOrder, InterleavedGoesThroughAllCasesAndBack) {
  EXPECT_EQ(launch_order(three_cases(), "interleaved", 1),
            (std::vector<LaunchSlot>{{0, 0}, {1, 0}, {2, 0}, {2, 1}, {1, 1}, {0, 1}, {0, 2}, {1, 2}, {2, 2}}));
}

TEST(LaunchOrder, ListedFinishesOneCaseBeforeTheNext) {
  EXPECT_EQ(launch_order(three_cases(), "listed", 1),
            (std::vector<LaunchSlot>{{0, 0}, {0, 1}, {0, 2}, {1, 0}, {1, 1}, {1, 2}, {2, 0}, {2, 1}, {2, 2}}));
}

TEST(LaunchOrder, RandomIsARepeatableOrderOfEveryLaunchOnce) {
  const auto slots = launch_order(three_cases(), "random", 7);
  EXPECT_EQ(slots, launch_order(three_cases(), "random", 7));
  std::set<std::pair<std::size_t, int>> distinct;
  for (const LaunchSlot& slot : slots) distinct.emplace(slot.case_index, slot.ordinal);
  EXPECT_EQ(distinct.size(), 9U);
  std::set<std::vector<std::size_t>> firsts;
  for (std::uint64_t seed = 0; seed < 64; ++seed) {
    std::vector<std::size_t> round;
    for (const LaunchSlot& slot : launch_order(three_cases(), "random", seed))
      if (slot.ordinal == 0) round.push_back(slot.case_index);
    firsts.insert(round);
  }
  EXPECT_EQ(firsts.size(), 6U) << "all orders of three occur";
}

TEST(LaunchOrder, CasesMayHaveDifferentNumbersOfLaunches) {
  const auto cases = expand(parse(lion_case + "launches = 1\n" + bee_case + "launches = 3\n"));
  EXPECT_EQ(launch_order(cases, "interleaved", 0), (std::vector<LaunchSlot>{{0, 0}, {1, 0}, {1, 1}, {1, 2}}));
}

// -- text both ways

struct Draw {
  std::uint64_t state;
  std::uint64_t below(std::uint64_t n) {
    state ^= state << 13U, state ^= state >> 7U, state ^= state << 17U;
    return state % n;
  }
};

Suite random_suite(std::uint64_t seed) {
  Draw draw{seed * 2654435761U + 88172645463325252U};
  Suite suite;
  suite.id = "drawn-" + std::to_string(seed);
  suite.title = "a \"quoted\" \\ title\n\twith\x01 control";
  suite.settings.launches = 1 + static_cast<int>(draw.below(9));
  suite.settings.noise_target = 1.0 / static_cast<double>(1 + draw.below(99));
  suite.settings.time_budget_seconds = 1.0 / static_cast<double>(1 + draw.below(1000));
  suite.settings.pin = draw.below(2) == 0 ? Pin{} : Pin{Pin::Mode::listed, {3, 1}};
  suite.settings.tags = {"drawn"};
  suite.order = draw.below(2) == 0 ? "random" : "listed";
  suite.isolate = draw.below(2) == 0 ? "case" : "backend";
  suite.max_load = static_cast<double>(draw.below(7)) / 3;
  suite.roofs = draw.below(2) == 0;
  const auto tokens = std::to_string(1 + draw.below(100000));
  Suite one =
      suite_of_technique(resolve_technique("zoo/lion"),
                         {parse_axis_override("dtype=bf16,fp32"), parse_axis_override("tokens=" + tokens + ",200000")},
                         draw.below(2) == 0 ? "cpu" : "cuda");
  SuiteEntry lion_entry = one.entries.front();
  if (draw.below(2) == 0)
    lion_entry.exclusions.push_back({{{"dtype", std::string("fp32")}, {"tokens", std::int64_t{200000}}}, ""});
  if (draw.below(2) == 0) lion_entry.cache = "cold";
  if (draw.below(2) == 0) lion_entry.launches = 4;
  if (draw.below(2) == 0) lion_entry.time_budget_seconds = 1e-7 * static_cast<double>(1 + draw.below(1000));
  if (draw.below(2) == 0) lion_entry.noise_target = 0.07;
  if (draw.below(2) == 0) lion_entry.tags = {"x", "y"};
  suite.entries.push_back(lion_entry);
  SuiteEntry bee_entry = suite_of_technique(resolve_technique("bee"), {parse_axis_override("ranks=1..64")}, "",
                                            draw.below(2) == 0 ? "threads" : "cluster")
                             .entries.front();
  for (AxisValues& axis : bee_entry.axes) {
    if (axis.name == "delay") axis.values = {static_cast<double>(draw.below(1000000)) * 1e-9 / 7, 1e-12};
    if (axis.name == "share") axis.values = {static_cast<double>(1 + draw.below(1000)) / 1001};
    if (axis.name == "machine") axis.values = {std::string("odd \"name\"")};
  }
  if (draw.below(2) == 0) bee_entry.exclusions.push_back({{{"ranks", std::int64_t{4}}}, ""});
  if (draw.below(2) == 0) bee_entry.pin = Pin{Pin::Mode::none, {}};
  if (draw.below(2) == 0) bee_entry.min_samples = 2;
  if (draw.below(2) == 0) bee_entry.max_samples = 77;
  suite.entries.push_back(bee_entry);
  return suite;
}

TEST(SuiteText, WhatIsWrittenReadsBackToTheSameCases) {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    const Suite suite = random_suite(seed);
    const std::string text = to_toml(suite);
    const Suite again = parse_suite(text, "again.toml");
    EXPECT_EQ(again.id, suite.id);
    EXPECT_EQ(again.title, suite.title);
    EXPECT_EQ(again.order, suite.order);
    EXPECT_EQ(again.isolate, suite.isolate);
    EXPECT_EQ(again.max_load, suite.max_load);
    EXPECT_EQ(again.roofs, suite.roofs);
    const auto before = expand(suite);
    const auto after = expand(again);
    ASSERT_EQ(keys_of(after), keys_of(before)) << text;
    for (std::size_t i = 0; i < before.size(); ++i) {
      EXPECT_EQ(after[i].params, before[i].params) << text;
      EXPECT_EQ(after[i].settings, before[i].settings) << text;
    }
    EXPECT_EQ(to_toml(again), text);
  }
}

// -- files and names

class SuiteFiles : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::path(testing::TempDir()) / ("suites-" + std::to_string(getpid()));
    std::filesystem::create_directories(folder_);
    if (const char* held = std::getenv("ASSAY_SUITES")) before_ = held;
    setenv("ASSAY_SUITES", folder_.c_str(), 1);
    write("small.toml", "title = \"Small\"\n" + lion_case);
    write("broken.toml", "launches = \n");
  }
  void TearDown() override {
    before_.empty() ? unsetenv("ASSAY_SUITES") : setenv("ASSAY_SUITES", before_.c_str(), 1);
    std::filesystem::remove_all(folder_);
  }
  void write(const std::string& name, const std::string& text) { std::ofstream(folder_ / name) << text; }

  std::filesystem::path folder_;
  std::string before_;
};

TEST_F(SuiteFiles, AreFoundByIdAndByPath) {
  EXPECT_EQ(suite_ids(), (std::vector<std::string>{"broken", "small"}));
  EXPECT_EQ(load_suite("small").id, "small");
  EXPECT_EQ(load_suite((folder_ / "small.toml").string()).title, "Small");
  EXPECT_TRUE(is_suite_name("small"));
  EXPECT_FALSE(is_suite_name("zoo/lion"));
}

TEST_F(SuiteFiles, UnknownNamesListTheNearest) {
  EXPECT_NE(refusal([] { load_suite("smal"); }).find("unknown suite 'smal'"), std::string::npos);
  EXPECT_NE(refusal([] { load_suite("smal"); }).find("nearest: small"), std::string::npos);
  EXPECT_NE(refusal([] { load_suite("/nowhere/x.toml"); }).find("/nowhere/x.toml: no such suite file"),
            std::string::npos);
  EXPECT_NE(refusal([] { load_suite("broken"); }).find("broken.toml:1:"), std::string::npos);
}

TEST_F(SuiteFiles, ANameIsASuiteOrATechnique) {
  EXPECT_EQ(suite_named("small").id, "small");
  EXPECT_EQ(suite_named("lion").id, "zoo/lion");
  EXPECT_EQ(expand(suite_named("bee", {.fabrics = {"threads", "cluster"}, .axes = {parse_axis_override("ranks=4,8")}}))
                .size(),
            4U);
  EXPECT_EQ(expand(suite_named("small", {.axes = {parse_axis_override("tokens=4,8")}})).size(), 2U);
  const std::string unknown = refusal([] { suite_named("smoll"); });
  EXPECT_EQ(unknown.find("no suite of that name (nearest: small); unknown technique 'smoll'"), 0U) << unknown;
  EXPECT_NE(refusal([] { suite_named("bee", {.fabrics = {"mpi"}}); }).find("fabric: found 'mpi'"), std::string::npos);
}

// A technique whose ranks are threads of a CPU, or GPUs.
Technique wasp() {
  Implementation threads;
  threads.fabrics = {"threads"};
  threads.axes = {{.name = "ranks", .defaults = {std::int64_t{2}}, .help = "devices"}};
  threads.run = nothing;
  Implementation gpus = threads;
  gpus.backend = "cuda";
  gpus.fabrics = {"nccl"};
  return {.id = "zoo/insects/wasp",
          .title = "Wasp",
          .paper = "baseline",
          .summary = "stings",
          .implementations = {threads, gpus}};
}
const Registration registered_wasp{wasp()};

TEST(SuiteOfATechnique, AFabricOfOneBackendAloneChoosesTheBackend) {
  const Technique& technique = resolve_technique("zoo/insects/wasp");
  const auto on_gpus = expand(suite_of_technique(technique, {}, "", "nccl"));
  ASSERT_EQ(on_gpus.size(), 1U);
  EXPECT_EQ(on_gpus.front().backend, "cuda");
  EXPECT_EQ(on_gpus.front().timer, "host") << "ranks wait for each other on the host";
  EXPECT_EQ(expand(suite_of_technique(technique)).front().backend, "cpu");
  EXPECT_EQ(expand(suite_of_technique(technique, {}, "", "threads")).front().backend, "cpu");
  EXPECT_THROW(suite_of_technique(technique, {}, "cpu", "nccl"), UserError) << "a backend that is named is meant";
}

}  // namespace
}  // namespace assay::harness
