// mobile_synthesis on the CPU: the operations.
#include <atomic>
#include <tuple>

#include "common/cpu.h"
#include "mobile_synthesis/frame.h"

namespace stylerig {
namespace mobile {
namespace {

constexpr const char* kOp = "mobile_synthesis";

// torch's threads; each takes the next task when it is done with one.
class TorchWorkers : public Workers {
 public:
  void run(int count, int threads, void (*body)(void*, int, int), void* context) const override {
    std::atomic<int> next(0);
    parallel(smaller(count, threads), 1, [&](int64_t begin, int64_t end) {
      for (int64_t thread = begin; thread < end; ++thread) {
        for (int task = next++; task < count; task = next++) body(context, task, static_cast<int>(thread));
      }
    });
  }
};

Network read(const Tensor& packed) {
  check(kOp, "weights", packed, {packed.numel()});
  return Network::read(packed.const_data_ptr<float>(), packed.numel());
}

Tensor pack_tensors(const std::vector<Tensor>& tensors, const std::vector<int64_t>& channels, int64_t w_dim,
                    int64_t variant) {
  const int64_t levels = static_cast<int64_t>(channels.size());
  STD_TORCH_CHECK(levels >= 2 && levels <= kMaxBlocks + 1 && w_dim > 0, kOp, ": the network has ", levels, " levels");
  STD_TORCH_CHECK(variant >= 0 && variant < kVariants && kVariantList[variant].kernels() != nullptr, kOp,
                  ": no such kernels on this machine");
  Network n = {};
  n.variant = static_cast<int32_t>(variant);
  n.w_dim = static_cast<int32_t>(w_dim);
  n.levels = static_cast<int32_t>(levels);
  for (int64_t i = 0; i < levels; ++i) {
    STD_TORCH_CHECK(channels[i] > 0 && channels[i] < (1 << 16) && (i + 1 == levels || channels[i] % 4 == 0), kOp,
                    ": a level has ", channels[i], " channels");
    n.channels[i] = static_cast<int32_t>(channels[i]);
  }
  // The sizes of every tensor, in their order.
  std::vector<int64_t> sizes;
  const auto expect = [&sizes](std::initializer_list<int64_t> more) { sizes.insert(sizes.end(), more); };
  expect({16 * channels[0], channels[0] * w_dim, channels[0], 9 * channels[0] * channels[0], channels[0], 16});
  for (int i = 0; i < n.blocks(); ++i) {
    const int64_t below = channels[i], above = channels[i + 1], pixels = static_cast<int64_t>(n.side(i)) * n.side(i);
    expect({below * w_dim, below});
    for (const int64_t inputs : {below / 4, above}) {
      expect({inputs * w_dim, inputs, 9 * inputs, inputs * above, above, pixels});
    }
  }
  expect({channels[levels - 1] * w_dim, channels[levels - 1], 12 * channels[levels - 1], 12});
  STD_TORCH_CHECK(sizes.size() == tensors.size(), kOp, ": ", tensors.size(), " tensors, expected ", sizes.size());
  std::vector<const float*> data;
  for (size_t i = 0; i < tensors.size(); ++i) {
    STD_TORCH_CHECK(tensors[i].numel() == sizes[i] && tensors[i].is_contiguous(), kOp, ": tensor ", i,
                    " is not contiguous or has ", tensors[i].numel(), " entries, expected ", sizes[i]);
    data.push_back(tensors[i].const_data_ptr<float>());
  }
  Tensor packed = empty({Parts(n).total}, tensors[0]);
  pack(n, data, packed.mutable_data_ptr<float>());
  return packed;
}

Tensor workspace(const Tensor& packed, int64_t threads) {
  STD_TORCH_CHECK(threads > 0, kOp, ": a workspace for ", threads, " threads");
  return empty({workspace_size(read(packed), static_cast<int>(threads))}, packed);
}

void run(const Tensor& ws, const Tensor& packed, Tensor workspace, Tensor picture) {
  const Network n = read(packed);
  check(kOp, "ws", ws, {n.num_ws(), n.w_dim});
  const int64_t width = picture.size(0);
  check(kOp, "picture", picture, {width, width, 3});
  check(kOp, "workspace", workspace, {workspace.numel()});
  const int side = n.side(n.blocks() - 1);
  STD_TORCH_CHECK(width > 0 && (width == 2 * side || (side % width == 0 && side / width <= 4)), kOp,
                  ": cannot make a picture of ", width, " px from features of ", side, " px");
  // As many threads as the workspace was made for.
  int most = static_cast<int>(threads());
  while (most > 1 && workspace_size(n, most) > workspace.numel()) --most;
  STD_TORCH_CHECK(workspace_size(n, most) <= workspace.numel(), kOp, ": the workspace is too small");
  Target target = {};
  target.width = width;
  if (picture.scalar_type() == ScalarType::Byte) {
    target.bytes = picture.mutable_data_ptr<uint8_t>();
  } else {
    target.floats = picture.mutable_data_ptr<float>();
  }
  synthesise(n, packed.const_data_ptr<float>(), ws.const_data_ptr<float>(), target, most,
             workspace.mutable_data_ptr<float>(), TorchWorkers());
}

// Bit i says whether this machine has variant i.
int64_t variants() {
  int64_t bits = 0;
  for (int i = 0; i < kVariants; ++i) bits |= static_cast<int64_t>(kVariantList[i].kernels() != nullptr) << i;
  return bits;
}

}  // namespace
}  // namespace mobile
}  // namespace stylerig

STABLE_TORCH_LIBRARY_IMPL(stylerig, CPU, m) {
  m.impl("mobile_synthesis_pack", TORCH_BOX(&stylerig::mobile::pack_tensors));
  m.impl("mobile_synthesis_workspace", TORCH_BOX(&stylerig::mobile::workspace));
  m.impl("mobile_synthesis", TORCH_BOX(&stylerig::mobile::run));
}
STABLE_TORCH_LIBRARY_IMPL(stylerig, CompositeExplicitAutograd, m) {
  m.impl("mobile_synthesis_variants", TORCH_BOX(&stylerig::mobile::variants));
}
