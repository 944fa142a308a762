// The grid of a GPU, played by the CPU: the bodies of models/kernels/cuda run block by block, thread by thread, with
// the launch functions that choose types, widths, grids and shared memory. In place of what a GPU would do wrong:
//
//   threads of a piece of work, and blocks, run forwards or backwards: work that relies on an order gives other bits
//   shared memory begins as NaN and is as large as asked for, so that AddressSanitizer sees a byte too many
//   a misaligned access of several numbers ends the program (grid.h)
#pragma once

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "models/kernels/cuda/grid.h"

namespace masbak::models::cuda {

enum class Order { kForwards, kBackwards };

template <int kThreads>
class HostBlock {
 public:
  template <typename T>
  using PerThread = std::array<T, kThreads>;

  HostBlock(Order order, Grid grid, int64_t x, int64_t y, int64_t z, int64_t shared_bytes)
      : order_(order), grid_(grid), x_(x), y_(y), z_(z), shared_(shared_bytes, 0xff) {}

  int64_t x() const { return x_; }
  int64_t y() const { return y_; }
  int64_t z() const { return z_; }
  int64_t x_count() const { return grid_.x; }

  template <typename Work>
  void each(const Work& work) {
    for (int i = 0; i < kThreads; ++i) work(order_ == Order::kForwards ? i : kThreads - 1 - i);
  }
  template <typename T>
  PerThread<T> per_thread() {
    PerThread<T> values;
    std::memset(static_cast<void*>(&values), 0xff, sizeof(values));
    return values;
  }
  template <typename T>
  T* shared(int64_t bytes) {
    return reinterpret_cast<T*>(shared_.data() + bytes);
  }
  void add_to(int32_t* number, int32_t value) { *number += value; }

  // In the order of DeviceBlock: within a warp by halving distances, then the warps one after another.
  template <typename Numbers>
  auto sum(const Numbers& numbers) {
    return joined(numbers, [](auto a, auto b) { return a + b; });
  }
  float largest(const PerThread<float>& numbers) {
    return joined(numbers, [](float a, float b) { return a > b ? a : b; });
  }

 private:
  template <typename T, typename Join>
  T joined(const std::array<T, kThreads>& numbers, const Join& join) {
    T all{};
    for (int warp = 0; warp < kThreads / 32; ++warp) {
      std::array<T, 32> lanes;
      std::copy_n(numbers.begin() + 32 * warp, 32, lanes.begin());
      for (int distance = 16; distance > 0; distance /= 2) {
        const std::array<T, 32> before = lanes;
        for (int lane = 0; lane < 32; ++lane) lanes[lane] = join(before[lane], before[lane ^ distance]);
      }
      all = warp == 0 ? lanes[0] : join(all, lanes[0]);
    }
    return all;
  }

  Order order_;
  Grid grid_;
  int64_t x_, y_, z_;
  std::vector<unsigned char> shared_;
};

// As DeviceLauncher; the stream is not looked at.
template <Order order>
class HostLauncher {
 public:
  explicit HostLauncher(void*) {}

  template <typename Body, typename Arguments>
  void run(Grid grid, int64_t shared_bytes, const Arguments& arguments) {
    constexpr int64_t kSharedOfSm80 = 163 << 10;
    if (grid.x < 1 || grid.y < 1 || grid.z < 1 || grid.x > INT32_MAX || grid.y > kMostAlongYZ ||
        grid.z > kMostAlongYZ || shared_bytes > kSharedOfSm80) {
      error_ = "a grid or shared memory that no GPU has";
      return;
    }
    const int64_t count = grid.x * grid.y * grid.z;
    for (int64_t i = 0; i < count; ++i) {
      const int64_t block = order == Order::kForwards ? i : count - 1 - i;
      HostBlock<Body::kThreads> own(order, grid, block % grid.x, block / grid.x % grid.y, block / grid.x / grid.y,
                                    shared_bytes);
      Body::run(own, arguments);
    }
  }
  const char* error() const { return error_; }

 private:
  const char* error_ = nullptr;
};

// The kernels on the CPU, all of them.
const KernelTable& host_kernels(Order order = Order::kForwards);

}  // namespace masbak::models::cuda
