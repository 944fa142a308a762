#include "base/nvml.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

namespace masbak::base {
namespace {

// A library of the tests that says what NVIDIA's would.
class Nvml : public testing::Test {
 protected:
  void SetUp() override {
    const char* programs = std::getenv("MASBAK_BIN");
    ASSERT_NE(programs, nullptr) << "MASBAK_BIN must name the folder of the programs";
    library_ = (std::filesystem::path(programs).parent_path() / "lib" / "libfake_nvml.so").string();
    ::unsetenv("FAKE_NVML");
  }
  std::string library_;
};

TEST_F(Nvml, GpusAreListedInTheirOrder) {
  for (int again = 0; again < 2; ++again) {
    const std::vector<Gpu> gpus = list_gpus(library_);
    ASSERT_EQ(gpus.size(), 2u);
    EXPECT_EQ(gpus[0].name, "NVIDIA Fake 1");
    EXPECT_EQ(gpus[0].memory_bytes, int64_t{80} << 30);
    EXPECT_EQ(gpus[1].name, "NVIDIA Fake 2");
    EXPECT_EQ(gpus[1].memory_bytes, 0);  // this one does not say
  }
}

TEST_F(Nvml, AGpuThatIsLostIsLeftOut) {
  ::setenv("FAKE_NVML", "one_lost", 1);
  const std::vector<Gpu> gpus = list_gpus(library_);
  ASSERT_EQ(gpus.size(), 1u);
  EXPECT_EQ(gpus[0].name, "NVIDIA Fake 1");
}

TEST_F(Nvml, ALibraryWithoutItsDriverListsNothing) {
  ::setenv("FAKE_NVML", "no_driver", 1);
  EXPECT_TRUE(list_gpus(library_).empty());
}

TEST_F(Nvml, WithoutALibraryThereAreNoGpus) {
  EXPECT_TRUE(list_gpus("libnothing-of-this-name.so.1").empty());
  EXPECT_TRUE(list_gpus("libm.so.6").empty());  // a library, but another one
}

TEST_F(Nvml, TheEnvironmentNamesAnotherLibrary) {
  ::setenv("MASBAK_NVML", library_.c_str(), 1);
  EXPECT_EQ(list_gpus().size(), 2u);
  ::unsetenv("MASBAK_NVML");
}

}  // namespace
}  // namespace masbak::base
