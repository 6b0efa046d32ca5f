// Runs CUDA kernels on the CPU, thread by thread, so that their logic can be tested where there is no GPU.
//
// Every CUDA thread of a block is a fiber. Fibers run in turn; one that waits for others (a block barrier, a warp
// exchange) gives way. If all wait and nobody can go on, the kernel is wrong (a barrier in divergent code, a full-mask
// warp operation that not every lane reaches), and that is an error. Blocks run one after the other: races between
// blocks, memory ordering and everything about speed are out of this header's reach.
#pragma once

#include <ucontext.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <exception>
#include <functional>
#include <memory>
#include <stdexcept>
#include <vector>

#define __global__
#define __device__
#define __host__
#define __shared__ static
#define __forceinline__ inline
#define __launch_bounds__(...)

using cudaStream_t = void*;
using cudaError_t = int;
constexpr cudaError_t cudaSuccess = 0;
inline cudaError_t cudaGetLastError() { return cudaSuccess; }
inline const char* cudaGetErrorString(cudaError_t) { return "an emulated error"; }
inline cudaError_t cudaMemsetAsync(void* at, int value, size_t bytes, cudaStream_t) {
  if (bytes > 0) std::memset(at, value, bytes);
  return cudaSuccess;
}

struct dim3 {
  unsigned x, y, z;
  dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
inline dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace emulate {

constexpr unsigned kWarp = 32;
constexpr size_t kStack = 128 * 1024;

// One block: its fibers, and who waits for what.
class Block {
 public:
  Block(unsigned threads, const std::function<void()>& body) : body_(body), fibers_(threads), warps_(threads / kWarp) {
    if (threads == 0 || threads % kWarp != 0) throw std::runtime_error("emulation: blocks are whole warps");
    current_block() = this;
    for (Fiber& fiber : fibers_) {
      fiber.stack.reset(new char[kStack]);
      getcontext(&fiber.context);
      fiber.context.uc_stack.ss_sp = fiber.stack.get();
      fiber.context.uc_stack.ss_size = kStack;
      fiber.context.uc_link = &scheduler_;
      makecontext(&fiber.context, &Block::enter, 0);
    }
  }

  void run() {
    for (size_t left = fibers_.size(); left > 0;) {
      bool progress = false;
      for (current_ = 0; current_ < fibers_.size(); ++current_) {
        Fiber& fiber = fibers_[current_];
        if (fiber.done || (fiber.waits && !fiber.waits())) continue;
        fiber.waits = nullptr;
        threadIdx = dim3(current_);
        swapcontext(&scheduler_, &fiber.context);
        progress = true;
        if (error_) std::rethrow_exception(error_);
        if (fiber.done) --left;
      }
      if (!progress) throw std::runtime_error("emulation: threads wait for each other forever");
    }
  }

  void block_barrier() {
    const unsigned mine = fibers_[current_].barriers++;
    give_way([this, mine] {
      for (const Fiber& fiber : fibers_) {
        if (!fiber.done && fiber.barriers <= mine) return false;
      }
      return true;
    });
  }

  // Every lane of the warp gives a value and sees those of all.
  const uint64_t* exchange(uint64_t value) {
    Warp& warp = warps_[current_ / kWarp];
    const unsigned lane = current_ % kWarp, mine = fibers_[current_].exchanges++;
    uint64_t* slots = warp.slots[mine % 2];  // nobody gets two exchanges ahead, so two sets are enough
    slots[lane] = value;
    const unsigned first = current_ - lane;
    give_way([this, first, mine] {
      for (unsigned i = first; i < first + kWarp; ++i) {
        if (fibers_[i].exchanges <= mine) return false;
      }
      return true;
    });
    return slots;
  }

  static Block*& current_block() {
    static Block* block = nullptr;
    return block;
  }

 private:
  struct Fiber {
    ucontext_t context;
    std::unique_ptr<char[]> stack;
    std::function<bool()> waits;
    unsigned barriers = 0, exchanges = 0;
    bool done = false;
  };
  struct Warp {
    uint64_t slots[2][kWarp];
  };

  static void enter() {
    Block& block = *current_block();
    const size_t self = block.current_;
    try {
      block.body_();
    } catch (...) {
      block.error_ = std::current_exception();
    }
    block.fibers_[self].done = true;
  }

  void give_way(std::function<bool()> until) {
    const unsigned self = current_;
    fibers_[self].waits = std::move(until);
    swapcontext(&fibers_[self].context, &scheduler_);
  }

  const std::function<void()>& body_;
  std::vector<Fiber> fibers_;
  std::vector<Warp> warps_;
  ucontext_t scheduler_;
  unsigned current_ = 0;
  std::exception_ptr error_;
};

inline void launch(dim3 grid, unsigned threads, const std::function<void()>& body) {
  gridDim = grid;
  blockDim = dim3(threads);
  for (unsigned y = 0; y < grid.y; ++y) {
    for (unsigned x = 0; x < grid.x; ++x) {
      blockIdx = dim3(x, y);
      Block(threads, body).run();
    }
  }
}

template <typename T>
uint64_t to_bits(T value) {
  uint64_t bits = 0;
  static_assert(sizeof(T) <= sizeof(bits), "up to eight bytes");
  std::memcpy(&bits, &value, sizeof(T));
  return bits;
}

template <typename To, typename From>
To from_bits(From bits) {
  To value;
  std::memcpy(&value, &bits, sizeof(To));
  return value;
}

}  // namespace emulate

inline void __syncthreads() { emulate::Block::current_block()->block_barrier(); }

template <typename T>
T __shfl_sync(unsigned, T value, int source) {
  return emulate::from_bits<T>(emulate::Block::current_block()->exchange(emulate::to_bits(value))[source]);
}

template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int offset) {
  return __shfl_sync(mask, value, static_cast<int>(threadIdx.x % emulate::kWarp) ^ offset);
}

