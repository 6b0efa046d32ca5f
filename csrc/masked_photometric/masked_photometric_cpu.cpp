// masked_photometric on the CPU: covered pixels are gathered into groups, a group is shaded with one vector lane per
// pixel, and the gradients are added to their vertices, picture by picture. The order of the sums depends on the
// shapes alone, not on the number of threads.
#include "masked_photometric/masked_photometric_lanes.h"

#include <atomic>
#include <cstring>
#include <memory>
#include <tuple>
#include <vector>

#include "common/cpu.h"

namespace stylerig {
namespace {

// Fewer pictures than this are cut into bands of rows. A constant, so that sums do not depend on the machine.
constexpr int64_t kTasks = 16;

// One picture, or one band of it, and where its results go.
template <typename T>
struct Task {
  const T *vertices, *albedo, *normals;  // [V, 3]
  const T* gamma;                        // [9, 3]
  const int32_t* triangles;              // [T, 3]
  const int32_t* ids;                    // [H, W]
  const T* target;                       // [3, H, W]
  T* image;                              // [3, H, W] or null
  T* grads[3];                           // of vertices, albedo, normals: [V, 3], or null
  T *loss, *v_gamma;                     // [1], [27]
  const T *ray_x, *ray_y;                // [W], [H]
  int64_t height, width;
  T scale;
};

template <typename T>
void gather_pixel(const Task<T>& task, int64_t pixel, int lane, int64_t row, int64_t column, Group<T>& g) {
  const T* sources[3] = {task.vertices, task.albedo, task.normals};
  const int64_t t = task.ids[pixel], pixels = task.height * task.width;
  for (int k = 0; k < 3; ++k) {
    const int64_t v = 3 * static_cast<int64_t>(task.triangles[3 * t + k]);
    for (int source = 0; source < 3; ++source) {
      for (int c = 0; c < 3; ++c) g.in[9 * k + 3 * source + c][lane] = sources[source][v + c];
    }
  }
  for (int c = 0; c < 3; ++c) g.target[c][lane] = task.target[c * pixels + pixel];
  g.ray_x[lane] = task.ray_x[column];
  g.ray_y[lane] = task.ray_y[row];
  g.active[lane] = 1;
}

template <typename T>
void finish_group(const Task<T>& task, const int64_t* pixels, int count, Group<T>& g) {
  for (int lane = count; lane < kLanes; ++lane) {  // idle lanes repeat the first pixel, with weight 0
    for (int c = 0; c < 27; ++c) g.in[c][lane] = g.in[c][0];
    for (int c = 0; c < 3; ++c) g.target[c][lane] = g.target[c][0];
    g.ray_x[lane] = g.ray_x[0];
    g.ray_y[lane] = g.ray_y[0];
    g.active[lane] = 0;
  }
  if (task.grads[0] != nullptr) {
    shade_group_grad(g);
  } else {
    shade_group(g);
  }
  const int64_t size = task.height * task.width;
  for (int lane = 0; lane < count; ++lane) {
    if (task.image != nullptr) {
      for (int c = 0; c < 3; ++c) task.image[c * size + pixels[lane]] = g.colour[c][lane];
    }
    if (task.grads[0] == nullptr) continue;
    const int64_t t = task.ids[pixels[lane]];
    for (int k = 0; k < 3; ++k) {
      const int64_t v = 3 * static_cast<int64_t>(task.triangles[3 * t + k]);
      for (int source = 0; source < 3; ++source) {
        T* out = task.grads[source] + v;
        for (int c = 0; c < 3; ++c) out[c] += g.grad[9 * k + 3 * source + c][lane];
      }
    }
  }
}

template <typename T>
void run(const Task<T>& task, int64_t first_row, int64_t last_row) {
  Group<T> g;
  std::memset(&g, 0, sizeof(g));
  std::memcpy(g.gamma, task.gamma, sizeof(g.gamma));
  g.scale = task.scale;
  int64_t pixels[kLanes];
  int count = 0;
  for (int64_t row = first_row; row < last_row; ++row) {
    for (int64_t column = 0; column < task.width; ++column) {
      const int64_t pixel = row * task.width + column;
      if (task.ids[pixel] < 0) continue;
      gather_pixel(task, pixel, count, row, column, g);
      pixels[count++] = pixel;
      if (count == kLanes) {
        finish_group(task, pixels, count, g);
        count = 0;
      }
    }
  }
  if (count > 0) finish_group(task, pixels, count, g);
  for (int lane = 0; lane < kLanes; ++lane) {
    *task.loss += g.loss[lane];
    for (int c = 0; c < 27; ++c) task.v_gamma[c] += g.v_gamma[c][lane];
  }
}

// Covered pixels of every picture; throws if an id names no triangle.
std::vector<int64_t> count_pixels(const int32_t* ids,  // [B, H, W]
                                  int64_t batch, int64_t pixels, int64_t num_triangles) {
  std::vector<int64_t> counts(batch);
  std::atomic<bool> sound(true);
  parallel(batch, 1, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      int64_t count = 0;
      int32_t largest = -1;
      for (int64_t i = b * pixels; i < (b + 1) * pixels; ++i) {
        count += ids[i] >= 0;
        largest = larger(largest, ids[i]);
      }
      counts[b] = count;
      if (largest >= num_triangles) sound = false;
    }
  });
  STD_TORCH_CHECK(sound, "masked_photometric: triangle_ids name a triangle that is not there; there are ",
                  num_triangles);
  return counts;
}

