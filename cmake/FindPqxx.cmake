# The target Pqxx::Pqxx.
find_path(Pqxx_INCLUDE_DIR pqxx/pqxx)
find_library(Pqxx_LIBRARY pqxx)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Pqxx REQUIRED_VARS Pqxx_LIBRARY Pqxx_INCLUDE_DIR)
if(Pqxx_FOUND AND NOT TARGET Pqxx::Pqxx)
  add_library(Pqxx::Pqxx UNKNOWN IMPORTED)
  set_target_properties(Pqxx::Pqxx PROPERTIES IMPORTED_LOCATION ${Pqxx_LIBRARY}
    INTERFACE_INCLUDE_DIRECTORIES ${Pqxx_INCLUDE_DIR})
endif()
set_property(TARGET Pqxx::Pqxx APPEND PROPERTY INTERFACE_LINK_LIBRARIES pq)
