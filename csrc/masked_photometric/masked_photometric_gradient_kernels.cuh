// The CUDA kernels of masked_photometric that sum the gradients of pixels over triangles, and those over vertices.
#pragma once

#include "masked_photometric/masked_photometric_kernels.cuh"

namespace stylerig {
namespace {

constexpr int kTriangles = 128;  // threads of the triangle kernel
constexpr int kVertices = 256;   // threads of the vertex kernel
constexpr int kManyPixels = 96;  // from which on a box is shared by the warp
constexpr int kOfCorner = 9;     // gradients of its position, albedo and normal
constexpr int kOfTriangle = 27;  // an odd number: threads that add to rows of shared memory do not meet in a bank

// The box of pixels where a triangle can have been drawn.
template <typename T>
__device__ __forceinline__ Box triangle_box(const Scene<T>& scene, const Corners<T>& c) {
  // Without knowledge of the rasterizer's near plane: what is in front of the camera at all.
  const T tiny = T(1e-6);
  if (!(c.depth[0] > tiny && c.depth[1] > tiny && c.depth[2] > tiny)) return clipped_box(c, scene.camera, tiny);
  T low_x = INFINITY, high_x = -INFINITY, low_y = INFINITY, high_y = -INFINITY;
  for (int k = 0; k < 3; ++k) {
    const T column = scene.camera.column(c.x[k], c.depth[k]), row = scene.camera.row(c.y[k], c.depth[k]);
    low_x = smaller(low_x, column), high_x = larger(high_x, column);
    low_y = smaller(low_y, row), high_y = larger(high_y, row);
  }
  Box box;
  pixel_range(low_x, high_x, scene.camera.width, box.x0, box.x1);
  pixel_range(low_y, high_y, scene.camera.height, box.y0, box.y1);
  return box;
}

// Adds what pixels first, first + stride, ... of triangle t give to its corners; not scaled yet.
template <typename T>
__device__ __forceinline__ void add_pixels(const Scene<T>& scene, int64_t b, int32_t t, const Box& box,
                                           const PixelInputs<T>& in, int first, int stride, T (&row)[kOfTriangle]) {
  const int32_t* ids = scene.ids + b * scene.pixels();
  const auto pixel = [&](const BoxWalk& at) { return int64_t(at.row) * scene.camera.width + at.column; };
  for (BoxWalk at(box, first, stride);; at.next()) {
    // To the next pixel first, so that the lanes of a warp shade together.
    while (at.inside() && ids[pixel(at)] != t) at.next();
    if (!at.inside()) break;
    const T ray_x = scene.camera.ray_x(at.column), ray_y = scene.camera.ray_y(at.row);
    const T* gamma = scene.gamma + 27 * b;
    Shaded<T> s;
    const Vec3<T> colour = shade(in, ray_x, ray_y, gamma, s);
    PixelGradients<T> g;
    shade_bwd(in, ray_x, ray_y, gamma, s, difference_at(scene, b, pixel(at), colour), g);
#pragma unroll
    for (int k = 0; k < 3; ++k) {
      T* corner = row + kOfCorner * k;
      store3(corner, load3(corner) + g.vertex[k]);
      store3(corner + 3, load3(corner + 3) + g.albedo[k]);
      store3(corner + 6, load3(corner + 6) + g.normal[k]);
    }
  }
}

// One thread per drawn triangle: every pixel is shaded once. Large triangles are shared by the warp. Pictures are on
// blockIdx.y, places on blockIdx.x.
template <typename T>
__global__ void __launch_bounds__(kTriangles)
    triangle_kernel(Scene<T> scene, Drawn drawn, T* __restrict__ records) {  // [B, most, kOfTriangle]
  __shared__ T rows[kTriangles][kOfTriangle];
  const int lane = threadIdx.x % 32;
  const int64_t base = blockIdx.x * int64_t(kTriangles) + threadIdx.x - lane;
  T(*of_warp)[kOfTriangle] = rows + (threadIdx.x - lane);
  T(&row)[kOfTriangle] = rows[threadIdx.x];
  for (int64_t b = blockIdx.y; b < scene.batch; b += gridDim.y) {
    const int64_t waiting_here = drawn.last[b] + 1 - base;
    if (waiting_here <= 0) continue;
    const int count = int(smaller<int64_t>(32, waiting_here));
    T* out = records + (b * drawn.most + base) * kOfTriangle;
    PixelInputs<T> in;
    Box box = {0, -1, 0, -1};
    int32_t t = 0;
    const auto look_at = [&](int32_t number) {
      t = number;
      load_pixel(scene, b, scene.mesh.triangles + 3 * int64_t(t), in);
      box = triangle_box(scene, in.corners);
    };
    const auto start = [&] {
#pragma unroll
      for (int i = 0; i < kOfTriangle; ++i) row[i] = 0;
    };
    start();
    bool large = false;
    if (lane < count) {
      look_at(drawn.triangles[b * drawn.most + base + lane]);
      const bool any = box.x0 <= box.x1 && box.y0 <= box.y1;
      large = any && int64_t(box.x1 - box.x0 + 1) * (box.y1 - box.y0 + 1) >= kManyPixels;
      if (any && !large) add_pixels(scene, b, t, box, in, 0, 1, row);
    }
    __syncwarp();
    for (int i = lane; i < count * kOfTriangle; i += 32) out[i] = of_warp[0][i];
    const int32_t mine = t;
    for (unsigned waiting = __ballot_sync(0xffffffffu, large); waiting != 0; waiting &= waiting - 1) {
      const int owner = __ffs(waiting) - 1;
      start();
      look_at(__shfl_sync(0xffffffffu, mine, owner));
      add_pixels(scene, b, t, box, in, lane, 32, row);
      __syncwarp();
      T sum = 0;
      for (int i = 0; i < 32 && lane < kOfTriangle; ++i) sum += of_warp[i][lane];
      if (lane < kOfTriangle) out[owner * kOfTriangle + lane] = sum;
      __syncwarp();
    }
    __syncwarp();
  }
}

// One thread per vertex adds its corners up. Pictures are on blockIdx.y, vertices on blockIdx.x.
template <typename T>
__global__ void __launch_bounds__(kVertices)
    vertex_kernel(DeviceAdjacency mesh, int64_t batch, Drawn drawn, const T* __restrict__ records,
                  const T* __restrict__ scale,  // [B]
                  T* __restrict__ v_vertices,   // [B, V, 3]
                  T* __restrict__ v_albedo,     // [B, V, 3]
                  T* __restrict__ v_normals) {  // [B, V, 3]
  const int64_t v = blockIdx.x * int64_t(kVertices) + threadIdx.x;
  if (v >= mesh.num_vertices) return;
  int32_t begin, end;
  mesh.range(v, begin, end);
  for (int64_t b = blockIdx.y; b < batch; b += gridDim.y) {
    const int32_t* __restrict__ places = drawn.places + b * mesh.num_triangles;
    Vec3<T> vertex = {0, 0, 0}, albedo = {0, 0, 0}, normal = {0, 0, 0};
    for (int32_t c = begin; c < end; ++c) {
      const auto found = static_cast<uint32_t>(mesh.corners[c]);
      const int32_t place = found < 3 * mesh.num_triangles ? places[found / 3] : kNoPlace;
      if (place < 0) continue;  // it faces away, is hidden or lies between the pixels
      const T* corner = records + (b * drawn.most + place) * kOfTriangle + found % 3 * kOfCorner;
      vertex = vertex + load3(corner);
      albedo = albedo + load3(corner + 3);
      normal = normal + load3(corner + 6);
    }
    const int64_t at = 3 * (b * mesh.num_vertices + v);
    store3(v_vertices + at, scale[b] * vertex);
    store3(v_albedo + at, scale[b] * albedo);
    store3(v_normals + at, scale[b] * normal);
  }
}

}  // namespace
}  // namespace stylerig
