// rasterize on the CPU: per picture (or band of rows), triangles in order, each over the pixels of its bounding box.
#include "rasterize/rasterize.h"

#include <memory>
#include <tuple>
#include <vector>

#include "common/cpu.h"

namespace stylerig {
namespace {

constexpr int kLanes = 8;        // pixels of a row that are looked at together
constexpr int kTriangles = 128;  // triangles whose boxes are found together
constexpr int kOdd = -2;

// What all bands of a picture share.
template <typename T>
struct Picture {
  const T* vertices;         // [V, 3]
  const T* columns;          // [V] where the vertex falls, in pixels; NaN unless it is beyond the near plane
  const T* rows;             // [V]
  const int32_t* triangles;  // [T, 3]
  int64_t num_triangles;
  const T* ray_x;  // [W + kLanes]
  const T* ray_y;  // [H]
  Camera<T> camera;
  T near;
  int32_t* ids;  // [H, W]
  T* depths;     // [H, W]
};

template <typename T>
STYLERIG_HD void project(const T* STYLERIG_RESTRICT vertices,  // [V, 3]
                         int64_t begin, int64_t end, Camera<T> camera, T near, T* STYLERIG_RESTRICT columns,
                         T* STYLERIG_RESTRICT rows) {
  for (int64_t v = begin; v < end; ++v) {
    const T depth = -vertices[3 * v + 2];
    const T valid = depth > near ? T(0) : T(NAN);
    columns[v] = camera.column(vertices[3 * v], depth) + valid;
    rows[v] = camera.row(vertices[3 * v + 1], depth) + valid;
  }
}

// Depths at kLanes neighbouring pixels of a row, negative where the triangle is not hit: one vector operation each.
template <typename T>
STYLERIG_HD void hit_row(const Corners<T>& corners, const T* STYLERIG_RESTRICT ray_x, T ray_y, T near,
                         T* STYLERIG_RESTRICT depths) {
  const Corners<T> c = corners;
  for (int lane = 0; lane < kLanes; ++lane) {
    depths[lane] = hit_depth(c, edge_functions(c, ray_x[lane], ray_y), near);
  }
}

template <typename T>
STYLERIG_HD void fill(const Corners<T>& c, const Box& box, const Picture<T>& p, int32_t id) {
  alignas(64) T found[kLanes];
  for (int row = box.y0; row <= box.y1; ++row) {
    T* depths = p.depths + static_cast<int64_t>(row) * p.camera.width;
    int32_t* ids = p.ids + static_cast<int64_t>(row) * p.camera.width;
    for (int first = box.x0; first <= box.x1; first += kLanes) {
      hit_row(c, p.ray_x + first, p.ray_y[row], p.near, found);
      const int count = smaller(kLanes, box.x1 - first + 1);
#pragma GCC novector
      for (int lane = 0; lane < count; ++lane) {
        if (found[lane] > 0 && found[lane] < depths[first + lane]) {
          depths[first + lane] = found[lane];
          ids[first + lane] = id;
        }
      }
    }
  }
}

// The bounding boxes of up to kTriangles triangles. Those that need a closer look (a corner that is not beyond the near
// plane, or not a number) get x1 = kOdd.
template <typename T>
STYLERIG_HD void find_boxes(const Picture<T>& p, int64_t first, int count, Box* STYLERIG_RESTRICT boxes) {
  const T *STYLERIG_RESTRICT columns = p.columns, *STYLERIG_RESTRICT rows = p.rows;
  const int32_t* STYLERIG_RESTRICT triangles = p.triangles + 3 * first;
  const int width = p.camera.width, height = p.camera.height;
  for (int t = 0; t < count; ++t) {
    const int32_t i0 = triangles[3 * t], i1 = triangles[3 * t + 1], i2 = triangles[3 * t + 2];
    const T x0 = columns[i0], x1 = columns[i1], x2 = columns[i2];
    const T y0 = rows[i0], y1 = rows[i1], y2 = rows[i2];
    const T all = x0 + x1 + x2 + y0 + y1 + y2;
    Box box;
    pixel_range(smaller(x0, smaller(x1, x2)), larger(x0, larger(x1, x2)), width, box.x0, box.x1);
    pixel_range(smaller(y0, smaller(y1, y2)), larger(y0, larger(y1, y2)), height, box.y0, box.y1);
    box.x1 = all == all ? box.x1 : kOdd;
    boxes[t] = box;
  }
}

template <typename T>
STYLERIG_HD void draw(const Picture<T>& p, int first_row, int last_row) {
  const int width = p.camera.width;
  for (int64_t i = static_cast<int64_t>(first_row) * width; i < static_cast<int64_t>(last_row + 1) * width; ++i) {
    p.depths[i] = INFINITY;
    p.ids[i] = -1;
  }
  Corners<T> c;
  Box boxes[kTriangles];
  for (int64_t first = 0; first < p.num_triangles; first += kTriangles) {
    const int count = static_cast<int>(smaller<int64_t>(kTriangles, p.num_triangles - first));
    find_boxes(p, first, count, boxes);
    for (int t = 0; t < count; ++t) {
      Box box = boxes[t];
      const bool odd = box.x1 == kOdd;
      if (!odd && ((box.x1 < box.x0) | (box.y1 < box.y0) | (box.y1 < first_row) | (box.y0 > last_row))) continue;
      const int32_t* index = p.triangles + 3 * (first + t);
      c.load(p.vertices, index[0], index[1], index[2]);
      if (odd) box = clipped_box(c, p.camera, p.near);
      box.y0 = larger(box.y0, first_row);
      box.y1 = smaller(box.y1, last_row);
      fill(c, box, p, static_cast<int32_t>(first + t));
    }
  }
  for (int64_t i = static_cast<int64_t>(first_row) * width; i < static_cast<int64_t>(last_row + 1) * width; ++i) {
    p.depths[i] = p.ids[i] < 0 ? T(0) : p.depths[i];
  }
}

#define STYLERIG_INSTANCES(T)                                                                                       \
  STYLERIG_CLONES void project_band(const T* vertices, int64_t begin, int64_t end, const Camera<T>& camera, T near, \
                                    T* columns, T* rows) {                                                          \
    project<T>(vertices, begin, end, camera, near, columns, rows);                                                  \
  }                                                                                                                 \
  STYLERIG_CLONES void draw_band(const Picture<T>& picture, int first_row, int last_row) {                          \
    draw<T>(picture, first_row, last_row);                                                                          \
  }
STYLERIG_INSTANCES(float)
STYLERIG_INSTANCES(double)
#undef STYLERIG_INSTANCES

template <typename T>
void rasterize_batch(const T* vertices,         // [B, V, 3]
                     const int32_t* triangles,  // [T, 3]
                     int64_t batch, int64_t num_vertices, int64_t num_triangles, double focal, int64_t height,
                     int64_t width, double near, int32_t* ids, T* depths) {
  const Camera<T> camera(focal, height, width);
  std::vector<T> ray_x(width + kLanes), ray_y(height);
  for (int64_t i = 0; i < width; ++i) ray_x[i] = camera.ray_x(static_cast<int>(i));
  for (int64_t i = 0; i < height; ++i) ray_y[i] = camera.ray_y(static_cast<int>(i));
  const int64_t count = batch * num_vertices;
  const std::unique_ptr<T[]> positions(new T[2 * count]);
  T *columns = positions.get(), *rows = positions.get() + count;
  parallel(count, 1 << 14, [&](int64_t begin, int64_t end) {
    project_band(vertices, begin, end, camera, static_cast<T>(near), columns, rows);
  });
  // Few pictures are cut into bands of rows, so that every core has some.
  const int64_t bands = larger<int64_t>(1, smaller(height / 8, (2 * threads() + batch - 1) / batch));
  parallel(batch * bands, 1, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t b = task / bands, band = task % bands;
      const Picture<T> picture = {vertices + 3 * b * num_vertices,
                                  columns + b * num_vertices,
                                  rows + b * num_vertices,
                                  triangles,
                                  num_triangles,
                                  ray_x.data(),
                                  ray_y.data(),
                                  camera,
                                  static_cast<T>(near),
                                  ids + b * height * width,
                                  depths + b * height * width};
      draw_band(picture, static_cast<int>(band * height / bands), static_cast<int>((band + 1) * height / bands) - 1);
    }
  });
}

