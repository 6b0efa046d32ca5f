// One variant of the CPU kernels of mobile_synthesis. Included by each, inside its namespace, behind its format.
// Nothing here may call templates of the standard library: a copy of them compiled for new instructions could be linked
// into code for older machines.

template <class Format>
struct Functions {
  using Entry = typename Format::Entry;

  static void affine(const Affine& a) {
    Product<Float32, StoreFloats> product = {};
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
    for (int group = 0; group < a.outputs / kGroup && a.depthwise != nullptr; ++group) {
      Format::scale_depthwise(a.depthwise + 9 * kGroup * group, a.output + kGroup * group,
                              static_cast<Entry*>(a.scaled) + Format::kTaps * kGroup * group);
    }
  }

  static void picture(const float* matrix, const float* style, int inputs, void* out) {
    constexpr int kPanel = Lanes::kPanel < kGroup ? Lanes::kPanel : kGroup, kStep = Format::kStep;
    Entry* panel = static_cast<Entry*>(out);
    for (int channel = 0; channel < kGroup; channel += kPanel, panel += kPanel * inputs) {
      for (int k = 0; k < inputs; ++k) {
        float row[kGroup];
        Entry rounded[kGroup];
        for (int i = 0; i < kGroup; ++i) row[i] = matrix[kGroup * k + i] * style[k];
        for (int i = 0; i < kGroup; i += Lanes::kWidth) Format::store(rounded + i, Lanes::load(row + i));
        for (int i = 0; i < kPanel; ++i) panel[(k / kStep * kPanel + i) * kStep + k % kStep] = rounded[channel + i];
      }
    }
  }

  static void convert(const float* in, int64_t count, void* out) {
    for (int64_t i = 0; i < count; i += Lanes::kWidth) Format::store(static_cast<Entry*>(out) + i, Lanes::load(in + i));
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
          const V moved = inside ? Lanes::mul(Lanes::load(from + kGroup * (4 * y + x)), scale) : Lanes::zero();
          Format::store(to + kGroup * pixel, moved);
        }
      }
    }
    Product<Format, StoreFloats> product = {};
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
        const int at = ((pixel / 4 * (f.outputs / kGroup) + group) * 4 + pixel % 4) * kGroup + lane;
        Format::store(static_cast<Entry*>(f.output) + at,
                      Lanes::load(scratch + group * kBlock + kGroup * pixel + lane));
      }
    }
  }

  static void chain(const Chain& c, int task, float* scratch) { Strip<Format>(c, task, scratch).run(); }

  static constexpr Kernels kernels() { return {Lanes::kPanel, affine, picture, convert, first, chain}; }
};
