// vertex_normals: one triangle, one vertex. Spec: stylerig_fast/ops/reference/vertex_normals.py.
#pragma once

#include "common/vec3.h"

namespace stylerig {

// Sums shorter than this have no direction: the normal and its gradient are 0.
constexpr double kDegenerateArea = 1e-12;

// The corners of triangle t.
struct Triangle {
  int32_t i[3];
  STYLERIG_HD Triangle(const int32_t* STYLERIG_RESTRICT triangles,  // [T, 3]
                       int64_t t)
      : i{triangles[3 * t], triangles[3 * t + 1], triangles[3 * t + 2]} {}
};

// Twice the area of a triangle, along its normal.
template <typename T>
STYLERIG_HD Vec3<T> area_vector(const T* STYLERIG_RESTRICT vertices,  // [V, 3]
                                const Triangle& t) {
  const Vec3<T> p0 = load3(vertices + 3 * static_cast<int64_t>(t.i[0]));
  const Vec3<T> p1 = load3(vertices + 3 * static_cast<int64_t>(t.i[1]));
  const Vec3<T> p2 = load3(vertices + 3 * static_cast<int64_t>(t.i[2]));
  return cross(p1 - p0, p2 - p0);
}

// The unit vector along a sum of areas, and the inverse of its length (both 0 for a degenerate one).
template <typename T>
STYLERIG_HD Vec3<T> unit_normal(Vec3<T> sum, T& inverse) {
  const T squared = dot(sum, sum), shortest = static_cast<T>(kDegenerateArea);
  inverse = squared > shortest * shortest ? T(1) / std::sqrt(squared) : T(0);
  return inverse * sum;
}

// Gradient of the triangle's area vector with respect to corner k, applied to v_area.
template <typename T>
STYLERIG_HD Vec3<T> area_vector_bwd(const T* STYLERIG_RESTRICT vertices,  // [V, 3]
                                    const Triangle& t, int k, Vec3<T> v_area) {
  // Selected rather than indexed: a dynamic index would push the triangle out of the registers.
  const int64_t next = k == 0 ? t.i[1] : k == 1 ? t.i[2] : t.i[0];
  const int64_t previous = k == 0 ? t.i[2] : k == 1 ? t.i[0] : t.i[1];
  return cross(load3(vertices + 3 * next) - load3(vertices + 3 * previous), v_area);
}

}  // namespace stylerig
