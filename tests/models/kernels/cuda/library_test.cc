// How the GPU's half of the program is found and opened, and what is said where it is not there.
#include "models/kernels/cuda/library.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <functional>

#include "base/error.h"
#include "tests/models/kernels/cuda/host_grid.h"

namespace masbak::models::cuda {
namespace {

std::string refusal(const std::function<void()>& work) {
  try {
    work();
  } catch (const base::Error& error) {
    return error.what();
  }
  return "";
}

TEST(CudaLibrary, DevicesAreNamedAsInPyTorch) {
  EXPECT_TRUE(parse_device("cpu").is_cpu());
  EXPECT_EQ(parse_device("cuda"), at::Device(at::kCUDA, 0));
  EXPECT_EQ(parse_device("cuda:3"), at::Device(at::kCUDA, 3));
  for (const char* bad : {"", "gpu", "CUDA", "cuda:", "cuda:x", "cuda:-1", "cuda:1000", "cpu:0", "cuda:1 "}) {
    EXPECT_THROW(parse_device(bad), base::Error) << bad;
  }
}

TEST(CudaLibrary, TheCpuNeedsNothing) {
  open(at::kCPU);
  EXPECT_EQ(kernels_for(at::ones({2})), nullptr);
}

TEST(CudaLibrary, KernelsTakeTheirTypesAlone) {
  const KernelsOnCpu kernels(host_kernels());
  EXPECT_EQ(kernels_for(at::ones({2}, at::kBFloat16)), &host_kernels());
  EXPECT_EQ(kernels_for(at::ones({2}, at::kDouble)), nullptr);
  EXPECT_EQ(type_of(at::ones({2}, at::kHalf)), Type::kFloat16);
  EXPECT_THROW(type_of(at::ones({2}, at::kDouble)), base::Error);
}

TEST(CudaLibrary, ARefusalOfAKernelIsAnError) {
  const at::Tensor x = at::ones({2});
  SumRows arguments;
  arguments.tokens = -1;
  EXPECT_NE(refusal([&] { launch(host_kernels().sum_rows, x, arguments); }).find("sum_rows"), std::string::npos);
}

TEST(CudaLibrary, WhatIsMissingIsNamed) {
  if (std::filesystem::exists("/proc/driver/nvidia/version")) GTEST_SKIP() << "this machine has NVIDIA's driver";
  const std::string message = refusal([] { open(parse_device("cuda")); });
  EXPECT_NE(message.find("driver"), std::string::npos) << message;
  EXPECT_NE(message.find("--device cpu"), std::string::npos) << message;
}

TEST(CudaLibrary, AnotherFileIsRefused) {
  EXPECT_NE(refusal([] { open_kernels("/nowhere/libmasbak_cuda.so"); }).find("MASBAK_CUDA_KERNELS"), std::string::npos);
  EXPECT_NE(refusal([] { open_kernels("libm.so.6"); }).find("no library of Masbak's kernels"), std::string::npos);
}

// The library that nvcc made: it opens without a driver, knows every kernel, and says what CUDA says where there is
// no GPU to run on.
TEST(CudaLibrary, TheLibraryThatNvccMadeOpensAnywhere) {
  const char* programs = std::getenv("MASBAK_BIN");
  const auto file = std::filesystem::path(programs ? programs : ".").parent_path() / "lib" / "libmasbak_cuda.so";
  if (!std::filesystem::exists(file)) GTEST_SKIP() << "nvcc was not there to build " << file;
  const KernelTable& table = open_kernels(file.string());
  EXPECT_NE(table.sort_by_expert, nullptr);
  EXPECT_NE(table.gather_rows, nullptr);
  EXPECT_NE(table.sum_rows, nullptr);
  EXPECT_NE(table.sum_rows_backward, nullptr);
  EXPECT_NE(table.latent_decode, nullptr);
  EXPECT_NE(table.widen_nf4, nullptr);
  EXPECT_NE(table.widen_fp8, nullptr);
  EXPECT_NE(table.widen_int8, nullptr);
  EXPECT_NE(table.cross_entropy, nullptr);
  SumRows bad;
  bad.tokens = -1;
  EXPECT_STREQ(table.sum_rows(bad, nullptr), "sum_rows: sizes must not be negative, and rows of y not overlap");
  if (std::filesystem::exists("/proc/driver/nvidia/version")) return;
  SumRows work;
  work.tokens = work.size = 1;
  EXPECT_NE(table.sum_rows(work, nullptr), nullptr);
}

}  // namespace
}  // namespace masbak::models::cuda
