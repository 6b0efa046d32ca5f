// One picture: where its intermediate results lie in the workspace, and the order of the work.
#pragma once

#include "mobile_synthesis/network.h"

namespace stylerig {
namespace mobile {

// Which picture is made.
struct Target {
  int64_t width;   // of the picture
  float* floats;   // [width, width, 3], or null
  uint8_t* bytes;  // likewise
};

// Blocks that run as one chain.
struct Span {
  int first, count, strip, band;
};

// The chains of a picture for so many threads. Returns their number.
int schedule(const Network& network, int threads, Span spans[kMaxBlocks]);

// Runs body(0), ..., body(count - 1), the index of a thread beside each; `threads` at most.
class Workers {
 public:
  virtual ~Workers() = default;
  virtual void run(int count, int threads, void (*body)(void* context, int task, int thread), void* context) const = 0;
};

// Floats of workspace for so many threads.
int64_t workspace_size(const Network& network, int threads);

void synthesise(const Network& network, const float* packed, const float* codes, const Target& target, int threads,
                float* workspace, const Workers& workers);

}  // namespace mobile
}  // namespace stylerig
