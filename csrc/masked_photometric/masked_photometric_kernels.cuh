// The CUDA kernels of masked_photometric; masked_photometric_cuda.cu launches them and says what each is for.
#pragma once

#include "common/cuda.h"
#include "masked_photometric/masked_photometric.h"

namespace stylerig {
namespace {

constexpr int kPixels = 128;  // threads of the pixel kernel
// What is summed over the pixels: squared difference and covered pixels, and with gradients the 27 of the light.
template <bool kGrad>
constexpr int kSums = kGrad ? 29 : 2;
constexpr int32_t kNoPlace = -1, kClaimed = -2;  // all bits of kNoPlace are ones: memset writes it
constexpr int64_t kMostPixels = 1 << 30;         // of a picture: rows and columns are counted in 32 bits

template <typename T>
struct Scene {
  const T *vertices, *albedo, *normals;  // [B, V, 3]
  const T* gamma;                        // [B, 9, 3]
  DeviceAdjacency mesh;
  const int32_t* ids;  // [B, H, W]
  const T* target;     // [B, 3, H, W]
  Camera<T> camera;
  int64_t batch;

  STYLERIG_HD int64_t pixels() const { return int64_t(camera.height) * camera.width; }
};

template <typename T>
__device__ __forceinline__ void load_pixel(const Scene<T>& scene, int64_t b, const int32_t* index, PixelInputs<T>& in) {
  const int64_t picture = 3 * b * scene.mesh.num_vertices;
  in.corners.load(scene.vertices + picture, index[0], index[1], index[2]);
  for (int k = 0; k < 3; ++k) {
    in.albedo[k] = load3(scene.albedo + picture + 3 * int64_t(index[k]));
    in.normal[k] = load3(scene.normals + picture + 3 * int64_t(index[k]));
  }
}

template <typename T>
__device__ __forceinline__ Vec3<T> difference_at(const Scene<T>& scene, int64_t b, int64_t pixel, Vec3<T> colour) {
  const T* target = scene.target + 3 * b * scene.pixels() + pixel;
  return {colour.x - target[0], colour.y - target[scene.pixels()], colour.z - target[2 * scene.pixels()]};
}

// The triangles that have a pixel, of each picture: about a quarter of a mesh whose triangles are as small as pixels.
// Who gets which place differs from run to run; places are addresses, and no sum depends on them.
struct Drawn {
  int32_t* places;     // [B, T]: place in the picture's list, negative for those without a pixel; starts as kNoPlace
  int32_t* last;       // [B]: the last place; starts as kNoPlace, too
  int32_t* triangles;  // [B, most]
  int64_t num_triangles, most;

