// rasterize on CUDA: one thread per triangle writes (depth, number) to a buffer with an atomic minimum, which does not
// depend on the order of the writes. A triangle with a large bounding box is drawn by its whole warp.
#include <tuple>

#include "common/cuda.h"
#include "rasterize/rasterize.h"

namespace stylerig {
namespace {

constexpr int kThreads = 128;
constexpr int kLargeBox = 48;              // pixels from which on a box is shared by the warp
constexpr int64_t kLongestSide = 1 << 30;  // rows and columns are counted in 32 bits
constexpr unsigned long long kNothing = ~0ull;

template <typename T>
struct Scene {
  const T* vertices;         // [B, V, 3]
  const int32_t* triangles;  // [T, 3]
  int64_t batch, num_vertices, num_triangles;
  Camera<T> camera;
  T near;
  const T *ray_x, *ray_y;  // [W], [H]: of the columns and the rows
};

template <typename T>
__device__ __forceinline__ Box find_box(const Scene<T>& scene, const Corners<T>& c) {
  if (!(c.depth[0] > scene.near && c.depth[1] > scene.near && c.depth[2] > scene.near)) {
    return clipped_box(c, scene.camera, scene.near);
  }
  // The margin of a box forgives the rounding of a quotient: one division per corner, not two.
  T x[3], y[3];
#pragma unroll
  for (int k = 0; k < 3; ++k) {
    const T scale = T(1) / c.depth[k];
    x[k] = scene.camera.column(c.x[k] * scale, T(1)), y[k] = scene.camera.row(c.y[k] * scale, T(1));
  }
  Box box = {0, -1, 0, -1};
  const T all = x[0] + x[1] + x[2] + y[0] + y[1] + y[2];
  if (all == all) {
    pixel_range(smaller(x[0], smaller(x[1], x[2])), larger(x[0], larger(x[1], x[2])), scene.camera.width, box.x0,
                box.x1);
    pixel_range(smaller(y[0], smaller(y[1], y[2])), larger(y[0], larger(y[1], y[2])), scene.camera.height, box.y0,
                box.y1);
  }
  return box;
}

// Positive floats are ordered like their bits: depth above, number below.
__device__ __forceinline__ void keep_nearest(unsigned long long* pixel, float depth, uint32_t number) {
  atomicMin(pixel, (static_cast<unsigned long long>(__float_as_uint(depth)) << 32) | number);
}

// A double takes all the bits: the first pass finds the depth, the second the lowest number there.
__device__ __forceinline__ void keep_nearest(unsigned long long* pixel, double depth, uint32_t) {
  atomicMin(pixel, static_cast<unsigned long long>(__double_as_longlong(depth)));
}

__device__ __forceinline__ void keep_lowest(const unsigned long long* pixel, double depth, uint32_t number,
                                            uint32_t* lowest) {
  if (*pixel == static_cast<unsigned long long>(__double_as_longlong(depth))) atomicMin(lowest, number);
}

// Draws pixels first, first + stride, ... of the box into picture b, whose first pixel `origin` is.
template <typename T, bool kSecondPass>
__device__ __forceinline__ void draw(const Scene<T>& scene, const Corners<T>& c, const Box& box, int64_t origin,
                                     uint32_t number, int first, int stride, unsigned long long* __restrict__ nearest,
                                     uint32_t* __restrict__ lowest) {
  for (BoxWalk at(box, first, stride); at.inside(); at.next()) {
    const Edges<T> e = edge_functions(c, scene.ray_x[at.column], scene.ray_y[at.row]);
    const T depth = hit_depth(c, e, scene.near);
    if (!(depth > 0)) continue;
    const int64_t pixel = origin + int64_t(at.row) * scene.camera.width + at.column;
    if constexpr (kSecondPass) {
      keep_lowest(nearest + pixel, depth, number, lowest + pixel);
    } else {
      keep_nearest(nearest + pixel, depth, number);
    }
  }
}

// Draws up to 32 triangles, one per lane, into picture b. All lanes take part: they help each other with large boxes.
template <typename T, bool kSecondPass>
__device__ __forceinline__ void draw_triangles(const Scene<T>& scene, int64_t b, int64_t base,
                                               unsigned long long* __restrict__ nearest,
                                               uint32_t* __restrict__ lowest) {
  const int lane = threadIdx.x % 32;
  const int64_t t = base + lane, origin = b * scene.camera.height * scene.camera.width;
  Corners<T> c = {};
  Box box = {0, -1, 0, -1};
  if (t < scene.num_triangles) {
    const int32_t* index = scene.triangles + 3 * t;
    const bool within = uint32_t(index[0]) < scene.num_vertices && uint32_t(index[1]) < scene.num_vertices &&
                        uint32_t(index[2]) < scene.num_vertices;
    if (within) {
      c.load(scene.vertices + 3 * b * scene.num_vertices, index[0], index[1], index[2]);
      box = find_box(scene, c);
    }
  }
  const bool any = box.x0 <= box.x1 && box.y0 <= box.y1;
  const bool large = any && int64_t(box.x1 - box.x0 + 1) * (box.y1 - box.y0 + 1) >= kLargeBox;
  if (any && !large) draw<T, kSecondPass>(scene, c, box, origin, uint32_t(t), 0, 1, nearest, lowest);
  for (unsigned waiting = __ballot_sync(0xffffffffu, large); waiting != 0; waiting &= waiting - 1) {
    const int owner = __ffs(waiting) - 1;
    Corners<T> shared;
    for (int k = 0; k < 3; ++k) {
      shared.x[k] = __shfl_sync(0xffffffffu, c.x[k], owner);
      shared.y[k] = __shfl_sync(0xffffffffu, c.y[k], owner);
      shared.depth[k] = __shfl_sync(0xffffffffu, c.depth[k], owner);
    }
    const Box shared_box = {__shfl_sync(0xffffffffu, box.x0, owner), __shfl_sync(0xffffffffu, box.x1, owner),
                            __shfl_sync(0xffffffffu, box.y0, owner), __shfl_sync(0xffffffffu, box.y1, owner)};
    draw<T, kSecondPass>(scene, shared, shared_box, origin, uint32_t(base + owner), lane, 32, nearest, lowest);
  }
}

// The rays of all columns and rows, with their two divisions each: a mesh asks for them far more often.
template <typename T>
__global__ void __launch_bounds__(kThreads) ray_kernel(Camera<T> camera, T* __restrict__ ray_x, T* __restrict__ ray_y) {
  const int64_t step = int64_t(gridDim.x) * kThreads, first = blockIdx.x * int64_t(kThreads) + threadIdx.x;
  for (int64_t i = first; i < camera.width; i += step) ray_x[i] = camera.ray_x(int(i));
  for (int64_t i = first; i < camera.height; i += step) ray_y[i] = camera.ray_y(int(i));
}

// Pictures are on blockIdx.y, triangles on blockIdx.x.
template <typename T, bool kSecondPass>
__global__ void __launch_bounds__(kThreads)
    draw_kernel(Scene<T> scene, unsigned long long* __restrict__ nearest, uint32_t* __restrict__ lowest) {
  const int64_t start = blockIdx.x * int64_t(kThreads) + threadIdx.x / 32 * 32;
  for (int64_t b = blockIdx.y; b < scene.batch; b += gridDim.y) {
    for (int64_t base = start; base < scene.num_triangles; base += int64_t(gridDim.x) * kThreads) {
      draw_triangles<T, kSecondPass>(scene, b, base, nearest, lowest);
    }
  }
}

__global__ void __launch_bounds__(kThreads)
    resolve_kernel(int64_t count, const unsigned long long* __restrict__ nearest, const uint32_t* __restrict__,
                   int32_t* __restrict__ ids, float* __restrict__ depths) {
  for (int64_t i = blockIdx.x * int64_t(kThreads) + threadIdx.x; i < count; i += int64_t(gridDim.x) * kThreads) {
    const unsigned long long found = nearest[i];
    ids[i] = found == kNothing ? -1 : int32_t(uint32_t(found));
    depths[i] = found == kNothing ? 0.0f : __uint_as_float(uint32_t(found >> 32));
  }
}

__global__ void __launch_bounds__(kThreads)
    resolve_kernel(int64_t count, const unsigned long long* __restrict__ nearest, const uint32_t* __restrict__ lowest,
                   int32_t* __restrict__ ids, double* __restrict__ depths) {
  for (int64_t i = blockIdx.x * int64_t(kThreads) + threadIdx.x; i < count; i += int64_t(gridDim.x) * kThreads) {
    const unsigned long long found = nearest[i];
    ids[i] = found == kNothing ? -1 : int32_t(lowest[i]);
    depths[i] = found == kNothing ? 0.0 : __longlong_as_double(static_cast<long long>(found));
  }
}

template <typename T>
void run(Scene<T> scene, const Tensor& vertices, cudaStream_t stream, int32_t* ids, T* depths) {
  constexpr bool kTwoPasses = sizeof(T) == 8;
  const int64_t pixels = scene.batch * scene.camera.height * scene.camera.width;
  Tensor nearest_buffer = empty({pixels}, ScalarType::Long, vertices);
  Tensor lowest_buffer = empty({kTwoPasses ? pixels : 0}, ScalarType::Int, vertices);
  auto* nearest = static_cast<unsigned long long*>(nearest_buffer.mutable_data_ptr());
  auto* lowest = static_cast<uint32_t*>(lowest_buffer.mutable_data_ptr());
  check_cuda(cudaMemsetAsync(nearest, 0xff, sizeof(*nearest) * pixels, stream), "rasterize");
  const int64_t width = scene.camera.width, height = scene.camera.height;
  Tensor rays = empty({width + height}, vertices);
  T *ray_x = rays.mutable_data_ptr<T>(), *ray_y = ray_x + width;
  scene.ray_x = ray_x, scene.ray_y = ray_y;
  if (scene.num_triangles > 0) {
    STYLERIG_LAUNCH(ray_kernel<T>, blocks_for(larger(width, height), kThreads), kThreads, stream, scene.camera, ray_x,
                    ray_y);
    const dim3 blocks(blocks_for(scene.num_triangles, kThreads), rows_for(scene.batch));
    const auto draw_first = draw_kernel<T, false>;
    STYLERIG_LAUNCH(draw_first, blocks, kThreads, stream, scene, nearest, lowest);
    if constexpr (kTwoPasses) {
      check_cuda(cudaMemsetAsync(lowest, 0xff, sizeof(*lowest) * pixels, stream), "rasterize");
      const auto draw_second = draw_kernel<T, true>;
      STYLERIG_LAUNCH(draw_second, blocks, kThreads, stream, scene, nearest, lowest);
    }
  }
  STYLERIG_LAUNCH(resolve_kernel, blocks_for(pixels, kThreads), kThreads, stream, pixels, nearest, lowest, ids, depths);
  check_launch("rasterize");
}

std::tuple<Tensor, Tensor> rasterize(const Tensor& vertices, const Tensor& triangles, double focal, int64_t height,
                                     int64_t width, double near) {
  const int64_t batch = vertices.size(0), num_vertices = vertices.size(1), num_triangles = triangles.size(0);
  check("rasterize", "vertices", vertices, {batch, num_vertices, 3});
  check("rasterize", "triangles", triangles, {num_triangles, 3});
  STD_TORCH_CHECK(height <= kLongestSide && width <= kLongestSide, "rasterize: a picture of ", height, " x ", width,
                  " pixels is too large, sides of at most 2^30 pixels are expected");
  const OnDevice on(vertices);
  Tensor ids = empty({batch, height, width}, ScalarType::Int, vertices);
  Tensor depths = empty({batch, height, width}, vertices);
  if (ids.numel() > 0) {
    dispatch_float("rasterize", vertices, [&](auto type) {
      using T = decltype(type);
      const Scene<T> scene = {vertices.const_data_ptr<T>(),
                              triangles.const_data_ptr<int32_t>(),
                              batch,
                              num_vertices,
                              num_triangles,
                              Camera<T>(focal, height, width),
                              static_cast<T>(near),
                              nullptr,
                              nullptr};
      run(scene, vertices, on.stream(), ids.mutable_data_ptr<int32_t>(), depths.mutable_data_ptr<T>());
    });
  }
  return {ids, depths};
}

}  // namespace
}  // namespace stylerig

STYLERIG_CUDA_LIBRARY(m) { m.impl("rasterize", TORCH_BOX(&stylerig::rasterize)); }
