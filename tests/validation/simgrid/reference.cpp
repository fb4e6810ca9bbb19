// One collective on one platform by SimGrid's S4U, written against its own interface: what the cluster fabric is
// compared with. Prints virtual seconds, messages, and seconds of wall time.
//   simgrid_reference fat-tree LEAF_NODES LEAVES UPLINKS PODS ABOVE | torus X Y Z 1 1   BANDWIDTH LATENCY COLLECTIVE
//   BYTES
#include <simgrid/s4u.hpp>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

namespace sg4 = simgrid::s4u;

namespace {

struct Work {
  int ranks = 1;
  double bytes = 0;
  std::string collective;
};

sg4::Mailbox* channel(const Work& work, int from, int to) {
  return sg4::Mailbox::by_name(std::to_string(from * work.ranks + to));
}

int token = 0;

// Both halves at once, as a rank does.
void exchange(const Work& work, int me, int to, int from, double bytes) {
  int* got = nullptr;
  const sg4::CommPtr in = channel(work, from, me)->get_async(&got);
  const sg4::CommPtr out = channel(work, me, to)->put_async(&token, static_cast<std::uint64_t>(bytes));
  in->wait();
  out->wait();
}

void ring(const Work& work, int me) {
  const int size = work.ranks;
  for (int step = 0; step < 2 * (size - 1); ++step)
    exchange(work, me, (me + 1) % size, (me + size - 1) % size, work.bytes / size);
}

void halving_doubling(const Work& work, int me) {
  double part = work.bytes / 2;
  for (int distance = work.ranks / 2; distance > 0; distance /= 2, part /= 2)
    exchange(work, me, me ^ distance, me ^ distance, part);
  part = work.bytes / work.ranks;
  for (int distance = 1; distance < work.ranks; distance *= 2, part *= 2)
    exchange(work, me, me ^ distance, me ^ distance, part);
}

void all_to_all(const Work& work, int me) {
  const int size = work.ranks;
  std::vector<sg4::CommPtr> under_way;
  std::vector<int*> got(static_cast<std::size_t>(size), nullptr);
  for (int k = 1; k < size; ++k) {
    under_way.push_back(channel(work, me, (me + k) % size)->put_async(&token, static_cast<std::uint64_t>(work.bytes)));
    under_way.push_back(channel(work, (me + size - k) % size, me)->get_async(&got[static_cast<std::size_t>(k)]));
  }
  for (const sg4::CommPtr& each : under_way) each->wait();
}

void pairwise(const Work& work, int me) {
  const int size = work.ranks;
  for (int k = 1; k < size; ++k) exchange(work, me, (me + k) % size, (me + size - k) % size, work.bytes);
}

}  // namespace

int main(int argc, char** argv) {
  sg4::Engine engine(&argc, argv);
  if (argc != 11) {
    std::fprintf(stderr, "usage: see the head of the source\n");
    return 2;
  }
  const std::string kind = argv[1];
  const auto extent = [&](int argument) { return static_cast<unsigned>(std::stoul(argv[argument])); };
  const unsigned a = extent(2), b = extent(3), c = extent(4), pods = extent(5), above = extent(6);
  const double bandwidth = std::stod(argv[7]), latency = std::stod(argv[8]);
  const auto make_host = [](sg4::NetZone* zone, const std::vector<unsigned long>&, unsigned long id) {
    const sg4::Host* host = zone->create_host("host" + std::to_string(id), 1e9)->seal();
    return std::pair<simgrid::kernel::routing::NetPoint*, simgrid::kernel::routing::NetPoint*>(host->get_netpoint(),
                                                                                               nullptr);
  };
  const sg4::ClusterCallbacks callbacks(make_host);
  constexpr auto duplex = sg4::Link::SharingPolicy::SPLITDUPLEX;
  Work work{.collective = argv[9]};
  sg4::NetZone* zone = nullptr;
  if (kind == "fat-tree") {
    const auto shape = pods == 1 ? sg4::FatTreeParams(2, {a, b}, {1, c}, {1, 1})
                                 : sg4::FatTreeParams(3, {a, b, pods}, {1, c, above}, {1, 1, 1});
    zone = sg4::create_fatTree_zone("tree", nullptr, shape, callbacks, bandwidth, latency, duplex);
    work.ranks = static_cast<int>(a * b * pods);
  } else {
    zone = sg4::create_torus_zone("torus", nullptr, {a, b, c}, callbacks, bandwidth, latency, duplex);
    work.ranks = static_cast<int>(a * b * c);
  }
  zone->seal();
  work.bytes = std::stod(argv[10]);
  void (*const program)(const Work&, int) = work.collective == "ring"               ? ring
                                            : work.collective == "halving-doubling" ? halving_doubling
                                            : work.collective == "pairwise"         ? pairwise
                                                                                    : all_to_all;
  for (int r = 0; r < work.ranks; ++r)
    sg4::Actor::create("rank" + std::to_string(r), engine.host_by_name("host" + std::to_string(r)),
                       [&work, program, r] { program(work, r); });
  const auto start = std::chrono::steady_clock::now();
  engine.run();
  const double wall = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const int size = work.ranks;
  long messages = static_cast<long>(size) * (size - 1);
  if (work.collective == "ring") messages *= 2;
  if (work.collective == "halving-doubling") {
    int rounds = 0;
    while ((1 << rounds) < size) ++rounds;
    messages = 2L * size * rounds;
  }
  std::printf("%.12g %ld %.6g\n", sg4::Engine::get_clock(), messages, wall);
  return EXIT_SUCCESS;
}
