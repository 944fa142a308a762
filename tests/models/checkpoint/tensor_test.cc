// Tensors in the mapped file, their life, their alignment, and conversion.
#include "models/checkpoint/tensor.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "tests/base/temporary_folder.h"
#include "tests/base/thrown.h"

namespace masbak::models {
namespace {

TEST(Tensor, EveryTypeGoesToTheFileAndBack) {
  base::TemporaryFolder folder;
  const at::Tensor numbers = at::arange(6, at::kFloat).view({2, 3});
  for (Dtype dtype : {Dtype::kF64, Dtype::kF32, Dtype::kF16, Dtype::kBF16, Dtype::kF8E4M3, Dtype::kI64, Dtype::kI32,
                      Dtype::kI16, Dtype::kI8, Dtype::kU8, Dtype::kBool}) {
    const at::Tensor written = numbers.to(scalar_type(dtype));
    EXPECT_EQ(file_dtype(written.scalar_type()), dtype);
    write_safetensors(folder / "x.safetensors", std::vector<TensorToWrite>{tensor_to_write("x", written)});
    const at::Tensor read = map_tensor(read_safetensors(folder / "x.safetensors").at(0));
    EXPECT_EQ(read.scalar_type(), written.scalar_type());
    EXPECT_TRUE(at::equal(read.to(at::kFloat), written.to(at::kFloat))) << dtype_name(dtype);
  }
}

TEST(Tensor, TheMapOutlivesTheView) {
  base::TemporaryFolder folder;
  const at::Tensor written = at::arange(1000, at::kFloat);
  write_safetensors(folder / "x.safetensors", std::vector<TensorToWrite>{tensor_to_write("x", written)});
  at::Tensor read;
  {
    const auto views = read_safetensors(folder / "x.safetensors");
    read = map_tensor(views.at(0), at::kFloat);
    EXPECT_EQ(read.const_data_ptr(), views.at(0).bytes.data());  // not copied
  }
  std::filesystem::remove(folder / "x.safetensors");
  EXPECT_TRUE(at::equal(read, written));
}

TEST(Tensor, AnotherTypeIsConverted) {
  base::TemporaryFolder folder;
  const at::Tensor written = at::arange(5, at::kFloat).to(at::kBFloat16);
  write_safetensors(folder / "x.safetensors", std::vector<TensorToWrite>{tensor_to_write("x", written)});
  const at::Tensor read = map_tensor(read_safetensors(folder / "x.safetensors").at(0), at::kFloat);
  EXPECT_EQ(read.scalar_type(), at::kFloat);
  EXPECT_TRUE(at::equal(read, at::arange(5, at::kFloat)));
}

TEST(Tensor, DataOutOfLineAreCopied) {
  // A header of 55 bytes: legal, but the floats do not lie at a multiple of 4.
  base::TemporaryFolder folder;
  std::string header = R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";
  header.resize(55, ' ');
  const uint64_t length = header.size();
  const float numbers[] = {1.5, -2.5};
  base::write_file_durably(folder / "x.safetensors", std::string(reinterpret_cast<const char*>(&length), 8) + header +
                                                         std::string(reinterpret_cast<const char*>(numbers), 8));
  const at::Tensor read = map_tensor(read_safetensors(folder / "x.safetensors").at(0));
  EXPECT_EQ(read[0].item<float>(), 1.5);
  EXPECT_EQ(read[1].item<float>(), -2.5);
}

TEST(Tensor, OnlyAContiguousTensorCanBeWritten) {
  const at::Tensor turned = at::zeros({2, 3}).t();
  EXPECT_EQ(base::thrown([&] { tensor_to_write("x", turned); }).where().field, "x");
}

TEST(Tensor, AnEmptyTensorHasItsShape) {
  base::TemporaryFolder folder;
  write_safetensors(folder / "x.safetensors", std::vector<TensorToWrite>{{"x", Dtype::kF32, {0, 4}, ""}});
  EXPECT_EQ(map_tensor(read_safetensors(folder / "x.safetensors").at(0)).sizes(), (at::IntArrayRef{0, 4}));
}

}  // namespace
}  // namespace masbak::models
