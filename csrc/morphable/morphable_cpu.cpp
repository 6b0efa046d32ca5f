// morphable on the CPU: the two linear models as BLAS products, everything else in one pass over the vertices.
#include "morphable/morphable.h"

#include <memory>
#include <optional>
#include <tuple>

#include "common/cpu.h"

namespace stylerig {
namespace {

// Vertices per task. A constant, so that the sums of the backward pass do not depend on the number of threads.
constexpr int64_t kBlock = 2048;

// The arrays of one picture; null where a call has none.
template <typename T>
struct Posed {
  const T *mean, *identity, *expression;  // [V, 3] mean and the two products
  T *vertices, *screen;                   // [V, 3], [V, 2]
  T focal;
};

template <typename T>
STYLERIG_HD void pose_block(const Posed<T>& p, const Pose<T>& pose, int64_t begin, int64_t end) {
  const T *STYLERIG_RESTRICT mean = p.mean, *STYLERIG_RESTRICT identity = p.identity;
  const T* STYLERIG_RESTRICT expression = p.expression;
  T* STYLERIG_RESTRICT vertices = p.vertices;
  for (int64_t v = begin; v < end; ++v) {
    const Vec3<T> point = load3(mean + 3 * v) + load3(identity + 3 * v) + load3(expression + 3 * v);
    store3(vertices + 3 * v, pose.apply(point));
  }
  if (p.screen == nullptr) return;
  T* STYLERIG_RESTRICT screen = p.screen;
  for (int64_t v = begin; v < end; ++v) project_point(load3(vertices + 3 * v), p.focal, screen + 2 * v);
}

// What flows into one picture's vertices and out of them.
template <typename T>
struct PosedGradients {
  const T* vertices;               // [V, 3] camera space
  const T *v_vertices, *v_screen;  // [V, 3], [V, 2], null if the loss does not depend on them
  T* v_shape;                      // [V, 3] gradient before the pose; may already hold that of the landmarks
  T focal;
};

// Adds the block's sums of g (3) and g (x - t)^T (9), g being the gradient at the camera-space vertex x.
template <typename T>
STYLERIG_HD void pose_block_bwd(const PosedGradients<T>& p, const Pose<T>& pose, int64_t begin, int64_t end,
                                T* STYLERIG_RESTRICT sums) {  // [12]
  const T *STYLERIG_RESTRICT vertices = p.vertices, *STYLERIG_RESTRICT v_vertices = p.v_vertices;
  const T* STYLERIG_RESTRICT v_screen = p.v_screen;
  T* STYLERIG_RESTRICT v_shape = p.v_shape;
  if (v_vertices != nullptr) {
    for (int64_t i = 3 * begin; i < 3 * end; ++i) v_shape[i] += v_vertices[i];
  }
  if (v_screen != nullptr) {
    for (int64_t v = begin; v < end; ++v) {
      const Vec3<T> g = project_point_bwd(load3(vertices + 3 * v), p.focal, v_screen[2 * v], v_screen[2 * v + 1]);
      store3(v_shape + 3 * v, load3(v_shape + 3 * v) + g);
    }
  }
  constexpr int kWays = 8;  // independent sums, one per vector lane
  T partial[12][kWays] = {};
  for (int64_t first = begin; first < end; first += kWays) {
    const int ways = static_cast<int>(smaller<int64_t>(kWays, end - first));
    for (int way = 0; way < ways; ++way) {
      const int64_t v = first + way;
      const Vec3<T> g = load3(v_shape + 3 * v), x = load3(vertices + 3 * v);
      const T values[3] = {g.x, g.y, g.z}, offsets[3] = {x.x - pose.t[0], x.y - pose.t[1], x.z - pose.t[2]};
      for (int i = 0; i < 3; ++i) {
        partial[i][way] += values[i];
        for (int j = 0; j < 3; ++j) partial[3 + 3 * i + j][way] += values[i] * offsets[j];
      }
      store3(v_shape + 3 * v, pose.rotate_back(g));
    }
  }
  for (int i = 0; i < 12; ++i) {
    sums[i] = 0;
    for (int way = 0; way < kWays; ++way) sums[i] += partial[i][way];
  }
}

#define STYLERIG_INSTANCES(T)                                                                                     \
  STYLERIG_CLONES void run_block(const Posed<T>& p, const Pose<T>& pose, int64_t begin, int64_t end) {            \
    pose_block<T>(p, pose, begin, end);                                                                           \
  }                                                                                                               \
  STYLERIG_CLONES void run_block_bwd(const PosedGradients<T>& p, const Pose<T>& pose, int64_t begin, int64_t end, \
                                     T* sums) {                                                                   \
    pose_block_bwd<T>(p, pose, begin, end, sums);                                                                 \
  }
STYLERIG_INSTANCES(float)
STYLERIG_INSTANCES(double)
#undef STYLERIG_INSTANCES

// A basis [K, V, 3] as a matrix [K, 3 V] of the coefficients' type.
Tensor as_matrix(const Tensor& basis, const Tensor& like) {
  const int64_t shape[2] = {basis.size(0), basis.size(1) * 3};
  const Tensor matrix = torch::stable::view(basis, {shape, 2});
  return basis.scalar_type() == like.scalar_type() ? matrix : torch::stable::to(matrix, like.scalar_type());
}

Tensor combine(const Tensor& coefficients, const Tensor& basis) {  // [B, K], [K, V, 3] -> [B, 3 V]
  return torch::stable::matmul(coefficients, as_matrix(basis, coefficients));
}

Tensor project_on(const Tensor& gradient, const Tensor& basis) {  // [B, V, 3], [K, V, 3] -> [B, K]
  const int64_t shape[2] = {gradient.size(0), gradient.size(1) * 3};
  const Tensor matrix = as_matrix(basis, gradient);
  return torch::stable::matmul(torch::stable::view(gradient, {shape, 2}), torch::stable::transpose(matrix, 0, 1));
}

void check_landmarks(const int64_t* landmarks, int64_t count, int64_t vertices) {
  for (int64_t i = 0; i < count; ++i) {
    STD_TORCH_CHECK(landmarks[i] >= 0 && landmarks[i] < vertices, "morphable: landmark ", i, " is vertex ",
                    landmarks[i], ", but there are ", vertices, " vertices");
  }
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
  check(op, "identity_basis", identity_basis, {identity.size(1), count, 3});
  check(op, "expression_basis", expression_basis, {expression.size(1), count, 3});
  check(op, "albedo_basis", albedo_basis, {albedo.size(1), count, 3});
  check(op, "rotation", rotation, {batch, 3});
  check(op, "translation", translation, {batch, 3});
  const int64_t* index = landmark_vertices.const_data_ptr<int64_t>();
  check_landmarks(index, marks, count);
  const Tensor identity_part = combine(identity, identity_basis);
  const Tensor expression_part = combine(expression, expression_basis);
  const int64_t shape[3] = {batch, count, 3};
  Tensor colours = torch::stable::view(combine(albedo, albedo_basis), {shape, 3});
  check(op, "coefficients", identity_part, {batch, 3 * count});
  check(op, "coefficients", expression_part, {batch, 3 * count});
  Tensor vertices = empty({batch, count, 3}, mean), landmarks = empty({batch, marks, 2}, mean);
  Tensor screen = empty({with_screen ? batch : 0, count, 2}, mean);
  dispatch_float(op, mean, [&](auto type) {
    using T = decltype(type);
    const T *base = mean.const_data_ptr<T>(), *colour_base = albedo_mean.const_data_ptr<T>();
    const T *first = identity_part.const_data_ptr<T>(), *second = expression_part.const_data_ptr<T>();
    const T *turns = rotation.const_data_ptr<T>(), *shifts = translation.const_data_ptr<T>();
    T *points = vertices.mutable_data_ptr<T>(), *shades = colours.mutable_data_ptr<T>();
    T* projected = with_screen ? screen.mutable_data_ptr<T>() : nullptr;
    const int64_t blocks = (count + kBlock - 1) / kBlock;
    parallel(batch * blocks, 1, [&](int64_t begin, int64_t end) {
      for (int64_t task = begin; task < end; ++task) {
        const int64_t b = task / blocks, v0 = task % blocks * kBlock, v1 = smaller(v0 + kBlock, count);
        const Pose<T> pose(turns + 3 * b, shifts + 3 * b);
        const int64_t at = 3 * b * count;
        const Posed<T> posed = {base,
                                first + at,
                                second + at,
                                points + at,
                                projected == nullptr ? nullptr : projected + 2 * b * count,
                                static_cast<T>(focal)};
        run_block(posed, pose, v0, v1);
        for (int64_t i = 3 * v0; i < 3 * v1; ++i) shades[at + i] += colour_base[i];
      }
    });
    T* marked = landmarks.mutable_data_ptr<T>();
    for (int64_t i = 0; i < batch * marks; ++i) {
      const int64_t v = i / marks * count + index[i % marks];
      project_point(load3(points + 3 * v), static_cast<T>(focal), marked + 2 * i);
    }
  });
  return {vertices, colours, landmarks, screen};
}

template <typename T>
const T* data_or_null(const std::optional<Tensor>& tensor) {
  return tensor.has_value() ? tensor->const_data_ptr<T>() : nullptr;
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
  const int64_t* index = landmark_vertices.const_data_ptr<int64_t>();
  check_landmarks(index, marks, count);
  Tensor v_shape = empty({batch, count, 3}, vertices);
  Tensor v_rotation = empty({batch, 3}, vertices), v_translation = empty({batch, 3}, vertices);
  dispatch_float(op, vertices, [&](auto type) {
    using T = decltype(type);
    const T* points = vertices.const_data_ptr<T>();
    const T *turns = rotation.const_data_ptr<T>(), *shifts = translation.const_data_ptr<T>();
    const T *from_vertices = data_or_null<T>(v_vertices), *from_marks = data_or_null<T>(v_landmarks);
    const T* from_screen = data_or_null<T>(v_screen);
    T *shape = v_shape.mutable_data_ptr<T>(), *turn = v_rotation.mutable_data_ptr<T>();
    T* shift = v_translation.mutable_data_ptr<T>();
    parallel(batch, 1, [&](int64_t begin, int64_t end) {
      for (int64_t b = begin; b < end; ++b) {
        for (int64_t i = 3 * b * count; i < 3 * (b + 1) * count; ++i) shape[i] = 0;
        for (int64_t i = b * marks; from_marks != nullptr && i < (b + 1) * marks; ++i) {
          const int64_t v = 3 * (b * count + index[i % marks]);
          const Vec3<T> g =
              project_point_bwd(load3(points + v), static_cast<T>(focal), from_marks[2 * i], from_marks[2 * i + 1]);
          store3(shape + v, load3(shape + v) + g);
        }
      }
    });
    const int64_t blocks = (count + kBlock - 1) / kBlock;
    const std::unique_ptr<T[]> sums(new T[12 * batch * blocks]);
    parallel(batch * blocks, 1, [&](int64_t begin, int64_t end) {
      for (int64_t task = begin; task < end; ++task) {
        const int64_t b = task / blocks, v0 = task % blocks * kBlock, v1 = smaller(v0 + kBlock, count);
        const Pose<T> pose(turns + 3 * b, shifts + 3 * b);
        const PosedGradients<T> posed = {points + 3 * b * count,
                                         from_vertices == nullptr ? nullptr : from_vertices + 3 * b * count,
                                         from_screen == nullptr ? nullptr : from_screen + 2 * b * count,
                                         shape + 3 * b * count, static_cast<T>(focal)};
        run_block_bwd(posed, pose, v0, v1, sums.get() + 12 * task);
      }
    });
    for (int64_t b = 0; b < batch; ++b) {
      double total[12] = {}, v_matrix[9], v_turn[3];
      for (int64_t i = 0; i < 12 * blocks; ++i) total[i % 12] += static_cast<double>(sums[12 * b * blocks + i]);
      const Rodrigues exact(turns + 3 * b);
      // x - t = R p, so that sum g p^T = (sum g (x - t)^T) R.
      for (int i = 0; i < 9; ++i) {
        const double* row = total + 3 + i / 3 * 3;
        v_matrix[i] =
            row[0] * exact.matrix[i % 3] + row[1] * exact.matrix[3 + i % 3] + row[2] * exact.matrix[6 + i % 3];
      }
      exact.backward(v_matrix, v_turn);
      for (int i = 0; i < 3; ++i) {
        turn[3 * b + i] = static_cast<T>(v_turn[i]);
        shift[3 * b + i] = static_cast<T>(total[i]);
      }
    }
  });
  Tensor v_colours = empty({batch, albedo_basis.size(0)}, vertices);
  if (v_albedo) {
    v_colours = project_on(*v_albedo, albedo_basis);
  } else {
    torch::stable::zero_(v_colours);
  }
  return {project_on(v_shape, identity_basis), v_colours, project_on(v_shape, expression_basis), v_rotation,
          v_translation};
}

}  // namespace
}  // namespace stylerig

STABLE_TORCH_LIBRARY_IMPL(stylerig, CPU, m) {
  m.impl("morphable_fwd", TORCH_BOX(&stylerig::forward));
  m.impl("morphable_bwd", TORCH_BOX(&stylerig::backward));
}
