// Blocks over strips of columns, from the top to the bottom. Included once by each variant of the CPU kernels of
// mobile_synthesis, behind `Lanes`.
#include "mobile_synthesis/mobile_synthesis_product.h"
// clang-format off: each needs the one above
#include "mobile_synthesis/mobile_synthesis_layers.h"
#include "mobile_synthesis/mobile_synthesis_picture.h"
// clang-format on

// Four rows of a strip. Columns and rows beyond the edges of the picture are there, and zero.
struct Ring {
  float* rows;
  int left, columns, groups;

  int64_t stride() const { return static_cast<int64_t>(columns) * kGroup; }
  float* at(int row, int column) const { return rows + (row & 3) * groups * stride() + (column - left) * kGroup; }
  void clear_row(int row) const { fill_zero(at(row, left), stride(), groups, columns); }
};

// What a task knows of one block.
struct Stage {
  const Block* block;
  Extent out;       // what it has to make
  int first, last;  // the columns of conv1 inside the picture
  Ring up, middle;
  float* out_row;  // one row of its output, or null if it goes to memory
};

template <class Operand>
class Strip {
 public:
  Strip(const Chain& chain, int task, float* scratch) : chain_(chain) {
    const int side = chain.blocks[chain.count - 1].side;
    const int x = task % chain.strips() * chain.strip, y = task / chain.strips() * chain.band;
    Extent out = {x, smaller(x + chain.strip, side), y, smaller(y + chain.band, side)};
    const auto take = [&scratch](int64_t floats) {
      float* taken = scratch;
      scratch += floats;
      return taken;
    };
    left_ = reinterpret_cast<typename Operand::Entry*>(take(64 * widest()));
    if (chain.picture != nullptr) painter_ = Painter(*chain.picture, out.left, out.right, take);
    for (int i = chain.count - 1; i >= 0; --i) {
      Stage& s = stages_[i];
      s.block = chain.blocks + i;
      s.out = out;
      s.first = larger(out.left - 1, 0);
      s.last = smaller(out.right + 1, s.block->side);
      const int up_left = (out.left - 2) & ~1, up_right = (out.right + 3) & ~1;
      s.up = {nullptr, up_left, up_right - up_left, s.block->conv1.inputs / kGroup};
      s.middle = {nullptr, out.left - 1, out.right - out.left + 2, s.block->conv2.inputs / kGroup};
      for (int k = 0; k < 2; ++k) {
        Ring& ring = k == 0 ? s.up : s.middle;
        ring.rows = take(4 * ring.groups * ring.stride());
        // Columns beyond the edges stay zero; the others are written before they are read.
        for (int row = 0; row < 4 && (ring.left < 0 || ring.left + ring.columns > s.block->side); ++row) {
          ring.clear_row(row);
        }
      }
      const bool to_memory = i == chain.count - 1 && chain.picture == nullptr;
      s.out_row = to_memory ? nullptr : take(static_cast<int64_t>(out.right - out.left) * s.block->conv2.outputs);
      out = input_extent(out, s.block->side);
    }
  }

  void run() {
    const Stage& s = stages_[0];
    const Extent in = input_extent(s.out, s.block->side);
    const int width = s.block->side / 2, groups = 4 * s.up.groups;
    for (int row = in.top; row < in.bottom; ++row) {
      push(0, row, chain_.input + (static_cast<int64_t>(row) * groups * width + in.left) * kGroup, width * kGroup, in);
    }
  }

 private:
  int64_t widest() const {
    int64_t most = 0;
    for (int i = 0; i < chain_.count; ++i) {
      const Block& b = chain_.blocks[i];
      most = larger<int64_t>(most, larger(b.conv1.inputs, b.conv2.inputs));
    }
    return most;
  }

  // A row of the input of block i, which begins at the column in.left.
  void push(int i, int row, const float* data, int64_t stride, const Extent& in) {
    const Stage& s = stages_[i];
    if (row == 0) push_zero(i, -1);
    float* top = s.up.at(2 * row, 2 * in.left);
    float* bottom = s.up.at(2 * row + 1, 2 * in.left);
    upsample(data, stride, s.block->scale, s.up.groups, in.right - in.left, top, bottom, s.up.stride());
    convolve(i, row);
    if (row == s.block->side / 2 - 1) push_zero(i, row + 1);
  }

  // The row above or below the picture.
  void push_zero(int i, int row) {
    const Stage& s = stages_[i];
    s.up.clear_row(2 * row);
    s.up.clear_row(2 * row + 1);
    convolve(i, row);
  }

  // With the rows up to 2 row + 1 of the upsampled input, the first convolution can make the rows up to 2 row, and the
  // second one those up to 2 row - 1.
  void convolve(int i, int row) {
    const Stage& s = stages_[i];
    const int side = s.block->side;
    for (int y = 2 * row - 1; y <= 2 * row; ++y) {
      if (y < s.out.top - 1 || y > s.out.bottom) continue;
      if (y < 0 || y >= side) {
        s.middle.clear_row(y);
      } else {
        layer(s.block->conv1, s.up, y, s.first, s.last, side, s.middle.at(y, s.first), s.middle.stride());
      }
    }
    const int width = s.out.right - s.out.left;
    for (int y = 2 * row - 2; y <= 2 * row - 1; ++y) {
      if (y < s.out.top || y >= s.out.bottom) continue;
      if (s.out_row == nullptr) {
        const int64_t stride = static_cast<int64_t>(side) * kGroup;
        float* out = chain_.output + y * (s.block->conv2.outputs / kGroup) * stride + s.out.left * kGroup;
        layer(s.block->conv2, s.middle, y, s.out.left, s.out.right, side, out, stride);
        continue;
      }
      const int64_t stride = static_cast<int64_t>(width) * kGroup;
      layer(s.block->conv2, s.middle, y, s.out.left, s.out.right, side, s.out_row, stride);
      if (i + 1 < chain_.count) {
        push(i + 1, y, s.out_row, stride, s.out);
      } else {
        painter_.add_row(y, s.out_row, stride);
      }
    }
  }

  // The columns from `begin` to `end` of row y.
  void layer(const Conv& conv, const Ring& in, int y, int begin, int end, int side, float* out, int64_t out_stride) {
    const int groups = conv.inputs / kGroup, most = pixels_at_once(conv.inputs);
    const int runs = (end - begin + most - 1) / most;
    for (int run = 0; run < runs; ++run) {
      const int x = begin + (end - begin) * run / runs, columns = begin + (end - begin) * (run + 1) / runs - x;
      const float* rows[3] = {in.at(y - 1, x - 1), in.at(y, x - 1), in.at(y + 1, x - 1)};
      depthwise<Operand>(rows, in.stride(), conv.depthwise, groups, columns, left_, columns * kGroup);
      Product<Operand> product = {};
      product.left = left_;
      product.stride = static_cast<int64_t>(columns) * kGroup;
      product.groups = groups;
      product.rows = columns;
      product.panels = static_cast<const typename Operand::Entry*>(conv.panels);
      product.bias = conv.bias;
      product.noise = conv.noise + static_cast<int64_t>(y) * side + x;
      product.outputs = conv.outputs;
      product.out = out + (x - begin) * kGroup;
      product.out_stride = out_stride;
      multiply(product, 0, conv.outputs);
    }
  }

  const Chain& chain_;
  Stage stages_[kMaxBlocks];
  typename Operand::Entry* left_;
  Painter painter_;
};
