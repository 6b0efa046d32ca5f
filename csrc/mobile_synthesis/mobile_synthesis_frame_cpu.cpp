// One picture, from the codes to the pixels, for any variant of the kernels of mobile_synthesis.
#include <cstring>

#include "mobile_synthesis/frame.h"

namespace stylerig {
namespace mobile {
namespace {

// Where a picture's own data lie in the workspace.
struct Places {
  int64_t codes, first_style, picture_style, picture_matrix;
  struct {
    int64_t up, style1, style2, depthwise1, depthwise2;
  } blocks[kMaxBlocks];
  int64_t features[2];  // what one chain leaves for the next
  int64_t scratch, scratch_size;

  Places(const Network& n, const Parts& parts, int threads) {
    int64_t used = 0;
    const auto take = [&used](int64_t floats) {
      const int64_t at = used;
      used += round_up(floats, kGroup);
      return at;
    };
    codes = take(n.num_ws() * round_up(n.w_dim, kGroup));
    first_style = take(parts.first_style.outputs);
    picture_style = take(parts.picture_style.outputs);
    picture_matrix = take(kGroup * n.features(n.blocks()));
    int64_t most = 16 * n.features(0);
    First first = {};
    first.inputs = parts.first_style.outputs;
    first.outputs = n.features(0);
    scratch_size = first_scratch(first);
    for (int i = 0; i < n.blocks(); ++i) {
      const int inputs1 = n.band(i), inputs2 = n.middle(i);
      blocks[i] = {take(n.features(i)), take(inputs1), take(inputs2), take(12 * inputs1), take(12 * inputs2)};
    }
    Span spans[kMaxBlocks];
    const int chains = schedule(n, threads, spans);
    for (int i = 0; i < chains; ++i) {
      const bool last = i == chains - 1;
      scratch_size = larger(scratch_size, span_scratch(n, spans[i], last));
      const int end = spans[i].first + spans[i].count;
      const int64_t side = n.side(end - 1);
      if (!last) most = larger(most, side * side * n.features(end));
    }
    features[0] = take(most);
    features[1] = take(most);
    scratch = used;
  }

  static int64_t span_scratch(const Network& n, const Span& span, bool last) {
    Block blocks[kMaxBlocks] = {};
    for (int i = 0; i < span.count; ++i) {
      Block& b = blocks[i];
      b.side = n.side(span.first + i);
      b.conv1.inputs = n.band(span.first + i);
      b.conv2.inputs = b.conv1.outputs = n.middle(span.first + i);
      b.conv2.outputs = n.features(span.first + i + 1);
    }
    Picture picture = {};
    picture.inputs = blocks[span.count - 1].conv2.outputs;
    Chain chain = {};
    chain.blocks = blocks;
    chain.count = span.count;
    chain.picture = last ? &picture : nullptr;
    chain.strip = span.strip;
    return chain_scratch(chain);
  }
};

class Frame {
 public:
  Frame(const Network& network, const float* packed, const float* codes, const Target& target, int threads,
        float* workspace)
      : n_(network),
        parts_(network),
        places_(network, parts_, threads),
        packed_(packed),
        codes_(codes),
        target_(target),
        threads_(threads),
        space_(workspace) {}

  void run(const Workers& workers) {
    const int64_t stride = round_up(n_.w_dim, kGroup);
    for (int slot = 0; slot < n_.num_ws(); ++slot) {
      std::memset(at(places_.codes) + slot * stride, 0, sizeof(float) * stride);
      std::memcpy(at(places_.codes) + slot * stride, codes_ + slot * n_.w_dim, sizeof(float) * n_.w_dim);
    }
    styles(workers);
    first(workers);
    make_blocks();
    make_picture();
    Span spans[kMaxBlocks];
    const int chains = schedule(n_, threads_, spans);
    for (int i = 0; i < chains; ++i) {
      chain_ = {};
      chain_.input = at(places_.features[i % 2]);
      chain_.blocks = blocks_ + spans[i].first;
      chain_.count = spans[i].count;
      chain_.output = i == chains - 1 ? nullptr : at(places_.features[(i + 1) % 2]);
      chain_.picture = i == chains - 1 ? &picture_ : nullptr;
      chain_.strip = spans[i].strip;
      chain_.band = spans[i].band;
      const int block = spans[i].first;
      kernels_ = &n_.kernels(block);
      if (n_.bfloat16(block) && !n_.bfloat16(block - 1)) {
        float* input = at(places_.features[i % 2]);
        kernels_->convert(input, static_cast<int64_t>(n_.side(block - 1)) * n_.side(block - 1) * n_.features(block),
                          input);
      }
      spread(workers, chain_.tasks(),
             [](Frame& f, int task, float* scratch) { f.kernels_->chain(f.chain_, task, scratch); });
    }
  }

 private:
  float* at(int64_t place) const { return space_ + place; }

  template <class Body>
  void spread(const Workers& workers, int count, const Body& body) {
    struct Context {
      Frame& frame;
      const Body& body;
    } context = {*this, body};
    workers.run(
        count, threads_,
        [](void* opaque, int task, int thread) {
          const Context& c = *static_cast<Context*>(opaque);
          const Places& places = c.frame.places_;
          c.body(c.frame, task, c.frame.at(places.scratch + thread * places.scratch_size));
        },
        &context);
  }

