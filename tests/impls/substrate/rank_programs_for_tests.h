#pragma once
// Programs that every fabric has to carry out alike.
#include <string>
#include <vector>

#include "impls/substrate/fabric/rank.h"

namespace assay::substrate {

inline constexpr Tag kToken{.value = 7, .name = "token"};
inline constexpr Tag kOther{.value = 8, .name = "other"};

inline Buffer number(Rank& rank, double value) {
  Buffer buffer = rank.allocate("number", Memory::workspace, sizeof(double));
  if (rank.real()) buffer.write<double>()[0] = value;
  return buffer;
}

// Rank r's token is r + 1; every rank adds up all of them, its own sum in `mine`.
inline Task<> sum_around_ring(Rank& rank, double& mine) {
  Buffer held = number(rank, rank.id() + 1.0);
  double sum = 0;
  for (int hop = 0; hop < rank.size(); ++hop) {
    auto next = rank.shift(held, +1, {.tag = kToken});
    co_await rank.compute({.flops = 1}, [&] { sum += held.read<double>()[0]; });
    held = co_await next;
  }
  if (rank.real()) mine = sum;
}
inline Task<> sum_around_ring(Rank& rank, std::vector<double>& sums) {
  return sum_around_ring(rank, sums[static_cast<std::size_t>(rank.id())]);
}

// Rank 0 sends 1 and 2; rank 1 has what it received first and second in `got`. Both await the second message first.
inline Task<> two_messages(Rank& rank, std::vector<double>& got) {
  if (rank.id() == 0) {
    const Buffer a = number(rank, 1);
    const Buffer b = number(rank, 2);
    Send first = rank.send(a, 1, kToken);
    Send second = rank.send(b, 1, kToken);
    co_await second;
    co_await first;
  } else {
    Transfer first = rank.receive(0, {.bytes = 8, .tag = kToken});
    Transfer second = rank.receive(0, {.bytes = 8, .tag = kToken});
    const Buffer b = co_await second;
    const Buffer a = co_await first;
    got = {a.read<double>()[0], b.read<double>()[0]};
  }
}

template <class Error, class Body>
std::string message_of(Body body) {
  try {
    body();
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing was thrown";
}

}  // namespace assay::substrate
