// Blocks over strips of columns, from the top to the bottom. Included once by each variant of the CPU kernels of
// mobile_synthesis, behind its format.

// Four rows of a strip. Columns and rows beyond the edges of the picture are there, and zero.
template <class Entry>
struct Ring {
  Entry* rows;
  int left, columns, groups;

  int64_t stride() const { return static_cast<int64_t>(columns) * kGroup; }
  Entry* at(int row, int column) const { return rows + (row & 3) * groups * stride() + (column - left) * kGroup; }
  void clear_row(int row) const { std::memset(at(row, left), 0, sizeof(Entry) * groups * stride()); }
};

// What a task knows of one block.
template <class Entry>
struct Stage {
  const Block* block;
  Extent out;       // what it has to make
  int first, last;  // the columns of conv1 inside the picture
  Ring<Entry> up, middle;
  Entry* out_row;  // one row of its output, or null if it goes to memory
};

template <class Format>
class Strip {
 public:
  using Entry = typename Format::Entry;

  Strip(const Chain& chain, int task, float* scratch) : chain_(chain) {
    const int side = chain.blocks[chain.count - 1].side;
    const int x = task % chain.strips() * chain.strip, y = task / chain.strips() * chain.band;
    Extent out = {x, smaller(x + chain.strip, side), y, smaller(y + chain.band, side)};
    const auto take = [&scratch](int64_t count) {
      float* taken = scratch;
      scratch += count;
      return taken;
    };
    const auto take_entries = [&take](int64_t count) { return reinterpret_cast<Entry*>(take(count)); };
    left_ = take_entries(most_columns * widest());
    if (chain.picture != nullptr) painter_ = Painter<Format>(*chain.picture, out.left, out.right, take);
    for (int i = chain.count - 1; i >= 0; --i) {
      Stage<Entry>& s = stages_[i];
      s.block = chain.blocks + i;
      s.out = out;
      s.first = larger(out.left - Format::kAlign, 0);
      s.last = smaller(out.right + Format::kAlign, s.block->side);
      const Columns up = up_columns(out, Format::kAlign);
      s.up = {nullptr, up.left, up.right - up.left, s.block->conv1.inputs / kGroup};
      s.middle = {nullptr, out.left - Format::kAlign, out.right - out.left + 2 * Format::kAlign,
                  s.block->conv2.inputs / kGroup};
      for (Ring<Entry>* ring = &s.up; ring != nullptr; ring = ring == &s.up ? &s.middle : nullptr) {
        ring->rows = take_entries(4 * ring->groups * ring->stride());
        // Columns beyond the edges stay zero; the others are written before they are read.
        const bool beyond = ring->left < 0 || ring->left + ring->columns > s.block->side;
        for (int row = 0; row < 4 && beyond; ++row) ring->clear_row(row);
      }
      const bool to_memory = i == chain.count - 1 && chain.picture == nullptr;
      s.out_row =
          to_memory ? nullptr : take_entries(static_cast<int64_t>(out.right - out.left) * s.block->conv2.outputs);
      out = input_extent(out, s.block->side, Format::kAlign);
    }
    in_ = out;
  }

  void run() {
    const Stage<Entry>& s = stages_[0];
    const int64_t stride = static_cast<int64_t>(s.block->side / 2) * kGroup;
    const Entry* input = static_cast<const Entry*>(chain_.input) + in_.left * kGroup;
    for (int row = in_.top; row < in_.bottom; ++row) push(0, row, input + row * 4 * s.up.groups * stride, stride, in_);
  }

 private:
  static constexpr int most_columns = 64;

  int64_t widest() const {
    int64_t most = 0;
    for (int i = 0; i < chain_.count; ++i) {
      most = larger<int64_t>(most, larger(chain_.blocks[i].conv1.inputs, chain_.blocks[i].conv2.inputs));
    }
    return most;
  }

