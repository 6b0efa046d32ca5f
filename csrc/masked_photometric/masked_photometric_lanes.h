// Groups of pixels that the CPU kernel of masked_photometric shades together, one vector lane per pixel.
#pragma once

#include "common/cpu.h"
#include "masked_photometric/masked_photometric.h"

namespace stylerig {
namespace {

constexpr int kLanes = 16;
// A group of pixels, one per lane. Channels: 3 corners x (vertex, albedo, normal) x 3.
template <typename T>
struct alignas(64) Group {
  T in[27][kLanes];
  T ray_x[kLanes], ray_y[kLanes], target[3][kLanes];
  T active[kLanes];  // 1, or 0 in lanes that have no pixel
  T colour[3][kLanes], grad[27][kLanes];
  T loss[kLanes], v_gamma[27][kLanes];  // sums over all groups of a task
  T gamma[27], scale;                   // scale: gradient of the loss with respect to a squared difference
};

template <typename T>
STYLERIG_HD Vec3<T> lane3(const T (*channels)[kLanes], int lane) {
  return {channels[0][lane], channels[1][lane], channels[2][lane]};
}

template <typename T>
STYLERIG_HD void store_lane3(T (*channels)[kLanes], int lane, Vec3<T> value) {
  channels[0][lane] = value.x;
  channels[1][lane] = value.y;
  channels[2][lane] = value.z;
}

template <typename T, bool kWithGrad>
STYLERIG_HD void shade_lanes(Group<T>& g) {
#pragma GCC ivdep
  for (int lane = 0; lane < kLanes; ++lane) {
    PixelInputs<T> in;
    for (int k = 0; k < 3; ++k) {
      in.corners.x[k] = g.in[9 * k][lane];
      in.corners.y[k] = g.in[9 * k + 1][lane];
      in.corners.depth[k] = -g.in[9 * k + 2][lane];
      in.albedo[k] = lane3(&g.in[9 * k + 3], lane);
      in.normal[k] = lane3(&g.in[9 * k + 6], lane);
    }
    Shaded<T> s;
    const Vec3<T> colour = shade(in, g.ray_x[lane], g.ray_y[lane], g.gamma, s);
    store_lane3(g.colour, lane, colour);
    const Vec3<T> difference = g.active[lane] * (colour - lane3(g.target, lane));
    g.loss[lane] += dot(difference, difference);
    if (kWithGrad) {
      PixelGradients<T> v;
      shade_bwd(in, g.ray_x[lane], g.ray_y[lane], g.gamma, s, g.scale * difference, v);
      for (int k = 0; k < 3; ++k) {
        store_lane3(&g.grad[9 * k], lane, v.vertex[k]);
        store_lane3(&g.grad[9 * k + 3], lane, v.albedo[k]);
        store_lane3(&g.grad[9 * k + 6], lane, v.normal[k]);
      }
      for (int k = 0; k < 9; ++k) {
        g.v_gamma[3 * k][lane] += v.light.x * s.basis[k];
        g.v_gamma[3 * k + 1][lane] += v.light.y * s.basis[k];
        g.v_gamma[3 * k + 2][lane] += v.light.z * s.basis[k];
      }
    }
  }
}

#define STYLERIG_INSTANCES(T)                                                         \
  STYLERIG_CLONES void shade_group(Group<T>& group) { shade_lanes<T, false>(group); } \
  STYLERIG_CLONES void shade_group_grad(Group<T>& group) { shade_lanes<T, true>(group); }
STYLERIG_INSTANCES(float)
STYLERIG_INSTANCES(double)
#undef STYLERIG_INSTANCES

}  // namespace
}  // namespace stylerig
