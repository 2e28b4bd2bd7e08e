# librdkafka, static, built once from the source inside node-rdkafka's npm tarball.
# TLS: a static OpenSSL with hidden symbols; never a dynamic one, because inside node
# the loader would bind it half to node's own copy.
set(MARBLE_NODE_RDKAFKA_VERSION 3.6.1)
set(MARBLE_LIBRDKAFKA_VERSION 2.12.0)
find_package(Threads REQUIRED)
foreach(_lib ssl crypto zstd z)
  find_library(MARBLE_${_lib}_STATIC lib${_lib}.a)
  if(NOT MARBLE_${_lib}_STATIC)
    message(FATAL_ERROR "lib${_lib}.a not found: install libssl-dev, libzstd-dev and zlib1g-dev (scripts/setup does so when run as root)")
  endif()
endforeach()
marble_cached(librdkafka-${MARBLE_LIBRDKAFKA_VERSION}-1 _rdkafka_root
  bash "${CMAKE_SOURCE_DIR}/vendor/build-librdkafka.sh" "${MARBLE_NODE_RDKAFKA_VERSION}"
  148f7e7b65c510314c70762d8f1be052c8fe1fdf03a128e6c78083a729a57a30 "${MARBLE_ssl_STATIC}" "${MARBLE_crypto_STATIC}")
add_library(rdkafka STATIC IMPORTED GLOBAL)
set_target_properties(rdkafka PROPERTIES IMPORTED_LOCATION "${_rdkafka_root}/lib/librdkafka.a")
target_include_directories(rdkafka SYSTEM INTERFACE "${_rdkafka_root}/include")
target_link_libraries(rdkafka INTERFACE "${MARBLE_ssl_STATIC}" "${MARBLE_crypto_STATIC}"
  "${MARBLE_zstd_STATIC}" "${MARBLE_z_STATIC}" Threads::Threads ${CMAKE_DL_LIBS} m)
