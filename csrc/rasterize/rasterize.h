// rasterize: the geometry of one triangle and one pixel, for the CPU and the CUDA kernel.
// Spec: stylerig_fast/ops/reference/rasterize.py and barycentrics.py: edge_functions.
#pragma once

#include "common/camera.h"
#include "common/host_device.h"

namespace stylerig {

// Bounding boxes are this much wider than the projected corners, in pixels: more than rounding can move them.
constexpr double kBoxMargin = 1.0 / 64;

template <typename T>
struct Corners {
  T x[3], y[3], depth[3];  // camera space; depth = -z

  STYLERIG_HD void load(const T* STYLERIG_RESTRICT vertices,  // [V, 3]
                        int32_t i0, int32_t i1, int32_t i2) {
    const int64_t index[3] = {i0, i1, i2};
    for (int k = 0; k < 3; ++k) {
      const T* v = vertices + 3 * index[k];
      x[k] = v[0];
      y[k] = v[1];
      depth[k] = -v[2];
    }
  }
};

template <typename T>
struct Edges {
  T e0, e1, e2, volume;
};

// The edge functions of a triangle at the ray (ray_x, ray_y, -1).
template <typename T>
STYLERIG_HD Edges<T> edge_functions(const Corners<T>& c, T ray_x, T ray_y) {
  T u[3], v[3];
  for (int k = 0; k < 3; ++k) {
    u[k] = minus_product(c.x[k], ray_x, c.depth[k]);
    v[k] = minus_product(c.y[k], ray_y, c.depth[k]);
  }
  Edges<T> e;
  e.e0 = difference_of_products(u[1], v[2], v[1], u[2]);
  e.e1 = difference_of_products(u[2], v[0], v[2], u[0]);
  e.e2 = difference_of_products(u[0], v[1], v[0], u[1]);
  e.volume = e.e0 + e.e1 + e.e2;
  return e;
}

// Depth where the ray meets the triangle, or a negative number where it does not meet it beyond `near`.
template <typename T>
STYLERIG_HD T hit_depth(const Corners<T>& c, const Edges<T>& e, T near) {
  const bool inside = ((e.e0 >= 0) & (e.e1 >= 0) & (e.e2 >= 0)) | ((e.e0 <= 0) & (e.e1 <= 0) & (e.e2 <= 0));
  const T depth = sum_of_products(e.e0, c.depth[0], e.e1, c.depth[1], e.e2, c.depth[2]) / e.volume;
  return (inside & (e.volume != 0) & (depth > near)) ? depth : T(-1);
}

struct Box {
  int x0, x1, y0, y1;  // first and last column, first and last row; empty if x1 < x0 or y1 < y0
};

// The pixels first, first + stride, ... of a box, row by row, without a division per pixel.
class BoxWalk {
 public:
  int row, column;

  STYLERIG_HD BoxWalk(const Box& box, int first, int stride)
      : row(box.y0 + first / (box.x1 - box.x0 + 1)),
        column(box.x0 + first % (box.x1 - box.x0 + 1)),
        box_(box),
        columns_(box.x1 - box.x0 + 1),
        rows_on_(stride / columns_),
        columns_on_(stride % columns_) {}
  STYLERIG_HD bool inside() const { return row <= box_.y1; }
  STYLERIG_HD void next() {
    row += rows_on_;
    column += columns_on_;
    if (column > box_.x1) {
      column -= columns_;
      ++row;
    }
  }

 private:
  Box box_;
  int columns_, rows_on_, columns_on_;
};

// Whole pixels in [low, high], clamped to [0, size). NaN gives an empty range.
template <typename T>
STYLERIG_HD void pixel_range(T low, T high, int size, int& first, int& last) {
  const T margin = static_cast<T>(kBoxMargin), end = static_cast<T>(size - 1);
  const T a = larger(std::ceil(low - margin), T(0));
  const T b = smaller(std::floor(high + margin), end);
  const bool any = (a <= b) & (a <= end) & (b >= 0);
  first = any ? static_cast<int>(a) : 0;
  last = any ? static_cast<int>(b) : -1;
}

// The box of a triangle of which at least one corner is not beyond the near plane: that of the part beyond it.
template <typename T>
STYLERIG_HD Box clipped_box(const Corners<T>& c, const Camera<T>& camera, T near) {
  T low_x = INFINITY, high_x = -INFINITY, low_y = INFINITY, high_y = -INFINITY, reach = 0;
  for (int k = 0; k < 3; ++k) {
    const int n = k == 2 ? 0 : k + 1;
    if (!std::isfinite(c.x[k]) || !std::isfinite(c.y[k]) || !std::isfinite(c.depth[k])) return {0, -1, 0, -1};
    reach = larger(reach, larger(std::abs(c.x[k]), larger(std::abs(c.y[k]), std::abs(c.depth[k]))));
    if (c.depth[k] > near) {
      const T column = camera.column(c.x[k], c.depth[k]), row = camera.row(c.y[k], c.depth[k]);
      low_x = smaller(low_x, column), high_x = larger(high_x, column);
      low_y = smaller(low_y, row), high_y = larger(high_y, row);
    }
    if ((c.depth[k] > near) != (c.depth[n] > near)) {
      const T along = (near - c.depth[k]) / (c.depth[n] - c.depth[k]);
      const T column = camera.column(c.x[k] + along * (c.x[n] - c.x[k]), near);
      const T row = camera.row(c.y[k] + along * (c.y[n] - c.y[k]), near);
      low_x = smaller(low_x, column), high_x = larger(high_x, column);
      low_y = smaller(low_y, row), high_y = larger(high_y, row);
    }
  }
  // Next to the near plane a pixel is a tiny distance: widen by what rounding may do to the points on it.
  const T epsilon = sizeof(T) == 4 ? T(1.2e-7) : T(2.3e-16);
  const T slack = 1 + 16 * epsilon * reach * camera.focal * static_cast<T>(camera.width) / near;
  Box box;
  pixel_range(low_x - slack, high_x + slack, camera.width, box.x0, box.x1);
  pixel_range(low_y - slack, high_y + slack, camera.height, box.y0, box.y1);
  return box;
}

}  // namespace stylerig