  // A row of the input of block i, which begins at the column in.left.
  void push(int i, int row, const Entry* data, int64_t stride, const Extent& in) {
    const Stage<Entry>& s = stages_[i];
    if (row == 0) push_zero(i, -1);
    const int left = larger(s.up.left / 2, 0), right = smaller((s.up.left + s.up.columns) / 2, s.block->side / 2);
    Format::upsample(data + (left - in.left) * kGroup, stride, s.block->scale, s.up.groups, right - left,
                     s.up.at(2 * row, 2 * left), s.up.at(2 * row + 1, 2 * left), s.up.stride());
    convolve(i, row);
    if (row == s.block->side / 2 - 1) push_zero(i, row + 1);
  }

  // The row above or below the picture.
  void push_zero(int i, int row) {
    stages_[i].up.clear_row(2 * row);
    stages_[i].up.clear_row(2 * row + 1);
    convolve(i, row);
  }

  // With the rows up to 2 row + 1 of the upsampled input, the first convolution can make the rows up to 2 row, and the
  // second one those up to 2 row - 1.
  void convolve(int i, int row) {
    const Stage<Entry>& s = stages_[i];
    const int side = s.block->side;
    for (int y = 2 * row - 1; y <= 2 * row; ++y) {
      if (y < s.out.top - 1 || y > s.out.bottom) continue;
      if (y < 0 || y >= side) {
        s.middle.clear_row(y);
      } else {
        layer<typename Format::Middle>(s.block->conv1, s.up, y, s.first, s.last, side, s.middle.at(y, s.first),
                                       s.middle.stride());
      }
    }
    for (int y = 2 * row - 2; y <= 2 * row - 1; ++y) {
      if (y < s.out.top || y >= s.out.bottom) continue;
      const bool to_memory = s.out_row == nullptr;
      const int64_t stride = static_cast<int64_t>(to_memory ? side : s.out.right - s.out.left) * kGroup;
      Entry* out = s.out_row;
      if (to_memory) {
        out = static_cast<Entry*>(chain_.output) + y * (s.block->conv2.outputs / kGroup) * stride + s.out.left * kGroup;
      }
      layer<typename Format::Features>(s.block->conv2, s.middle, y, s.out.left, s.out.right, side, out, stride);
      if (i + 1 < chain_.count) {
        push(i + 1, y, out, stride, s.out);
      } else if (chain_.picture != nullptr) {
        painter_.add_row(y, out, stride);
      }
    }
  }

  // The columns from `begin` to `end` of row y.
  template <class Store>
  void layer(const Conv& conv, const Ring<Entry>& in, int y, int begin, int end, int side, Entry* out,
             int64_t out_stride) {
    const int groups = conv.inputs / kGroup, units = (end - begin) / Format::kAlign;
    const int most = conv.inputs <= 128 ? most_columns : most_columns / 2;
    const int runs = (end - begin + most - 1) / most;
    for (int run = 0; run < runs; ++run) {
      const int x = begin + units * run / runs * Format::kAlign;
      const int columns = begin + units * (run + 1) / runs * Format::kAlign - x;
      const Entry* rows[3] = {in.at(y - 1, x), in.at(y, x), in.at(y + 1, x)};
      Product<Format, Store> product = {};
      product.left = left_;
      product.stride = static_cast<int64_t>(columns) * kGroup;
      product.groups = groups;
      product.rows = columns;
      product.panels = static_cast<const Entry*>(conv.panels);
      product.bias = conv.bias;
      product.noise = conv.noise + static_cast<int64_t>(y) * side + x;
      product.outputs = conv.outputs;
      product.out = out + (x - begin) * kGroup;
      product.out_stride = out_stride;
      Format::depthwise(rows, in.stride(), static_cast<const Entry*>(conv.depthwise), groups, columns, left_,
                        product.stride);
      multiply(product, 0, conv.outputs);
    }
  }

  const Chain& chain_;
  Stage<Entry> stages_[kMaxBlocks];
  Extent in_;  // of the first block
  Entry* left_;
  Painter<Format> painter_;
};
