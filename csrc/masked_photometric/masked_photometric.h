// masked_photometric: the arithmetic of one pixel, forward and backward.
// Spec: stylerig_fast/ops/reference/masked_photometric.py and stylerig_fast/face/lighting.py.
#pragma once

#include "common/vec3.h"
#include "rasterize/rasterize.h"

namespace stylerig {

// Interpolated normals shorter than this have no direction: they and their gradient are 0.
constexpr double kShortestNormal = 1e-6;

// Ramamoorthi & Hanrahan 2001; order 1, y, z, x, xy, yz, 3z^2-1, xz, x^2-y^2, as in face/lighting.py.
constexpr double kSh0 = 0.282095, kSh1 = 0.488603, kSh2 = 1.092548, kSh20 = 0.315392, kSh22 = 0.546274;

template <typename T>
STYLERIG_HD void sh_basis(Vec3<T> n, T y[9]) {
  y[0] = T(kSh0);
  y[1] = T(kSh1) * n.y;
  y[2] = T(kSh1) * n.z;
  y[3] = T(kSh1) * n.x;
  y[4] = T(kSh2) * n.x * n.y;
  y[5] = T(kSh2) * n.y * n.z;
  y[6] = T(kSh20) * (3 * n.z * n.z - 1);
  y[7] = T(kSh2) * n.x * n.z;
  y[8] = T(kSh22) * (n.x * n.x - n.y * n.y);
}

// Gradient with respect to the normal, given that with respect to the nine functions.
template <typename T>
STYLERIG_HD Vec3<T> sh_basis_bwd(Vec3<T> n, const T v[9]) {
  const T d = T(kSh1), e = T(kSh2), f = T(2 * kSh22);
  return {d * v[3] + e * (n.y * v[4] + n.z * v[7]) + f * n.x * v[8],
          d * v[1] + e * (n.x * v[4] + n.z * v[5]) - f * n.y * v[8],
          d * v[2] + e * (n.y * v[5] + n.x * v[7]) + T(6 * kSh20) * n.z * v[6]};
}

// What a pixel needs of its triangle.
template <typename T>
struct PixelInputs {
  Corners<T> corners;
  Vec3<T> albedo[3], normal[3];
};

// Intermediate values that the backward pass uses again; all of it stays in registers.
template <typename T>
struct Shaded {
  Edges<T> edges;
  T inverse_volume, weight[3];
  Vec3<T> albedo, normal;  // interpolated; the normal is a unit vector
  T inverse_length;        // of the interpolated normal, 0 if it has no direction
  T basis[9];
  Vec3<T> light;
};

// The colour of the pixel whose ray is (ray_x, ray_y, -1). gamma: [9, 3].
template <typename T>
STYLERIG_HD Vec3<T> shade(const PixelInputs<T>& in, T ray_x, T ray_y, const T* STYLERIG_RESTRICT gamma, Shaded<T>& s) {
  s.edges = edge_functions(in.corners, ray_x, ray_y);
  // A triangle seen exactly edge-on covers nothing; whoever passes its id anyway gets black without a gradient.
  s.inverse_volume = s.edges.volume != 0 ? T(1) / s.edges.volume : T(0);
  s.weight[0] = s.edges.e0 * s.inverse_volume;
  s.weight[1] = s.edges.e1 * s.inverse_volume;
  s.weight[2] = s.edges.e2 * s.inverse_volume;
  s.albedo = s.weight[0] * in.albedo[0] + s.weight[1] * in.albedo[1] + s.weight[2] * in.albedo[2];
  const Vec3<T> sum = s.weight[0] * in.normal[0] + s.weight[1] * in.normal[1] + s.weight[2] * in.normal[2];
  const T squared = dot(sum, sum), shortest = static_cast<T>(kShortestNormal);
  s.inverse_length = squared > shortest * shortest ? T(1) / std::sqrt(squared) : T(0);
  s.normal = s.inverse_length * sum;
  sh_basis(s.normal, s.basis);
  s.light = {0, 0, 0};
  for (int k = 0; k < 9; ++k) s.light = s.light + s.basis[k] * load3(gamma + 3 * k);
  return {s.albedo.x * s.light.x, s.albedo.y * s.light.y, s.albedo.z * s.light.z};
}

// Gradients of a pixel's three corners, and of the light (v_light[c] * basis[k] is that of gamma[k][c]).
template <typename T>
struct PixelGradients {
  Vec3<T> vertex[3], albedo[3], normal[3], light;
};

template <typename T>
STYLERIG_HD void shade_bwd(const PixelInputs<T>& in, T ray_x, T ray_y, const T* STYLERIG_RESTRICT gamma,
                           const Shaded<T>& s, Vec3<T> v_colour, PixelGradients<T>& g) {
  const Vec3<T> v_albedo = {v_colour.x * s.light.x, v_colour.y * s.light.y, v_colour.z * s.light.z};
  g.light = {v_colour.x * s.albedo.x, v_colour.y * s.albedo.y, v_colour.z * s.albedo.z};
  T v_basis[9];
  for (int k = 0; k < 9; ++k) v_basis[k] = dot(g.light, load3(gamma + 3 * k));
  const Vec3<T> v_normal = normalize_bwd(s.normal, s.inverse_length, sh_basis_bwd(s.normal, v_basis));
  T v_weight[3];
  for (int k = 0; k < 3; ++k) {
    g.albedo[k] = s.weight[k] * v_albedo;
    g.normal[k] = s.weight[k] * v_normal;
    v_weight[k] = dot(v_albedo, in.albedo[k]) + dot(v_normal, in.normal[k]);
  }
  // weight[k] = e[k] / (e[0] + e[1] + e[2])
  const T mean = s.weight[0] * v_weight[0] + s.weight[1] * v_weight[1] + s.weight[2] * v_weight[2];
  T v_edge[3], u[3], v[3];
  for (int k = 0; k < 3; ++k) {
    v_edge[k] = (v_weight[k] - mean) * s.inverse_volume;
    u[k] = minus_product(in.corners.x[k], ray_x, in.corners.depth[k]);
    v[k] = minus_product(in.corners.y[k], ray_y, in.corners.depth[k]);
  }
  // e[k] = u[n] v[p] - v[n] u[p] with n, p the next corners; u = x + ray_x z, v = y + ray_y z.
  for (int k = 0; k < 3; ++k) {
    const int n = k == 2 ? 0 : k + 1, p = k == 0 ? 2 : k - 1;
    const T v_u = v_edge[p] * v[n] - v_edge[n] * v[p];
    const T v_v = v_edge[n] * u[p] - v_edge[p] * u[n];
    g.vertex[k] = {v_u, v_v, ray_x * v_u + ray_y * v_v};
  }
}

}  // namespace stylerig
