#pragma once
// What a kernel says to an sm_90a beyond simt.h: barriers with phases, the copy engine, products of a warpgroup,
// registers moved between warpgroups. PTX for nvcc, the emulator otherwise; the two declare the same:
//
//   start_phase_barrier(at, arrivals)    mbarrier.init; phase 0 begins. By one thread, then publish_phase_barriers()
//   arrive(at), arrive_expecting(at, n)  one arrival; the second also waits for n bytes of copies
//   wait_phase(at, parity)               until the phase of that parity has passed (1 at once on a new barrier)
//   load_box(to, map, row, head, b, at, panel)  starts a copy of a box to shared memory that phase barrier `at` counts,
//                                        from the tensor's first panel where none is named
//   store_box(map, from, row, head, b)   starts a copy of a box from shared memory
//   load_line(to, from, n, at)           starts a copy of n bytes to shared memory that phase barrier `at` counts
//   add_line(to, from, n)                starts adding n bytes of f32 in shared memory to those in global memory
//   wait_for_stores()                    until this thread's stores and additions have read shared memory
//   fence_for_copies()                   what this thread stored is seen by copies and products ordered after it
//   product_fence(registers...)          wgmma.fence: these accumulators and left sides may be used by products now
//   multiply_shared<Element, kAccumulate>(c, a, b)   C[64 x 8n] (+)= A B^T, A and B described, 16 columns of each
//   multiply_turned<Element, kAccumulate>(c, a, b)   C[64 x 8n] (+)= A^T B, A and B described, 16 rows of each
//   multiply_left<Element, kAccumulate>(c, a, b)     C[64 x 8n] (+)= A B, A in registers, B described, 16 rows of it
//   product_commit()                     the products since the last one are a group
//   product_wait<n>(registers...)        until at most n groups are in flight; none of `registers` is used any more
//   named_barrier(id, n), named_arrive(id, n)        bar.sync and bar.arrive for n threads
//   give_registers<n>(), take_registers<n>()         setmaxnreg, by whole warpgroups
//   warp_uniform(value)                  a value that is the same in all lanes, known to be so
//
// C of a warp: 16 rows of 64, each 16x8 tile of it as simt.h's multiply_add has it, and A like a row of its fragments.
#include "impls/attention/cuda/descriptors.h"

#ifdef __CUDACC__
#include "impls/attention/cuda/hopper_device.h"
#else
#include "impls/attention/cuda/emulator/hopper.h"
#endif