// The tensors of a call as flat arrays, and its sizes.
template <typename T>
struct Call {
  Task<T> first;  // the arrays, at the first picture
  int64_t batch, num_vertices;
};

template <typename T>
void run_batch(const Call<T>& call, const std::vector<int64_t>& counts, T* loss, T* v_gamma) {
  const Task<T>& f = call.first;
  const bool with_grad = f.grads[0] != nullptr;
  const int64_t pixels = f.height * f.width, values = 3 * call.num_vertices;
  const int64_t bands = (kTasks + call.batch - 1) / call.batch;
  // The first band of a picture adds to the result, the others to arrays of their own.
  const int64_t spare = with_grad ? call.batch * (bands - 1) : 0;
  const std::unique_ptr<T[]> extra(new T[3 * values * spare]);
  std::vector<T> partial(call.batch * bands * 28);
  const auto grad = [&](int64_t b, int64_t band, int source) {
    return band == 0 ? f.grads[source] + b * values
                     : extra.get() + (3 * (b * (bands - 1) + band - 1) + source) * values;
  };
  parallel(call.batch * bands, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t b = i / bands, band = i % bands;
      Task<T> task = f;
      task.vertices += b * values, task.albedo += b * values, task.normals += b * values;
      task.gamma += 27 * b, task.ids += b * pixels, task.target += 3 * b * pixels;
      const int64_t first_row = band * f.height / bands, last_row = (band + 1) * f.height / bands;
      if (task.image != nullptr) {
        task.image += 3 * b * pixels;
        for (int64_t c = 0; c < 3; ++c) {
          std::memset(task.image + c * pixels + first_row * f.width, 0, sizeof(T) * (last_row - first_row) * f.width);
        }
      }
      for (int source = 0; with_grad && source < 3; ++source) {
        task.grads[source] = grad(b, band, source);
        std::memset(task.grads[source], 0, sizeof(T) * values);
      }
      task.loss = &partial[28 * i];
      task.v_gamma = &partial[28 * i + 1];
      task.scale = counts[b] > 0 ? T(2) / static_cast<T>(3 * counts[b]) : T(0);
      run(task, first_row, last_row);
    }
  });
  for (int64_t b = 0; b < call.batch; ++b) {
    loss[b] = 0;
    for (int64_t band = 0; band < bands; ++band) loss[b] += partial[28 * (b * bands + band)];
    loss[b] = counts[b] > 0 ? loss[b] / static_cast<T>(3 * counts[b]) : T(0);
    for (int64_t c = 0; with_grad && c < 27; ++c) {
      v_gamma[27 * b + c] = 0;
      for (int64_t band = 0; band < bands; ++band) v_gamma[27 * b + c] += partial[28 * (b * bands + band) + 1 + c];
    }
  }
  if (spare == 0) return;
  parallel(call.batch * 3, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      T* STYLERIG_RESTRICT sum = grad(i / 3, 0, static_cast<int>(i % 3));
      for (int64_t band = 1; band < bands; ++band) {
        const T* STYLERIG_RESTRICT part = grad(i / 3, band, static_cast<int>(i % 3));
        for (int64_t k = 0; k < values; ++k) sum[k] += part[k];
      }
    }
  });
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> forward(const Tensor& vertices, const Tensor& albedo,
                                                                   const Tensor& normals, const Tensor& illumination,
                                                                   const Tensor& triangles, const Tensor& triangle_ids,
                                                                   const Tensor& target, const Tensor& offsets,
                                                                   const Tensor& corners, double focal, bool with_image,
                                                                   bool with_grad) {
  (void)offsets, (void)corners;  // sums per picture need no list of neighbours
  const char* op = "masked_photometric";
  const int64_t batch = vertices.size(0), count = vertices.size(1), height = triangle_ids.size(1),
                width = triangle_ids.size(2), num_triangles = triangles.size(0);
  check(op, "vertices", vertices, {batch, count, 3});
  check(op, "albedo", albedo, {batch, count, 3});
  check(op, "normals", normals, {batch, count, 3});
  check(op, "illumination", illumination, {batch, 9, 3});
  check(op, "triangles", triangles, {num_triangles, 3});
  check(op, "triangle_ids", triangle_ids, {batch, height, width});
  check(op, "target", target, {batch, 3, height, width});
  check_triangles(op, triangles, count);
  const int32_t* ids = triangle_ids.const_data_ptr<int32_t>();
  const std::vector<int64_t> counts = count_pixels(ids, batch, height * width, num_triangles);
  const int64_t kept = with_grad ? batch : 0;
  Tensor loss = empty({batch}, vertices);
  Tensor image = empty({with_image ? batch : 0, 3, height, width}, vertices);
  Tensor v_vertices = empty({kept, count, 3}, vertices), v_albedo = empty({kept, count, 3}, vertices),
         v_normals = empty({kept, count, 3}, vertices), v_illumination = empty({kept, 9, 3}, vertices);
  if (batch > 0) {
    dispatch_float(op, vertices, [&](auto type) {
      using T = decltype(type);
      std::vector<T> rays(width + height);
      if (width > 0) {
        const Camera<T> camera(focal, height, width);
        for (int64_t i = 0; i < width; ++i) rays[i] = camera.ray_x(static_cast<int>(i));
        for (int64_t i = 0; i < height; ++i) rays[width + i] = camera.ray_y(static_cast<int>(i));
      }
      Call<T> call = {};
      call.batch = batch;
      call.num_vertices = count;
      Task<T>& f = call.first;
      f.vertices = vertices.const_data_ptr<T>();
      f.albedo = albedo.const_data_ptr<T>();
      f.normals = normals.const_data_ptr<T>();
      f.gamma = illumination.const_data_ptr<T>();
      f.triangles = triangles.const_data_ptr<int32_t>();
      f.ids = ids;
      f.target = target.const_data_ptr<T>();
      f.image = with_image ? image.mutable_data_ptr<T>() : nullptr;
      if (with_grad) {
        f.grads[0] = v_vertices.mutable_data_ptr<T>();
        f.grads[1] = v_albedo.mutable_data_ptr<T>();
        f.grads[2] = v_normals.mutable_data_ptr<T>();
      }
      f.ray_x = rays.data();
      f.ray_y = rays.data() + width;
      f.height = height;
      f.width = width;
      run_batch(call, counts, loss.mutable_data_ptr<T>(), with_grad ? v_illumination.mutable_data_ptr<T>() : nullptr);
    });
  }
  return {loss, image, v_vertices, v_albedo, v_normals, v_illumination};
}

