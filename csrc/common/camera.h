// The pinhole camera: pixel centres to rays, points to pixels. Spec: ops/reference/barycentrics.py: pixel_rays.
#pragma once

#include "common/host_device.h"

namespace stylerig {

template <typename T>
struct Camera {
  T focal;  // image widths
  int height, width;
  T half_height;  // 0.5 * height / width: the optical axis meets the middle of the picture

  STYLERIG_HD Camera(double focal_, int64_t height_, int64_t width_)
      : focal(static_cast<T>(focal_)),
        height(static_cast<int>(height_)),
        width(static_cast<int>(width_)),
        half_height(static_cast<T>(0.5 * static_cast<double>(height_) / static_cast<double>(width_))) {}

  // The ray of pixel (row, column) is (ray_x, ray_y, -1).
  STYLERIG_HD T ray_x(int column) const {
    return ((static_cast<T>(column) + T(0.5)) / static_cast<T>(width) - T(0.5)) / focal;
  }
  STYLERIG_HD T ray_y(int row) const {
    return (half_height - (static_cast<T>(row) + T(0.5)) / static_cast<T>(width)) / focal;
  }
  // Where a point with this depth > 0 falls, in pixels, less the half pixel to the first centre.
  STYLERIG_HD T column(T x, T depth) const { return (x * focal / depth + T(0.5)) * static_cast<T>(width) - T(0.5); }
  STYLERIG_HD T row(T y, T depth) const { return (half_height - y * focal / depth) * static_cast<T>(width) - T(0.5); }
};

}  // namespace stylerig
