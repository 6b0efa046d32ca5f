// morphable on CUDA. Forward: one kernel reads every basis once, for up to 16 pictures at a time; half of its blocks
// write posed vertices and screen positions, the others colours; the landmarks follow from the vertices. Backward: one
// kernel undoes pose and projection and sums the pose's gradients per block, in an order that is always the same; the
// products with the three bases are one more kernel, whose parts are summed likewise.
#include <optional>
#include <tuple>

#include "common/cuda.h"
#include "morphable/morphable_backward_kernels.cuh"
#include "morphable/morphable_kernels.cuh"
#include "morphable/morphable_product_kernels.cuh"

namespace stylerig {
namespace {

template <typename T>
Tensor make_poses(const Tensor& rotation, const Tensor& translation, cudaStream_t stream) {
  const int64_t batch = rotation.size(0);
  static_assert(sizeof(Pose<T>) == 12 * sizeof(T), "a pose is twelve numbers");
  Tensor poses = empty({batch, 12}, rotation);
  STYLERIG_LAUNCH(pose_kernel<T>, blocks_for(batch, 64), 64, stream, batch, rotation.const_data_ptr<T>(),
                  translation.const_data_ptr<T>(), reinterpret_cast<Pose<T>*>(poses.mutable_data_ptr()));
  return poses;
}

// The dtype of the bases. values: [..., V, 3].
ScalarType check_bases(const char* op, const Tensor& values, const Tensor& identity, const Tensor& expression,
                       const Tensor& albedo) {
  const ScalarType stored = identity.scalar_type();
  for (const Tensor* basis : {&identity, &expression, &albedo}) {
    check(op, "a basis", *basis, {basis->size(0), values.size(values.dim() - 2), 3});
    STD_TORCH_CHECK(basis->scalar_type() == stored, op, ": the three bases must have one dtype on CUDA");
  }
  STD_TORCH_CHECK(stored == values.scalar_type() || stored == ScalarType::BFloat16, op,
                  ": bases must have the vertices' dtype or be bfloat16");
  return stored;
}

template <typename T, typename Basis, int kPictures>
void launch_forward(const Model<T, Basis>& model, const Tensor& poses, T* vertices, T* colours, T* screen,
                    cudaStream_t stream) {
  const auto groups = static_cast<unsigned>((model.batch + kPictures - 1) / kPictures);
  const int64_t tiles = smaller((model.num_vertices + kThreads - 1) / kThreads, kMostRows / 2);
  const dim3 grid(groups, static_cast<unsigned>(2 * tiles));
  const auto kernel = forward_kernel<T, Basis, kPictures>;
  STYLERIG_LAUNCH(kernel, grid, kThreads, stream, model, static_cast<const Pose<T>*>(poses.const_data_ptr()), vertices,
                  colours, screen);
}

std::tuple<Tensor, Tensor, Tensor, Tensor> forward(const Tensor& mean, const Tensor& identity_basis,
                                                   const Tensor& expression_basis, const Tensor& albedo_mean,
                                                   const Tensor& albedo_basis, const Tensor& landmark_vertices,
                                                   const Tensor& identity, const Tensor& albedo,
                                                   const Tensor& expression, const Tensor& rotation,
                                                   const Tensor& translation, double focal, bool with_screen) {
  const char* op = "morphable";
  const int64_t batch = rotation.size(0), count = mean.size(0), marks = landmark_vertices.size(0);
  check(op, "mean", mean, {count, 3});
  check(op, "albedo_mean", albedo_mean, {count, 3});
  check(op, "identity", identity, {batch, identity_basis.size(0)});
  check(op, "expression", expression, {batch, expression_basis.size(0)});
  check(op, "albedo", albedo, {batch, albedo_basis.size(0)});
  check(op, "translation", translation, {batch, 3});
  const ScalarType stored = check_bases(op, mean, identity_basis, expression_basis, albedo_basis);
  const OnDevice on(mean);
  Tensor vertices = empty({batch, count, 3}, mean), colours = empty({batch, count, 3}, mean);
  Tensor landmarks = empty({batch, marks, 2}, mean), screen = empty({with_screen ? batch : 0, count, 2}, mean);
  if (batch == 0 || count == 0) return {vertices, colours, landmarks, screen};
  dispatch_float(op, mean, [&](auto type) {
    using T = decltype(type);
    const Tensor poses = make_poses<T>(rotation, translation, on.stream());
    T* projected = with_screen ? screen.mutable_data_ptr<T>() : nullptr;
    const auto run = [&](auto basis) {
      using Basis = decltype(basis);
      const auto data = [](const Tensor& tensor) { return static_cast<const Basis*>(tensor.const_data_ptr()); };
      const Model<T, Basis> model = {mean.const_data_ptr<T>(),
                                     albedo_mean.const_data_ptr<T>(),
                                     data(identity_basis),
                                     data(expression_basis),
                                     data(albedo_basis),
                                     identity.const_data_ptr<T>(),
                                     expression.const_data_ptr<T>(),
                                     albedo.const_data_ptr<T>(),
                                     identity.size(1),
                                     expression.size(1),
                                     albedo.size(1),
                                     batch,
                                     count,
                                     static_cast<T>(focal)};
      T *points = vertices.mutable_data_ptr<T>(), *shades = colours.mutable_data_ptr<T>();
      // Groups of 16 read the bases less often, but a small model has too few blocks of them. Doubles take twice the
      // registers: smaller groups there.
      const int64_t large = (batch + 15) / 16 * 2 * ((count + kThreads - 1) / kThreads);
      if (sizeof(T) == 4 && batch > 8 && large >= kEnoughBlocks) {
        launch_forward<T, Basis, sizeof(T) == 4 ? 16 : 8>(model, poses, points, shades, projected, on.stream());
      } else {
        launch_forward<T, Basis, 8>(model, poses, points, shades, projected, on.stream());
      }
    };
    if (stored == ScalarType::BFloat16) {
      run(Half{});
    } else {
      run(T{});
    }
    if (marks > 0) {
      STYLERIG_LAUNCH(landmark_kernel<T>, blocks_for(batch * marks, kThreads), kThreads, on.stream(), batch * marks,
                      marks, count, static_cast<T>(focal), landmark_vertices.const_data_ptr<int64_t>(),
                      vertices.const_data_ptr<T>(), landmarks.mutable_data_ptr<T>());
    }
  });
  check_launch(op);
  return {vertices, colours, landmarks, screen};
}

template <typename T>
const T* data_or_null(const std::optional<Tensor>& tensor) {
  return tensor.has_value() ? tensor->const_data_ptr<T>() : nullptr;
}

template <typename T, typename Basis>
void launch_products(const Products<T, Basis>& products, const Tensor& like, cudaStream_t stream) {
  const int64_t tiles = products.tiles();
  constexpr int per_part = kSlice * kProductWarps<T>;
  if (tiles == 0) return;
  STD_TORCH_CHECK(tiles <= kMostTiles, "morphable: too many coefficients for its backward pass on CUDA");
  const int64_t parts = smaller<int64_t>(kMostParts, blocks_for(products.length, per_part));
  Tensor partial_buffer = empty({parts, tiles, products.batch, kTile}, like);
  T* partial = partial_buffer.mutable_data_ptr<T>();
  const dim3 grid(static_cast<unsigned>(parts), static_cast<unsigned>(tiles));
  const auto multiply = product_kernel<T, Basis>;
  STYLERIG_LAUNCH(multiply, grid, 32 * kProductWarps<T>, stream, products, partial);
  const auto add = product_sum_kernel<T, Basis>;
  STYLERIG_LAUNCH(add, blocks_for(tiles * products.batch * kTile, kThreads), kThreads, stream, products, parts,
                  partial);
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> backward(
    const std::optional<Tensor>& v_vertices, const std::optional<Tensor>& v_albedo,
    const std::optional<Tensor>& v_landmarks, const std::optional<Tensor>& v_screen, const Tensor& vertices,
    const Tensor& identity_basis, const Tensor& expression_basis, const Tensor& albedo_basis,
    const Tensor& landmark_vertices, const Tensor& rotation, const Tensor& translation, double focal) {
  const char* op = "morphable";
  const int64_t batch = vertices.size(0), count = vertices.size(1), marks = landmark_vertices.size(0);
  check(op, "vertices", vertices, {batch, count, 3});
  if (v_vertices) check(op, "v_vertices", *v_vertices, {batch, count, 3});
  if (v_albedo) check(op, "v_albedo", *v_albedo, {batch, count, 3});
  if (v_landmarks) check(op, "v_landmarks", *v_landmarks, {batch, marks, 2});
  if (v_screen) check(op, "v_screen", *v_screen, {batch, count, 2});
  check(op, "rotation", rotation, {batch, 3});
  check(op, "translation", translation, {batch, 3});
  const OnDevice on(vertices);
  const ScalarType stored = check_bases(op, vertices, identity_basis, expression_basis, albedo_basis);
  Tensor v_shape = empty({batch, count, 3}, vertices);
  Tensor v_identity = empty({batch, identity_basis.size(0)}, vertices),
         v_expression = empty({batch, expression_basis.size(0)}, vertices),
         v_colours = empty({batch, albedo_basis.size(0)}, vertices);
  if (!v_albedo) torch::stable::zero_(v_colours);
  Tensor v_rotation = empty({batch, 3}, vertices), v_translation = empty({batch, 3}, vertices);
  if (batch > 0) {
    dispatch_float(op, vertices, [&](auto type) {
      using T = decltype(type);
      const Tensor poses = make_poses<T>(rotation, translation, on.stream());
      const auto* pose = static_cast<const Pose<T>*>(poses.const_data_ptr());
      const int64_t blocks = larger<int64_t>(1, (count + kBackwardThreads - 1) / kBackwardThreads);
      Tensor partial = empty({batch, blocks + 1, kSums}, vertices);
      const dim3 grid(static_cast<unsigned>(blocks), rows_for(batch));
      STYLERIG_LAUNCH(backward_kernel<T>, grid, kBackwardThreads, on.stream(), batch, count, static_cast<T>(focal),
                      pose, vertices.const_data_ptr<T>(), data_or_null<T>(v_vertices), data_or_null<T>(v_screen),
                      v_shape.mutable_data_ptr<T>(), partial.mutable_data_ptr<T>());
      STYLERIG_LAUNCH(landmark_backward_kernel<T>, static_cast<unsigned>(batch), kBackwardThreads, on.stream(), marks,
                      count, blocks + 1, static_cast<T>(focal), pose, landmark_vertices.const_data_ptr<int64_t>(),
                      vertices.const_data_ptr<T>(), data_or_null<T>(v_landmarks), v_shape.mutable_data_ptr<T>(),
                      partial.mutable_data_ptr<T>());
      STYLERIG_LAUNCH(pose_backward_kernel<T>, static_cast<unsigned>(batch), kAdders, on.stream(), blocks + 1,
                      partial.const_data_ptr<T>(), rotation.const_data_ptr<T>(), v_rotation.mutable_data_ptr<T>(),
                      v_translation.mutable_data_ptr<T>());
      const auto multiply = [&](auto basis) {
        using Basis = decltype(basis);
        const auto product = [&](const Tensor* gradient, const Tensor& offsets, Tensor& out) -> Product<T, Basis> {
          return {gradient != nullptr ? gradient->const_data_ptr<T>() : nullptr,
                  static_cast<const Basis*>(offsets.const_data_ptr()), out.mutable_data_ptr<T>(),
                  gradient != nullptr ? offsets.size(0) : 0};
        };
        const Products<T, Basis> products = {
            {product(&v_shape, identity_basis, v_identity), product(&v_shape, expression_basis, v_expression),
             product(v_albedo ? &*v_albedo : nullptr, albedo_basis, v_colours)},
            batch,
            3 * count};
        launch_products(products, vertices, on.stream());
      };
      stored == ScalarType::BFloat16 ? multiply(Half{}) : multiply(T{});
    });
    check_launch(op);
  }
  return {v_identity, v_colours, v_expression, v_rotation, v_translation};
}

}  // namespace
}  // namespace stylerig

STYLERIG_CUDA_LIBRARY(m) {
  m.impl("morphable_fwd", TORCH_BOX(&stylerig::forward));
  m.impl("morphable_bwd", TORCH_BOX(&stylerig::backward));
}
