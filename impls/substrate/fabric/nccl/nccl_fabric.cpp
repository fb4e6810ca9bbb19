#include "impls/substrate/fabric/nccl/nccl_fabric.h"

#include <fmt/format.h>

#include <stdexcept>

namespace assay::substrate {

using nccl::RankDevices;
using nccl::Stream;
using nccl::Type;

// Memory and the stream of one rank. Buffers share it: the last one gives its memory back while it is there.
class NcclFabric::Place final : public BufferPlace {
 public:
  Place(std::shared_ptr<RankDevices> devices, int device) : devices_(std::move(devices)), device_(device) {
    devices_->use(device_);
    stream_ = devices_->make_stream();
  }
  ~Place() override { devices_->drop_stream(stream_); }

  std::byte* allocate(std::size_t bytes) override {
    return static_cast<std::byte*>(devices_->allocate(bytes, stream_));
  }
  void release(std::byte* data) noexcept override { devices_->release(data, stream_); }
  void fill(std::byte* data, unsigned char value, std::size_t bytes) override {
    devices_->fill(data, value, bytes, stream_);
  }
  void copy(std::byte* to, const std::byte* from, std::size_t bytes) override {
    devices_->move(to, from, bytes, stream_);
  }
  void add(std::byte* sum, DType of_sum, const std::byte* addend, DType of_addend, std::int64_t count) override {
    devices_->add(sum, of_sum, addend, of_addend, count, stream_);
  }
  void narrow(std::byte* to, const float* from, std::int64_t count) override {
    devices_->narrow(to, from, count, stream_);
  }
  Stream stream() const override { return stream_; }

 private:
  std::shared_ptr<RankDevices> devices_;
  int device_;
  Stream stream_ = nullptr;
};

// A message in the streams of both ends.
class NcclFabric::Flight final : public Delivery {
 public:
  struct End {
    RankDevices::Event begun, ended;
  };
  Flight(RankDevices& devices, int from, End out, End in)
      : devices_(devices), from_(from), out_(std::move(out)), in_(std::move(in)) {}

  Picoseconds wait(int rank) override {
    const End& end = rank == from_ ? out_ : in_;
    devices_.wait_on_host(end.ended, "waiting for a message");
    return static_cast<Picoseconds>(1e12 * devices_.seconds_between(end.begun, end.ended));
  }

 private:
  RankDevices& devices_;
  int from_;
  End out_, in_;
};

namespace {

// Another device for a while.
class Visit {
 public:
  explicit Visit(RankDevices& devices) : devices_(devices), home_(devices.in_use()) {}
  ~Visit() { devices_.use(home_); }
  Visit(const Visit&) = delete;
  Visit& operator=(const Visit&) = delete;

