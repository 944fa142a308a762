# masbak_unity(TARGET): with MASBAK_UNITY its sources are compiled in groups, each of at most MASBAK_UNITY_SIZE of one
# folder. Not those that are alone for a reason: files that choose an instruction set by pragma, and the many of one
# pattern, a command or a family each, whose names are the same.
function(masbak_unity target)
  set(alone "/(models/kernels/cpu|models/families/[a-z0-9_]+|programs/cli/commands)/[a-z0-9_]+\\.cc$")
  get_target_property(sources ${target} SOURCES)
  list(SORT sources)
  foreach(source IN LISTS sources)
    if(source MATCHES "\\.cc$" AND NOT source MATCHES "${alone}")
      get_filename_component(folder ${source} DIRECTORY)
      string(REPLACE "${CMAKE_SOURCE_DIR}/" "" folder ${folder})
      string(MAKE_C_IDENTIFIER "${folder}" key)
      math(EXPR part "${${key}_count} + 0")
      math(EXPR ${key}_count "${part} + 1")
      math(EXPR part "${part} / ${MASBAK_UNITY_SIZE}")
      string(MAKE_C_IDENTIFIER "${folder}_${part}" group)
      set_source_files_properties(${source} PROPERTIES UNITY_GROUP ${group})
    endif()
  endforeach()
  set_target_properties(${target} PROPERTIES UNITY_BUILD ${MASBAK_UNITY} UNITY_BUILD_MODE GROUP)
endfunction()

# masbak_room(NAME LINKS … [PRECOMPILE KIND] [HEADERS …]): the library masbak_NAME from every .cc file below the current
# folder.
# What a room may link is listed where it is called; what it may include, tests/tidy checks. PRECOMPILE and HEADERS name
# the large headers that its sources share (MasbakPrecompile.cmake).
function(masbak_room name)
  cmake_parse_arguments(ROOM "" "PRECOMPILE" "SOURCES;LINKS;PRIVATE_LINKS;OPTIONS;HEADERS" ${ARGN})
  if(NOT ROOM_SOURCES)
    file(GLOB_RECURSE ROOM_SOURCES CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cc)
  endif()
  if(NOT ROOM_SOURCES)
    add_library(masbak_${name} INTERFACE)
    target_link_libraries(masbak_${name} INTERFACE masbak_flags ${ROOM_LINKS} ${ROOM_PRIVATE_LINKS})
    return()
  endif()
  add_library(masbak_${name} STATIC ${ROOM_SOURCES})
  target_link_libraries(masbak_${name} PUBLIC masbak_flags ${ROOM_LINKS} PRIVATE ${ROOM_PRIVATE_LINKS})
  target_compile_options(masbak_${name} PRIVATE ${ROOM_OPTIONS})
  masbak_unity(masbak_${name})
  if(ROOM_PRECOMPILE)
    masbak_precompile(masbak_${name} ${ROOM_PRECOMPILE} ${ROOM_HEADERS})
  endif()
endfunction()

# masbak_program(NAME LINKS … [PRECOMPILE KIND] [HEADERS …]): build/bin/NAME from every .cc file
# below the current folder.
function(masbak_program name)
  cmake_parse_arguments(PROGRAM "" "PRECOMPILE" "LINKS;HEADERS" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cc)
  add_executable(${name} ${sources})
  target_link_libraries(${name} PRIVATE masbak_flags ${PROGRAM_LINKS})
  masbak_unity(${name})
  if(PROGRAM_PRECOMPILE)
    masbak_precompile(${name} ${PROGRAM_PRECOMPILE} ${PROGRAM_HEADERS})
  endif()
endfunction()
