// Where the parts of a packed network lie, and how they are packed. Counted in floats from the start of one tensor.
#pragma once

#include <vector>

#include "common/host_device.h"
#include "mobile_synthesis/mobile_synthesis.h"

namespace stylerig {
namespace mobile {

constexpr int kHeader = 64;             // floats, read as int32: see Network::write
constexpr int32_t kMagic = 0x4d534732;  // raised when the layout changes

// The sizes of a network, as its checkpoint has them.
struct Network {
  int32_t variant;  // index into variants()
  int32_t w_dim, levels;
  int32_t channels[kMaxBlocks + 1];

  int blocks() const { return levels - 1; }
  int num_ws() const { return 2 * levels; }
  int side(int block) const { return 8 << block; }
  int last_side() const { return 2 << levels; }
  // A block takes its input apart into four bands; each is padded to whole groups.
  int band(int block) const { return static_cast<int>(round_up(channels[block] / 4, kGroup)); }
  int middle(int block) const { return static_cast<int>(round_up(channels[block + 1], kGroup)); }
  // Channels of the features at level 0 (4 px), 1 (8 px), ..., as the next block reads them.
  int features(int level) const { return level == blocks() ? middle(level - 1) : 4 * band(level); }
  // Where channel c of those lies.
  int slot(int level, int c) const {
    if (level == blocks()) return c;
    const int band_channels = channels[level] / 4;
    return c / band_channels * band(level) + c % band_channels;
  }

  // In bfloat16 the first blocks stay float32: their errors decide what is drawn where, and they cost next to nothing.
  bool bfloat16(int block) const;
  // What runs the blocks that stay float32, and what runs this one.
  const Kernels& kernels() const;
  const Kernels& kernels(int block) const;

  void write(float* packed) const;
  // Throws if that is no network packed by this build for this machine.
  static Network read(const float* packed, int64_t size);
};

struct AffinePart {
  int64_t panels, bias;
  int outputs;
};

struct ConvPart {
  AffinePart style;
  int64_t depthwise, panels, bias, noise;
};

struct BlockPart {
  AffinePart up;
  ConvPart conv1, conv2;
};

struct PicturePart {
  int64_t haar, plain, haar_bias, plain_bias;  // matrices [inputs, 16] and biases [16]
};

struct Parts {
  AffinePart first_style, picture_style;
  int64_t constant, first_panels, first_bias, first_noise;
  BlockPart blocks[kMaxBlocks];
  PicturePart picture;
  int64_t total;

  explicit Parts(const Network& network);
};

// Tensors of a checkpoint: the constant, then the first convolution's modulation (weight, bias), weight, bias, noise;
// of every block the modulation of the upsampling, and of both convolutions modulation, depthwise and 1x1 weight, bias,
// noise; of the picture modulation, weight and bias.
void pack(const Network& network, const std::vector<const float*>& tensors, float* packed);

struct Variant {
  const char* name;
  bool bfloat16;
  const Kernels* (*kernels)();  // nullptr where there are none
};
constexpr int kVariants = 4;
extern const Variant kVariantList[kVariants];

}  // namespace mobile
}  // namespace stylerig
