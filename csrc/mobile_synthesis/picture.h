// From features to the picture. Included once by each variant of the CPU kernels of mobile_synthesis, behind
// float32.h.

// Makes the picture of a strip from its rows of features.
template <class Format>
class Painter {
 public:
  using Entry = typename Format::Entry;

  Painter() = default;
  template <class Take>
  Painter(const Picture& picture, int left, int right, const Take& take)
      : picture_(&picture), left_(left / picture.box), pixels_((right - left) / picture.box) {
    products_ = take(static_cast<int64_t>(right - left) * kGroup);
    if (picture.box == 1) return;
    sums_ = take(static_cast<int64_t>(pixels_) * picture.inputs);
    pooled_ = reinterpret_cast<Entry*>(take(static_cast<int64_t>(pixels_) * picture.inputs));
  }

  // data: [inputs / 16, stride / 16, 16], row y of the features.
  void add_row(int y, const Entry* data, int64_t stride) {
    const int box = picture_->box;
    if (box == 1) {
      paint(y, data, stride);
      return;
    }
    pool(data, stride, y % box == 0);
    if (y % box == box - 1) paint(y / box, pooled_, static_cast<int64_t>(pixels_) * kGroup);
  }

 private:
  // Adds the means of `box` neighbours, divided by the rows of a box.
  void pool(const Entry* data, int64_t stride, bool first) {
    const int box = picture_->box;
    const V weight = Lanes::all(1.0f / static_cast<float>(box * box));
    for (int part = 0; part < picture_->inputs / kGroup * kParts; ++part) {
      const int64_t at = static_cast<int64_t>(part / kParts) * pixels_ * kGroup + part % kParts * Lanes::kWidth;
      const Entry* in = data + part / kParts * stride + part % kParts * Lanes::kWidth;
      for (int x = 0; x < pixels_; ++x) {
        V sum = Format::load(in + kGroup * box * x);
        for (int i = 1; i < box; ++i) sum = Lanes::add(sum, Format::load(in + kGroup * (box * x + i)));
        sum = Lanes::mul(sum, weight);
        if (!first) sum = Lanes::add(sum, Lanes::load(sums_ + at + kGroup * x));
        Lanes::store(sums_ + at + kGroup * x, sum);
        Format::store(pooled_ + at + kGroup * x, sum);
      }
    }
  }

  void paint(int y, const Entry* data, int64_t stride) {
    const Picture& p = *picture_;
    Product<Format, StoreFloats> product = {};
    product.left = data;
    product.stride = stride;
    product.groups = p.inputs / kGroup;
    product.rows = pixels_;
    product.panels = static_cast<const Entry*>(p.matrix);
    product.bias = p.bias;
    product.outputs = kGroup;
    product.out = products_;
    multiply(product, 0, kGroup);
    const int values = p.haar ? 6 : 3;
    const int64_t at = static_cast<int64_t>(p.haar ? 2 * y : y) * p.width * 3 + static_cast<int64_t>(values) * left_;
    if (p.floats != nullptr) {
      write_floats(values, 0, p.floats + at);
      if (p.haar) write_floats(values, kGroup / 2, p.floats + at + 3 * p.width);
    } else {
      write_bytes(values, p.bytes + at, p.haar ? p.bytes + at + 3 * p.width : nullptr);
    }
  }

  void write_floats(int values, int first, float* out) const {
    for (int x = 0; x < pixels_; ++x, out += values) {
      for (int i = 0; i < values; ++i) out[i] = products_[kGroup * x + first + i];
    }
  }

  // Eight bytes are stored at once, of which the next pixels overwrite some, but not beyond the strip: what lies there
  // may be another thread's.
  void write_bytes(int values, uint8_t* top, uint8_t* bottom) const {
    const float* from = products_;
    for (int x = 0; x < pixels_; ++x, from += kGroup, top += values) {
      uint8_t halves[2][8];
      const bool inside = (pixels_ - x) * values >= 8;
      Lanes::store_bytes(inside ? top : halves[0], inside && bottom != nullptr ? bottom : halves[1], from);
      if (!inside) {
        std::memcpy(top, halves[0], values);
        if (bottom != nullptr) std::memcpy(bottom, halves[1], values);
      }
      if (bottom != nullptr) bottom += values;
    }
  }

  const Picture* picture_ = nullptr;
  int left_ = 0, pixels_ = 0;
  float *products_ = nullptr, *sums_ = nullptr;
  Entry* pooled_ = nullptr;
};