  __device__ __forceinline__ void add(int64_t b, int32_t t) const {
    int32_t* entry = places + b * num_triangles + t;
    if (*entry != kNoPlace || atomicCAS(entry, kNoPlace, kClaimed) != kNoPlace) return;
    const int32_t place = atomicAdd(last + b, 1) + 1;
    *entry = place;
    triangles[b * most + place] = t;
  }
};

// partial: [B, gridDim.x, kSums], of differences that are not scaled yet. image: [B, 3, H, W] or null. drawn: only with
// gradients.
template <typename T, bool kGrad>
__global__ void __launch_bounds__(kPixels)
    pixel_kernel(Scene<T> scene, T* __restrict__ partial, T* __restrict__ image, Drawn drawn) {
  constexpr int kWidth = kSums<kGrad>;
  __shared__ T of_warps[kPixels / 32][kWidth];
  const int64_t pixels = scene.pixels(), pixel = blockIdx.x * int64_t(kPixels) + threadIdx.x;
  // A picture has at most 2^30 pixels (masked_photometric_cuda.cu); an empty one may have no columns.
  const uint32_t width = uint32_t(larger(scene.camera.width, 1));
  const uint32_t row = uint32_t(pixel) / width, column = uint32_t(pixel) - row * width;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  for (int64_t b = blockIdx.y; b < scene.batch; b += gridDim.y) {
    const int32_t id = pixel < pixels ? scene.ids[b * pixels + pixel] : -1;
    Vec3<T> colour = {0, 0, 0};
    const int32_t* index = scene.mesh.triangles + 3 * int64_t(larger(id, 0));
    const bool covered = id >= 0 && id < scene.mesh.num_triangles && uint32_t(index[0]) < scene.mesh.num_vertices &&
                         uint32_t(index[1]) < scene.mesh.num_vertices && uint32_t(index[2]) < scene.mesh.num_vertices;
    T sum = 0;
    if (__any_sync(0xffffffffu, covered)) {  // most warps of a portrait's background have nothing to add up
      T values[kGrad ? 32 : 2] = {};
      if (covered) {
        PixelInputs<T> in;
        Shaded<T> s;
        load_pixel(scene, b, index, in);
        colour = shade(in, scene.camera.ray_x(int(column)), scene.camera.ray_y(int(row)), scene.gamma + 27 * b, s);
        const Vec3<T> difference = difference_at(scene, b, pixel, colour);
        values[0] = dot(difference, difference);
        values[1] = 1;
        if constexpr (kGrad) {
          drawn.add(b, id);
          const Vec3<T> v_light = {difference.x * s.albedo.x, difference.y * s.albedo.y, difference.z * s.albedo.z};
#pragma unroll
          for (int k = 0; k < 9; ++k) {
            values[2 + 3 * k] = v_light.x * s.basis[k];
            values[3 + 3 * k] = v_light.y * s.basis[k];
            values[4 + 3 * k] = v_light.z * s.basis[k];
          }
        }
      }
      // Both add in the same order: the loss does not depend on whether gradients are asked for.
      if constexpr (kGrad) {
        sum = warp_sums(values);
      } else {
        const T squares = warp_sum(values[0]), counted = warp_sum(values[1]);
        sum = lane == 0 ? squares : counted;
      }
    }
    if (lane < kWidth) of_warps[warp][lane] = sum;
    if (image != nullptr && pixel < pixels) {
      T* out = image + 3 * b * pixels + pixel;
      out[0] = colour.x, out[pixels] = colour.y, out[2 * pixels] = colour.z;
    }
    __syncthreads();
    if (threadIdx.x < kWidth) {
      T total = 0;
      for (int w = 0; w < kPixels / 32; ++w) total += of_warps[w][threadIdx.x];
      partial[(b * gridDim.x + blockIdx.x) * kWidth + threadIdx.x] = total;
    }
    __syncthreads();
  }
}

// One block per picture. loss: [B]; with gradients also scale: [B] that of the loss with respect to a squared
// difference, and v_gamma: [B, 27].
template <typename T, bool kGrad>
__global__ void __launch_bounds__(kAdders)
    finish_kernel(int64_t blocks, const T* __restrict__ partial, T* __restrict__ loss, T* __restrict__ scale,
                  T* __restrict__ v_gamma) {
  constexpr int kWidth = kSums<kGrad>;
  __shared__ T of_warps[kAdderWarps][kWidth];
  const int64_t b = blockIdx.x;
  const T sum = column_sum(partial + b * blocks * kWidth, blocks, of_warps);
  if (threadIdx.x >= 32) return;
  const T covered = __shfl_sync(0xffffffffu, sum, 1);
  if (threadIdx.x == 0) loss[b] = covered > 0 ? sum / (3 * covered) : T(0);
  if constexpr (kGrad) {
    const T factor = covered > 0 ? T(2) / (3 * covered) : T(0);
    if (threadIdx.x == 0) scale[b] = factor;
    if (threadIdx.x >= 2 && threadIdx.x < kWidth) v_gamma[27 * b + threadIdx.x - 2] = factor * sum;
  }
}

constexpr int kScaled = 4;  // arrays that the backward pass scales

template <typename T>
struct Scaled {
  const T* in[kScaled];  // [B, values]
  T* out[kScaled];       // [B, values]
  int64_t values[kScaled];
};

// out[b, ...] = factor[b] * in[b, ...] of all arrays. Pictures are on blockIdx.y.
template <typename T>
__global__ void __launch_bounds__(256) scale_kernel(int64_t batch, const T* __restrict__ factor, Scaled<T> arrays) {
  const int64_t i = blockIdx.x * int64_t(256) + threadIdx.x;
  for (int64_t b = blockIdx.y; b < batch; b += gridDim.y) {
#pragma unroll
    for (int a = 0; a < kScaled; ++a) {
      const int64_t at = b * arrays.values[a] + i;
      if (i < arrays.values[a]) arrays.out[a][at] = factor[b] * arrays.in[a][at];
    }
  }
}

}  // namespace
}  // namespace stylerig
