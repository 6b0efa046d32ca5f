// vertex_normals on the CPU: one value per triangle, then every vertex gathers those of its corners. The order of the
// sums does not depend on the number of threads.
#include "vertex_normals/vertex_normals.h"

#include <memory>
#include <tuple>

#include "common/cpu.h"

namespace stylerig {
namespace {

template <typename T>
struct Mesh {
  const int32_t* triangles;  // [T, 3]
  const int32_t* offsets;    // [V + 1]
  const int32_t* corners;    // [3 T]
  int64_t num_triangles, num_vertices;
};

// scratch[t] = area vector of triangle t.
template <typename T>
STYLERIG_HD void areas(const Mesh<T>& mesh, const T* STYLERIG_RESTRICT vertices,  // [V, 3]
                       int64_t begin, int64_t end, T* STYLERIG_RESTRICT scratch) {
  for (int64_t t = begin; t < end; ++t) store3(scratch + 3 * t, area_vector(vertices, Triangle(mesh.triangles, t)));
}

template <typename T>
STYLERIG_HD void gather_normals(const Mesh<T>& mesh, const T* STYLERIG_RESTRICT scratch,  // [T, 3] areas
                                int64_t begin, int64_t end,
                                T* STYLERIG_RESTRICT normals,     // [V, 3]
                                T* STYLERIG_RESTRICT inverses) {  // [V]
  for (int64_t v = begin; v < end; ++v) {
    Vec3<T> sum = {0, 0, 0};
    for (int32_t c = mesh.offsets[v]; c < mesh.offsets[v + 1]; ++c) {
      sum = sum + load3(scratch + 3 * static_cast<int64_t>(static_cast<uint32_t>(mesh.corners[c]) / 3));
    }
    store3(normals + 3 * v, unit_normal(sum, inverses[v]));
  }
}

// v_sums[v] = gradient of the loss with respect to the sum of areas at vertex v.
template <typename T>
STYLERIG_HD void sum_gradients(const T* STYLERIG_RESTRICT normals,    // [V, 3]
                               const T* STYLERIG_RESTRICT inverses,   // [V]
                               const T* STYLERIG_RESTRICT v_normals,  // [V, 3]
                               int64_t begin, int64_t end, T* STYLERIG_RESTRICT v_sums) {
  for (int64_t v = begin; v < end; ++v) {
    store3(v_sums + 3 * v, normalize_bwd(load3(normals + 3 * v), inverses[v], load3(v_normals + 3 * v)));
  }
}

// scratch[3 t + k] = gradient of the loss with respect to corner k of triangle t.
template <typename T>
STYLERIG_HD void corner_gradients(const Mesh<T>& mesh, const T* STYLERIG_RESTRICT vertices,  // [V, 3]
                                  const T* STYLERIG_RESTRICT v_sums,                         // [V, 3]
                                  int64_t begin, int64_t end, T* STYLERIG_RESTRICT scratch) {
  for (int64_t t = begin; t < end; ++t) {
    const Triangle triangle(mesh.triangles, t);
    Vec3<T> p[3], v_area = {0, 0, 0};
    for (int k = 0; k < 3; ++k) {
      p[k] = load3(vertices + 3 * static_cast<int64_t>(triangle.i[k]));
      v_area = v_area + load3(v_sums + 3 * static_cast<int64_t>(triangle.i[k]));
    }
    store3(scratch + 9 * t, cross(p[1] - p[2], v_area));
    store3(scratch + 9 * t + 3, cross(p[2] - p[0], v_area));
    store3(scratch + 9 * t + 6, cross(p[0] - p[1], v_area));
  }
}

template <typename T>
STYLERIG_HD void gather_gradients(const Mesh<T>& mesh, const T* STYLERIG_RESTRICT scratch,        // [3 T, 3]
                                  int64_t begin, int64_t end, T* STYLERIG_RESTRICT v_vertices) {  // [V, 3]
  for (int64_t v = begin; v < end; ++v) {
    Vec3<T> sum = {0, 0, 0};
    for (int32_t c = mesh.offsets[v]; c < mesh.offsets[v + 1]; ++c) {
      sum = sum + load3(scratch + 3 * static_cast<int64_t>(mesh.corners[c]));
    }
    store3(v_vertices + 3 * v, sum);
  }
}

// Runs for every picture b: `before(b, begin, end)` over vertices, `per_triangle(b, begin, end, scratch)` and
// `per_vertex(b, begin, end, scratch)`, each after the other. Whole pictures per thread if there are enough of them,
// else threads share one. `values`: numbers per triangle in the scratch memory.
template <typename T, typename Before, typename PerTriangle, typename PerVertex>
void run_phases(int64_t batch, const Mesh<T>& mesh, int64_t values, const Before& before,
                const PerTriangle& per_triangle, const PerVertex& per_vertex) {
  const auto new_scratch = [&] { return std::unique_ptr<T[]>(new T[values * mesh.num_triangles]); };
  if (batch >= threads()) {
    parallel(batch, 1, [&](int64_t begin, int64_t end) {
      const auto scratch = new_scratch();
      for (int64_t b = begin; b < end; ++b) {
        before(b, 0, mesh.num_vertices);
        per_triangle(b, 0, mesh.num_triangles, scratch.get());
        per_vertex(b, 0, mesh.num_vertices, scratch.get());
      }
    });
    return;
  }
  const auto scratch = new_scratch();
  for (int64_t b = 0; b < batch; ++b) {
    parallel(mesh.num_vertices, 2048, [&](int64_t begin, int64_t end) { before(b, begin, end); });
    parallel(mesh.num_triangles, 2048, [&](int64_t begin, int64_t end) { per_triangle(b, begin, end, scratch.get()); });
    parallel(mesh.num_vertices, 1024, [&](int64_t begin, int64_t end) { per_vertex(b, begin, end, scratch.get()); });
  }
}

template <typename T>
Mesh<T> checked_mesh(const char* op, const Tensor& triangles, const Tensor& offsets, const Tensor& corners,
                     int64_t num_vertices) {
  const int64_t num_triangles = triangles.size(0);
  check(op, "triangles", triangles, {num_triangles, 3});
  check(op, "offsets", offsets, {num_vertices + 1});
  check(op, "corners", corners, {3 * num_triangles});
  check_triangles(op, triangles, num_vertices);
  const Mesh<T> mesh = {triangles.const_data_ptr<int32_t>(), offsets.const_data_ptr<int32_t>(),
                        corners.const_data_ptr<int32_t>(), num_triangles, num_vertices};
  bool sound = mesh.offsets[0] >= 0 && mesh.offsets[num_vertices] <= 3 * num_triangles;
  for (int64_t v = 0; v < num_vertices; ++v) sound &= mesh.offsets[v] <= mesh.offsets[v + 1];
  for (int64_t c = 0; c < 3 * num_triangles; ++c) sound &= static_cast<uint32_t>(mesh.corners[c]) < 3 * num_triangles;
  STD_TORCH_CHECK(sound, op, ": the adjacency is not one of these triangles");
  return mesh;
}

std::tuple<Tensor, Tensor> forward(const Tensor& vertices, const Tensor& triangles, const Tensor& offsets,
                                   const Tensor& corners) {
  const int64_t batch = vertices.size(0), count = vertices.size(1);
  check("vertex_normals", "vertices", vertices, {batch, count, 3});
  Tensor normals = empty({batch, count, 3}, vertices), inverses = empty({batch, count}, vertices);
  dispatch_float("vertex_normals", vertices, [&](auto type) {
    using T = decltype(type);
    const Mesh<T> mesh = checked_mesh<T>("vertex_normals", triangles, offsets, corners, count);
    const T* points = vertices.const_data_ptr<T>();
    T *out = normals.mutable_data_ptr<T>(), *out_inverses = inverses.mutable_data_ptr<T>();
    run_phases(
        batch, mesh, 3, [](int64_t, int64_t, int64_t) {},
        [&](int64_t b, int64_t begin, int64_t end, T* scratch) {
          areas(mesh, points + 3 * b * count, begin, end, scratch);
        },
        [&](int64_t b, int64_t begin, int64_t end, T* scratch) {
          gather_normals(mesh, scratch, begin, end, out + 3 * b * count, out_inverses + b * count);
        });
  });
  return {normals, inverses};
}

Tensor backward(const Tensor& v_normals, const Tensor& vertices, const Tensor& triangles, const Tensor& offsets,
                const Tensor& corners, const Tensor& normals, const Tensor& inverses) {
  const int64_t batch = vertices.size(0), count = vertices.size(1);
  check("vertex_normals", "vertices", vertices, {batch, count, 3});
  check("vertex_normals", "v_normals", v_normals, {batch, count, 3});
  check("vertex_normals", "normals", normals, {batch, count, 3});
  check("vertex_normals", "inverses", inverses, {batch, count});
  Tensor v_vertices = empty({batch, count, 3}, vertices);
  dispatch_float("vertex_normals", vertices, [&](auto type) {
    using T = decltype(type);
    const Mesh<T> mesh = checked_mesh<T>("vertex_normals", triangles, offsets, corners, count);
    const T *points = vertices.const_data_ptr<T>(), *units = normals.const_data_ptr<T>();
    const T *lengths = inverses.const_data_ptr<T>(), *v_units = v_normals.const_data_ptr<T>();
    T* out = v_vertices.mutable_data_ptr<T>();
    run_phases(
        batch, mesh, 9,
        [&](int64_t b, int64_t begin, int64_t end) {  // v_sums lie where the result will
          sum_gradients(units + 3 * b * count, lengths + b * count, v_units + 3 * b * count, begin, end,
                        out + 3 * b * count);
        },
        [&](int64_t b, int64_t begin, int64_t end, T* scratch) {
          corner_gradients(mesh, points + 3 * b * count, out + 3 * b * count, begin, end, scratch);
        },
        [&](int64_t b, int64_t begin, int64_t end, T* scratch) {
          gather_gradients(mesh, scratch, begin, end, out + 3 * b * count);
        });
  });
  return v_vertices;
}

}  // namespace
}  // namespace stylerig

STABLE_TORCH_LIBRARY_IMPL(stylerig, CPU, m) {
  m.impl("vertex_normals_fwd", TORCH_BOX(&stylerig::forward));
  m.impl("vertex_normals_bwd", TORCH_BOX(&stylerig::backward));
}
