// One variant of the CPU kernels of mobile_synthesis. Included by each, inside its namespace, behind `Lanes` and, in
// bfloat16, behind its operand. Nothing here may call templates of the standard library: a copy of them compiled for
// new instructions could be linked into code for older machines.
#include "mobile_synthesis/mobile_synthesis_chain.h"

template <class Operand>
struct Variant {
  using Entry = typename Operand::Entry;

  static void affine(const Affine& a) {
    Product<Float32> product = {};
    // One row: a group of the left-hand side is 16 entries of the code.
    product.left = a.code;
    product.stride = kGroup;
    product.groups = a.inputs / kGroup;
    product.rows = 1;
    product.panels = a.panels;
    product.bias = a.bias;
    product.outputs = a.outputs;
    product.out = a.output;
    product.out_stride = kGroup;
    multiply(product, 0, a.outputs);
    if (a.depthwise == nullptr) return;
    for (int group = 0; group < a.outputs / kGroup; ++group) {
      for (int tap = 0; tap < 9; ++tap) {
        const int at = kGroup * (9 * group + tap);
        for (int i = 0; i < kGroup; ++i) a.scaled[at + i] = a.depthwise[at + i] * a.output[kGroup * group + i];
      }
    }
  }

  static void first(const First& f, int begin, int end, float* scratch) {
    const int groups = f.inputs / kGroup;
    constexpr int kPixels = 16, kBlock = kPixels * kGroup;
    // The left-hand side: for every tap the constant, moved by it.
    Entry* left = reinterpret_cast<Entry*>(scratch + kPixels * f.outputs);
    for (int tap = 0; tap < 9; ++tap) {
      const int dy = tap / 3 - 1, dx = tap % 3 - 1;
      for (int part = 0; part < groups * kParts; ++part) {
        const int group = part / kParts, lane = part % kParts * Lanes::kWidth;
        const V scale = Lanes::load(f.scale + kGroup * group + lane);
        const float* from = f.constant + group * kBlock + lane;
        Entry* to = left + (tap * groups + group) * kBlock + lane;
        for (int pixel = 0; pixel < kPixels; ++pixel) {
          const int y = pixel / 4 + dy, x = pixel % 4 + dx;
          const bool inside = y >= 0 && y < 4 && x >= 0 && x < 4;
          Operand::store_left(to + kGroup * pixel,
                              inside ? Lanes::mul(Lanes::load(from + kGroup * (4 * y + x)), scale) : Lanes::zero());
        }
      }
    }
    Product<Operand> product = {};
    product.left = left;
    product.stride = kBlock;
    product.groups = 9 * groups;
    product.rows = kPixels;
    product.panels = static_cast<const Entry*>(f.panels);
    product.bias = f.bias;
    product.noise = f.noise;
    product.outputs = f.outputs;
    product.out_stride = kBlock;
    product.out = scratch;
    multiply(product, begin, end);
    for (int channel = begin; channel < end; channel += Lanes::kWidth) {
      const int group = channel / kGroup, lane = channel % kGroup;
      for (int pixel = 0; pixel < kPixels; ++pixel) {
        float* to = f.output + ((pixel / 4 * (f.outputs / kGroup) + group) * 4 + pixel % 4) * kGroup + lane;
        Lanes::store(to, Lanes::load(scratch + group * kBlock + kGroup * pixel + lane));
      }
    }
  }

  static void chain(const Chain& c, int task, float* scratch) { Strip<Operand>(c, task, scratch).run(); }

  static constexpr Kernels kernels(bool bfloat16) { return {Lanes::kPanel, bfloat16, affine, first, chain}; }
};