  void add_affine(const Kernels& kernels, const AffinePart& part, int slot, int64_t output, int64_t depthwise,
                  int64_t scaled) {
    affine_kernels_[affine_count_] = &kernels;
    Affine& a = affines_[affine_count_++];
    const int64_t codes = round_up(n_.w_dim, kGroup);
    a = {at(places_.codes + slot * codes),
         packed_ + part.panels,
         packed_ + part.bias,
         static_cast<int>(codes),
         part.outputs,
         at(output),
         depthwise > 0 ? packed_ + depthwise : nullptr,
         depthwise > 0 ? at(scaled) : nullptr};
  }

  void styles(const Workers& workers) {
    affine_count_ = 0;
    add_affine(n_.kernels(), parts_.first_style, 0, places_.first_style, 0, 0);
    for (int i = 0; i < n_.blocks(); ++i) {
      const BlockPart& b = parts_.blocks[i];
      const auto& p = places_.blocks[i];
      add_affine(n_.kernels(i), b.up, 2 * i + 1, p.up, 0, 0);
      add_affine(n_.kernels(i), b.conv1.style, 2 * i + 1, p.style1, b.conv1.depthwise, p.depthwise1);
      add_affine(n_.kernels(i), b.conv2.style, 2 * i + 2, p.style2, b.conv2.depthwise, p.depthwise2);
    }
    add_affine(n_.kernels(), parts_.picture_style, n_.num_ws() - 1, places_.picture_style, 0, 0);
    spread(workers, affine_count_,
           [](Frame& f, int task, float*) { f.affine_kernels_[task]->affine(f.affines_[task]); });
  }

  void first(const Workers& workers) {
    first_ = {packed_ + parts_.constant,
              at(places_.first_style),
              packed_ + parts_.first_panels,
              packed_ + parts_.first_bias,
              packed_ + parts_.first_noise,
              parts_.first_style.outputs,
              n_.features(0),
              at(places_.features[0])};
    const int panels = (first_.outputs + n_.kernels().panel - 1) / n_.kernels().panel;
    first_tasks_ = smaller(panels, threads_);
    spread(workers, first_tasks_, [](Frame& f, int task, float* scratch) {
      const int panel = f.n_.kernels().panel, outputs = f.first_.outputs, all = (outputs + panel - 1) / panel;
      const int begin = all * task / f.first_tasks_ * panel, end = all * (task + 1) / f.first_tasks_ * panel;
      f.n_.kernels().first(f.first_, begin, smaller(end, outputs), scratch);
    });
  }

  void make_blocks() {
    for (int i = 0; i < n_.blocks(); ++i) {
      const BlockPart& b = parts_.blocks[i];
      const auto& p = places_.blocks[i];
      const auto conv = [&](const ConvPart& part, int64_t depthwise, int inputs, int outputs) {
        return Conv{at(depthwise), packed_ + part.panels, packed_ + part.bias, packed_ + part.noise, inputs, outputs};
      };
      blocks_[i] = {at(p.up), conv(b.conv1, p.depthwise1, n_.band(i), n_.middle(i)),
                    conv(b.conv2, p.depthwise2, n_.middle(i), n_.features(i + 1)), n_.side(i)};
    }
  }

  void make_picture() {
    const PicturePart& part = parts_.picture;
    const int side = n_.side(n_.blocks() - 1);
    picture_ = {};
    picture_.haar = target_.width > side;
    picture_.box = picture_.haar ? 1 : static_cast<int>(side / target_.width);
    picture_.inputs = n_.features(n_.blocks());
    picture_.bias = packed_ + (picture_.haar ? part.haar_bias : part.plain_bias);
    picture_.width = target_.width;
    picture_.floats = target_.floats;
    picture_.bytes = target_.bytes;
    n_.kernels(n_.blocks() - 1)
        .picture(packed_ + (picture_.haar ? part.haar : part.plain), at(places_.picture_style), picture_.inputs,
                 at(places_.picture_matrix));
    picture_.matrix = at(places_.picture_matrix);
  }

  const Network& n_;
  const Parts parts_;
  const Places places_;
  const Kernels* kernels_ = nullptr;  // of the chain at hand
  const float *packed_, *codes_;
  const Target target_;
  const int threads_;
  float* space_;
  Affine affines_[3 * kMaxBlocks + 2];
  const Kernels* affine_kernels_[3 * kMaxBlocks + 2];
  int affine_count_ = 0, first_tasks_ = 0;
  First first_;
  Block blocks_[kMaxBlocks];
  Picture picture_;
  Chain chain_;
};

}  // namespace

int schedule(const Network& network, int threads, Span spans[kMaxBlocks]) {
  const int blocks = network.blocks();
  int count = 0;
  for (int i = 0; i < blocks;) {
    Span& s = spans[count++];
    s.first = i;
    // What the wide blocks leave for each other would not fit into the caches.
    s.count = network.side(i) >= 256 ? blocks - i : 1;
    i += s.count;
    const int side = network.side(i - 1);
    // A ring of four rows of up to 128 kB takes half an L2 cache of 1 MB. Narrow strips make more of their edges twice.
    const int columns = (1 << 15) / network.middle(i - 1) / kGroup * kGroup;
    s.strip = smaller(side, larger(32, smaller(256, columns)));
    const int strips = (side + s.strip - 1) / s.strip, bands = (2 * threads + strips - 1) / strips;
    s.band = static_cast<int>(round_up(larger(4, (side + bands - 1) / bands), 4));
  }
  return count;
}

int64_t workspace_size(const Network& network, int threads) {
  const Places places(network, Parts(network), threads);
  return places.scratch + threads * places.scratch_size;
}

void synthesise(const Network& network, const float* packed, const float* codes, const Target& target, int threads,
                float* workspace, const Workers& workers) {
  Frame(network, packed, codes, target, threads, workspace).run(workers);
}

}  // namespace mobile
}  // namespace stylerig
