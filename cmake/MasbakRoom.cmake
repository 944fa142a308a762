# masbak_room(NAME LINKS …): the library masbak_NAME from every .cc file below the current folder.
# What a room may link is listed where it is called; what it may include, tests/tidy checks.
function(masbak_room name)
  cmake_parse_arguments(ROOM "" "" "SOURCES;LINKS;PRIVATE_LINKS" ${ARGN})
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
endfunction()

# masbak_program(NAME LINKS …): build/bin/NAME from every .cc file below the current folder.
function(masbak_program name)
  cmake_parse_arguments(PROGRAM "" "" "LINKS" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cc)
  add_executable(${name} ${sources})
  target_link_libraries(${name} PRIVATE masbak_flags ${PROGRAM_LINKS})
endfunction()