// Multiplies the gradients of each picture's loss by that of the caller's loss with respect to it.
std::tuple<Tensor, Tensor, Tensor, Tensor> backward(const Tensor& v_loss, const Tensor& v_vertices,
                                                    const Tensor& v_albedo, const Tensor& v_normals,
                                                    const Tensor& v_illumination, const Tensor& /*vertices*/,
                                                    const Tensor& /*albedo*/, const Tensor& /*normals*/,
                                                    const Tensor& /*illumination*/) {
  const int64_t batch = v_loss.size(0);
  const Tensor* inputs[4] = {&v_vertices, &v_albedo, &v_normals, &v_illumination};
  Tensor outputs[4];
  check("masked_photometric", "v_loss", v_loss, {batch});
  for (int i = 0; i < 4; ++i) {
    check("masked_photometric", "saved gradients", *inputs[i], {batch, inputs[i]->size(1), 3});
    outputs[i] = empty({batch, inputs[i]->size(1), 3}, v_loss);
  }
  dispatch_float("masked_photometric", v_loss, [&](auto type) {
    using T = decltype(type);
    const T* scale = v_loss.const_data_ptr<T>();
    const T* in[4];
    T* out[4];
    for (int i = 0; i < 4; ++i) in[i] = inputs[i]->const_data_ptr<T>(), out[i] = outputs[i].mutable_data_ptr<T>();
    parallel(4 * batch, 1, [&](int64_t begin, int64_t end) {
      for (int64_t task = begin; task < end; ++task) {
        const int64_t i = task % 4, b = task / 4, values = 3 * inputs[i]->size(1);
        const T factor = scale[b];
        for (int64_t k = b * values; k < (b + 1) * values; ++k) out[i][k] = factor * in[i][k];
      }
    });
  });
  return {outputs[0], outputs[1], outputs[2], outputs[3]};
}

}  // namespace
}  // namespace stylerig

STABLE_TORCH_LIBRARY_IMPL(stylerig, CPU, m) {
  m.impl("masked_photometric_fwd", TORCH_BOX(&stylerig::forward));
  m.impl("masked_photometric_bwd", TORCH_BOX(&stylerig::backward));
}