 private:
  RankDevices& devices_;
  int home_;
};

}  // namespace

NcclFabric::NcclFabric(std::shared_ptr<RankDevices> devices, nccl::Library library, int ranks)
    : ThreadsFabric(ranks), devices_(std::move(devices)), library_(std::move(library)) {
  if (devices_->count() < ranks)
    throw std::invalid_argument(fmt::format("{} ranks need a GPU each, here are {}", ranks, devices_->count()));
  for (int r = 0; r < ranks; ++r) places_.push_back(std::make_shared<Place>(devices_, r));
  devices_->use(0);
}

// Errors are not reported here: after a fault everything fails, and the worker ends.
NcclFabric::~NcclFabric() {
  stop();
  for (const auto& [ends, held] : pairs_) {
    library_.destroy(held.sender);
    if (held.receiver != held.sender) library_.destroy(held.receiver);
    devices_->drop_stream(held.out);
    if (held.in != held.out) devices_->drop_stream(held.in);
  }
  for (nccl::Comm* each : world_) library_.destroy(each);
}

std::shared_ptr<BufferPlace> NcclFabric::place(int rank) { return places_.at(static_cast<std::size_t>(rank)); }
Stream NcclFabric::stream(int rank) const { return places_.at(static_cast<std::size_t>(rank))->stream(); }

void NcclFabric::enter(int rank) { devices_->use(rank); }
void NcclFabric::leave(int rank) { devices_->synchronize(stream(rank), "in a rank's program"); }

ThreadsFabric::Readiness NcclFabric::readiness(int rank) { return devices_->record(stream(rank)); }

nccl::Comm* NcclFabric::world(int rank) {
  const std::lock_guard lock(issuing_);
  if (world_.empty()) {
    const Visit visit(*devices_);
    nccl::UniqueId id{};
    library_.check(library_.get_unique_id(&id), "naming a communicator");
    world_.resize(static_cast<std::size_t>(size()));
    library_.check(library_.group_start(), "making a communicator");
    for (int r = 0; r < size(); ++r) {
      devices_->use(r);
      library_.check(library_.init_rank(&world_[static_cast<std::size_t>(r)], size(), id, r), "making a communicator");
    }
    library_.check(library_.group_end(), "making a communicator");
  }
  return world_.at(static_cast<std::size_t>(rank));
}

NcclFabric::Pair& NcclFabric::pair(int from, int to) {
  const auto [at, fresh] = pairs_.try_emplace({from, to});
  Pair& held = at->second;
  if (!fresh) return held;
  try {
    nccl::UniqueId id{};
    library_.check(library_.get_unique_id(&id), "naming a communicator");
    devices_->use(from);
    held.out = devices_->make_stream();
    if (from == to) {
      library_.check(library_.init_rank(&held.sender, 1, id, 0), "making a communicator");
      held.receiver = held.sender;
      held.in = held.out;
      return held;
    }
    library_.check(library_.group_start(), "making a communicator");
    library_.check(library_.init_rank(&held.sender, 2, id, 0), "making a communicator");
    devices_->use(to);
    held.in = devices_->make_stream();
    library_.check(library_.init_rank(&held.receiver, 2, id, 1), "making a communicator");
    library_.check(library_.group_end(), "making a communicator");
  } catch (...) {  // half a pair is none
    pairs_.erase(at);
    throw;
  }
  return held;
}

std::shared_ptr<ThreadsFabric::Delivery> NcclFabric::deliver(int from, const Half& source, const Readiness& of_source,
                                                             int to, const Half& target, const Readiness& of_target) {
  if (source.bytes == 0) return nullptr;
  const std::lock_guard lock(issuing_);
  const Visit visit(*devices_);
  const Pair& ends = pair(from, to);
  const auto bytes = static_cast<std::size_t>(source.bytes);
  const int peer_of_sender = from == to ? 0 : 1;

  Flight::End out, in;
  devices_->use(from);
  out.begun = devices_->record(ends.out);
  devices_->wait_in_stream(ends.out, of_source);
  devices_->use(to);
  in.begun = devices_->record(ends.in);
  devices_->wait_in_stream(ends.in, of_target);
  library_.check(library_.group_start(), "enqueuing a message");
  devices_->use(from);
  library_.check(library_.send(source.data, bytes, Type::bytes, peer_of_sender, ends.sender, ends.out),
                 "enqueuing a send");
  devices_->use(to);
  library_.check(library_.receive(target.data, bytes, Type::bytes, 0, ends.receiver, ends.in), "enqueuing a receive");
  library_.check(library_.group_end(), "enqueuing a message");
  in.ended = devices_->record(ends.in);
  devices_->use(from);
  out.ended = devices_->record(ends.out);
  return std::make_shared<Flight>(*devices_, from, std::move(out), std::move(in));
}

std::shared_ptr<std::byte> NcclFabric::allocate(int rank, std::size_t bytes) {
  const Visit visit(*devices_);
  devices_->use(rank);
  const auto& place = places_.at(static_cast<std::size_t>(rank));
  return {place->allocate(bytes), [place](std::byte* data) { place->release(data); }};
}

void NcclFabric::copy(int rank, std::byte* to, const std::byte* from, std::size_t bytes) {
  const Visit visit(*devices_);
  devices_->use(rank);
  devices_->copy(to, from, bytes, stream(rank));
}

}  // namespace assay::substrate
