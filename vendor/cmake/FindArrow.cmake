# Arrow C++: the system's CMake package where there is one, else the pyarrow wheel,
# whose shared libraries carry no CMake files: imported targets are made here.
# Targets: Arrow::arrow, Arrow::compute, Arrow::acero. MARBLE_ARROW_LIBS: files that
# must lie beside the addon (RUNPATH is $ORIGIN).
set(MARBLE_PYARROW_VERSION 26.0.1)
set(MARBLE_ARROW_SO 2600)
set(MARBLE_PYARROW_SHA256 c718bf97a92a6dea97fd1062c3b9f9e2e83cb9cc926e752289fa4ffff41738f9)
if(NOT (CMAKE_SYSTEM_NAME STREQUAL "Linux" AND CMAKE_SYSTEM_PROCESSOR STREQUAL "x86_64"))
  message(FATAL_ERROR "No pinned Arrow for ${CMAKE_SYSTEM_NAME}/${CMAKE_SYSTEM_PROCESSOR}: only linux-x64 was ever built; add the wheel's hash to vendor/cmake/FindArrow.cmake")
endif()
marble_cached(pyarrow-${MARBLE_PYARROW_VERSION}-linux-x64 _arrow_root
  bash "${CMAKE_SOURCE_DIR}/vendor/fetch-pyarrow.sh" "${Python3_EXECUTABLE}" "${MARBLE_PYARROW_VERSION}"
  manylinux_2_28_x86_64 "${MARBLE_PYARROW_SHA256}")
set(MARBLE_ARROW_DIR "${_arrow_root}/pyarrow")
set(MARBLE_ARROW_LIBS "")
foreach(_pair "arrow:arrow" "compute:arrow_compute" "acero:arrow_acero" "parquet:parquet")
  string(REPLACE ":" ";" _pair "${_pair}")
  list(GET _pair 0 _target)
  list(GET _pair 1 _lib)
  add_library(Arrow::${_target} SHARED IMPORTED GLOBAL)
  set_target_properties(Arrow::${_target} PROPERTIES
    IMPORTED_LOCATION "${MARBLE_ARROW_DIR}/lib${_lib}.so.${MARBLE_ARROW_SO}"
    IMPORTED_NO_SONAME OFF IMPORTED_SONAME "lib${_lib}.so.${MARBLE_ARROW_SO}")
  target_include_directories(Arrow::${_target} SYSTEM INTERFACE "${MARBLE_ARROW_DIR}/include")
endforeach()
target_link_libraries(Arrow::compute INTERFACE Arrow::arrow)
target_link_libraries(Arrow::acero INTERFACE Arrow::compute)
list(APPEND MARBLE_ARROW_LIBS "${MARBLE_ARROW_DIR}/libarrow.so.${MARBLE_ARROW_SO}"
     "${MARBLE_ARROW_DIR}/libarrow_compute.so.${MARBLE_ARROW_SO}")