inline unsigned __ballot_sync(unsigned, bool value) {
  const uint64_t* slots = emulate::Block::current_block()->exchange(value);
  unsigned votes = 0;
  for (unsigned lane = 0; lane < emulate::kWarp; ++lane) votes |= static_cast<unsigned>(slots[lane] != 0) << lane;
  return votes;
}

inline bool __any_sync(unsigned mask, bool value) { return __ballot_sync(mask, value) != 0; }

inline void __syncwarp() { emulate::Block::current_block()->exchange(0); }

inline int __ffs(unsigned bits) { return __builtin_ffs(static_cast<int>(bits)); }

template <typename T>
T atomicMin(T* at, T value) {
  const T before = *at;
  if (value < before) *at = value;
  return before;
}

template <typename T>
T atomicCAS(T* at, T expected, T value) {
  const T before = *at;
  if (before == expected) *at = value;
  return before;
}

template <typename T>
T atomicAdd(T* at, T value) {
  const T before = *at;
  *at += value;
  return before;
}

inline uint32_t __float_as_uint(float value) { return emulate::from_bits<uint32_t>(value); }
inline float __uint_as_float(uint32_t bits) { return emulate::from_bits<float>(bits); }
inline long long __double_as_longlong(double value) { return emulate::from_bits<long long>(value); }
inline double __longlong_as_double(long long bits) { return emulate::from_bits<double>(bits); }

#define STYLERIG_CUDA_LIBRARY(m) STABLE_TORCH_LIBRARY_IMPL(stylerig_emulated, CPU, m)
#define STYLERIG_LAUNCH(kernel, blocks, threads, stream, ...)                \
  [&](auto... arguments) {                                                   \
    static_cast<void>(stream);                                               \
    ::emulate::launch(dim3(blocks), threads, [=] { kernel(arguments...); }); \
  }(__VA_ARGS__)
