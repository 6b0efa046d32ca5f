// Three-vectors, for the CPU and the CUDA kernels.
#pragma once

#include "common/host_device.h"

namespace stylerig {

template <typename T>
struct Vec3 {
  T x, y, z;
};

template <typename T>
STYLERIG_HD Vec3<T> load3(const T* p) {
  return {p[0], p[1], p[2]};
}

template <typename T>
STYLERIG_HD void store3(T* p, Vec3<T> v) {
  p[0] = v.x;
  p[1] = v.y;
  p[2] = v.z;
}

template <typename T>
STYLERIG_HD Vec3<T> operator+(Vec3<T> a, Vec3<T> b) {
  return {a.x + b.x, a.y + b.y, a.z + b.z};
}

template <typename T>
STYLERIG_HD Vec3<T> operator-(Vec3<T> a, Vec3<T> b) {
  return {a.x - b.x, a.y - b.y, a.z - b.z};
}

template <typename T>
STYLERIG_HD Vec3<T> operator*(T s, Vec3<T> a) {
  return {s * a.x, s * a.y, s * a.z};
}

template <typename T>
STYLERIG_HD T dot(Vec3<T> a, Vec3<T> b) {
  return a.x * b.x + a.y * b.y + a.z * b.z;
}

template <typename T>
STYLERIG_HD Vec3<T> cross(Vec3<T> a, Vec3<T> b) {
  return {a.y * b.z - a.z * b.y, a.z * b.x - a.x * b.z, a.x * b.y - a.y * b.x};
}

// Gradient of a / |a| given the unit vector and 1 / |a|; a vector without direction has inverse 0 and no gradient.
template <typename T>
STYLERIG_HD Vec3<T> normalize_bwd(Vec3<T> unit, T inverse, Vec3<T> v_unit) {
  return inverse * (v_unit - dot(unit, v_unit) * unit);
}

}  // namespace stylerig
