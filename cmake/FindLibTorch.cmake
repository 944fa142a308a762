# LibTorch as the target LibTorch::LibTorch, without Python and without the CUDA toolkit.
#
# Looked for in MASBAK_LIBTORCH (a folder with include/ and lib/), then in CMAKE_PREFIX_PATH (an installed
# LibTorch, or site-packages/torch of a Python environment), then where installer/ unpacks the wheel.
# TorchConfig.cmake is not used: the wheel's one insists on an installed CUDA toolkit.
set(_cache "$ENV{MASBAK_CACHE}")
if(NOT _cache)
  set(_cache "$ENV{HOME}/.cache/masbak")
endif()
find_path(LibTorch_INCLUDE_DIR ATen/ATen.h
  HINTS ${MASBAK_LIBTORCH}/include PATH_SUFFIXES include
  PATHS ${_cache}/libtorch-2.11.0/include)
get_filename_component(_root "${LibTorch_INCLUDE_DIR}" DIRECTORY)
find_library(LibTorch_CPU_LIBRARY torch_cpu HINTS ${_root}/lib NO_DEFAULT_PATH)
find_library(LibTorch_C10_LIBRARY c10 HINTS ${_root}/lib NO_DEFAULT_PATH)
unset(LibTorch_VERSION)
if(EXISTS ${LibTorch_INCLUDE_DIR}/torch/headeronly/version.h)
  file(STRINGS ${LibTorch_INCLUDE_DIR}/torch/headeronly/version.h _lines
    REGEX "define TORCH_VERSION_(MAJOR|MINOR|PATCH) ")
  string(REGEX MATCHALL "[0-9]+" _numbers "${_lines}")
  list(JOIN _numbers "." LibTorch_VERSION)
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(LibTorch
  REQUIRED_VARS LibTorch_CPU_LIBRARY LibTorch_C10_LIBRARY LibTorch_INCLUDE_DIR
  VERSION_VAR LibTorch_VERSION
  REASON_FAILURE_MESSAGE "run installer/install, or name a LibTorch 2.11 folder with -DMASBAK_LIBTORCH=")

if(LibTorch_FOUND AND NOT TARGET LibTorch::LibTorch)
  # The wheel carries old protobuf headers in include/google, which must not shadow the system's.
  # installer/ removes them; for another LibTorch the include path is a folder of links to the rest.
  set(_include ${LibTorch_INCLUDE_DIR})
  if(EXISTS ${LibTorch_INCLUDE_DIR}/google)
    set(_include ${CMAKE_BINARY_DIR}/libtorch-include)
    file(MAKE_DIRECTORY ${_include})
    file(GLOB _entries RELATIVE ${LibTorch_INCLUDE_DIR} ${LibTorch_INCLUDE_DIR}/*)
    list(REMOVE_ITEM _entries google)
    foreach(_entry IN LISTS _entries)
      if(NOT EXISTS ${_include}/${_entry})
        file(CREATE_LINK ${LibTorch_INCLUDE_DIR}/${_entry} ${_include}/${_entry} SYMBOLIC)
      endif()
    endforeach()
  endif()
  add_library(LibTorch::LibTorch INTERFACE IMPORTED)
  target_include_directories(LibTorch::LibTorch SYSTEM INTERFACE
    ${_include} ${_include}/torch/csrc/api/include)
  # Without it LibTorch's own headers take in those of all operators, which cost a source 10 s and more.
  target_compile_definitions(LibTorch::LibTorch INTERFACE AT_PER_OPERATOR_HEADERS)
  target_link_libraries(LibTorch::LibTorch INTERFACE ${LibTorch_CPU_LIBRARY} ${LibTorch_C10_LIBRARY})
  target_link_options(LibTorch::LibTorch INTERFACE
    -Wl,--allow-shlib-undefined -Wl,-rpath,${_root}/lib -Wl,--disable-new-dtags)
endif()
