# Large headers of others, precompiled: they are most of a clean build's time.
#
# masbak_precompile(TARGET KIND HEADERS …): TARGET's sources see the headers of KIND (standard, torch, aten, grpc, sql
# or qt) and HEADERS precompiled. A source includes what it uses all the same: a build with -DMASBAK_PRECOMPILE=OFF
# passes too.
# Targets that ask for the same, with the same options, share one precompiled header, that of the first of them.
option(MASBAK_PRECOMPILE "Precompile the large headers of LibTorch, gRPC, Qt and GoogleTest (GCC)" ON)

set(MASBAK_PRECOMPILED_standard
  <algorithm> <cstdint> <filesystem> <functional> <iostream> <map> <memory> <optional> <sstream> <string> <vector>
  <nlohmann/json.hpp>)
set(MASBAK_PRECOMPILED_torch ${MASBAK_PRECOMPILED_standard} <ATen/core/Tensor.h>)
set(MASBAK_PRECOMPILED_aten ${MASBAK_PRECOMPILED_torch} <ATen/ATen.h>)
set(MASBAK_PRECOMPILED_grpc ${MASBAK_PRECOMPILED_standard} <grpcpp/grpcpp.h> <google/protobuf/message.h>)
set(MASBAK_PRECOMPILED_sql ${MASBAK_PRECOMPILED_standard} <pqxx/pqxx>)
set(MASBAK_PRECOMPILED_qt ${MASBAK_PRECOMPILED_grpc} <QtWidgets>)

function(masbak_precompile target kind)
  if(NOT MASBAK_PRECOMPILE OR NOT CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    return()
  endif()
  get_target_property(type ${target} TYPE)
  # To load LibTorch's costs more than all of a source without it.
  if(kind STREQUAL "torch" AND type STREQUAL "STATIC_LIBRARY")
    get_target_property(sources ${target} SOURCES)
    list(FILTER sources INCLUDE REGEX "/(models/tokenizer|trainer/data)/")
    set_source_files_properties(${sources} PROPERTIES SKIP_PRECOMPILE_HEADERS ON)
  endif()
  get_target_property(options ${target} COMPILE_OPTIONS)
  set(headers ${MASBAK_PRECOMPILED_${kind}} ${ARGN})
  # A precompiled header fits only where the options that built it are the same.
  string(MAKE_C_IDENTIFIER "MASBAK_PRECOMPILED ${kind} ${type} ${options} ${ARGN}" key)
  get_property(owner GLOBAL PROPERTY ${key})
  if(owner)
    target_precompile_headers(${target} REUSE_FROM ${owner})
  else()
    target_precompile_headers(${target} PRIVATE ${headers})
    set_property(GLOBAL PROPERTY ${key} ${target})
  endif()
endfunction()