std::tuple<Tensor, Tensor> rasterize(const Tensor& vertices, const Tensor& triangles, double focal, int64_t height,
                                     int64_t width, double near) {
  const int64_t batch = vertices.size(0), num_vertices = vertices.size(1), num_triangles = triangles.size(0);
  check("rasterize", "vertices", vertices, {batch, num_vertices, 3});
  check("rasterize", "triangles", triangles, {num_triangles, 3});
  check_triangles("rasterize", triangles, num_vertices);
  Tensor ids = empty({batch, height, width}, ScalarType::Int, vertices);
  Tensor depths = empty({batch, height, width}, vertices);
  if (ids.numel() > 0) {
    dispatch_float("rasterize", vertices, [&](auto type) {
      using T = decltype(type);
      rasterize_batch<T>(vertices.const_data_ptr<T>(), triangles.const_data_ptr<int32_t>(), batch, num_vertices,
                         num_triangles, focal, height, width, near, ids.mutable_data_ptr<int32_t>(),
                         depths.mutable_data_ptr<T>());
    });
  }
  return {ids, depths};
}

}  // namespace
}  // namespace stylerig

STABLE_TORCH_LIBRARY_IMPL(stylerig, CPU, m) { m.impl("rasterize", TORCH_BOX(&stylerig::rasterize)); }
