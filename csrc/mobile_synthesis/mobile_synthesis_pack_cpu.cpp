// Packing a network for the CPU kernels of mobile_synthesis, once.
#include <cstring>
#include <stdexcept>

#include "mobile_synthesis/network.h"

namespace stylerig {
namespace mobile {

const Variant kVariantList[kVariants] = {{"portable", false, portable_kernels},
                                         {"avx2", false, avx2_kernels},
                                         {"avx512", false, avx512_kernels},
                                         {"avx512_bfloat16", true, avx512_bfloat16_kernels}};

bool Network::bfloat16(int block) const { return kVariantList[variant].bfloat16 && side(block) >= 32; }

const Kernels& Network::kernels() const {
  return kVariantList[variant].bfloat16 ? *avx512_kernels() : *kVariantList[variant].kernels();
}

const Kernels& Network::kernels(int block) const { return bfloat16(block) ? *avx512_bfloat16_kernels() : kernels(); }

void Network::write(float* packed) const {
  int32_t header[kHeader] = {kMagic};
  static_assert(sizeof(Network) <= sizeof(header) - sizeof(int32_t), "the header is too short");
  std::memcpy(header + 1, this, sizeof(Network));
  std::memcpy(packed, header, sizeof(header));
}

Network Network::read(const float* packed, int64_t size) {
  int32_t magic = 0;
  Network n = {};
  if (size >= kHeader) {
    std::memcpy(&magic, packed, sizeof(magic));
    std::memcpy(&n, packed + 1, sizeof(n));
  }
  if (magic != kMagic || n.variant < 0 || n.variant >= kVariants || n.levels < 2 || n.levels > kMaxBlocks + 1 ||
      Parts(n).total != size)
    throw std::runtime_error("mobile_synthesis: the weights were not packed by this build; make the plan again");
  if (kVariantList[n.variant].kernels() == nullptr)
    throw std::runtime_error(std::string("mobile_synthesis: the weights were packed for ") +
                             kVariantList[n.variant].name + ", which this machine has not got; make the plan again");
  return n;
}

Parts::Parts(const Network& n) {
  int64_t used = kHeader;
  const int64_t codes = round_up(n.w_dim, kGroup);
  const auto take = [&used](int64_t floats) {
    const int64_t at = used;
    used += round_up(floats, kGroup);
    return at;
  };
  const auto affine = [&](int outputs) { return AffinePart{take(codes * outputs), take(outputs), outputs}; };
  const auto conv = [&](int block, int64_t inputs, int64_t outputs) {
    ConvPart part;
    part.style = affine(static_cast<int>(inputs));
    part.depthwise = take(9 * inputs);
    part.panels = take(inputs * outputs / (n.bfloat16(block) ? 2 : 1));
    part.bias = take(outputs);
    part.noise = take(static_cast<int64_t>(n.side(block)) * n.side(block));
    return part;
  };
  const int first = static_cast<int>(round_up(n.channels[0], kGroup));
  first_style = affine(first);
  constant = take(16 * first);
  first_panels = take(9 * static_cast<int64_t>(first) * n.features(0));
  first_bias = take(n.features(0));
  first_noise = take(16);
  for (int i = 0; i < n.blocks(); ++i) {
    blocks[i].up = affine(n.features(i));
    blocks[i].conv1 = conv(i, n.band(i), n.middle(i));
    blocks[i].conv2 = conv(i, n.middle(i), n.features(i + 1));
  }
  const int last = n.features(n.blocks());
  picture_style = affine(last);
  picture = {take(last * kGroup), take(last * kGroup), take(kGroup), take(kGroup)};
  total = used;
}

namespace {

uint16_t to_bfloat16(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof(bits));
  return static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);  // to even
}

// One entry of a matrix in panels: [outputs / panel][inputs, panel], of bfloat16 with pairs of inputs together.
struct Panels {
  float* data;
  int64_t inputs, outputs;
  int panel;
  bool bfloat16;

  void set(int64_t input, int64_t output, float value) const {
    const int64_t first = output / panel * panel, width = smaller<int64_t>(panel, outputs - first);
    const int64_t lane = output - first;
    if (bfloat16) {
      const uint16_t rounded = to_bfloat16(value);
      const int64_t at = first * inputs + (input / 2 * width + lane) * 2 + input % 2;
      std::memcpy(reinterpret_cast<char*>(data) + 2 * at, &rounded, 2);
    } else {
      data[first * inputs + input * width + lane] = value;
    }
  }
};

// Which of the four pixels that a feature pixel gives takes which difference with which sign.
constexpr float kHaar[4][4] = {{1, 1, 1, 1}, {1, 1, -1, -1}, {1, -1, 1, -1}, {1, -1, -1, 1}};

class Packer {
 public:
  Packer(const Network& network, const std::vector<const float*>& tensors, float* packed)
      : n_(network), parts_(network), next_(tensors.begin()), packed_(packed) {}

