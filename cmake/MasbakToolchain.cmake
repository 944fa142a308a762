# Compiler settings that every target shares.
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()
set(CMAKE_CXX_FLAGS_RELEASE "-O2")

find_program(MASBAK_CCACHE ccache)
if(MASBAK_CCACHE)
  # Without these ccache passes over every file that has a precompiled header.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env
    CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime ${MASBAK_CCACHE})
endif()
find_program(MASBAK_MOLD mold)
if(MASBAK_MOLD)
  add_link_options(-fuse-ld=mold)
endif()

add_library(masbak_flags INTERFACE)
target_compile_options(masbak_flags INTERFACE -Wall -Wextra -Wno-missing-field-initializers)
target_include_directories(masbak_flags INTERFACE ${CMAKE_SOURCE_DIR})
if(MASBAK_SANITIZE)
  add_compile_options(-fsanitize=${MASBAK_SANITIZE} -fno-omit-frame-pointer -g1)
  add_link_options(-fsanitize=${MASBAK_SANITIZE})
endif()
if(MASBAK_FUZZ)
  # Every room counts its branches for libFuzzer; a finding of UndefinedBehaviorSanitizer ends the program.
  add_compile_options(-fsanitize=fuzzer-no-link -fno-sanitize-recover=all)
endif()

# Sources of a room in groups: what they share of headers and templates is compiled once a group. A source includes what
# it uses all the same, and a build with -DMASBAK_UNITY=OFF, quicker after a change of one file, passes too.
option(MASBAK_UNITY "Compile sources in groups: a clean build takes half as long" ON)
set(MASBAK_UNITY_SIZE 8)
if(MASBAK_UNITY AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # In a group every source but the group's own file counts as a header, whose unnamed namespaces are suspicious.
  target_compile_options(masbak_flags INTERFACE -Wno-subobject-linkage)
endif()
