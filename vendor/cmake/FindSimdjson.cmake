# simdjson's amalgamated source out of pysimdjson's sdist: the distribution's package
# has no static library, and the addon must not need a system one.
set(MARBLE_PYSIMDJSON_VERSION 7.0.2)
marble_cached(simdjson-pysimdjson-${MARBLE_PYSIMDJSON_VERSION} _simdjson_root
  bash "${CMAKE_SOURCE_DIR}/vendor/fetch-simdjson.sh" "${Python3_EXECUTABLE}" "${MARBLE_PYSIMDJSON_VERSION}"
  44cf276e48912a3b9c7ca362c14da8420a7ac15a9f1a16ec95becff86db3904a)
add_library(simdjson STATIC "${_simdjson_root}/simdjson.cpp")
target_include_directories(simdjson SYSTEM PUBLIC "${_simdjson_root}")
set_source_files_properties("${_simdjson_root}/simdjson.cpp" PROPERTIES COMPILE_OPTIONS "-w;-g0")
