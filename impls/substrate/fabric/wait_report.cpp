#include "impls/substrate/fabric/wait_report.h"

#include <fmt/format.h>

#include "impls/substrate/fabric/buffer.h"

namespace assay::substrate {

std::string describe_wait(int rank, const Half& half) {
  return fmt::format("rank {} waits to {} {} B '{}' {} rank {}, posted at {}", rank, half.is_send ? "send" : "receive",
                     half.bytes, half.tag.name, half.is_send ? "to" : "from", half.peer, to_text(half.where));
}

void check_match(int sender, const Half& send, int receiver, const Half& receive) {
  if (send.tag.value != receive.tag.value)
    throw ContractViolation(fmt::format("rank {} sends tag {} '{}' at {} where rank {} expects tag {} '{}' at {}",
                                        sender, send.tag.value, send.tag.name, to_text(send.where), receiver,
                                        receive.tag.value, receive.tag.name, to_text(receive.where)));
  if (send.bytes != receive.bytes)
    throw ContractViolation(fmt::format("rank {} sends {} B '{}' at {} where rank {} expects {} B at {}", sender,
                                        send.bytes, send.tag.name, to_text(send.where), receiver, receive.bytes,
                                        to_text(receive.where)));
}

}  // namespace assay::substrate