  void run() {
    std::memset(packed_, 0, sizeof(float) * parts_.total);
    n_.write(packed_);
    panel_ = n_.kernels().panel;
    first();
    for (int i = 0; i < n_.blocks(); ++i) {
      const int below = n_.channels[i], above = n_.channels[i + 1];
      const auto plain = [](int c) { return c; };
      const auto bands = [&](int c) { return n_.slot(i, c); };
      const auto next = [&](int c) { return n_.slot(i + 1, c); };
      affine(parts_.blocks[i].up, below, bands);
      conv(parts_.blocks[i].conv1, i, below / 4, n_.band(i), above, n_.middle(i), plain);
      conv(parts_.blocks[i].conv2, i, above, n_.middle(i), above, n_.features(i + 1), next);
    }
    affine(parts_.picture_style, n_.channels[n_.blocks()], [](int c) { return c; });
    picture(parts_.picture);
  }

 private:
  const float* tensor() { return *next_++; }

  template <class Slot>
  void affine(const AffinePart& part, int outputs, const Slot& slot) {
    const float *weight = tensor(), *bias = tensor();
    const Panels panels = {packed_ + part.panels, round_up(n_.w_dim, kGroup), part.outputs, panel_, false};
    for (int o = 0; o < outputs; ++o) {
      for (int k = 0; k < n_.w_dim; ++k) panels.set(k, slot(o), weight[static_cast<int64_t>(o) * n_.w_dim + k]);
      packed_[part.bias + slot(o)] = bias[o];
    }
  }

  void first() {
    const int channels = n_.channels[0], inputs = static_cast<int>(round_up(channels, kGroup));
    const float* constant = tensor();
    for (int c = 0; c < channels; ++c) {
      for (int pixel = 0; pixel < 16; ++pixel) {
        packed_[parts_.constant + c / kGroup * 16 * kGroup + pixel * kGroup + c % kGroup] = constant[16 * c + pixel];
      }
    }
    affine(parts_.first_style, channels, [](int c) { return c; });
    const float *weight = tensor(), *bias = tensor(), *noise = tensor();
    const Panels panels = {packed_ + parts_.first_panels, 9 * inputs, n_.features(0), panel_, false};
    for (int o = 0; o < channels; ++o) {
      for (int c = 0; c < channels; ++c) {
        for (int tap = 0; tap < 9; ++tap) {
          panels.set(tap * inputs + c, n_.slot(0, o), weight[(static_cast<int64_t>(o) * channels + c) * 9 + tap]);
        }
      }
      packed_[parts_.first_bias + n_.slot(0, o)] = bias[o];
    }
    std::memcpy(packed_ + parts_.first_noise, noise, 16 * sizeof(float));
  }

  template <class Slot>
  void conv(const ConvPart& part, int block, int inputs, int padded_inputs, int outputs, int padded_outputs,
            const Slot& slot) {
    affine(part.style, inputs, [](int c) { return c; });
    const float *depthwise = tensor(), *weight = tensor(), *bias = tensor(), *noise = tensor();
    const Panels panels = {packed_ + part.panels, padded_inputs, padded_outputs, panel_, n_.bfloat16(block)};
    for (int c = 0; c < inputs; ++c) {
      for (int tap = 0; tap < 9; ++tap) {
        packed_[part.depthwise + (c / kGroup * 9 + tap) * kGroup + c % kGroup] = depthwise[9 * c + tap];
      }
    }
    for (int o = 0; o < outputs; ++o) {
      for (int c = 0; c < inputs; ++c) panels.set(c, slot(o), weight[static_cast<int64_t>(o) * inputs + c]);
      packed_[part.bias + slot(o)] = bias[o];
    }
    std::memcpy(packed_ + part.noise, noise, sizeof(float) * n_.side(block) * n_.side(block));
  }

  // A matrix for four bands of three colours, once with the inverse Haar transform and once the low band alone.
  void picture(const PicturePart& part) {
    const int level = n_.blocks(), channels = n_.channels[level];
    const float *weight = tensor(), *bias = tensor();
    for (int colour = 0; colour < 3; ++colour) {
      for (int c = 0; c < channels; ++c)
        packed_[part.plain + kGroup * n_.slot(level, c) + colour] = weight[colour * channels + c];
      packed_[part.plain_bias + colour] = bias[colour];
      for (int pixel = 0; pixel < 4; ++pixel) {
        const int lane = pixel / 2 * 8 + pixel % 2 * 3 + colour;
        for (int c = 0; c < channels; ++c) {
          float sum = 0;
          for (int band = 0; band < 4; ++band) {
            sum += kHaar[pixel][band] * weight[(3 * band + colour) * channels + c];
          }
          packed_[part.haar + kGroup * n_.slot(level, c) + lane] = sum;
        }
        for (int band = 0; band < 4; ++band)
          packed_[part.haar_bias + lane] += kHaar[pixel][band] * bias[3 * band + colour];
      }
    }
  }

  const Network& n_;
  const Parts parts_;
  std::vector<const float*>::const_iterator next_;
  float* packed_;
  int panel_ = 0;
};

}  // namespace

void pack(const Network& network, const std::vector<const float*>& tensors, float* packed) {
  Packer(network, tensors, packed).run();
}

}  // namespace mobile
}  // namespace stylerig
