#include "datasets/quantity.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <string>

#include "datasets/user_error.h"

namespace assay::datasets {
namespace {

std::string refusal(std::string_view text, Dimension dimension) {
  try {
    const double value = parse_quantity(text, dimension, "suites/a.toml:3: size");
    return "accepted as " + std::to_string(value);
  } catch (const UserError& wrong) {
    EXPECT_EQ(wrong.exit_code(), 2);
    return wrong.what();
  }
}

std::string count_refusal(std::string_view text) {
  try {
    return "accepted as " + std::to_string(parse_count(text, "--axis tokens"));
  } catch (const UserError& wrong) {
    return wrong.what();
  }
}

TEST(Quantity, CountsTakePowersOf1024) {
  EXPECT_EQ(parse_count("4k", ""), 4096);
  EXPECT_EQ(parse_count("4K", ""), 4096);
  EXPECT_EQ(parse_count(" 128 k ", ""), 131072);
  EXPECT_EQ(parse_count("1M", ""), 1048576);
  EXPECT_EQ(parse_count("2G", ""), std::int64_t{2} << 30);
  EXPECT_EQ(parse_count("3T", ""), std::int64_t{3} << 40);
  EXPECT_EQ(parse_count("1.5k", ""), 1536);
  EXPECT_EQ(parse_count("1.5e9", ""), 1500000000);
  EXPECT_EQ(parse_count("0", ""), 0);
}

TEST(Quantity, LargeCountsAreExact) {
  EXPECT_EQ(parse_count("9007199254740993", ""), 9007199254740993);  // 2^53 + 1: no double holds it
  EXPECT_EQ(parse_count("9223372036854775807", ""), std::numeric_limits<std::int64_t>::max());
}

TEST(Quantity, BytesTellPowersOf1000FromPowersOf1024) {
  EXPECT_EQ(parse_quantity("16MiB", Dimension::bytes, ""), 16777216.0);
  EXPECT_EQ(parse_quantity("16 MB", Dimension::bytes, ""), 16e6);
  EXPECT_EQ(parse_quantity("64KB", Dimension::bytes, ""), 64000.0);
  EXPECT_EQ(parse_quantity("1.5GiB", Dimension::bytes, ""), 1610612736.0);
  EXPECT_EQ(parse_quantity("4096", Dimension::bytes, ""), 4096.0);
  EXPECT_EQ(parse_quantity("12B", Dimension::bytes, ""), 12.0);
}

TEST(Quantity, TimesAndFractionsAreTheNearestDouble) {
  EXPECT_EQ(parse_quantity("300ms", Dimension::seconds, ""), 0.3);
  EXPECT_EQ(parse_quantity("7us", Dimension::seconds, ""), 7e-6);
  EXPECT_EQ(parse_quantity("3ns", Dimension::seconds, ""), 3e-9);
  EXPECT_EQ(parse_quantity("2min", Dimension::seconds, ""), 120.0);
  EXPECT_EQ(parse_quantity("1.5h", Dimension::seconds, ""), 5400.0);
  EXPECT_EQ(parse_quantity("2%", Dimension::fraction, ""), 0.02);
  EXPECT_EQ(parse_quantity("0.035", Dimension::fraction, ""), 0.035);
}

TEST(Quantity, AWrongUnitIsOneLineWithPlaceFoundAndExpected) {
  EXPECT_EQ(refusal("16 Mib", Dimension::bytes),
            "suites/a.toml:3: size: found '16 Mib', expected bytes such as 4096, 64KB or 16MiB "
            "(B, KB, MB, GB, TB, KiB, MiB, GiB, TiB)");
  EXPECT_EQ(refusal("16M", Dimension::bytes).find("suites/a.toml:3: size: found '16M', expected bytes"), 0U);
  EXPECT_EQ(
      refusal("300", Dimension::seconds).find("suites/a.toml:3: size: found '300', expected a time with its unit"), 0U);
  EXPECT_NE(refusal("4kB", Dimension::count).find("expected a count"), std::string::npos);
  EXPECT_NE(refusal("4m", Dimension::count).find("expected a count"), std::string::npos);
  EXPECT_NE(refusal("2MiB", Dimension::seconds).find("expected a time"), std::string::npos);
  EXPECT_NE(refusal("2s", Dimension::fraction).find("expected a fraction"), std::string::npos);
}

TEST(Quantity, NegativeQuantitiesAreRefusedInEveryDimension) {
  for (const Dimension dimension : {Dimension::count, Dimension::bytes, Dimension::seconds, Dimension::fraction})
    EXPECT_NE(refusal("-4", dimension).find("found '-4', expected nothing negative"), std::string::npos);
  EXPECT_NE(count_refusal("-1k").find("nothing negative"), std::string::npos);
}

TEST(Quantity, WhatIsNoNumberIsRefused) {
  for (const char* text : {"", "  ", "k", "abc", "inf", "nan", "1e", "0x10", "1,000", "4 k k", "+3"})
    EXPECT_EQ(count_refusal(text), std::string("--axis tokens: found '") + text +
                                       "', expected a count such as 1536, 4k or 2M (k, M, G, T: powers of 1024)");
}

TEST(Quantity, FractionalCountsAndBytesAreRefused) {
  EXPECT_EQ(count_refusal("2.5"), "--axis tokens: found '2.5', expected a whole number");
  EXPECT_EQ(count_refusal("1.0001k"), "--axis tokens: found '1.0001k', expected a whole number");
  EXPECT_EQ(refusal("0.5B", Dimension::bytes), "suites/a.toml:3: size: found '0.5B', expected a whole number of bytes");
}

TEST(Quantity, OverflowIsRefusedNotWrapped) {
  EXPECT_NE(count_refusal("9223372036854775808").find("fits 64 bits"), std::string::npos);
  EXPECT_NE(count_refusal("9007199254740993k").find("fits 64 bits"), std::string::npos);
  EXPECT_NE(count_refusal("1e19").find("fits 64 bits"), std::string::npos);
  EXPECT_NE(count_refusal("1e999").find("fits 64 bits"), std::string::npos);
  EXPECT_NE(refusal("16777216TiB", Dimension::bytes).find("fit 64 bits"), std::string::npos);
  EXPECT_NE(refusal("1e306h", Dimension::seconds).find("fits 64 bits"), std::string::npos);
}

TEST(Quantity, FormattedCountsReadBackExactly) {
  EXPECT_EQ(format_count(4096), "4k");
  EXPECT_EQ(format_count(1536), "1536");
  EXPECT_EQ(format_count(1048576), "1M");
  EXPECT_EQ(format_count(0), "0");
  std::uint64_t bits = 88172645463325252U;
  for (int i = 0; i < 2000; ++i) {
    bits ^= bits << 13U, bits ^= bits >> 7U, bits ^= bits << 17U;
    const std::int64_t value =
        static_cast<std::int64_t>(bits >> (1U + bits % 62U)) & ~((std::int64_t{1} << (bits % 21U)) - 1);
    EXPECT_EQ(parse_count(format_count(value), ""), value);
  }
}

TEST(Quantity, SiNumbersHaveThreeSignificantDigits) {
  EXPECT_EQ(format_si(1.23e-5, "s"), "12.3 us");
  EXPECT_EQ(format_si(2.5e12, "FLOP/s"), "2.50 TFLOP/s");
  EXPECT_EQ(format_si(999.4, "B"), "999 B");
  EXPECT_EQ(format_si(999.6, "B"), "1.00 kB");
  EXPECT_EQ(format_si(1e-3, "s"), "1.00 ms");
  EXPECT_EQ(format_si(9.999e-4, "s"), "1.00 ms");
  EXPECT_EQ(format_si(-1500, "s"), "-1.50 ks");
  EXPECT_EQ(format_si(0, "s"), "0 s");
  EXPECT_EQ(format_si(0.25, ""), "0.25");
  EXPECT_EQ(format_si(123456, ""), "123 k");
}

}  // namespace
}  // namespace assay::datasets
