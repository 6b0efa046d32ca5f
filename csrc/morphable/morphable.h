// morphable: pose and projection of one vertex, forward and backward.
// Spec: stylerig_fast/ops/reference/morphable.py and stylerig_fast/face/rotation.py.
#pragma once

#include "common/vec3.h"

namespace stylerig {

// Below this squared angle sin(a)/a and (1 - cos(a))/a^2 come from their series.
constexpr double kSeriesBelow = 1e-2;

// R = I + a K + b K^2 with K = [rotation]_x (Rodrigues), and the derivatives of a and b by the squared angle. A few
// numbers per picture: always in double, so that the closed forms do not cancel.
struct Rodrigues {
  double r[3], a, b, da, db, matrix[9];

  template <typename T>
  STYLERIG_HD explicit Rodrigues(const T* rotation) : r{double(rotation[0]), double(rotation[1]), double(rotation[2])} {
    const double s = r[0] * r[0] + r[1] * r[1] + r[2] * r[2];
    if (s < kSeriesBelow) {
      a = 1 - s / 6 * (1 - s / 20 * (1 - s / 42 * (1 - s / 72)));
      b = 0.5 - s / 24 * (1 - s / 30 * (1 - s / 56 * (1 - s / 90)));
      da = -1.0 / 6 + s / 60 * (1 - s / 28 * (1 - s / 54));
      db = -1.0 / 24 + s / 360 * (1 - s / 37.333333333333336 * (1 - s / 67.5));
    } else {
      const double angle = std::sqrt(s), half = std::sin(angle / 2), sine = std::sin(angle);
      a = sine / angle;
      b = 2 * half * half / s;
      da = (std::cos(angle) - a) / (2 * s);
      db = (a - 2 * b) / (2 * s);
    }
    const double x = r[0], y = r[1], z = r[2];
    matrix[0] = 1 - b * (y * y + z * z), matrix[1] = b * x * y - a * z, matrix[2] = b * x * z + a * y;
    matrix[3] = b * x * y + a * z, matrix[4] = 1 - b * (x * x + z * z), matrix[5] = b * y * z - a * x;
    matrix[6] = b * x * z - a * y, matrix[7] = b * y * z + a * x, matrix[8] = 1 - b * (x * x + y * y);
  }

  // Gradient with respect to the axis-angle vector, given v = gradient of the matrix (row by row).
  STYLERIG_HD void backward(const double* v, double* v_rotation) const {
    const double x = r[0], y = r[1], z = r[2];
    // By a: <K, v>; by b: <K^2, v> with K^2 = r r^T - |r|^2 I.
    const double v_a = x * (v[7] - v[5]) + y * (v[2] - v[6]) + z * (v[3] - v[1]);
    const double trace = v[0] + v[4] + v[8];
    double v_r[3];  // of r^T v r, halved below by symmetry
    v_r[0] = 2 * x * v[0] + y * (v[1] + v[3]) + z * (v[2] + v[6]);
    v_r[1] = x * (v[1] + v[3]) + 2 * y * v[4] + z * (v[5] + v[7]);
    v_r[2] = x * (v[2] + v[6]) + y * (v[5] + v[7]) + 2 * z * v[8];
    const double v_b = (x * v_r[0] + y * v_r[1] + z * v_r[2]) / 2 - (x * x + y * y + z * z) * trace;
    const double v_s = v_a * da + v_b * db;
    v_rotation[0] = a * (v[7] - v[5]) + b * (v_r[0] - 2 * x * trace) + 2 * x * v_s;
    v_rotation[1] = a * (v[2] - v[6]) + b * (v_r[1] - 2 * y * trace) + 2 * y * v_s;
    v_rotation[2] = a * (v[3] - v[1]) + b * (v_r[2] - 2 * z * trace) + 2 * z * v_s;
  }
};

// Rotation and translation of one picture in the precision of its vertices.
template <typename T>
struct Pose {
  T m[9], t[3];

  STYLERIG_HD Pose(const T* rotation, const T* translation) : t{translation[0], translation[1], translation[2]} {
    const Rodrigues exact(rotation);
    for (int i = 0; i < 9; ++i) m[i] = static_cast<T>(exact.matrix[i]);
  }
  STYLERIG_HD Vec3<T> apply(Vec3<T> p) const {
    return {m[0] * p.x + m[1] * p.y + m[2] * p.z + t[0], m[3] * p.x + m[4] * p.y + m[5] * p.z + t[1],
            m[6] * p.x + m[7] * p.y + m[8] * p.z + t[2]};
  }
  STYLERIG_HD Vec3<T> rotate_back(Vec3<T> p) const {
    return {m[0] * p.x + m[3] * p.y + m[6] * p.z, m[1] * p.x + m[4] * p.y + m[7] * p.z,
            m[2] * p.x + m[5] * p.y + m[8] * p.z};
  }
};

// Camera space to image widths from the top-left corner.
template <typename T>
STYLERIG_HD void project_point(Vec3<T> p, T focal, T* out) {
  const T scale = focal / -p.z;
  out[0] = p.x * scale + T(0.5);
  out[1] = T(0.5) - p.y * scale;
}

template <typename T>
STYLERIG_HD Vec3<T> project_point_bwd(Vec3<T> p, T focal, T v_x, T v_y) {
  const T scale = focal / -p.z;
  return {v_x * scale, -v_y * scale, (v_x * p.x - v_y * p.y) * scale / -p.z};
}

}  // namespace stylerig
