// MobileStyleGAN's synthesis network on the CPU, batch 1: what its parts are and how they lie in memory.
//
// Activations are float32 in groups of 16 channels: a row of a picture is [groups, width, 16], a picture [height,
// groups, width, 16]. A modulated 1x1 convolution behind a depthwise one takes its style from the depthwise weights,
// which are scaled once per picture; the matrices stay constant and are packed once, into panels of a few output
// channels.
//
// A block (inverse Haar transform, depthwise 3x3, 1x1, depthwise 3x3, 1x1) runs over strips of columns from the top to
// the bottom: a row goes in, two rows come out, and the rows between the layers stay in a ring of four, in the L2
// cache. Several blocks can be chained; then a row that one puts out goes straight into the next.
#pragma once

#include <cstddef>
#include <cstdint>

namespace stylerig {
namespace mobile {

constexpr int kGroup = 16;  // channels that lie together
constexpr int kMaxBlocks = 12;
constexpr float kSlope = 0.2f;

inline int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

// A depthwise 3x3 convolution, a 1x1 convolution, noise, bias and leaky ReLU. Channels are padded to whole groups.
struct Conv {
  const void* depthwise;  // [inputs / 16, taps, 16] entries, times this picture's style
  const void* panels;     // entries [outputs / panel][inputs, panel]; of bfloat16 [inputs / 2, panel, 2]
  const float* bias;      // [outputs]
  const float* noise;     // [side, side]
  int inputs, outputs;
};

struct Block {
  const float* scale;  // [4 * conv1.inputs], this picture's style of the bands
  Conv conv1, conv2;
  int side;  // width and height of its output
};

// The 1x1 convolution that makes a picture of features, and where the picture goes. The inverse Haar transform is part
// of the matrix, so that a feature pixel gives four pixels: the upper two in the outputs 0-5, the lower two in 8-13.
// Without it a mean of box x box feature pixels gives one, in the outputs 0-2.
struct Picture {
  const void* matrix;  // entries: panels of [inputs, 16]
  const float* bias;   // [16]
  int inputs, box;
  bool haar;
  int64_t width;   // of the picture
  float* floats;   // [width, width, 3], or null
  uint8_t* bytes;  // likewise
};

// Blocks that run together, strip by strip and band by band.
struct Chain {
  const void* input;  // entries [side / 2, groups, side / 2, 16] of the first block
  const Block* blocks;
  int count;
  void* output;            // [side, groups, side, 16] of the last block, or null
  const Picture* picture;  // or null
  int strip, band;         // columns and rows of the last block's output per task
  int strips() const { return (blocks[count - 1].side + strip - 1) / strip; }
  int tasks() const { return strips() * ((blocks[count - 1].side + band - 1) / band); }
};

// The learnt constant at 4 px and the dense, modulated 3x3 convolution.
struct First {
  const float* constant;  // [inputs / 16, 16 pixels, 16]
  const float* scale;     // [inputs], this picture's style
  const void* panels;     // of a matrix [9 * inputs, outputs]
  const float* bias;      // [outputs]
  const float* noise;     // [16 pixels]
  int inputs, outputs;
  void* output;  // entries [4, outputs / 16, 4, 16]
};

// A style: a matrix product with one slot's code. Where `depthwise` is there, the result scales it.
struct Affine {
  const float* code;    // [inputs]
  const float* panels;  // of a matrix [inputs, outputs], float32
  const float* bias;    // [outputs]
  int inputs, outputs;
  float* output;           // [outputs]
  const float* depthwise;  // [outputs / 16, 9, 16] or null
  void* scaled;            // entries [outputs / 16, taps, 16]
};

// The compiled variants of the hot loops: one for each instruction set and precision.
struct Kernels {
  int panel;  // output channels in a panel
  void (*affine)(const Affine&);
  // A picture's matrix: [inputs, 16] times [inputs], as panels.
  void (*picture)(const float* matrix, const float* style, int inputs, void* out);
  // Floats to entries, so many, in groups of 16.
  void (*convert)(const float* in, int64_t count, void* out);
  // Some of the output channels, by panels. scratch: first_scratch floats.
  void (*first)(const First&, int begin, int end, float* scratch);
  // One task of a chain. scratch: chain_scratch floats.
  void (*chain)(const Chain&, int task, float* scratch);
};

// nullptr where this build or this machine has not got it.
const Kernels* portable_kernels();
const Kernels* avx2_kernels();
const Kernels* avx512_kernels();
const Kernels* avx512_bfloat16_kernels();

// Part of the output of a block.
struct Extent {
  int left, right, top, bottom;
};

struct Columns {
  int left, right;
};

// The columns of the upsampled input that a part of the output depends on, beyond the edges of the picture too. The
// first convolution makes multiples of `align` columns (1 or 2), the inverse Haar transform pairs.
inline Columns up_columns(const Extent& out, int align) {
  return {(out.left - align - 1) & ~1, (out.right + align + 2) & ~1};
}

// The part of a block's input that it depends on.
inline Extent input_extent(const Extent& out, int side, int align) {
  const Columns up = up_columns(out, align);
  const int right = (up.right / 2 + align - 1) / align * align, bottom = (out.bottom + 3) / 2;
  return {up.left < 0 ? 0 : up.left / 2 / align * align, right > side / 2 ? side / 2 : right,
          out.top < 2 ? 0 : (out.top - 2) / 2, bottom > side / 2 ? side / 2 : bottom};
}

// Floats of scratch memory that is enough for any task of a chain, whatever its entries are.
inline int64_t chain_scratch(const Chain& chain) {
  int64_t columns = chain.strip, total = 0, widest = 0;
  for (int i = chain.count - 1; i >= 0; --i) {
    const Block& block = chain.blocks[i];
    total += 4 * (columns + 8) * block.conv1.inputs + 4 * (columns + 4) * block.conv2.inputs;
    total += columns * block.conv2.outputs;
    const int64_t inputs = block.conv1.inputs > block.conv2.inputs ? block.conv1.inputs : block.conv2.inputs;
    widest = widest > inputs ? widest : inputs;
    columns = columns / 2 + 6;
  }
  // The left-hand side of a matrix product; products and pooled rows of the picture.
  total += 64 * widest;
  if (chain.picture != nullptr) total += chain.strip * (kGroup + 2 * chain.picture->inputs);
  return total;
}

inline int64_t first_scratch(const First& first) {
  return 16 * (9 * static_cast<int64_t>(first.inputs) + first.outputs);
}

}  // namespace mobile
}  // namespace stylerig
